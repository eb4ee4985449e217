/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many publishers at once, threads and processes, against one owner. Publishers count what they
 * were told, the owner what it took, and both must agree on every single record: what was answered
 * was taken, what was taken back never was, and each publisher's records came in its order.
 */
#include "tests/unit/spool/ring_helper.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PUBLISHERS_COUNT 4
#define SUBMITS_COUNT 2000
#define OUTSTANDING_COUNT 16

/* How a publisher learns what became of its records. */
enum manner {
    MANNER_WAIT,
    MANNER_GIVE_UP, /* waits so shortly that it often takes the record back */
    MANNER_FD,
};

/* What a publisher was told of a record. */
enum told {
    TOLD_NOTHING,
    TOLD_ACCEPTED,
    TOLD_NOT,
    TOLD_UNKNOWN,
};

struct publisher {
    struct ring *ring;
    pthread_t thread;
    uint64_t id;
    enum manner manner;
    uint8_t told[SUBMITS_COUNT];
    bool is_done;
};

/* What the owner saw. */
struct crowd {
    struct publisher publishers[PUBLISHERS_COUNT];
    uint8_t is_taken[PUBLISHERS_COUNT][SUBMITS_COUNT];
    uint64_t next[PUBLISHERS_COUNT]; /* the lowest number that may still come */
    size_t taken_count;
};

static int wait_for_fd(struct ring *ring, struct ring_ticket ticket, struct ring_outcome *outcome)
{
    struct pollfd waits = {.fd = ring_ticket_fd(ring, ticket), .events = POLLIN};
    int result;
    do {
        (void)poll(&waits, 1, -1); /* the fd alone must tell, also of a close just now */
        result = ring_poll(ring, ticket, outcome);
    } while (result == RING_E_PENDING);
    return result;
}

static enum told publish_one(struct publisher *publisher, uint64_t number)
{
    struct ring *ring = publisher->ring;
    struct stamp stamp = {publisher->id, number};
    struct ring_ticket ticket;
    struct ring_outcome outcome = {.result = -1};
    bool gives_up = publisher->manner == MANNER_GIVE_UP;
    bool wants_fd = publisher->manner == MANNER_FD;
    size_t payload_bytes = PAYLOAD_BYTES_MIN + number * 37 % 1500;
    uint64_t timeout_ms = gives_up && number % 2 != 0 ? 0 : LONG_MS;
    if (submit_with_fd(ring, stamp, payload_bytes, timeout_ms, wants_fd, &ticket) != 0) {
        return TOLD_NOT;
    }
    if (gives_up && number % 3 == 0) {
        sched_yield(); /* so that the owner is sometimes the first */
    }
    int result = wants_fd ? wait_for_fd(ring, ticket, &outcome)
                          : ring_wait(ring, ticket, gives_up ? number % 5 / 4 : LONG_MS, &outcome);
    if (result == 0) {
        /* Someone else's outcome would show. */
        return outcome.result == 0 && outcome.sequence == number ? TOLD_ACCEPTED : TOLD_NOTHING;
    }
    return result == RING_E_UNKNOWN ? TOLD_UNKNOWN : TOLD_NOT;
}

static void *publisher_run(void *argument)
{
    struct publisher *publisher = argument;
    for (uint64_t i = 0; i < SUBMITS_COUNT; i++) {
        publisher->told[i] = (uint8_t)publish_one(publisher, i);
    }
    __atomic_store_n(&publisher->is_done, true, __ATOMIC_RELEASE);
    ring_bell(publisher->ring);
    return NULL;
}

/* Takes what there is and answers it; notes it in the crowd. */
static void own(struct ring *ring, struct crowd *crowd)
{
    struct ring_entry entries[32];
    size_t count = ring_take(ring, entries, SPOOL_COUNT_OF(entries), 20000);
    if (count == 0) {
        ring_bell_wait(ring, 100000);
    }
    for (size_t i = 0; i < count; i++) {
        struct stamp stamp = check_entry(&entries[i]);
        assert_true(stamp.publisher < PUBLISHERS_COUNT);
        assert_true(stamp.number >= crowd->next[stamp.publisher]);
        crowd->next[stamp.publisher] = stamp.number + 1;
        crowd->is_taken[stamp.publisher][stamp.number] = 1;
        crowd->taken_count++;
    }
    for (size_t i = 0; i < count; i++) {
        answer(ring, &entries[i]);
    }
}

static bool all_are_done(struct crowd *crowd)
{
    for (size_t i = 0; i < PUBLISHERS_COUNT; i++) {
        if (!__atomic_load_n(&crowd->publishers[i].is_done, __ATOMIC_ACQUIRE)) {
            return false;
        }
    }
    return true;
}

/* Lets the publishers run as threads, and compares. Returns how many records were accepted. */
static size_t run_threads(struct ring *ring, const enum manner *manners)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    assert_non_null(crowd);
    for (size_t i = 0; i < PUBLISHERS_COUNT; i++) {
        struct publisher *publisher = &crowd->publishers[i];
        publisher->ring = ring;
        publisher->id = i;
        publisher->manner = manners[i];
        assert_int_equal(pthread_create(&publisher->thread, NULL, publisher_run, publisher), 0);
    }
    for (unsigned int turns = 1; !all_are_done(crowd); turns++) {
        own(ring, crowd);
        if (turns % 64 == 0) {
            (void)ring_ready_count(ring);
            assert_int_equal(ring_sweep(ring), 0); /* everybody is alive */
        }
    }
    size_t accepted_count = 0;
    for (size_t i = 0; i < PUBLISHERS_COUNT; i++) {
        assert_int_equal(pthread_join(crowd->publishers[i].thread, NULL), 0);
        for (size_t k = 0; k < SUBMITS_COUNT; k++) {
            enum told told = (enum told)crowd->publishers[i].told[k];
            assert_int_not_equal(told, TOLD_NOTHING);
            assert_int_equal(crowd->is_taken[i][k], told != TOLD_NOT);
            accepted_count += told == TOLD_ACCEPTED;
        }
    }
    free(crowd);
    assert_int_equal(answer_all(ring), 0);
    return accepted_count;
}

