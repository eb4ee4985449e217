/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring with one thread that is publisher and owner in turn, so that every step happens exactly
 * when the test says. Who sleeps and is woken is in ring_sleep_test.c, many publishers at once are
 * in ring_crowd_test.c, dying ones in ring_kill_test.c.
 */
#include "tests/unit/spool/ring_helper.h"

#include "spool/limits.h"

#include <errno.h>
#include <stdlib.h>

/* --- Making one ------------------------------------------------------------------------------ */

static void ring_new_refuses_a_config_out_of_range(void **state)
{
    (void)state;
    static const struct ring_config configs[] = {
        {.slots_count = 0, .bytes = 1U << 20}, {.slots_count = 65537, .bytes = 1U << 20},
        {.slots_count = 8, .bytes = 0},        {.slots_count = 8, .bytes = 2048},
        {.slots_count = 8, .bytes = 5000},     {.slots_count = 8, .bytes = (size_t)1 << 32},
    };
    for (size_t i = 0; i < SPOOL_COUNT_OF(configs); i++) {
        struct ring *ring = NULL;
        assert_int_equal(ring_new(&configs[i], &ring), -EINVAL);
        assert_null(ring);
    }
    struct ring *none = NULL;
    ring_free(&none);
}

/* --- The way of a record --------------------------------------------------------------------- */

static void ring_submit_hands_the_record_to_the_owner(void **state)
{
    (void)state;
    struct ring *ring = make_ring(4, 4096, false);
    struct ring_entry entries[4];
    struct ring_ticket ticket;
    struct ring_outcome outcome;
    assert_int_equal(ring_take(ring, entries, 4, SIZE_MAX), 0);
    assert_int_equal(submit(ring, (struct stamp){7, 21}, 100, 0, &ticket), 0);
    assert_int_equal(ring_used_count(ring), 1);
    assert_int_equal(ring_ready_count(ring), 1);
    assert_int_equal(ring_poll(ring, ticket, &outcome), RING_E_PENDING);

    assert_int_equal(ring_take(ring, entries, 4, SIZE_MAX), 1);
    assert_int_equal(check_entry(&entries[0]).number, 21);
    assert_int_equal(entries[0].destination, 7);
    assert_int_equal(ring_ready_count(ring), 0);
    assert_int_equal(ring_poll(ring, ticket, &outcome), RING_E_PENDING);
    assert_int_equal(ring_take(ring, &entries[1], 3, SIZE_MAX), 0);

    ring_answer(ring, &entries[0], &(struct ring_outcome){.result = 5, .sequence = 1234567890123},
                1);
    assert_int_equal(ring_wait(ring, ticket, 0, &outcome), 0);
    assert_int_equal(outcome.result, 5);
    assert_int_equal(outcome.sequence, 1234567890123);
    assert_int_equal(ring_used_count(ring), 0);
    ring_free(&ring);
    assert_null(ring);
}

static void ring_take_keeps_order_and_bounds(void **state)
{
    (void)state;
    struct ring *ring = make_ring(16, 8192, false);
    struct ring_entry entries[16];
    struct ring_ticket ticket;
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(submit(ring, (struct stamp){1, i}, 200, 0, &ticket), 0);
    }
    assert_int_equal(ring_ready_count(ring), 8);
    assert_int_equal(ring_take(ring, entries, 3, SIZE_MAX), 3);
    assert_int_equal(ring_take(ring, entries + 3, 13, 480), 2); /* 240 bytes each, exactly */
    assert_int_equal(ring_take(ring, entries + 5, 11, 479), 1);
    assert_int_equal(ring_take(ring, entries + 6, 10, 1), 1); /* at least one */
    assert_int_equal(ring_ready_count(ring), 1);
    assert_int_equal(ring_take(ring, entries + 7, 0, SIZE_MAX), 0);
    assert_int_equal(ring_take(ring, entries + 7, 9, 0), 1);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(check_entry(&entries[i]).number, i);
    }
    ring_free(&ring);
}

