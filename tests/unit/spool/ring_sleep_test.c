/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring with a second thread: who sleeps for room, for an outcome or for the bell, and who wakes
 * them. Publishers here wait for ever, so that a wake-up that does not come is a test that hangs.
 */
#include "tests/unit/spool/ring_helper.h"

#include <pthread.h>

/* --- Sleeping and being woken ---------------------------------------------------------------- */

/* What a second thread does: a submit, and a wait if that went well. */
struct sleeper {
    struct ring *ring;
    pthread_t thread;
    int submit_result;
    int wait_result;
    struct ring_outcome outcome;
};

static void *sleeper_run(void *argument)
{
    struct sleeper *sleeper = argument;
    struct ring_ticket ticket;
    sleeper->submit_result = submit(sleeper->ring, (struct stamp){8, 88}, 24, UINT64_MAX, &ticket);
    if (sleeper->submit_result == 0) {
        sleeper->wait_result = ring_wait(sleeper->ring, ticket, UINT64_MAX, &sleeper->outcome);
    }
    return NULL;
}

static void sleeper_start(struct sleeper *sleeper, struct ring *ring)
{
    *sleeper = (struct sleeper){.ring = ring, .submit_result = -1, .wait_result = -1};
    assert_int_equal(pthread_create(&sleeper->thread, NULL, sleeper_run, sleeper), 0);
}

static void ring_submit_sleeps_until_there_is_room(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, false);
    struct ring_ticket tickets[32];
    struct ring_outcome outcome;
    for (uint64_t i = 0; i < 32; i++) {
        assert_int_equal(submit(ring, (struct stamp){1, i}, 24, 0, &tickets[i]), 0);
    }
    struct sleeper sleeper;
    sleeper_start(&sleeper, ring);
    while (atomic_load(&ring->control->room_wanted) == 0) { /* it is about to sleep */
    }
    struct ring_entry entry = take_one(ring, 0);
    answer(ring, &entry);
    for (size_t taken = 1; taken < 33;) {
        ring_bell_wait(ring, LONG_MS * 1000UL);
        taken += answer_all(ring);
    }
    assert_int_equal(pthread_join(sleeper.thread, NULL), 0);
    assert_int_equal(sleeper.submit_result, 0);
    assert_int_equal(sleeper.wait_result, 0);
    assert_int_equal(sleeper.outcome.sequence, 88);
    for (uint64_t i = 0; i < 32; i++) {
        assert_int_equal(ring_wait(ring, tickets[i], 0, &outcome), 0);
    }
    check_whole(ring);
    ring_free(&ring);
}

static void ring_submit_sleeps_until_a_slot_is_released(void **state)
{
    (void)state;
    struct ring *ring = make_ring(1, 4096, false);
    for (int i = 0; i < 50; i++) {
        struct ring_ticket ticket;
        struct ring_outcome outcome;
        assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &ticket), 0);
        assert_int_equal(answer_all(ring), 1);
        struct sleeper sleeper;
        sleeper_start(&sleeper, ring);
        while (atomic_load(&ring->control->room_wanted) == 0) {
        }
        assert_int_equal(ring_poll(ring, ticket, &outcome), 0); /* this alone must wake it */
        while (answer_all(ring) == 0) {
            ring_bell_wait(ring, LONG_MS * 1000UL);
        }
        assert_int_equal(pthread_join(sleeper.thread, NULL), 0);
        assert_int_equal(sleeper.wait_result, 0);
        assert_int_equal(ring_used_count(ring), 0);
    }
    ring_free(&ring);
}

static void ring_bell_wait_hears_what_rang_before(void **state)
{
    (void)state;
    struct ring *ring = make_ring(1, 4096, false);
    ring_bell_wait(ring, 0);
    ring_bell(ring);
    ring_bell_wait(ring, UINT64_MAX); /* hangs if it does not */
    ring_bell(ring);
    ring_bell(ring);
    ring_bell_wait(ring, UINT64_MAX);
    ring_bell_wait(ring, 1000); /* returns although nobody rings */
    struct ring_ticket ticket;
    assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &ticket), 0);
    ring_bell_wait(ring, UINT64_MAX);
    ring_free(&ring);
}