static void ring_accepts_every_record_of_every_thread(void **state)
{
    (void)state;

    static const enum manner manners[] = {MANNER_WAIT, MANNER_FD, MANNER_WAIT, MANNER_FD};
    struct ring *ring = make_ring(80, 8192, true);
    assert_int_equal(run_threads(ring, manners), PUBLISHERS_COUNT * SUBMITS_COUNT);
    check_whole(ring);
    ring_free(&ring);
}

static void ring_agrees_with_publishers_that_give_up(void **state)
{
    (void)state;

    static const enum manner manners[] = {MANNER_GIVE_UP, MANNER_GIVE_UP, MANNER_WAIT,
                                          MANNER_GIVE_UP};
    struct ring *ring = make_ring(80, 8192, false);
    assert_true(run_threads(ring, manners) >= SUBMITS_COUNT);
    check_whole(ring);
    ring_free(&ring);
}

static void ring_serves_publishers_that_want_for_slots(void **state)
{
    (void)state;

    static const enum manner manners[] = {MANNER_WAIT, MANNER_FD, MANNER_FD, MANNER_GIVE_UP};
    struct ring *ring = make_ring(2, 8192, true);
    assert_true(run_threads(ring, manners) >= 3UL * SUBMITS_COUNT);
    assert_int_equal(ring_used_count(ring), 0);
    ring_free(&ring);
}

static void ring_close_leaves_nobody_behind(void **state)
{
    (void)state;
    for (size_t round = 0; round < 100; round++) {
        struct ring *ring = make_ring(2, 8192, true);
        struct crowd *crowd = calloc(1, sizeof(*crowd));
        assert_non_null(crowd);
        for (size_t i = 0; i < PUBLISHERS_COUNT; i++) {
            struct publisher *publisher = &crowd->publishers[i];
            publisher->ring = ring;
            publisher->id = i;
            publisher->manner = i % 2 == 0 ? MANNER_WAIT : MANNER_FD;
            assert_int_equal(pthread_create(&publisher->thread, NULL, publisher_run, publisher), 0);
        }
        while (crowd->taken_count < round % 20 * 7) {
            own(ring, crowd);
        }
        ring_close(ring);
        for (size_t i = 0; i < PUBLISHERS_COUNT; i++) {
            assert_int_equal(pthread_join(crowd->publishers[i].thread, NULL), 0);
            for (size_t k = 0; k < SUBMITS_COUNT; k++) {
                assert_int_equal(crowd->publishers[i].told[k] == TOLD_ACCEPTED,
                                 crowd->is_taken[i][k]);
            }
        }
        assert_int_equal(ring_used_count(ring), 0);
        free(crowd);
        ring_free(&ring);
    }
}

/* --- Processes ------------------------------------------------------------------------------- */

/* Keeps several publishes under way; each must be accepted, as itself. */
static int process_run(struct ring *ring, uint64_t id)
{
    struct ring_ticket tickets[OUTSTANDING_COUNT];
    struct ring_outcome outcome;
    for (uint64_t i = 0; i < SUBMITS_COUNT + OUTSTANDING_COUNT; i++) {
        struct ring_ticket *ticket = &tickets[i % OUTSTANDING_COUNT];
        if (i >= OUTSTANDING_COUNT &&
            (ring_wait(ring, *ticket, LONG_MS, &outcome) != 0 || outcome.result != 0 ||
             outcome.sequence != i - OUTSTANDING_COUNT)) {
            return 1;
        }
        size_t payload_bytes = PAYLOAD_BYTES_MIN + i * 41 % 1200;
        if (i < SUBMITS_COUNT &&
            submit(ring, (struct stamp){id, i}, payload_bytes, LONG_MS, ticket) != 0) {
            return 2;
        }
    }
    return 0;
}

static void ring_keeps_the_order_of_every_process(void **state)
{
    (void)state;
    struct ring *ring = make_ring(PUBLISHERS_COUNT * OUTSTANDING_COUNT + 10, 8192, false);
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    assert_non_null(crowd);
    pid_t pids[PUBLISHERS_COUNT];
    for (uint64_t i = 0; i < PUBLISHERS_COUNT; i++) {
        pids[i] = fork_child();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            _exit(process_run(ring, i));
        }
    }
    while (crowd->taken_count < (uint64_t)PUBLISHERS_COUNT * SUBMITS_COUNT) {
        own(ring, crowd);
    }
    for (size_t i = 0; i < PUBLISHERS_COUNT; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
        assert_int_equal(crowd->next[i], SUBMITS_COUNT); /* in order, and each of them once */
    }
    free(crowd);
    check_whole(ring);
    ring_free(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_accepts_every_record_of_every_thread),
        cmocka_unit_test(ring_agrees_with_publishers_that_give_up),
        cmocka_unit_test(ring_serves_publishers_that_want_for_slots),
        cmocka_unit_test(ring_close_leaves_nobody_behind),
        cmocka_unit_test(ring_keeps_the_order_of_every_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