static void ring_answer_frees_bytes_in_any_order(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, false);
    struct ring_entry entries[32];
    struct ring_ticket tickets[32];
    struct ring_outcome outcome;
    for (uint64_t round = 0; round < 10; round++) {
        for (uint64_t i = 0; i < 30; i++) {
            assert_int_equal(submit(ring, (struct stamp){1, i}, PAYLOAD_BYTES_MIN, 0, &tickets[i]),
                             0);
        }
        assert_int_equal(ring_take(ring, entries, 32, SIZE_MAX), 30);
        for (uint64_t i = 0; i < 30; i++) { /* 7 and 30 have no common factor: all of them */
            answer(ring, &entries[(i * 7 + round) % 30]);
        }
        for (uint64_t i = 0; i < 30; i++) {
            assert_int_equal(ring_wait(ring, tickets[i], 0, &outcome), 0);
            assert_int_equal(outcome.sequence, i);
        }
        check_whole(ring);
    }
    ring_free(&ring);
}

static void ring_submit_goes_round_with_any_sizes(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 8192, false);
    struct ring_ticket tickets[3];
    struct ring_outcome outcome;
    unsigned int seed = 3;
    for (uint64_t i = 0; i < 30000; i += 3) {
        for (uint64_t k = 0; k < 3; k++) {
            seed = seed * 1103515245U + 12345U;
            size_t size = 16 + (seed >> 16) % 2000;
            assert_int_equal(submit(ring, (struct stamp){1, i + k}, size, 0, &tickets[k]), 0);
        }
        for (uint64_t k = 0; k < 3; k++) {
            struct ring_entry entry = take_one(ring, i + k);
            const uint8_t *end = (const uint8_t *)entry.encoded.data + entry.encoded.size_bytes;
            assert_true(end <= ring->bytes + ring->bytes_size);
            answer(ring, &entry);
            assert_int_equal(ring_wait(ring, tickets[k], 0, &outcome), 0);
            assert_int_equal(outcome.sequence, i + k);
        }
    }
    assert_true(atomic_load(&ring->control->head) > 1000 * ring->bytes_size);
    ring_free(&ring);
}

/* --- Limits ---------------------------------------------------------------------------------- */

static void ring_submit_refuses_what_can_never_fit(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, false);
    struct ring_ticket ticket = {77, 77};
    struct ring_outcome outcome;
    size_t largest = 2048 - sizeof(struct ring_entry_head) - 40;
    assert_int_equal(submit(ring, (struct stamp){1, 1}, largest + 1, 0, &ticket), RING_E_OVERSIZED);
    struct record record = {.payload = {"", RECORD_BYTES_MAX}};
    assert_int_equal(ring_submit(ring, 1, &record, 0, false, &ticket), RING_E_OVERSIZED);
    assert_int_equal(ticket.slot, 77);
    assert_int_equal(ring_used_count(ring), 0);

    /* The largest fits wherever in the ring the next entry would start. */
    for (uint64_t i = 0; i < 200; i++) {
        size_t size = i % 2 == 0 ? largest : PAYLOAD_BYTES_MIN + 64 * (i % 5);
        assert_int_equal(submit(ring, (struct stamp){1, i}, size, 0, &ticket), 0);
        struct ring_entry entry = take_one(ring, i);
        answer(ring, &entry);
        assert_int_equal(ring_wait(ring, ticket, 0, &outcome), 0);
    }
    check_whole(ring);
    ring_free(&ring);
}

static void ring_submit_times_out_for_certain_without_bytes(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, false);
    struct ring_ticket ticket;
    for (uint64_t i = 0; i < 32; i++) {
        assert_int_equal(submit(ring, (struct stamp){1, i}, PAYLOAD_BYTES_MIN, 0, &ticket), 0);
    }
    struct ring_ticket refused = {77, 77};
    assert_int_equal(submit(ring, (struct stamp){9, 90}, 24, 0, &refused), RING_E_TIMEOUT);
    assert_int_equal(submit(ring, (struct stamp){9, 91}, 24, 5, &refused), RING_E_TIMEOUT);
    assert_int_equal(refused.slot, 77);
    assert_int_equal(ring_used_count(ring), 32);
    for (uint64_t i = 0; i < 32; i++) { /* and none of them is in the ring */
        struct ring_entry entry = take_one(ring, i);
        answer(ring, &entry);
    }
    assert_int_equal(answer_all(ring), 0);
    assert_int_equal(submit(ring, (struct stamp){1, 33}, 24, 0, &ticket), 0);
    ring_free(&ring);
}

