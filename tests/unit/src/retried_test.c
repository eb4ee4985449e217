/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/retried.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void add(struct retried *retried, uint64_t sequence, uint32_t attempts)
{
    struct retried_record record = {.sequence = sequence, .attempts = attempts};
    retried_add(retried, &record);
}

static void assert_found(struct retried *retried, uint64_t sequence, uint32_t attempts)
{
    const struct retried_record *record = retried_find(retried, sequence);
    assert_non_null(record);
    assert_int_equal(record->sequence, sequence);
    assert_int_equal(record->attempts, attempts);
}

static void retried_find_finds_what_was_added_in_any_order(void **state)
{
    (void)state;
    struct retried retried = {0};
    add(&retried, 30, 3);
    add(&retried, 10, 1);
    add(&retried, 20, 2);
    retried_rewind(&retried);
    assert_null(retried_find(&retried, 5));
    assert_found(&retried, 10, 1);
    assert_found(&retried, 10, 1); /* it is not passed yet */
    retried_pass(&retried, 10);
    assert_null(retried_find(&retried, 11));
    assert_found(&retried, 20, 2);
    retried_pass(&retried, 20);
    assert_found(&retried, 30, 3);
    retried_pass(&retried, 30);
    assert_null(retried_find(&retried, 30));
    retried_deinit(&retried);
}

static void retried_pass_forgets_and_rewind_does_not_bring_it_back(void **state)
{
    (void)state;
    struct retried retried = {0};
    add(&retried, 1, 1);
    add(&retried, 2, 1);
    add(&retried, 3, 1);
    retried_rewind(&retried);
    retried_pass(&retried, 1);
    retried_pass(&retried, 2);
    add(&retried, 1, 2); /* it failed again */
    retried_rewind(&retried);
    assert_int_equal(retried.count, 2);
    assert_found(&retried, 1, 2);
    retried_pass(&retried, 1);
    assert_null(retried_find(&retried, 2));
    assert_found(&retried, 3, 1);
    retried_deinit(&retried);
}

static void retried_find_skips_what_is_no_longer_in_the_queue(void **state)
{
    (void)state;
    struct retried retried = {0};
    add(&retried, 1, 1);
    add(&retried, 2, 1);
    add(&retried, 9, 4);
    retried_rewind(&retried);
    assert_found(&retried, 9, 4);
    retried_deinit(&retried);
}

static void retried_add_takes_a_window_of_them_again_and_again(void **state)
{
    (void)state;
    struct retried retried = {0};
    for (uint32_t round = 1; round <= 20; round++) {
        for (uint64_t i = 0; i < 1000; i++) {
            add(&retried, 1000 - i, round);
        }
        retried_rewind(&retried);
        for (uint64_t sequence = 1; sequence <= 1000; sequence++) {
            assert_found(&retried, sequence, round);
            retried_pass(&retried, sequence);
        }
    }
    assert_int_equal(retried.count, 0);
    assert_true(retried.capacity <= 1024);
    retried_deinit(&retried);
    assert_null(retried.records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retried_find_finds_what_was_added_in_any_order),
        cmocka_unit_test(retried_pass_forgets_and_rewind_does_not_bring_it_back),
        cmocka_unit_test(retried_find_skips_what_is_no_longer_in_the_queue),
        cmocka_unit_test(retried_add_takes_a_window_of_them_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
