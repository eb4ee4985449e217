/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void message_set_formats(void **state)
{
    (void)state;
    struct message message;
    message_set(&message, "%s/%d", "a", 7);
    assert_string_equal(message.text, "a/7");
    message_set(&message, "%s", "");
    assert_string_equal(message.text, "");
}

static void message_set_cuts_what_is_too_long(void **state)
{
    (void)state;
    struct message message;
    char text[MESSAGE_BYTES_MAX + 10];
    memset(text, 'x', sizeof(text));
    text[MESSAGE_BYTES_MAX - 1] = '\0';
    message_set(&message, "%s", text);
    assert_string_equal(message.text, text);
    text[MESSAGE_BYTES_MAX - 1] = 'x';
    text[MESSAGE_BYTES_MAX] = '\0';
    message_set(&message, "%s", text);
    assert_int_equal(strlen(message.text), MESSAGE_BYTES_MAX - 1);
    assert_string_equal(message.text + MESSAGE_BYTES_MAX - 5, "x...");
}

static void message_set_shows_no_control_characters(void **state)
{
    (void)state;
    struct message message;
    message_set(&message, "a\n\x1b[31mb\t\x7f\r%s", "\x01 \xc3\xa4");
    assert_string_equal(message.text, "a??[31mb???? \xc3\xa4");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_set_formats),
        cmocka_unit_test(message_set_cuts_what_is_too_long),
        cmocka_unit_test(message_set_shows_no_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
