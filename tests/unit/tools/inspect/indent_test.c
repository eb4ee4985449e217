/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/indent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_indented(const char *text, const char *expected)
{
    SPOOL_CLEANUP(spool_free) char *shown = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&shown, &size);
    assert_non_null(stream);
    indent_json(stream, (struct span){text, strlen(text)});
    assert_int_equal(fclose(stream), 0);
    assert_string_equal(shown, expected);
}

static void indent_json_puts_each_member_on_a_line(void **state)
{
    (void)state;
    assert_indented("{\"a\":1,\"b\":[true,null],\"c\":{\"d\":\"e\"}}",
                    "{\n  \"a\": 1,\n  \"b\": [\n    true,\n    null\n  ],\n  \"c\": {\n    \"d\": "
                    "\"e\"\n  }\n}");
    assert_indented(" [ ] ", "[]");
    assert_indented("{\"a\" : { }\n}", "{\n  \"a\": {}\n}");
    assert_indented("\"text\"", "\"text\"");
    assert_indented("", "");
}

static void indent_json_keeps_values_as_they_are(void **state)
{
    (void)state;
    assert_indented("[0.10,1E400,-0]", "[\n  0.10,\n  1E400,\n  -0\n]");
    assert_indented("[\"a, b: {c}\",\"\\\"\",\"\\\\\",\"\\u001b\"]",
                    "[\n  \"a, b: {c}\",\n  \"\\\"\",\n  \"\\\\\",\n  \"\\u001b\"\n]");
    assert_indented("{\"a\":1,\"a\":2}", "{\n  \"a\": 1,\n  \"a\": 2\n}");
}

/* Whoever calls it has checked that it is JSON; reading beyond the end must not follow if not. */
static void indent_json_ends_with_the_text(void **state)
{
    (void)state;
    assert_indented("[\"open", "[\n  \"open");
    assert_indented("[\"open\\", "[\n  \"open\\");
    assert_indented("{", "{\n  ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indent_json_puts_each_member_on_a_line),
        cmocka_unit_test(indent_json_keeps_values_as_they_are),
        cmocka_unit_test(indent_json_ends_with_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
