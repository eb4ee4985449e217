/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A secret that a spool shows is seen; what only looks like one is not. */
#include "tools/inspect/secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool has_secrets(const char *text)
{
    return secrets_are_in((struct span){text, strlen(text)});
}

static void secrets_are_in_what_shows_one(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "h/t?g.sasl.password=x",          "h/t?g.a=1&t.sasl.password=x",
        "[k]h/t?g.ssl.key.pem=--&g.a=1",  "[k?]h/t?g.SASL.Username=x",
        "[::1]:9092/t?g.sasl.password=*",
    };
    for (size_t i = 0; i < SPOOL_COUNT_OF(texts); i++) {
        assert_true(has_secrets(texts[i]));
    }
}

static void secrets_are_not_in_what_hides_or_has_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[",
        "h/t",
        "h/t?",
        "h/t?g.a=1&key=callid",
        "h/t?g.sasl.password=***",
        "h/t?g.sasl.password=",
        "h/t?g.sasl.password.file=/etc/secret",
        /* Only the first '?' begins the properties, and none that stands in the ID. */
        "h/t?g.a=1?g.sasl.password=x",
        "[k?g.sasl.password=x]h/t",
        "[k?g.sasl.password=x]t",
    };
    for (size_t i = 0; i < SPOOL_COUNT_OF(texts); i++) {
        assert_false(has_secrets(texts[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_in_what_shows_one),
        cmocka_unit_test(secrets_are_not_in_what_hides_or_has_none),
    };
    return cmocka_run_group_tests_name("secrets", tests, NULL, NULL);
}
