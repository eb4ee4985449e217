/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/notification.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define NAMED_TEXT(key, value)                                                                     \
    {                                                                                              \
        .name = {key, strlen(key)}, .text = { value, strlen(value) }                               \
    }

static void assert_built(const struct notification_parameter *parameters, size_t count,
                         const char *expected)
{
    char *text = NULL;
    assert_int_equal(notification_build((struct span){"E_TEST", 6}, parameters, count, &text), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void notification_build_has_no_params_without_parameters(void **state)
{
    (void)state;
    assert_built(NULL, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"E_TEST\"}");
}

static void notification_build_keeps_order_and_kinds(void **state)
{
    const struct notification_parameter parameters[] = {
        {.name = {"zeta", 4}, .text = {"text", 4}},
        {.name = {"alpha", 5}, .is_number = true, .number = -7},
        {.name = {"none", 4}},
        {.name = {"empty", 5}, .text = {"", 0}},
    };

    (void)state;
    assert_built(parameters, SPOOL_COUNT_OF(parameters),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"E_TEST\",\"params\":"
                 "{\"zeta\":\"text\",\"alpha\":-7,\"none\":null,\"empty\":\"\"}}");
}

static void notification_build_makes_an_array_of_nameless_parameters(void **state)
{
    const struct notification_parameter parameters[] = {
        {.text = {"a", 1}},
        {.is_number = true, .number = 2},
    };

    (void)state;
    assert_built(parameters, SPOOL_COUNT_OF(parameters),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"E_TEST\",\"params\":[\"a\",2]}");
}

static void notification_build_escapes_what_json_needs(void **state)
{
    const struct notification_parameter parameters[] = {
        {.name = {"a\"b", 3}, .text = {"q\" \\ \n \t \0 .", 12}},
    };

    (void)state;
    assert_built(parameters, 1,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"E_TEST\",\"params\":"
                 "{\"a\\\"b\":\"q\\\" \\\\ \\n \\t \\u0000 .\"}}");
}

/* All pairs of bytes: the JSON can always be read again. */
static void notification_build_never_breaks_the_json(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 0x10000; pair += 7) {
        char bytes[3] = {(char)(pair >> 8), (char)pair, 'x'};
        const struct notification_parameter parameter = {.name = {"k", 1}, .text = {bytes, 3}};
        char *text = NULL;
        assert_int_equal(notification_build((struct span){bytes, 2}, &parameter, 1, &text), 0);
        json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);
        assert_non_null(json);
        json_decref(json);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notification_build_has_no_params_without_parameters),
        cmocka_unit_test(notification_build_keeps_order_and_kinds),
        cmocka_unit_test(notification_build_makes_an_array_of_nameless_parameters),
        cmocka_unit_test(notification_build_escapes_what_json_needs),
        cmocka_unit_test(notification_build_never_breaks_the_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
