/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/gather.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW_US 1000000U

static void gather_wait_us_waits_for_nobody_before_the_first_commit(void **state)
{
    (void)state;
    struct gather gather = {0};
    assert_int_equal(gather_wait_us(&gather, 1, NOW_US), 0);
}

static void gather_wait_us_waits_until_the_crowd_is_back(void **state)
{
    (void)state;
    struct gather gather = {0};
    gather_note(&gather, 8, 1000, NOW_US);
    assert_true(gather_wait_us(&gather, 1, NOW_US) > 0);
    assert_true(gather_wait_us(&gather, 7, NOW_US) > 0);
    assert_int_equal(gather_wait_us(&gather, 8, NOW_US), 0);
    assert_int_equal(gather_wait_us(&gather, 9, NOW_US), 0);
}

static void gather_wait_us_does_not_wait_for_a_publisher_alone(void **state)
{
    (void)state;
    struct gather gather = {0};
    gather_note(&gather, 1, 1000, NOW_US);
    assert_int_equal(gather_wait_us(&gather, 0, NOW_US), 0);
    assert_int_equal(gather_wait_us(&gather, 1, NOW_US), 0);
}

static void gather_wait_us_leaves_the_wait_for_the_first_to_the_bell(void **state)
{
    (void)state;
    struct gather gather = {0};
    gather_note(&gather, 8, 1000, NOW_US);
    assert_int_equal(gather_wait_us(&gather, 0, NOW_US), 0);
}

static void gather_wait_us_ends_after_half_a_commit(void **state)
{
    (void)state;
    struct gather gather = {0};
    gather_note(&gather, 8, 1000, NOW_US);
    uint64_t now_us = NOW_US;
    for (uint64_t wait_us; (wait_us = gather_wait_us(&gather, 1, now_us)) > 0;) {
        now_us += wait_us;
    }
    assert_int_equal(now_us, NOW_US + 500);
    assert_int_equal(gather_wait_us(&gather, 1, now_us + 1), 0);
}

static void gather_wait_us_never_waits_for_long(void **state)
{
    (void)state;
    struct gather gather = {0};
    gather_note(&gather, 8, 60000000, NOW_US);
    uint64_t now_us = NOW_US;
    for (uint64_t wait_us; (wait_us = gather_wait_us(&gather, 1, now_us)) > 0;) {
        now_us += wait_us;
    }
    assert_int_equal(now_us, NOW_US + 10000);
}

static void gather_wait_us_asks_a_few_times_only(void **state)
{
    (void)state;
    struct gather gather = {0};
    gather_note(&gather, 8, 100, NOW_US);
    uint64_t now_us = NOW_US;
    unsigned waits_count = 0;
    for (uint64_t wait_us; (wait_us = gather_wait_us(&gather, 1, now_us)) > 0;) {
        now_us += wait_us;
        waits_count++;
    }
    assert_int_equal(waits_count, 3); /* 20, 20 and 10 of 50 us */
}

static void gather_note_follows_the_disk(void **state)
{
    (void)state;
    struct gather gather = {0};
    gather_note(&gather, 8, 1000, NOW_US);
    assert_int_equal(gather.commit_us_mean, 1000);
    gather_note(&gather, 8, 17000, NOW_US);
    assert_int_equal(gather.commit_us_mean, 2000); /* one slow commit changes little */
    for (unsigned i = 0; i < 200; i++) {
        gather_note(&gather, 8, 200, NOW_US);
    }
    assert_in_range(gather.commit_us_mean, 200, 220);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gather_wait_us_waits_for_nobody_before_the_first_commit),
        cmocka_unit_test(gather_wait_us_waits_until_the_crowd_is_back),
        cmocka_unit_test(gather_wait_us_does_not_wait_for_a_publisher_alone),
        cmocka_unit_test(gather_wait_us_leaves_the_wait_for_the_first_to_the_bell),
        cmocka_unit_test(gather_wait_us_ends_after_half_a_commit),
        cmocka_unit_test(gather_wait_us_never_waits_for_long),
        cmocka_unit_test(gather_wait_us_asks_a_few_times_only),
        cmocka_unit_test(gather_note_follows_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