static void *ring_the_bell(void *ring)
{
    ring_bell(ring);
    return NULL;
}

static void ring_bell_wakes_the_owner(void **state)
{
    (void)state;
    struct ring *ring = make_ring(1, 4096, false);
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ring_the_bell, ring), 0);
        ring_bell_wait(ring, UINT64_MAX);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    ring_free(&ring);
}

/* --- Closing --------------------------------------------------------------------------------- */

static void ring_close_tells_everybody_who_was_not_taken(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, true);
    struct ring_ticket taken;
    struct ring_ticket polled;
    struct ring_ticket ticket;
    struct ring_outcome outcome;
    assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &taken), 0);
    struct ring_entry entry = take_one(ring, 1);
    assert_int_equal(submit_with_fd(ring, (struct stamp){1, 2}, 24, 0, true, &polled), 0);
    struct sleeper waiter;
    sleeper_start(&waiter, ring);
    while (ring_ready_count(ring) < 2) {
    }
    ring_close(ring);

    assert_int_equal(pthread_join(waiter.thread, NULL), 0);
    assert_int_equal(waiter.submit_result, 0);
    assert_int_equal(waiter.wait_result, RING_E_CLOSED);
    assert_true(is_readable(ring_ticket_fd(ring, polled)));
    assert_int_equal(ring_poll(ring, polled, &outcome), RING_E_CLOSED);
    assert_int_equal(submit(ring, (struct stamp){1, 3}, 24, LONG_MS, &ticket), RING_E_CLOSED);
    assert_int_equal(answer_all(ring), 0);

    /* What was taken is still answered. */
    assert_int_equal(ring_poll(ring, taken, &outcome), RING_E_PENDING);
    answer(ring, &entry);
    assert_int_equal(ring_wait(ring, taken, 0, &outcome), 0);
    assert_int_equal(ring_used_count(ring), 0);
    ring_free(&ring);
}

static void ring_close_wakes_who_waits_for_room(void **state)
{
    (void)state;
    struct ring *ring = make_ring(1, 4096, false);
    struct ring_ticket ticket;
    struct ring_outcome outcome;
    assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &ticket), 0);
    struct sleeper sleeper;
    sleeper_start(&sleeper, ring);
    while (atomic_load(&ring->control->room_wanted) == 0) {
    }
    ring_close(ring);
    assert_int_equal(pthread_join(sleeper.thread, NULL), 0);
    assert_int_equal(sleeper.submit_result, RING_E_CLOSED);
    assert_int_equal(ring_wait(ring, ticket, LONG_MS, &outcome), RING_E_CLOSED);
    assert_int_equal(ring_used_count(ring), 0);
    ring_free(&ring);
}

static void ring_close_tells_who_is_just_submitting(void **state)
{
    (void)state;
    struct ring *ring = make_ring(1, 4096, false);
    assert_int_equal(pthread_mutex_lock(&ring->control->reserve_lock), 0);
    struct sleeper sleeper;
    sleeper_start(&sleeper, ring);
    while (ring_used_count(ring) == 0) { /* once it has a slot, it has seen the ring open */
    }
    ring_close(ring);
    assert_int_equal(pthread_mutex_unlock(&ring->control->reserve_lock), 0);
    assert_int_equal(pthread_join(sleeper.thread, NULL), 0);
    assert_int_equal(sleeper.submit_result, RING_E_CLOSED);
    assert_int_equal(ring_used_count(ring), 0);
    ring_free(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_submit_sleeps_until_there_is_room),
        cmocka_unit_test(ring_submit_sleeps_until_a_slot_is_released),
        cmocka_unit_test(ring_bell_wait_hears_what_rang_before),
        cmocka_unit_test(ring_bell_wakes_the_owner),
        cmocka_unit_test(ring_close_tells_everybody_who_was_not_taken),
        cmocka_unit_test(ring_close_wakes_who_waits_for_room),
        cmocka_unit_test(ring_close_tells_who_is_just_submitting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
