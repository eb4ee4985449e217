/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/output.h"

#include "tools/inspect/base64.h"
#include "tools/inspect/inspect.h"

#include <inttypes.h>
#include <libsmartcols.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- Text ------------------------------------------------------------------------------------- */

/* The code point at the beginning of the text and its size; size 0: no UTF-8. */
static size_t output_code_point(const uint8_t *at, size_t left, uint32_t *ret_code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80       ? 1
                  : at[0] >> 5 == 6  ? 2
                  : at[0] >> 4 == 14 ? 3
                  : at[0] >> 3 == 30 ? 4
                                     : 0;
    if (size == 0 || size > left) {
        return 0;
    }
    uint32_t code = size == 1 ? at[0] : at[0] & (0x7FU >> size);
    for (size_t i = 1; i < size; i++) {
        if (at[i] >> 6 != 2) {
            return 0;
        }
        code = code << 6 | (at[i] & 0x3FU);
    }
    bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    *ret_code = code;
    return code < smallest[size] || code > 0x10FFFF || is_surrogate ? 0 : size;
}

/* C0, DEL, C1; line and paragraph separators; what turns the direction of writing. */
static bool output_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x061C ||
           (code >= 0x200E && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

void output_text(FILE *stream, struct span text, bool is_multiline)
{
    const uint8_t *at = text.data;
    size_t left = text.size_bytes;
    while (left > 0) {
        uint32_t code = 0;
        size_t size = output_code_point(at, left, &code);
        bool is_kept = is_multiline && size == 1 && (code == '\n' || code == '\t');
        if (size > 0 && (is_kept || !output_is_control(code))) {
            (void)fwrite(at, 1, size, stream);
        } else {
            size = size > 0 ? size : 1;
            for (size_t i = 0; i < size; i++) {
                (void)fprintf(stream, "\\x%02x", at[i]);
            }
        }
        at += size;
        left -= size;
    }
}

char *output_text_new(struct span text, size_t max_bytes)
{
    char *buffer = NULL;
    size_t size = 0;
    bool is_cut = text.size_bytes > max_bytes;
    const uint8_t *at = text.data;
    if (is_cut) {
        text.size_bytes = max_bytes;
        /* Not in the middle of a character. */
        for (int i = 0; i < 3 && text.size_bytes > 0 && at[text.size_bytes] >> 6 == 2; i++) {
            text.size_bytes--;
        }
    }
    FILE *stream = open_memstream(&buffer, &size);
    if (stream == NULL) {
        return NULL;
    }
    output_text(stream, text, false);
    if (is_cut) {
        (void)fputs("...", stream);
    }
    (void)fclose(stream);
    return buffer;
}

void output_duration(uint64_t ms, char ret_word[OUTPUT_WORD_BYTES])
{
    uint64_t seconds = ms / 1000;
    if (ms < 1000) {
        (void)snprintf(ret_word, OUTPUT_WORD_BYTES, "%" PRIu64 "ms", ms);
    } else if (seconds < 60) {
        (void)snprintf(ret_word, OUTPUT_WORD_BYTES, "%" PRIu64 "s", seconds);
    } else if (seconds < 3600) {
        (void)snprintf(ret_word, OUTPUT_WORD_BYTES, "%" PRIu64 "m %" PRIu64 "s", seconds / 60,
                       seconds % 60);
    } else if (seconds < 86400) {
        (void)snprintf(ret_word, OUTPUT_WORD_BYTES, "%" PRIu64 "h %" PRIu64 "m", seconds / 3600,
                       seconds / 60 % 60);
    } else {
        (void)snprintf(ret_word, OUTPUT_WORD_BYTES, "%" PRIu64 "d %" PRIu64 "h", seconds / 86400,
                       seconds / 3600 % 24);
    }
}

void output_bytes(uint64_t bytes, char ret_word[OUTPUT_WORD_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < SPOOL_COUNT_OF(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(ret_word, OUTPUT_WORD_BYTES, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s",
                   value, units[unit]);
}

void output_time(uint64_t wall_ms, char ret_word[OUTPUT_WORD_BYTES])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    if (wall_ms == 0 || gmtime_r(&seconds, &utc) == NULL ||
        strftime(ret_word, OUTPUT_WORD_BYTES, "%Y-%m-%d %H:%M:%SZ", &utc) == 0) {
        (void)snprintf(ret_word, OUTPUT_WORD_BYTES, "-");
    }
}

bool output_has_colours(void)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0') &&
           terminal != NULL && strcmp(terminal, "dumb") != 0;
}

/* --- Tables ----------------------------------------------------------------------------------- */

struct libscols_table *output_table_new(const struct output_column *columns, size_t count)
{
    struct libscols_table *table = scols_new_table();
    for (size_t i = 0; table != NULL && i < count; i++) {
        int flags =
            (columns[i].is_right ? SCOLS_FL_RIGHT : 0) | (columns[i].is_cut ? SCOLS_FL_TRUNC : 0);
        if (scols_table_new_column(table, columns[i].name, columns[i].is_cut ? 0.3 : 0, flags) ==
            NULL) {
            output_table_free(&table);
        }
    }
    if (table != NULL) {
        /* What may control the terminal was taken out of all texts already. */
        scols_table_enable_noencoding(table, 1);
    }
    return table;
}

void output_table_free(struct libscols_table **table)
{
    if (*table != NULL) {
        scols_unref_table(SPOOL_TAKE(*table));
    }
}

/* --- JSON ------------------------------------------------------------------------------------- */

void output_json(json_t *document)
{
    if (document == NULL || json_dumpf(document, stdout, JSON_COMPACT) != 0) {
        inspect_say("cannot print JSON: out of memory, or standard output cannot be written");
    }
    (void)putchar('\n');
    json_decref(document);
}

void output_json_free(json_t **document)
{
    json_decref(SPOOL_TAKE(*document));
}

void output_json_bytes(json_t *object, const char *name, struct span bytes)
{
    if (bytes.data == NULL) {
        (void)json_object_set_new(object, name, json_null());
        return;
    }
    json_t *text = json_stringn(bytes.data, bytes.size_bytes);
    if (text != NULL) {
        (void)json_object_set_new(object, name, text);
        return;
    }
    char longer[64];
    size_t size = base64_size(bytes.size_bytes);
    SPOOL_CLEANUP(spool_free) char *encoded = malloc(size + 1);
    (void)snprintf(longer, sizeof(longer), "%s_base64", name);
    if (encoded != NULL) {
        base64_encode(bytes, encoded);
        (void)json_object_set_new(object, longer, json_stringn(encoded, size));
    }
}

void output_json_number(json_t *object, const char *name, uint64_t number)
{
    json_int_t value = number > INT64_MAX ? INT64_MAX : (json_int_t)number;
    (void)json_object_set_new(object, name, json_integer(value));
}

void output_json_time(json_t *object, const char *name, uint64_t wall_ms)
{
    if (wall_ms == 0) {
        (void)json_object_set_new(object, name, json_null());
    } else {
        output_json_number(object, name, wall_ms);
    }
}
