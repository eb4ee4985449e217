/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What operators do with records: moving, and requeueing what has expired. The settlements of the
 * pipeline are in batch_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/cursor.h"
#include "spool/record.h"

#define ROUTE "report_cdr"

static uint64_t append(struct spool_fixture *fixture, uint32_t destination,
                       const struct record *record)
{
    size_t size_bytes;
    uint64_t sequence;
    int refusal;
    assert_int_equal(record_size(record, &size_bytes), 0);
    void *encoded = malloc(size_bytes);
    assert_non_null(encoded);
    record_encode(record, encoded);
    int r = spool_fixture_try_append(fixture, destination, (struct span){encoded, size_bytes},
                                     &sequence, &refusal);
    free(encoded);
    assert_int_equal(r, 0);
    return sequence;
}

/* In a batch of its own; how many records it found. */
static uint64_t put_back(struct spool_fixture *fixture, enum settle_action action, uint32_t from,
                         uint32_t to, uint64_t sequence)
{
    uint64_t count;
    uint64_t bytes;
    struct settlement settlement = {
        .action = action,
        .destination = from,
        .to_destination = to,
        .sequence = sequence,
    };
    assert_int_equal(batch_begin(fixture->batch, 0, 0), 0);
    assert_int_equal(batch_settle(fixture->batch, &settlement), 0);
    batch_applied(fixture->batch, &count, &bytes);
    assert_int_equal(batch_commit(fixture->batch), 0);
    spool_fixture_check(fixture);
    return count;
}

static void batch_settle_moves_to_the_place_of_the_sequence(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t sequences[4];
    for (uint32_t i = 0; i < 4; i++) {
        (void)spool_fixture_append(fixture, 1 + i % 2, 100); /* 1: 1, 3; 2: 2, 4 */
    }
    assert_int_equal(put_back(fixture, SETTLE_MOVE, 1, 2, 3), 1);
    assert_int_equal(spool_fixture_sequences(fixture, 1, false, sequences, 4), 1);
    assert_int_equal(spool_fixture_sequences(fixture, 2, false, sequences, 4), 3);
    assert_int_equal(sequences[0], 2);
    assert_int_equal(sequences[1], 3);
    assert_int_equal(sequences[2], 4);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_MOVED), 1);
    assert_int_equal(spool_fixture_counter(fixture, 2, COUNTER_MOVED), 0);
    /* By this the forwarder knows that it has to go back. */
    assert_int_equal(spool_fixture_counter(fixture, 2, COUNTER_REQUEUED), 1);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_REQUEUED), 0);
}

static void batch_settle_moves_the_record_as_it_is(void **state)
{
    struct spool_fixture *fixture = *state;
    struct record record = {
        .payload = {"payload", 7},
        .report_route = {ROUTE, strlen(ROUTE)},
        .published_wall_ms = 5,
        .expires_wall_ms = 6, /* long past: moving is no second life */
    };
    struct cursor cursor;
    struct span stored;
    uint64_t sequence = append(fixture, 1, &record);
    assert_int_equal(put_back(fixture, SETTLE_MOVE, 1, 2, sequence), 1);
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 2, 0), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), 0);
    assert_int_equal(record_decode(stored, &record), 0);
    assert_int_equal(record.expires_wall_ms, 6);
    assert_int_equal(record.report_route.size_bytes, strlen(ROUTE));
    cursor_end(&cursor);
    /* It is not settled, so nobody is told anything yet. */
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_REPORT_RECORDS), 0);
    spool_fixture_settle(fixture, SETTLE_DELIVERED, 2, sequence);
    assert_int_equal(spool_fixture_counter(fixture, 2, COUNTER_REPORT_RECORDS), 1);
    spool_fixture_check(fixture);
}

static void batch_settle_moves_nothing_that_is_not_there(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t sequence = spool_fixture_append(fixture, 1, 100);
    assert_int_equal(put_back(fixture, SETTLE_MOVE, 1, 1, sequence), 0);
    assert_int_equal(put_back(fixture, SETTLE_MOVE, 2, 1, sequence), 0);
    assert_int_equal(put_back(fixture, SETTLE_MOVE, 1, 2, sequence + 1), 0);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 1);
    assert_int_equal(spool_fixture_counter(fixture, DESTINATION_ALL, COUNTER_MOVED), 0);
}

/* What is requeued is to be delivered: its time-to-live has ended already. */
static void batch_settle_requeues_an_expired_record_without_its_expiry(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t later_ms = fixture->now_ms + 1000;
    struct record expired = {.payload = {"payload", 7}, .expires_wall_ms = fixture->now_ms};
    struct record living = {.payload = {"payload", 7}, .expires_wall_ms = later_ms};
    const uint64_t expires_ms[] = {0, later_ms};
    (void)append(fixture, 1, &expired);
    (void)append(fixture, 1, &living);
    for (uint64_t sequence = 1; sequence <= 2; sequence++) {
        struct cursor cursor;
        struct span stored;
        struct record record;
        uint64_t found;
        spool_fixture_settle(fixture, SETTLE_EXPIRED, 1, sequence);
        assert_int_equal(put_back(fixture, SETTLE_REQUEUE, 1, 1, sequence), 1);
        assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, sequence), 0);
        assert_int_equal(cursor_next(&cursor, &found, &stored), 0);
        assert_int_equal(found, sequence);
        assert_int_equal(record_decode(stored, &record), 0);
        assert_int_equal(record.expires_wall_ms, expires_ms[sequence - 1]);
        assert_memory_equal(record.payload.data, "payload", 7);
        cursor_end(&cursor);
    }
}

#define SETTLE_TEST(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SETTLE_TEST(batch_settle_moves_to_the_place_of_the_sequence),
        SETTLE_TEST(batch_settle_moves_the_record_as_it_is),
        SETTLE_TEST(batch_settle_moves_nothing_that_is_not_there),
        SETTLE_TEST(batch_settle_requeues_an_expired_record_without_its_expiry),
    };
    return cmocka_run_group_tests_name("settle", tests, NULL, NULL);
}