static void ring_submit_times_out_for_certain_without_slots(void **state)
{
    (void)state;
    struct ring *ring = make_ring(2, 4096, false);
    struct ring_ticket tickets[3];
    struct ring_outcome outcome;
    assert_int_equal(submit(ring, (struct stamp){1, 0}, 24, 0, &tickets[0]), 0);
    assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &tickets[1]), 0);
    assert_int_equal(submit(ring, (struct stamp){1, 2}, 24, 0, &tickets[2]), RING_E_TIMEOUT);
    assert_int_equal(submit(ring, (struct stamp){1, 3}, 24, 5, &tickets[2]), RING_E_TIMEOUT);
    assert_int_equal(answer_all(ring), 2);
    /* Answered is not yet released. */
    assert_int_equal(submit(ring, (struct stamp){1, 4}, 24, 0, &tickets[2]), RING_E_TIMEOUT);
    assert_int_equal(ring_poll(ring, tickets[1], &outcome), 0);
    assert_int_equal(submit(ring, (struct stamp){1, 5}, 24, 0, &tickets[2]), 0);
    ring_free(&ring);
}

static void ring_submit_does_not_hang_with_who_holds_the_lock(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, false);
    struct ring_ticket ticket;
    assert_int_equal(pthread_mutex_lock(&ring->control->reserve_lock), 0);
    assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &ticket), RING_E_TIMEOUT);
    assert_int_equal(pthread_mutex_unlock(&ring->control->reserve_lock), 0);
    assert_int_equal(answer_all(ring), 0);
    check_whole(ring);
    ring_free(&ring);
}

/* --- Taking back ----------------------------------------------------------------------------- */

static void ring_wait_takes_back_what_was_not_taken(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, false);
    struct ring_outcome outcome = {.sequence = 77};
    for (uint64_t i = 0; i < 100; i++) {
        struct ring_ticket kept;
        struct ring_ticket withdrawn;
        assert_int_equal(submit(ring, (struct stamp){1, i}, 24, 0, &withdrawn), 0);
        assert_int_equal(submit(ring, (struct stamp){2, i}, 24, 0, &kept), 0);
        assert_int_equal(ring_wait(ring, withdrawn, i % 2, &outcome), RING_E_TIMEOUT);
        assert_int_equal(outcome.sequence, 77);
        struct ring_entry entry;
        assert_int_equal(ring_take(ring, &entry, 1, SIZE_MAX), 1);
        assert_int_equal(check_entry(&entry).publisher, 2);
        answer(ring, &entry);
        struct ring_outcome ignored;
        assert_int_equal(ring_wait(ring, kept, 0, &ignored), 0);
        assert_int_equal(ring_used_count(ring), 0);
    }
    check_whole(ring);
    ring_free(&ring);
}

static void ring_wait_says_unknown_once_it_was_taken(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, false);
    struct ring_ticket ticket;
    struct ring_outcome outcome = {.sequence = 77};
    assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &ticket), 0);
    struct ring_entry entry = take_one(ring, 1);
    assert_int_equal(ring_wait(ring, ticket, 1, &outcome), RING_E_UNKNOWN);
    assert_int_equal(outcome.sequence, 77);
    assert_int_equal(ring_used_count(ring), 1); /* until the owner answers */
    assert_int_equal(ring_sweep(ring), 0);
    answer(ring, &entry);
    check_whole(ring);
    ring_free(&ring);
}

/* --- Slow publishers ------------------------------------------------------------------------- */

