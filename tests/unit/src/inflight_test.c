/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/inflight.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT 4

static int setup(void **state)
{
    static struct inflight_pool pool;
    assert_int_equal(inflight_pool_init(&pool, COUNT), 0);
    *state = &pool;
    return 0;
}

static int teardown(void **state)
{
    struct inflight_pool *pool = *state;
    inflight_pool_deinit(pool);
    inflight_pool_deinit(pool); /* twice is fine */
    return 0;
}

static void inflight_take_gives_each_entry_once(void **state)
{
    struct inflight_pool *pool = *state;
    struct inflight *taken[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        taken[i] = inflight_take(pool);
        assert_non_null(taken[i]);
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(taken[i], taken[j]);
        }
    }
    assert_null(inflight_take(pool));
    inflight_give(pool, taken[2]);
    assert_ptr_equal(inflight_take(pool), taken[2]);
    assert_null(inflight_take(pool));
}

static void inflight_take_gives_zeroed_entries(void **state)
{
    struct inflight_pool *pool = *state;
    struct inflight *entry = inflight_take(pool);
    entry->sequence = 1;
    entry->expires_wall_ms = 2;
    entry->attempts = 3;
    entry->size_bytes = 4;
    entry->is_alone = true;
    inflight_give(pool, entry);
    struct inflight *again = inflight_take(pool);
    assert_ptr_equal(again, entry);
    assert_int_equal(again->sequence, 0);
    assert_int_equal(again->expires_wall_ms, 0);
    assert_int_equal(again->attempts, 0);
    assert_int_equal(again->size_bytes, 0);
    assert_false(again->is_alone);
    assert_null(again->next);
}

static void inflight_pool_does_not_touch_what_it_does_not_need(void **state)
{
    struct inflight_pool *pool = *state;
    for (int i = 0; i < 10; i++) {
        inflight_give(pool, inflight_take(pool));
    }
    assert_int_equal(pool->touched_count, 1);
}

static void assert_list(const struct inflight_list *list, const uint64_t *sequences, size_t count)
{
    const struct inflight *entry = list->first;
    const struct inflight *previous = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        assert_non_null(entry);
        assert_int_equal(entry->sequence, sequences[i]);
        assert_ptr_equal(entry->previous, previous);
        bytes += entry->size_bytes;
        previous = entry;
        entry = entry->next;
    }
    assert_null(entry);
    assert_ptr_equal(list->last, previous);
    assert_int_equal(list->count, count);
    assert_int_equal(list->bytes, bytes);
}

static void inflight_remove_keeps_order_and_sums(void **state)
{
    struct inflight_pool *pool = *state;
    struct inflight_list list = {0};
    struct inflight *entries[COUNT];
    assert_list(&list, NULL, 0);
    for (size_t i = 0; i < COUNT; i++) {
        entries[i] = inflight_take(pool);
        entries[i]->sequence = i;
        entries[i]->size_bytes = (uint32_t)(100 + i);
        inflight_append(&list, entries[i]);
    }
    assert_list(&list, (const uint64_t[]){0, 1, 2, 3}, 4);
    inflight_remove(&list, entries[1]);
    assert_list(&list, (const uint64_t[]){0, 2, 3}, 3);
    inflight_remove(&list, entries[0]);
    assert_list(&list, (const uint64_t[]){2, 3}, 2);
    inflight_remove(&list, entries[3]);
    assert_list(&list, (const uint64_t[]){2}, 1);
    inflight_append(&list, entries[0]);
    assert_list(&list, (const uint64_t[]){2, 0}, 2);
    inflight_remove(&list, entries[2]);
    inflight_remove(&list, entries[0]);
    assert_list(&list, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(inflight_take_gives_each_entry_once, setup, teardown),
        cmocka_unit_test_setup_teardown(inflight_take_gives_zeroed_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(inflight_pool_does_not_touch_what_it_does_not_need, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(inflight_remove_keeps_order_and_sums, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
