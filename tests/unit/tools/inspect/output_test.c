/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_shown(const char *bytes, size_t size, size_t max, const char *expected)
{
    SPOOL_CLEANUP(spool_free) char *shown = output_text_new((struct span){bytes, size}, max);
    assert_non_null(shown);
    assert_string_equal(shown, expected);
}

#define ASSERT_SHOWN(text, expected) assert_shown(text, sizeof(text) - 1, SIZE_MAX, expected)

static void output_text_lets_nothing_control_the_terminal(void **state)
{
    (void)state;
    ASSERT_SHOWN("plain, with \"quotes\" and \\", "plain, with \"quotes\" and \\");
    ASSERT_SHOWN("\x1b[2J", "\\x1b[2J");
    ASSERT_SHOWN("\0\a\b\t\n\r\x7f", "\\x00\\x07\\x08\\x09\\x0a\\x0d\\x7f");
    ASSERT_SHOWN("\xc2\x9b"
                 "31m",
                 "\\xc2\\x9b31m"); /* C1: also an escape */
    /* What turns the direction of writing, as numbers, since lint does not take it in a text. */
    static const unsigned char marks[] = {'a',  0xe2, 0x80, 0xae, 0xe2,
                                          0x81, 0xa6, 0xef, 0xbb, 0xbf};
    assert_shown((const char *)marks, sizeof(marks), SIZE_MAX,
                 "a\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xef\\xbb\\xbf");
    ASSERT_SHOWN("b\xc3\xb6"
                 "b \xe6\x97\xa5 \xf0\x9f\x93\x9e",
                 "b\xc3\xb6"
                 "b \xe6\x97\xa5 \xf0\x9f\x93\x9e");
}

static void output_text_shows_what_is_no_utf8_byte_by_byte(void **state)
{
    (void)state;
    ASSERT_SHOWN("\xff\xfe", "\\xff\\xfe");
    ASSERT_SHOWN("\xc3", "\\xc3");                   /* cut off */
    ASSERT_SHOWN("\xc0\x9b", "\\xc0\\x9b");          /* longer than it must be */
    ASSERT_SHOWN("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* half of a pair */
    ASSERT_SHOWN("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
    ASSERT_SHOWN("\xe2\x28\xa1", "\\xe2(\\xa1");
}

static void output_text_cuts_between_characters(void **state)
{
    (void)state;
    assert_shown("abcdef", 6, 6, "abcdef");
    assert_shown("abcdef", 6, 3, "abc...");
    assert_shown("ab\xe6\x97\xa5", 5, 4, "ab...");
    assert_shown("ab\xe6\x97\xa5", 5, 3, "ab...");
    assert_shown("", 0, 3, "");
}

static void output_words_are_short(void **state)
{
    static const struct {
        uint64_t ms;
        const char *word;
    } durations[] = {
        {0, "0ms"},       {999, "999ms"},     {59999, "59s"},
        {61000, "1m 1s"}, {3600000, "1h 0m"}, {90061000, "1d 1h"},
    };

    static const struct {
        uint64_t bytes;
        const char *word;
    } sizes[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {150 << 10, "150 KiB"},
        {5ULL << 40, "5.0 TiB"},
    };

    char word[OUTPUT_WORD_BYTES];
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(durations); i++) {
        output_duration(durations[i].ms, word);
        assert_string_equal(word, durations[i].word);
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(sizes); i++) {
        output_bytes(sizes[i].bytes, word);
        assert_string_equal(word, sizes[i].word);
    }
    output_time(0, word);
    assert_string_equal(word, "-");
    output_time(1700000000123, word);
    assert_string_equal(word, "2023-11-14 22:13:20Z");
    output_time(UINT64_MAX, word); /* of a damaged record */
    output_duration(UINT64_MAX, word);
}

static void output_json_keeps_every_byte(void **state)
{
    json_t *object = json_object();
    (void)state;
    output_json_bytes(object, "none", (struct span){NULL, 0});
    output_json_bytes(object, "empty", (struct span){"", 0});
    output_json_bytes(object, "text", (struct span){"a\0b", 3});
    output_json_bytes(object, "bytes", (struct span){"\xff", 1});
    output_json_number(object, "large", UINT64_MAX);
    output_json_time(object, "never", 0);
    assert_true(json_is_null(json_object_get(object, "none")));
    assert_int_equal(json_string_length(json_object_get(object, "empty")), 0);
    assert_int_equal(json_string_length(json_object_get(object, "text")), 3);
    assert_null(json_object_get(object, "bytes"));
    assert_string_equal(json_string_value(json_object_get(object, "bytes_base64")), "/w==");
    assert_int_equal(json_integer_value(json_object_get(object, "large")), INT64_MAX);
    assert_true(json_is_null(json_object_get(object, "never")));
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_text_lets_nothing_control_the_terminal),
        cmocka_unit_test(output_text_shows_what_is_no_utf8_byte_by_byte),
        cmocka_unit_test(output_text_cuts_between_characters),
        cmocka_unit_test(output_words_are_short),
        cmocka_unit_test(output_json_keeps_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
