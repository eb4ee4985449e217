/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void host_event_name_is_there_for_each_and_unlike_the_others(void **state)
{
    (void)state;
    for (int i = 0; i < HOST_EVENT_COUNT; i++) {
        const char *name = host_event_name((enum host_event)i);
        assert_non_null(name);
        assert_true(strlen(name) > 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(name, host_event_name((enum host_event)j));
        }
    }
    assert_string_equal(host_event_name(HOST_EVENT_BROKERS_DOWN), "brokers_down");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_event_name_is_there_for_each_and_unlike_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