static void ring_take_passes_slow_publishers(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, false);
    struct ring_entry_head slow[2];
    uint64_t positions[2];
    struct ring_ticket ticket;
    struct ring_ticket tickets[2];
    positions[0] = reserve_slowly(ring, &slow[0]);
    assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &tickets[0]), 0);
    positions[1] = reserve_slowly(ring, &slow[1]);
    assert_int_equal(submit(ring, (struct stamp){1, 2}, 24, 0, &tickets[1]), 0);

    struct ring_entry entries[8];
    assert_int_equal(ring_take(ring, entries, 8, SIZE_MAX), 2);
    assert_int_equal(check_entry(&entries[0]).number, 1);
    assert_int_equal(check_entry(&entries[1]).number, 2);
    /* It does not go over those again: it starts where it stopped, and knows the slow ones. */
    assert_int_equal(ring->read_position, atomic_load(&ring->control->head));
    assert_int_equal(ring->skipped_count, 2);
    assert_int_equal(ring_sweep(ring), 0); /* slow is not dead */

    /* The slow ones come first in the ring, so they come first of what is ready now. */
    assert_int_equal(submit(ring, (struct stamp){1, 3}, 24, 0, &ticket), 0);
    finish_slowly(ring, &slow[1], positions[1], 11);
    finish_slowly(ring, &slow[0], positions[0], 10);
    assert_int_equal(ring_ready_count(ring), 3);
    assert_int_equal(ring_take(ring, entries + 2, 1, SIZE_MAX), 1);
    assert_int_equal(ring_take(ring, entries + 3, 5, SIZE_MAX), 2);
    static const uint64_t expected[] = {1, 2, 10, 11, 3};
    for (size_t i = 0; i < SPOOL_COUNT_OF(expected); i++) {
        assert_int_equal(check_entry(&entries[i]).number, expected[i]);
        answer(ring, &entries[i]);
    }
    assert_int_equal(ring->skipped_count, 0);
    struct ring_outcome outcome;
    assert_int_equal(ring_wait(ring, slow[0].ticket, 0, &outcome), 0);
    assert_int_equal(ring_wait(ring, slow[1].ticket, 0, &outcome), 0);
    assert_int_equal(ring_wait(ring, tickets[0], 0, &outcome), 0);
    assert_int_equal(ring_wait(ring, tickets[1], 0, &outcome), 0);
    assert_int_equal(ring_wait(ring, ticket, 0, &outcome), 0);
    check_whole(ring);
    ring_free(&ring);
}

static void ring_take_survives_a_slow_publisher_over_many_rounds(void **state)
{
    (void)state;
    struct ring *ring = make_ring(64, 4096, false);
    struct ring_outcome outcome;
    for (uint64_t round = 0; round < 100; round++) {
        struct ring_entry_head slow;
        uint64_t position = reserve_slowly(ring, &slow);
        for (uint64_t i = 0; i < 31; i++) { /* all the rest of the ring */
            struct ring_ticket ticket;
            assert_int_equal(submit(ring, (struct stamp){1, i}, 24, 0, &ticket), 0);
            struct ring_entry entry = take_one(ring, i);
            answer(ring, &entry);
            assert_int_equal(ring_wait(ring, ticket, 0, &outcome), 0);
        }
        struct ring_ticket refused;
        assert_int_equal(submit(ring, (struct stamp){1, 0}, 24, 0, &refused), RING_E_TIMEOUT);
        if (round % 2 == 0) {
            finish_slowly(ring, &slow, position, round);
            struct ring_entry entry = take_one(ring, round);
            answer(ring, &entry);
            assert_int_equal(ring_wait(ring, slow.ticket, 0, &outcome), 0);
        } else { /* it finishes, but does not wait */
            finish_slowly(ring, &slow, position, round);
            assert_int_equal(ring_wait(ring, slow.ticket, 0, &outcome), RING_E_TIMEOUT);
            assert_int_equal(answer_all(ring), 0);
        }
        check_whole(ring);
    }
    ring_free(&ring);
}

/* --- Fds ------------------------------------------------------------------------------------- */

