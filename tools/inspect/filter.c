/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/filter.h"

#include <errno.h>
#include <string.h>

enum {
    OPTION_DESTINATION = 0x2000,
    OPTION_KEY,
    OPTION_OLDER,
    OPTION_NEWER,
    OPTION_LARGER,
    OPTION_SMALLER,
    OPTION_FROM,
    OPTION_TO,
    OPTION_CONTAINS,
};

static const struct argp_option filter_options[] = {
    {NULL, 0, NULL, 0, "Which records:", 10},
    {"destination", OPTION_DESTINATION, "D", 0,
     "Of that destination: its ID, its whole name or its number; can be given again", 10},
    {"key", OPTION_KEY, "KEY", 0, "With exactly that key", 10},
    {"older-than", OPTION_OLDER, "TIME", 0, "Published longer ago (30s, 5m, 2h, 3d)", 10},
    {"newer-than", OPTION_NEWER, "TIME", 0, "Published since then", 10},
    {"larger-than", OPTION_LARGER, "BYTES", 0, "Larger as stored; K, M, G may follow", 10},
    {"smaller-than", OPTION_SMALLER, "BYTES", 0, "Smaller as stored", 10},
    {"from", OPTION_FROM, "SEQUENCE", 0, "From that sequence on", 10},
    {"to", OPTION_TO, "SEQUENCE", 0, "Up to that sequence", 10},
    {"contains", OPTION_CONTAINS, "TEXT", 0, "With that text in the payload", 10},
    {0},
};

/* --- Values ----------------------------------------------------------------------------------- */

/* A number and what stands behind it. */
static bool filter_read_digits(const char *text, uint64_t *ret_number, const char **ret_end)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    *ret_end = end;
    return errno == 0;
}

/* A number and at most one unit. */
static bool filter_read_unit(const char *text, const char *units, const uint64_t *factors,
                             uint64_t factor, uint64_t *ret_value)
{
    uint64_t number;
    const char *end;
    if (!filter_read_digits(text, &number, &end)) {
        return false;
    }
    if (*end != '\0') {
        const char *unit = strchr(units, *end);
        if (unit == NULL || end[1] != '\0') {
            return false;
        }
        factor = factors[unit - units];
    }
    return !__builtin_mul_overflow(number, factor, ret_value);
}

bool filter_read_duration(const char *text, uint64_t *ret_ms)
{
    static const uint64_t factors[] = {1000, 60000, 3600000, 86400000, 604800000};
    return filter_read_unit(text, "smhdw", factors, 1000, ret_ms);
}

bool filter_read_bytes(const char *text, uint64_t *ret_bytes)
{
    static const uint64_t factors[] = {1ULL << 10, 1ULL << 20, 1ULL << 30, 1ULL << 40};
    return filter_read_unit(text, "KMGT", factors, 1, ret_bytes);
}

bool filter_read_number(const char *text, uint64_t *ret_number)
{
    const char *end;
    return filter_read_digits(text, ret_number, &end) && *end == '\0';
}

/* --- Options ---------------------------------------------------------------------------------- */

static uint64_t filter_duration(struct argp_state *state, const char *option, const char *text)
{
    uint64_t ms = 0;
    if (!filter_read_duration(text, &ms) || ms == 0) {
        argp_error(state, "%s: '%.40s' is no time like 30s, 5m, 2h or 3d", option, text);
    }
    return ms;
}

static uint64_t filter_bytes(struct argp_state *state, const char *option, const char *text)
{
    uint64_t bytes = 0;
    if (!filter_read_bytes(text, &bytes) || bytes == 0) {
        argp_error(state, "%s: '%.40s' is no size like 4096, 10K or 2M", option, text);
    }
    return bytes;
}

static uint64_t filter_sequence(struct argp_state *state, const char *option, const char *text)
{
    uint64_t sequence = 0;
    if (!filter_read_number(text, &sequence) || sequence == 0) {
        argp_error(state, "%s: '%.40s' is no sequence (a number from 1)", option, text);
    }
    return sequence;
}

