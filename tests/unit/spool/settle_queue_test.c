/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/settle_queue.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "spool/limits.h"
#include "tests/harness/fake_clock.h"

struct fixture {
    struct fake_clock clock;
    struct settle_queue queue;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    fake_clock_init(&fixture.clock);
    assert_int_equal(settle_queue_init(&fixture.queue, &fixture.clock.clock), 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    settle_queue_deinit(&fixture->queue);
    settle_queue_deinit(&fixture->queue);
    return 0;
}

/* Appends settlements with ascending sequences. Returns the position of the last. */
static uint64_t append(struct fixture *fixture, uint64_t first, size_t count)
{
    struct settlement settlements[3];
    size_t before;
    uint64_t position = 0;
    assert_in_range(count, 1, SPOOL_COUNT_OF(settlements));
    for (size_t i = 0; i < count; i++) {
        settlements[i] = (struct settlement){.sequence = first + i};
    }
    assert_int_equal(settle_queue_append(&fixture->queue, settlements, count, &before, &position),
                     0);
    return position;
}

static void settle_queue_append_keeps_the_order(void **state)
{
    struct fixture *fixture = *state;
    uint64_t since_ms;
    assert_int_equal(append(fixture, 10, 2), 2);
    assert_int_equal(append(fixture, 20, 3), 5);
    assert_int_equal(settle_queue_waiting(&fixture->queue, &since_ms), 5);
    assert_int_equal(settle_queue_at(&fixture->queue, 0)->sequence, 10);
    assert_int_equal(settle_queue_at(&fixture->queue, 2)->sequence, 20);
    settle_queue_take_out(&fixture->queue, 3);
    assert_int_equal(settle_queue_at(&fixture->queue, 0)->sequence, 21);
    assert_int_equal(settle_queue_settled(&fixture->queue), 3);
    /* Positions go on from the beginning, whatever was taken out. */
    assert_int_equal(append(fixture, 30, 1), 6);
    assert_int_equal(settle_queue_waiting(&fixture->queue, &since_ms), 3);
}

static void settle_queue_append_goes_round_its_end(void **state)
{
    struct fixture *fixture = *state;
    uint64_t sequence = 1;
    for (size_t i = 0; i < 2UL * INFLIGHT_RECORDS_MAX; i++) {
        assert_int_equal(append(fixture, sequence, 3), sequence + 2);
        sequence += 3;
        assert_int_equal(settle_queue_at(&fixture->queue, 2)->sequence, sequence - 1);
        settle_queue_take_out(&fixture->queue, 3);
    }
}

static void settle_queue_append_takes_all_or_none(void **state)
{
    struct fixture *fixture = *state;
    struct settlement settlement = {0};
    size_t before;
    uint64_t position = 0;
    uint64_t since_ms;
    while (settle_queue_append(&fixture->queue, &settlement, 1, &before, &position) == 0) {
    }
    size_t count = settle_queue_waiting(&fixture->queue, &since_ms);
    assert_true(count > INFLIGHT_RECORDS_MAX);
    assert_int_equal(position, count);
    settle_queue_take_out(&fixture->queue, 2);
    struct settlement three[3] = {{0}};
    assert_int_equal(settle_queue_append(&fixture->queue, three, 3, &before, &position),
                     SETTLE_QUEUE_E_FULL);
    assert_int_equal(settle_queue_waiting(&fixture->queue, &since_ms), count - 2);
    assert_int_equal(settle_queue_append(&fixture->queue, three, 2, &before, &position), 0);
    assert_int_equal(before, count - 2);
}

static void settle_queue_waiting_says_since_when(void **state)
{
    struct fixture *fixture = *state;
    uint64_t since_ms;
    fixture->clock.monotonic_now_ms = 100;
    append(fixture, 1, 1);
    fixture->clock.monotonic_now_ms = 200;
    append(fixture, 2, 1);
    assert_int_equal(settle_queue_waiting(&fixture->queue, &since_ms), 2);
    assert_int_equal(since_ms, 100);
    fixture->clock.monotonic_now_ms = 300;
    settle_queue_take_out(&fixture->queue, 1);
    assert_int_equal(settle_queue_waiting(&fixture->queue, &since_ms), 1);
    assert_int_equal(since_ms, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(settle_queue_append_keeps_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(settle_queue_append_goes_round_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(settle_queue_append_takes_all_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(settle_queue_waiting_says_since_when, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
