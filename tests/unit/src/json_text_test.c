/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/json_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static void assert_text(struct span bytes, struct span expected)
{
    json_t *text = json_text_new(bytes);
    assert_non_null(text);
    assert_int_equal(json_string_length(text), expected.size_bytes);
    assert_memory_equal(json_string_value(text), expected.data, expected.size_bytes);
    json_decref(text);
}

static void assert_text_of(const char *bytes, const char *expected)
{
    assert_text((struct span){bytes, strlen(bytes)}, (struct span){expected, strlen(expected)});
}

static void json_text_new_keeps_utf8_as_it_is(void **state)
{
    (void)state;
    assert_text_of("", "");
    assert_text_of("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
                   "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_text((struct span){"a\0b", 3}, (struct span){"a\0b", 3});
    assert_text((struct span){NULL, 0}, (struct span){"", 0});
}

/* Every byte that is not UTF-8 becomes the character of its code; what is UTF-8 beside it stays. */
static void json_text_new_carries_other_bytes_as_characters(void **state)
{
    (void)state;
    assert_text_of("\xff|\xc3|\xe2\x82|\xed\xa0\x80|\xc0\xaf|\xf4\x90\x80\x80|\xc3\xa9",
                   "\xc3\xbf|\xc3\x83|\xc3\xa2\xc2\x82|\xc3\xad\xc2\xa0\xc2\x80|\xc3\x80\xc2\xaf|"
                   "\xc3\xb4\xc2\x90\xc2\x80\xc2\x80|\xc3\xa9");
    assert_text((struct span){"\xe9\0\xe9", 3}, (struct span){"\xc3\xa9\0\xc3\xa9", 5});
}

/* All beginnings of all forms: whatever they are, a string comes of them. */
static void json_text_new_takes_any_three_bytes(void **state)
{
    (void)state;
    for (unsigned first = 0x80; first < 0x100; first++) {
        for (unsigned second = 0x7E; second < 0xC2; second++) {
            char bytes[4] = {(char)first, (char)second, (char)0x80, (char)0xBF};
            json_t *text = json_text_new((struct span){bytes, sizeof(bytes)});
            assert_non_null(text);
            json_decref(text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_text_new_keeps_utf8_as_it_is),
        cmocka_unit_test(json_text_new_carries_other_bytes_as_characters),
        cmocka_unit_test(json_text_new_takes_any_three_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