static error_t filter_parse(int key, char *argument, struct argp_state *state)
{
    struct filter *filter = state->input;
    switch (key) {
    case OPTION_DESTINATION:
        if (filter->destination_texts_count == DESTINATIONS_MAX) {
            argp_error(state, "--destination: more than %d", DESTINATIONS_MAX);
            return 0;
        }
        filter->destination_texts[filter->destination_texts_count++] = argument;
        return 0;
    case OPTION_KEY:
        filter->key = argument;
        return 0;
    case OPTION_OLDER:
        filter->older_than_ms = filter_duration(state, "--older-than", argument);
        return 0;
    case OPTION_NEWER:
        filter->newer_than_ms = filter_duration(state, "--newer-than", argument);
        return 0;
    case OPTION_LARGER:
        filter->larger_than_bytes = filter_bytes(state, "--larger-than", argument);
        return 0;
    case OPTION_SMALLER:
        filter->smaller_than_bytes = filter_bytes(state, "--smaller-than", argument);
        return 0;
    case OPTION_FROM:
        filter->from_sequence = filter_sequence(state, "--from", argument);
        return 0;
    case OPTION_TO:
        filter->to_sequence = filter_sequence(state, "--to", argument);
        return 0;
    case OPTION_CONTAINS:
        filter->contains = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp filter_argp = {.options = filter_options, .parser = filter_parse};

bool filter_is_empty(const struct filter *filter)
{
    return filter->destination_texts_count == 0 && filter->key == NULL &&
           filter->contains == NULL && filter->older_than_ms == 0 && filter->newer_than_ms == 0 &&
           filter->larger_than_bytes == 0 && filter->smaller_than_bytes == 0 &&
           filter->from_sequence == 0 && filter->to_sequence == 0;
}

/* --- Destinations ----------------------------------------------------------------------------- */

/* Whether the identity is that of an address with this ID: "[ID]topic". */
static bool filter_has_id(const char *identity, const char *id)
{
    size_t size = strlen(id);
    return identity[0] == '[' && strncmp(identity + 1, id, size) == 0 && identity[size + 1] == ']';
}

/* Marks the destinations that the text names; returns how many. */
static unsigned filter_mark(const struct spool *spool, const char *text,
                            bool marks[DESTINATIONS_MAX + 1])
{
    unsigned found = 0;
    uint64_t number;
    uint32_t count = spool_destinations_count(spool);
    for (uint32_t i = 1; i <= count; i++) {
        const char *identity = spool_destination_identity(spool, i);
        if (strcmp(identity, text) == 0 || filter_has_id(identity, text)) {
            marks[i] = true;
            found++;
        }
    }
    if (found == 0 && filter_read_number(text, &number) && number >= 1 && number <= count) {
        marks[number] = true;
        found = 1;
    }
    return found;
}

static int filter_say_none(const struct spool *spool, const char *text, struct message *message)
{
    message_set(message,
                "no destination '%.200s' in this spool, which has %u: 'spool-inspect status' lists "
                "them",
                text, spool_destinations_count(spool));
    return FILTER_E_NO_DESTINATION;
}

int filter_resolve(struct filter *filter, const struct spool *spool, struct message *message)
{
    for (size_t i = 0; i < filter->destination_texts_count; i++) {
        const char *text = filter->destination_texts[i];
        if (filter_mark(spool, text, filter->has_destination) == 0) {
            return filter_say_none(spool, text, message);
        }
    }
    if (filter->destination_texts_count == 0) {
        for (uint32_t i = 1; i <= spool_destinations_count(spool); i++) {
            filter->has_destination[i] = true;
        }
    }
    return 0;
}

int filter_end_now(struct filter *filter, struct spool *spool)
{
    uint64_t next;
    int r = spool_next_sequence(spool, &next);
    if (r == 0 && (filter->to_sequence == 0 || filter->to_sequence >= next)) {
        filter->to_sequence = next - 1;
    }
    return r;
}

int filter_find_destination(const struct spool *spool, const char *text, uint32_t *ret_destination,
                            struct message *message)
{
    bool marks[DESTINATIONS_MAX + 1] = {false};
    unsigned found = filter_mark(spool, text, marks);
    if (found == 0) {
        return filter_say_none(spool, text, message);
    }
    if (found > 1) {
        message_set(message,
                    "%u destinations have the ID '%.200s': name one in full, or by its number",
                    found, text);
        return FILTER_E_NO_DESTINATION;
    }
    uint32_t destination = 1;
    while (!marks[destination]) {
        destination++;
    }
    *ret_destination = destination;
    return 0;
}

/* --- Records ---------------------------------------------------------------------------------- */

static bool filter_matches_text(const struct filter *filter, const struct record *record)
{
    if (filter->key != NULL &&
        (record->key.data == NULL || record->key.size_bytes != strlen(filter->key) ||
         memcmp(record->key.data, filter->key, record->key.size_bytes) != 0)) {
        return false;
    }
    return filter->contains == NULL || memmem(record->payload.data, record->payload.size_bytes,
                                              filter->contains, strlen(filter->contains)) != NULL;
}

bool filter_matches(const struct filter *filter, const struct record *record, size_t size_bytes,
                    uint64_t now_ms)
{
    if ((filter->larger_than_bytes != 0 && size_bytes <= filter->larger_than_bytes) ||
        (filter->smaller_than_bytes != 0 && size_bytes >= filter->smaller_than_bytes)) {
        return false;
    }
    if (record == NULL) {
        return filter->key == NULL && filter->contains == NULL && filter->older_than_ms == 0 &&
               filter->newer_than_ms == 0;
    }
    uint64_t age_ms = now_ms > record->published_wall_ms ? now_ms - record->published_wall_ms : 0;
    if ((filter->older_than_ms != 0 && age_ms <= filter->older_than_ms) ||
        (filter->newer_than_ms != 0 && age_ms >= filter->newer_than_ms)) {
        return false;
    }
    return filter_matches_text(filter, record);
}
