/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the tests of the ring: records that carry who submitted them and a number, and whose every
 * other byte follows from these, so that a torn one shows.
 */
#ifndef TESTS_RING_HELPER_H
#define TESTS_RING_HELPER_H

#include "spool/record.h"
#include "spool/ring_internal.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#define PAYLOAD_BYTES_MIN 24 /* an entry with this payload has 128 bytes */
#define PAYLOAD_BYTES_MAX 2048
#define LONG_MS 60000U /* long enough for the slowest machine; never waited for */

/* Forks a child that dies with its parent, also when a test fails half-way. */
static inline pid_t fork_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

struct stamp {
    uint64_t publisher;
    uint64_t number;
};

static inline uint8_t stamp_byte(struct stamp stamp, size_t at)
{
    uint64_t mixed = (stamp.publisher * 31 + stamp.number) * 0x9e3779b97f4a7c15U;
    return (uint8_t)((mixed >> (at % 8 * 8)) + at);
}

static inline int submit_with_fd(struct ring *ring, struct stamp stamp, size_t payload_bytes,
                                 uint64_t timeout_ms, bool wants_fd, struct ring_ticket *ret_ticket)
{
    uint8_t payload[PAYLOAD_BYTES_MAX];
    memcpy(payload, &stamp, sizeof(stamp));
    for (size_t i = sizeof(stamp); i < payload_bytes; i++) {
        payload[i] = stamp_byte(stamp, i);
    }
    struct record record = {.published_wall_ms = stamp.number, .payload = {payload, payload_bytes}};
    return ring_submit(ring, (uint32_t)stamp.publisher, &record, timeout_ms, wants_fd, ret_ticket);
}

static inline int submit(struct ring *ring, struct stamp stamp, size_t payload_bytes,
                         uint64_t timeout_ms, struct ring_ticket *ret_ticket)
{
    return submit_with_fd(ring, stamp, payload_bytes, timeout_ms, false, ret_ticket);
}

/* Fails unless the entry is exactly what submit() wrote. */
static inline struct stamp check_entry(const struct ring_entry *entry)
{
    struct record record;
    struct stamp stamp;
    assert_int_equal(record_decode(entry->encoded, &record), 0);
    assert_true(record.payload.size_bytes >= sizeof(stamp));
    memcpy(&stamp, record.payload.data, sizeof(stamp));
    assert_int_equal(record.published_wall_ms, stamp.number);
    assert_int_equal(entry->destination, stamp.publisher);
    const uint8_t *payload = record.payload.data;
    for (size_t i = sizeof(stamp); i < record.payload.size_bytes; i++) {
        assert_int_equal(payload[i], stamp_byte(stamp, i));
    }
    return stamp;
}

static inline bool is_readable(int fd)
{
    struct pollfd waits = {.fd = fd, .events = POLLIN};
    return poll(&waits, 1, 0) == 1;
}

static inline struct ring *make_ring(uint32_t slots_count, size_t bytes, bool has_fds)
{
    struct ring *ring = NULL;
    struct ring_config config = {slots_count, bytes, has_fds};
    assert_int_equal(ring_new(&config, &ring), 0);
    return ring;
}

/* Takes one entry and checks it. */
static inline struct ring_entry take_one(struct ring *ring, uint64_t expected_number)
{
    struct ring_entry entry;
    assert_int_equal(ring_take(ring, &entry, 1, SIZE_MAX), 1);
    assert_int_equal(check_entry(&entry).number, expected_number);
    return entry;
}

/* Answers with the number as sequence. */
static inline void answer(struct ring *ring, const struct ring_entry *entry)
{
    struct ring_outcome outcome = {.sequence = check_entry(entry).number};
    ring_answer(ring, entry, &outcome, 1);
}

/* Takes and answers everything that is ready. Returns how many. */
static inline size_t answer_all(struct ring *ring)
{
    struct ring_entry entry;
    size_t count = 0;
    while (ring_take(ring, &entry, 1, SIZE_MAX) == 1) {
        answer(ring, &entry);
        count++;
    }
    return count;
}

/* Fails unless nobody uses the ring and all its bytes can be had. Needs more slots than there are
 * 128-byte entries in the ring. */
static inline void check_whole(struct ring *ring)
{
    struct ring_ticket tickets[256];
    struct ring_outcome outcome;
    size_t capacity = ring->bytes_size / 128;
    assert_true(capacity < SPOOL_COUNT_OF(tickets) && capacity < ring->slots_count);
    assert_int_equal(ring_used_count(ring), 0);
    /* Odd entries, to have no pad; the first of them may come behind one. */
    while (atomic_load(&ring->control->head) % 128 != 0) {
        assert_int_equal(submit(ring, (struct stamp){0}, PAYLOAD_BYTES_MIN + 64, 0, &tickets[0]),
                         0);
        assert_int_equal(answer_all(ring), 1);
        assert_int_equal(ring_wait(ring, tickets[0], LONG_MS, &outcome), 0);
    }
    for (size_t i = 0; i < capacity; i++) {
        struct stamp stamp = {.number = i};
        assert_int_equal(submit(ring, stamp, PAYLOAD_BYTES_MIN, 0, &tickets[i]), 0);
    }
    struct ring_ticket refused;
    assert_int_equal(submit(ring, (struct stamp){0}, PAYLOAD_BYTES_MIN, 0, &refused),
                     RING_E_TIMEOUT);
    assert_int_equal(answer_all(ring), capacity);
    for (size_t i = 0; i < capacity; i++) {
        assert_int_equal(ring_poll(ring, tickets[i], &outcome), 0);
        assert_int_equal(outcome.sequence, i);
    }
    assert_int_equal(ring_used_count(ring), 0);
}

/* A publisher that got as far as the reservation. */
static inline uint64_t reserve_slowly(struct ring *ring, struct ring_entry_head *model)
{
    uint64_t position;
    *model = (struct ring_entry_head){
        .length_bytes = 128, .encoded_bytes = 64, .destination = 5, .publisher = process_self()};
    assert_int_equal(ring_slot_claim(ring, model->publisher, false, &model->ticket), 0);
    assert_int_equal(ring_bytes_reserve(ring, model, 0, &position), 0);
    return position;
}

/* What was missing. */
static inline void finish_slowly(struct ring *ring, const struct ring_entry_head *model,
                                 uint64_t position, uint64_t number)
{
    struct stamp stamp = {5, number};
    uint8_t payload[24];
    memcpy(payload, &stamp, sizeof(stamp));
    for (size_t i = sizeof(stamp); i < sizeof(payload); i++) {
        payload[i] = stamp_byte(stamp, i);
    }
    struct record record = {.published_wall_ms = number, .payload = {payload, sizeof(payload)}};
    struct ring_entry_head *entry = ring_entry_at(ring, position);
    record_encode(&record, entry + 1);
    assert_true(ring_slot_move(ring, model->ticket, RING_SLOT_CLAIMED, RING_SLOT_WAITING));
    atomic_store(&entry->state, RING_ENTRY_READY);
    ring_bell(ring);
}

#endif
