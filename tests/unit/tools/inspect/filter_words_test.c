/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/filter_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_words(const struct filter *filter, const char *wanted)
{
    char words[FILTER_WORDS_BYTES];
    filter_print_words(filter, words);
    assert_string_equal(words, wanted);
}

static void filter_print_words_says_each_part(void **state)
{
    (void)state;
    struct filter filter = {0};
    assert_words(&filter, "all");
    filter.from_sequence = 7;
    filter.to_sequence = 7;
    assert_words(&filter, "sequence 7");
    filter.from_sequence = 0;
    assert_words(&filter, "to sequence 7");
    filter = (struct filter){
        .destination_texts = {"k1", "k2"},
        .destination_texts_count = 2,
        .key = "call-1",
        .contains = "INVITE",
        .older_than_ms = 90000,
        .newer_than_ms = 7200000,
        .larger_than_bytes = 10,
        .smaller_than_bytes = 20,
        .from_sequence = 3,
        .to_sequence = 5,
    };
    assert_words(&filter, "destination k1, destination k2, key 'call-1', payload with 'INVITE', "
                          "older than 1m 30s, newer than 2h 0m, larger than 10 bytes, smaller than "
                          "20 bytes, from sequence 3, to sequence 5");
}

static void filter_print_words_is_fit_for_a_terminal_and_a_buffer(void **state)
{
    (void)state;
    char long_key[2 * FILTER_WORDS_BYTES];
    char words[FILTER_WORDS_BYTES];
    struct filter filter = {.key = "a\x1b[31m\x7f", .destination_texts = {"k\n"}};
    filter.destination_texts_count = 1;
    assert_words(&filter, "destination k?, key 'a?[31m?'");
    memset(long_key, 'x', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = '\0';
    filter.key = long_key;
    filter.contains = "not to be seen";
    filter_print_words(&filter, words);
    assert_int_equal(strlen(words), FILTER_WORDS_BYTES - 1);
    assert_null(strstr(words, "not to be seen"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_print_words_says_each_part),
        cmocka_unit_test(filter_print_words_is_fit_for_a_terminal_and_a_buffer),
    };
    return cmocka_run_group_tests_name("filter_words", tests, NULL, NULL);
}
