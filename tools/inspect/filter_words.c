/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/filter_words.h"

#include "tools/inspect/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Text that grows in a buffer until it is full. */
struct words {
    char *text;
    size_t used;
};

static void words_add(struct words *words, const char *format, ...) SPOOL_PRINTF(2, 3);

static void words_add(struct words *words, const char *format, ...)
{
    size_t left = FILTER_WORDS_BYTES - words->used;
    va_list arguments;
    if (words->used > 0 && left > 2) {
        memcpy(words->text + words->used, ", ", 2);
        words->used += 2;
        left -= 2;
    }
    va_start(arguments, format);
    int size = vsnprintf(words->text + words->used, left, format, arguments);
    va_end(arguments);
    words->used += size < 0 ? 0 : (size_t)size < left ? (size_t)size : left - 1;
}

static void words_add_sequences(struct words *words, const struct filter *filter)
{
    uint64_t from = filter->from_sequence;
    uint64_t to = filter->to_sequence;
    if (from != 0 && from == to) {
        words_add(words, "sequence %" PRIu64, from);
        return;
    }
    if (from != 0) {
        words_add(words, "from sequence %" PRIu64, from);
    }
    if (to != 0) {
        words_add(words, "to sequence %" PRIu64, to);
    }
}

static void words_add_limits(struct words *words, const struct filter *filter)
{
    char word[OUTPUT_WORD_BYTES];
    if (filter->older_than_ms != 0) {
        output_duration(filter->older_than_ms, word);
        words_add(words, "older than %s", word);
    }
    if (filter->newer_than_ms != 0) {
        output_duration(filter->newer_than_ms, word);
        words_add(words, "newer than %s", word);
    }
    if (filter->larger_than_bytes != 0) {
        words_add(words, "larger than %" PRIu64 " bytes", filter->larger_than_bytes);
    }
    if (filter->smaller_than_bytes != 0) {
        words_add(words, "smaller than %" PRIu64 " bytes", filter->smaller_than_bytes);
    }
}

void filter_print_words(const struct filter *filter, char ret_words[FILTER_WORDS_BYTES])
{
    struct words words = {.text = ret_words};
    for (size_t i = 0; i < filter->destination_texts_count; i++) {
        words_add(&words, "destination %s", filter->destination_texts[i]);
    }
    if (filter->key != NULL) {
        words_add(&words, "key '%s'", filter->key);
    }
    if (filter->contains != NULL) {
        words_add(&words, "payload with '%s'", filter->contains);
    }
    words_add_limits(&words, filter);
    words_add_sequences(&words, filter);
    if (words.used == 0) {
        words_add(&words, "all");
    }
    for (char *at = ret_words; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F) {
            *at = '?';
        }
    }
}
