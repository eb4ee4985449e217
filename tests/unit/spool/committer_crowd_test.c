/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The committer with threads around it: publishers, and one that reads and settles. */
#include "spool/committer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/cursor.h"
#include "spool/record.h"

#include <pthread.h>
#include <stdatomic.h>

#define PUBLISHERS 4
#define PUBLISHES_EACH 300

struct crowd {
    struct spool_fixture *spool;
    struct ring *ring;
    struct committer *committer;
    atomic_bool stops;
    _Atomic uint64_t accepted;
    _Atomic uint64_t settled;
};

static void note_commit(void *context)
{
    (void)context;
}

static void *crowd_publish(void *context)
{
    struct crowd *crowd = context;
    uint8_t payload[300] = {0};
    struct record record = {.published_wall_ms = 1, .payload = {payload, sizeof(payload)}};
    uint64_t last = 0;
    for (int i = 0; i < PUBLISHES_EACH; i++) {
        struct ring_ticket ticket;
        struct ring_outcome outcome;
        assert_int_equal(ring_submit(crowd->ring, 1, &record, 60000, false, &ticket), 0);
        assert_int_equal(ring_wait(crowd->ring, ticket, 60000, &outcome), 0);
        assert_int_equal(outcome.result, OUTCOME_ACCEPTED);
        assert_true(outcome.sequence > last); /* S3 */
        last = outcome.sequence;
        atomic_fetch_add(&crowd->accepted, 1);
    }
    return NULL;
}

static void *crowd_commit(void *context)
{
    struct crowd *crowd = context;
    while (!atomic_load(&crowd->stops)) {
        while (committer_step(crowd->committer, false) > 0) {
        }
        committer_wait(crowd->committer, 20);
    }
    while (committer_step(crowd->committer, true) > 0) {
    }
    return NULL;
}

/* Reads in order and settles what it reads, as the forwarder does. */
static void *crowd_forward(void *context)
{
    struct crowd *crowd = context;
    struct spool *spool = crowd->spool->spool;
    uint64_t next = 1;
    while (atomic_load(&crowd->settled) < (uint64_t)PUBLISHERS * PUBLISHES_EACH) {
        struct cursor cursor;
        struct span stored;
        uint64_t sequence;
        struct counters counters;
        struct spool_space space;
        assert_int_equal(cursor_begin_queue(&cursor, spool, 1, next), 0);
        while (cursor_next(&cursor, &sequence, &stored) == 0) {
            struct record record;
            assert_int_equal(sequence, next);
            assert_int_equal(record_decode(stored, &record), 0);
            next = sequence + 1;
            struct settlement settlement = {
                .action = SETTLE_DELIVERED, .destination = 1, .sequence = sequence};
            uint64_t position;
            assert_int_equal(committer_settle(crowd->committer, &settlement, 1, &position), 0);
            atomic_fetch_add(&crowd->settled, 1);
        }
        cursor_end(&cursor);
        assert_int_equal(spool_counters(spool, 1, &counters), 0);
        assert_int_equal(spool_space(spool, &space), 0);
        assert_true(committer_settled(crowd->committer) <= atomic_load(&crowd->settled));
    }
    return NULL;
}

static void committer_and_its_threads_agree(void **state)
{
    struct ring_config ring_config = {.slots_count = 64, .bytes = 1U << 20};
    struct crowd crowd = {.spool = *state};
    assert_int_equal(ring_new(&ring_config, &crowd.ring), 0);
    struct committer_config config = {
        .spool = crowd.spool->spool,
        .ring = crowd.ring,
        .on_commit = note_commit,
        .context = &crowd,
    };
    assert_int_equal(committer_new(&config, &crowd.committer), 0);
    pthread_t publishers[PUBLISHERS];
    pthread_t committer;
    pthread_t forwarder;
    assert_int_equal(pthread_create(&committer, NULL, crowd_commit, &crowd), 0);
    assert_int_equal(pthread_create(&forwarder, NULL, crowd_forward, &crowd), 0);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        assert_int_equal(pthread_create(&publishers[i], NULL, crowd_publish, &crowd), 0);
    }
    for (size_t i = 0; i < PUBLISHERS; i++) {
        assert_int_equal(pthread_join(publishers[i], NULL), 0);
    }
    assert_int_equal(pthread_join(forwarder, NULL), 0);
    atomic_store(&crowd.stops, true);
    ring_bell(crowd.ring);
    assert_int_equal(pthread_join(committer, NULL), 0);
    assert_int_equal(atomic_load(&crowd.accepted), PUBLISHERS * PUBLISHES_EACH);
    assert_int_equal(committer_settled(crowd.committer), PUBLISHERS * PUBLISHES_EACH);
    assert_int_equal(spool_fixture_counter(crowd.spool, 1, COUNTER_QUEUE_RECORDS), 0);
    assert_int_equal(spool_fixture_counter(crowd.spool, 1, COUNTER_DELIVERED),
                     PUBLISHERS * PUBLISHES_EACH);
    spool_fixture_check(crowd.spool);
    committer_free(&crowd.committer);
    ring_free(&crowd.ring);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(committer_and_its_threads_agree, spool_fixture_set_up,
                                        spool_fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
