/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/settings.h"

#include "spool/limits.h"
#include "src/opensips/opensips.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_MS 1000ULL
/* As OpenSIPS's own for a wrong configuration. */
#define SETTINGS_EXIT_CODE 255

struct settings settings = {
    .spool_dir = "/var/spool/opensips/kafka",
    .max_bytes = SPOOL_BYTES_DEFAULT,
    .durability = SPOOL_SYNC,
    .commit_timeout_ms = SECOND_MS,
    .shutdown_flush_ms = 2 * SECOND_MS,
    .high_mark_percent = 80,
    .low_mark_percent = 60,
};

void settings_refuse(void)
{
    exit(SETTINGS_EXIT_CODE);
}

/* Reads a number, as an integer or as text with a suffix K, M, G or T (powers of 1,024). */
static uint64_t settings_read_number(const char *name, unsigned type, void *value, uint64_t minimum,
                                     uint64_t maximum)
{
    static const char suffixes[] = "KMGT";
    bool is_number = false;
    unsigned long long number = 0;
    if (PARAM_TYPE_MASK(type) == INT_PARAM) {
        long integer = (long)value;
        is_number = integer >= 0;
        number = (unsigned long long)integer;
    } else {
        const char *text = value;
        char *end = NULL;
        errno = 0;
        number = strtoull(text, &end, 10);
        is_number = errno == 0 && end != text && text[0] != '-';
        const char *suffix = *end != '\0' ? strchr(suffixes, *end) : NULL;
        unsigned bits = suffix != NULL ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
        if (suffix != NULL) {
            end++;
            is_number = is_number && number <= ULLONG_MAX >> bits;
            number <<= bits;
        }
        is_number = is_number && *end == '\0';
    }
    if (!is_number || number < minimum || number > maximum) {
        LM_ERR("%s: a number from %llu to %llu is needed\n", name, (unsigned long long)minimum,
               (unsigned long long)maximum);
        settings_refuse();
    }
    return number;
}

/* Reads one of two words. Its number. */
static unsigned settings_read_word(const char *name, const char *value, const char *const words[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (strcmp(value, words[i]) == 0) {
            return i;
        }
    }
    LM_ERR("%s: \"%s\" or \"%s\" is needed, not \"%s\"\n", name, words[0], words[1], value);
    settings_refuse();
}

int settings_set_spool_dir(unsigned type, void *value)
{
    (void)type;
    const char *dir = value;
    if (dir[0] != '/' || strlen(dir) >= PATH_MAX) {
        LM_ERR("spool_dir: an absolute path is needed, not \"%s\"\n", dir);
        settings_refuse();
    }
    settings.spool_dir = strdup(dir);
    if (settings.spool_dir == NULL) {
        LM_ERR("spool_dir: out of memory\n");
        settings_refuse();
    }
    return 0;
}

int settings_set_max_bytes(unsigned type, void *value)
{
    settings.max_bytes =
        settings_read_number("max_bytes", type, value, SPOOL_BYTES_MIN, SPOOL_BYTES_MAX);
    return 0;
}

int settings_set_max_records(unsigned type, void *value)
{
    settings.max_records = settings_read_number("max_records", type, value, 0, INT64_MAX);
    return 0;
}

int settings_set_durability(unsigned type, void *value)
{
    (void)type;
    static const char *const words[2] = {"sync", "nometasync"};
    bool is_sync = settings_read_word("durability", value, words) == 0;
    settings.durability = is_sync ? SPOOL_SYNC : SPOOL_NOMETASYNC;
    return 0;
}

int settings_set_commit_timeout(unsigned type, void *value)
{
    settings.commit_timeout_ms =
        settings_read_number("commit_timeout", type, value, 1, 3600 * SECOND_MS);
    return 0;
}

int settings_set_shutdown_flush(unsigned type, void *value)
{
    settings.shutdown_flush_ms =
        settings_read_number("shutdown_flush", type, value, 0, SETTINGS_SHUTDOWN_FLUSH_MS_MAX);
    return 0;
}

int settings_set_high_mark(unsigned type, void *value)
{
    settings.high_mark_percent = (unsigned)settings_read_number("high_mark", type, value, 1, 100);
    return 0;
}

int settings_set_low_mark(unsigned type, void *value)
{
    settings.low_mark_percent = (unsigned)settings_read_number("low_mark", type, value, 1, 100);
    return 0;
}

int settings_set_default_ttl(unsigned type, void *value)
{
    settings.default_ttl_ms =
        settings_read_number("default_ttl", type, value, 0, ADDRESS_TTL_MS_MAX);
    return 0;
}

int settings_set_on_full(unsigned type, void *value)
{
    (void)type;
    static const char *const words[2] = {"reject", "drop-oldest"};
    bool is_reject = settings_read_word("on_full", value, words) == 0;
    settings.on_full = is_reject ? ADDRESS_ON_FULL_REJECT : ADDRESS_ON_FULL_DROP_OLDEST;
    return 0;
}

int settings_check(void)
{
    if (settings.low_mark_percent > settings.high_mark_percent) {
        LM_ERR("low_mark: %u percent is above high_mark, which is %u\n", settings.low_mark_percent,
               settings.high_mark_percent);
        return -1;
    }
    return 0;
}

void settings_complete_address(struct address *address)
{
    if (!address->has_ttl) {
        address->ttl_ms = settings.default_ttl_ms;
    }
    if (!address->has_on_full) {
        address->on_full = settings.on_full;
    }
}
