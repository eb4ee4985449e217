/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/backoff.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void backoff_next_ms_doubles_its_span_up_to_the_cap(void **state)
{
    (void)state;
    uint64_t longest_ms[12] = {0};
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct backoff backoff;
        backoff_init(&backoff, seed);
        for (size_t i = 0; i < SPOOL_COUNT_OF(longest_ms); i++) {
            uint64_t span_ms = 100ULL << i < 5000 ? 100ULL << i : 5000;
            uint64_t wait_ms = backoff_next_ms(&backoff, 100, 5000);
            assert_in_range(wait_ms, 1, span_ms);
            longest_ms[i] = wait_ms > longest_ms[i] ? wait_ms : longest_ms[i];
        }
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(longest_ms); i++) {
        uint64_t span_ms = 100ULL << i < 5000 ? 100ULL << i : 5000;
        assert_true(longest_ms[i] > span_ms * 9 / 10);
    }
}

static void backoff_next_ms_stays_in_range_for_ever(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 7);
    for (int i = 0; i < 1000; i++) {
        assert_in_range(backoff_next_ms(&backoff, 2000, 60000), 1, 60000);
    }
}

static void backoff_reset_makes_the_next_wait_short(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 7);
    for (int i = 0; i < 50; i++) {
        (void)!backoff_next_ms(&backoff, 10, 10000);
        (void)!backoff_next_ms(&backoff, 10, 10000);
        backoff_reset(&backoff);
        assert_in_range(backoff_next_ms(&backoff, 10, 10000), 1, 10);
        backoff_reset(&backoff);
    }
}

static void backoff_init_makes_waits_of_the_seed_alone(void **state)
{
    (void)state;
    struct backoff one;
    struct backoff same;
    struct backoff other;
    backoff_init(&one, 42);
    backoff_init(&same, 42);
    backoff_init(&other, 43);
    int equal_count = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t wait_ms = backoff_next_ms(&one, 1000, 100000);
        assert_int_equal(wait_ms, backoff_next_ms(&same, 1000, 100000));
        equal_count += wait_ms == backoff_next_ms(&other, 1000, 100000);
    }
    assert_true(equal_count < 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_next_ms_doubles_its_span_up_to_the_cap),
        cmocka_unit_test(backoff_next_ms_stays_in_range_for_ever),
        cmocka_unit_test(backoff_reset_makes_the_next_wait_short),
        cmocka_unit_test(backoff_init_makes_waits_of_the_seed_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