static void ring_ticket_fd_is_readable_when_the_outcome_is_there(void **state)
{
    (void)state;
    struct ring *ring = make_ring(1, 4096, true);
    struct ring_outcome outcome;
    for (uint64_t i = 0; i < 10; i++) {
        struct ring_ticket ticket;
        assert_int_equal(submit_with_fd(ring, (struct stamp){1, i}, 24, 0, true, &ticket), 0);
        int fd = ring_ticket_fd(ring, ticket);
        assert_false(is_readable(fd));
        struct ring_entry entry = take_one(ring, i);
        assert_false(is_readable(fd));
        assert_int_equal(ring_poll(ring, ticket, &outcome), RING_E_PENDING);
        answer(ring, &entry);
        assert_true(is_readable(fd));
        assert_int_equal(ring_poll(ring, ticket, &outcome), 0);
        assert_int_equal(outcome.sequence, i);
        assert_false(is_readable(fd));
    }
    ring_free(&ring);
}

static void ring_ticket_fd_starts_clean_whatever_the_last_publisher_left(void **state)
{
    (void)state;
    struct ring *ring = make_ring(1, 4096, true); /* one slot: the same fd each time */
    struct ring_outcome outcome;
    struct ring_ticket ticket;
    assert_int_equal(submit_with_fd(ring, (struct stamp){1, 0}, 24, 0, true, &ticket), 0);
    assert_int_equal(answer_all(ring), 1);
    assert_int_equal(ring_wait(ring, ticket, 0, &outcome), 0);
    assert_true(is_readable(ring_ticket_fd(ring, ticket))); /* ring_wait() leaves the fd alone */

    assert_int_equal(submit_with_fd(ring, (struct stamp){1, 1}, 24, 0, true, &ticket), 0);
    assert_false(is_readable(ring_ticket_fd(ring, ticket)));
    /* One that comes late all the same, from an answer to the last publisher, is gone after a look.
     */
    ring_slot_wake(&ring->slots[0]);
    assert_true(is_readable(ring_ticket_fd(ring, ticket)));
    assert_int_equal(ring_poll(ring, ticket, &outcome), RING_E_PENDING);
    assert_false(is_readable(ring_ticket_fd(ring, ticket)));
    assert_int_equal(answer_all(ring), 1);
    assert_true(is_readable(ring_ticket_fd(ring, ticket)));
    assert_int_equal(ring_poll(ring, ticket, &outcome), 0);

    /* Who does not want the fd does not make it readable. */
    assert_int_equal(submit(ring, (struct stamp){1, 2}, 24, 0, &ticket), 0);
    assert_int_equal(answer_all(ring), 1);
    assert_false(is_readable(ring_ticket_fd(ring, ticket)));
    assert_int_equal(ring_poll(ring, ticket, &outcome), 0);
    ring_free(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_new_refuses_a_config_out_of_range),
        cmocka_unit_test(ring_submit_hands_the_record_to_the_owner),
        cmocka_unit_test(ring_take_keeps_order_and_bounds),
        cmocka_unit_test(ring_answer_frees_bytes_in_any_order),
        cmocka_unit_test(ring_submit_goes_round_with_any_sizes),
        cmocka_unit_test(ring_submit_refuses_what_can_never_fit),
        cmocka_unit_test(ring_submit_times_out_for_certain_without_bytes),
        cmocka_unit_test(ring_submit_times_out_for_certain_without_slots),
        cmocka_unit_test(ring_submit_does_not_hang_with_who_holds_the_lock),
        cmocka_unit_test(ring_wait_takes_back_what_was_not_taken),
        cmocka_unit_test(ring_wait_says_unknown_once_it_was_taken),
        cmocka_unit_test(ring_take_passes_slow_publishers),
        cmocka_unit_test(ring_take_survives_a_slow_publisher_over_many_rounds),
        cmocka_unit_test(ring_ticket_fd_is_readable_when_the_outcome_is_there),
        cmocka_unit_test(ring_ticket_fd_starts_clean_whatever_the_last_publisher_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
