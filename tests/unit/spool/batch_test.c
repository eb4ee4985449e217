/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/cursor.h"
#include "spool/environment.h"
#include "spool/outcome.h"
#include "spool/record.h"

#define ROUTE "report_cdr"

static uint64_t append_with_route(struct spool_fixture *fixture, uint32_t destination,
                                  size_t size_bytes)
{
    struct span record = spool_fixture_record(size_bytes, 7, ROUTE);
    uint64_t sequence = 0;
    int refusal = 0;
    assert_int_equal(spool_fixture_try_append(fixture, destination, record, &sequence, &refusal),
                     0);
    spool_fixture_free_record(&record);
    return sequence;
}

static int try_append(struct spool_fixture *fixture, uint32_t destination, size_t size_bytes,
                      int *ret_refusal)
{
    struct span record = spool_fixture_record(size_bytes, 9, NULL);
    uint64_t sequence;
    int r = spool_fixture_try_append(fixture, destination, record, &sequence, ret_refusal);
    spool_fixture_free_record(&record);
    return r;
}

/* The first entry of the dead letters or, destination 0, of the reports; *ret_copy is freed by the
 * caller. Returns whether there is one. */
static bool first_stored(struct spool_fixture *fixture, uint32_t destination, uint64_t *ret_key,
                         struct span *ret_copy)
{
    struct cursor cursor;
    struct span stored = {0};
    if (destination == 0) {
        assert_int_equal(cursor_begin_reports(&cursor, fixture->spool, 0), 0);
    } else {
        assert_int_equal(cursor_begin_dead(&cursor, fixture->spool, destination, 0), 0);
    }
    int r = cursor_next(&cursor, ret_key, &stored);
    if (r == 0) {
        void *copy = malloc(stored.size_bytes);
        assert_non_null(copy);
        memcpy(copy, stored.data, stored.size_bytes);
        *ret_copy = (struct span){copy, stored.size_bytes};
    }
    cursor_end(&cursor);
    return r == 0;
}

/* Writes bytes behind the spool's back. */
static void put_raw(struct spool_fixture *fixture, MDB_dbi db, uint64_t key, struct span bytes)
{
    MDB_txn *txn;
    MDB_val db_key = environment_key(&key, sizeof(key));
    MDB_val data = environment_key(bytes.data, bytes.size_bytes);
    assert_int_equal(mdb_txn_begin(fixture->spool->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, db, &db_key, &data, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

/* --- Appending -------------------------------------------------------------------------------- */

static void batch_append_gives_growing_sequences_over_all_destinations(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t next;
    assert_int_equal(spool_fixture_append(fixture, 1, 100), 1);
    assert_int_equal(spool_fixture_append(fixture, 2, 100), 2);
    assert_int_equal(spool_fixture_append(fixture, 1, 100), 3);
    assert_int_equal(spool_next_sequence(fixture->spool, &next), 0);
    assert_int_equal(next, 4);
    assert_int_equal(cursor_appended(fixture->spool, 1), 3);
    assert_int_equal(cursor_appended(fixture->spool, 2), 2);
    spool_fixture_check(fixture);
}

static void batch_append_never_reuses_a_sequence(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t last = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t sequence = spool_fixture_append(fixture, 1, 100);
        assert_true(sequence > last);
        last = sequence;
        spool_fixture_settle(fixture, SETTLE_DELIVERED, 1, sequence);
        if (i % 5 == 4) {
            spool_fixture_close(fixture);
            spool_fixture_open(fixture);
        }
    }
}

static void batch_append_refuses_at_the_limit_of_records(void **state)
{
    struct spool_fixture *fixture = *state;
    int refusal = 0;
    fixture->spool->config.max_records = 2;
    spool_fixture_append(fixture, 1, 100);
    spool_fixture_append(fixture, 2, 100);
    assert_int_equal(try_append(fixture, 1, 100, &refusal), BATCH_E_REFUSED);
    assert_int_equal(refusal, OUTCOME_FULL_RECORDS);
    spool_fixture_settle(fixture, SETTLE_DELIVERED, 2, 2);
    spool_fixture_append(fixture, 1, 100);
    spool_fixture_check(fixture);
}

static void batch_append_refuses_at_the_destinations_limits(void **state)
{
    struct spool_fixture *fixture = *state;
    int refusal = 0;
    struct destination_limits records = {.max_records = 1};
    struct destination_limits bytes = {.max_bytes = 250};
    spool_destination_limit(fixture->spool, 1, &records);
    spool_fixture_append(fixture, 1, 100);
    assert_int_equal(try_append(fixture, 1, 100, &refusal), BATCH_E_REFUSED);
    assert_int_equal(refusal, OUTCOME_FULL_DESTINATION_RECORDS);
    spool_destination_limit(fixture->spool, 2, &bytes);
    spool_fixture_append(fixture, 2, 100);
    spool_fixture_append(fixture, 2, 150);
    assert_int_equal(try_append(fixture, 2, 64, &refusal), BATCH_E_REFUSED);
    assert_int_equal(refusal, OUTCOME_FULL_DESTINATION_BYTES);
    spool_fixture_check(fixture);
}

static void batch_append_refused_does_not_stop_the_batch(void **state)
{
    struct spool_fixture *fixture = *state;
    struct span record = spool_fixture_record(100, 1, NULL);
    struct destination_limits limits = {.max_records = 1};
    uint64_t sequence;
    int refusal = 0;
    spool_destination_limit(fixture->spool, 1, &limits);
    assert_int_equal(batch_begin(fixture->batch, 300, 3), 0);
    assert_int_equal(batch_append(fixture->batch, 1, record, &sequence, &refusal), 0);
    assert_int_equal(batch_append(fixture->batch, 1, record, &sequence, &refusal), BATCH_E_REFUSED);
    assert_int_equal(batch_append(fixture->batch, 2, record, &sequence, &refusal), 0);
    assert_int_equal(sequence, 2);
    assert_int_equal(batch_commit(fixture->batch), 0);
    spool_fixture_free_record(&record);
    spool_fixture_check(fixture);
}

static void batch_append_drops_the_oldest_that_is_not_in_flight(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t sequences[8];
    struct destination_limits limits = {.max_records = 3, .drops_oldest = true};
    spool_destination_limit(fixture->spool, 1, &limits);
    append_with_route(fixture, 1, 200);
    append_with_route(fixture, 1, 200);
    append_with_route(fixture, 1, 200);
    cursor_tell_position(fixture->spool, 1, 2); /* 1 is in-flight */
    spool_fixture_append(fixture, 1, 100);
    assert_int_equal(spool_fixture_sequences(fixture, 1, false, sequences, 8), 3);
    assert_int_equal(sequences[0], 1);
    assert_int_equal(sequences[1], 3);
    assert_int_equal(sequences[2], 4);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_DROPPED), 1);

    uint64_t number;
    struct span stored = {0};
    struct report report;
    struct span encoded;
    struct record record;
    assert_true(first_stored(fixture, 0, &number, &stored));
    assert_int_equal(report_decode(stored, &report, &encoded), 0);
    assert_int_equal(report.sequence, 2);
    assert_int_equal(report.reason, SETTLE_DROP);
    assert_true(report.is_payload_left_out);
    assert_int_equal(record_decode(encoded, &record), 0);
    assert_int_equal(record.payload.size_bytes, 0);
    assert_int_equal(record.report_route.size_bytes, strlen(ROUTE));
    spool_fixture_free_record(&stored);
    spool_fixture_check(fixture);
}

/* A batch that drops a record is not committed yet; the forwarder reads the state before it. */
static void batch_append_drops_no_record_that_the_forwarder_takes_meanwhile(void **state)
{
    struct spool_fixture *fixture = *state;
    struct cursor cursor;
    struct span stored;
    uint64_t sequence = 0;
    int refusal = 0;
    struct destination_limits limits = {.max_records = 2, .drops_oldest = true};
    struct span record = spool_fixture_record(100, 1, NULL);
    spool_destination_limit(fixture->spool, 1, &limits);
    spool_fixture_append(fixture, 1, 100);
    spool_fixture_append(fixture, 1, 100);
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 0), 0);
    assert_true(cursor_take(fixture->spool, 1, 1));

    assert_int_equal(batch_begin(fixture->batch, 100, 1), 0);
    assert_int_equal(batch_append(fixture->batch, 1, record, &sequence, &refusal), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), 0);
    assert_int_equal(sequence, 2);
    assert_false(cursor_take(fixture->spool, 1, 2)); /* the batch has it */
    assert_int_equal(batch_commit(fixture->batch), 0);
    assert_false(cursor_take(fixture->spool, 1, 2)); /* and the cursor still shows it */
    cursor_end(&cursor);
    cursor_tell_position(fixture->spool, 1, 2);
    assert_true(cursor_take(fixture->spool, 1, 3));

    /* One that is given up has dropped nothing. */
    cursor_tell_position(fixture->spool, 1, 3);
    assert_int_equal(batch_begin(fixture->batch, 100, 1), 0);
    assert_int_equal(batch_append(fixture->batch, 1, record, &sequence, &refusal), 0);
    batch_abort(fixture->batch);
    cursor_tell_position(fixture->spool, 1, 3);
    assert_true(cursor_take(fixture->spool, 1, 3));
    spool_fixture_free_record(&record);
    spool_fixture_check(fixture);
}

static void batch_append_refuses_when_all_that_could_be_dropped_is_in_flight(void **state)
{
    struct spool_fixture *fixture = *state;
    int refusal = 0;
    struct destination_limits limits = {.max_records = 1, .drops_oldest = true};
    spool_destination_limit(fixture->spool, 1, &limits);
    spool_fixture_append(fixture, 1, 100);
    cursor_tell_position(fixture->spool, 1, 2);
    assert_int_equal(try_append(fixture, 1, 100, &refusal), BATCH_E_REFUSED);
    assert_int_equal(refusal, OUTCOME_FULL_DESTINATION_RECORDS);
}

static void batch_append_drops_nothing_for_a_record_that_cannot_fit(void **state)
{
    struct spool_fixture *fixture = *state;
    int refusal = 0;
    struct destination_limits limits = {.max_bytes = 400, .drops_oldest = true};
    spool_destination_limit(fixture->spool, 1, &limits);
    spool_fixture_append(fixture, 1, 200);
    spool_fixture_append(fixture, 1, 200);
    assert_int_equal(try_append(fixture, 1, 401, &refusal), BATCH_E_REFUSED);
    assert_int_equal(refusal, OUTCOME_FULL_DESTINATION_BYTES);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 2);
}

/* --- Settling --------------------------------------------------------------------------------- */

struct settle_case {
    enum settle_action action;
    bool goes_dead;
    bool has_report;
    enum counter counter; /* the total that grows */
};

static void batch_settle_does_what_each_action_says(void **state)
{
    static const struct settle_case cases[] = {
        {SETTLE_DELIVERED, false, true, COUNTER_DELIVERED},
        {SETTLE_DEAD, true, true, COUNTER_DEAD},
        {SETTLE_CORRUPT, true, false, COUNTER_CORRUPT},
        {SETTLE_EXPIRED, true, true, COUNTER_EXPIRED},
        {SETTLE_EXPIRED_DROP, false, true, COUNTER_EXPIRED},
        {SETTLE_DROP, false, true, COUNTER_DROPPED},
    };
    struct spool_fixture *fixture = *state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(cases); i++) {
        uint64_t sequence = append_with_route(fixture, 1, 300);
        uint64_t before = spool_fixture_counter(fixture, 1, cases[i].counter);
        uint64_t dead = spool_fixture_counter(fixture, 1, COUNTER_DEAD_RECORDS);
        uint64_t reports = spool_fixture_counter(fixture, 1, COUNTER_REPORT_RECORDS);
        spool_fixture_settle(fixture, cases[i].action, 1, sequence);
        assert_int_equal(spool_fixture_counter(fixture, 1, cases[i].counter), before + 1);
        assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 0);
        assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_DEAD_RECORDS),
                         dead + cases[i].goes_dead);
        assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_REPORT_RECORDS),
                         reports + cases[i].has_report);
        spool_fixture_check(fixture);
    }
}

static void batch_settle_keeps_what_it_was_told_with_the_record(void **state)
{
    struct spool_fixture *fixture = *state;
    struct span record = spool_fixture_record(3000, 11, ROUTE);
    struct settlement settlement = {
        .action = SETTLE_DEAD,
        .destination = 1,
        .sequence = 1,
        .error = -42,
        .partition = 3,
        .offset = 1LL << 40,
        .attempts = 5,
        .first_attempt_wall_ms = 123456,
    };
    uint64_t sequence;
    int refusal;
    assert_int_equal(spool_fixture_try_append(fixture, 1, record, &sequence, &refusal), 0);
    fixture->now_ms += 1000;
    assert_int_equal(batch_begin(fixture->batch, 0, 0), 0);
    assert_int_equal(batch_settle(fixture->batch, &settlement), 0);
    assert_int_equal(batch_commit(fixture->batch), 0);

    uint64_t key;
    struct span stored = {0};
    struct span encoded;
    struct dead_letter dead;
    assert_true(first_stored(fixture, 1, &key, &stored));
    assert_int_equal(key, 1);
    assert_int_equal(dead_letter_decode(stored, &dead, &encoded), 0);
    assert_int_equal(dead.reason, SETTLE_DEAD);
    assert_int_equal(dead.error, -42);
    assert_int_equal(dead.attempts, 5);
    assert_int_equal(dead.first_attempt_wall_ms, 123456);
    assert_int_equal(dead.settled_wall_ms, fixture->now_ms);
    assert_int_equal(encoded.size_bytes, record.size_bytes);
    assert_memory_equal(encoded.data, record.data, record.size_bytes);
    spool_fixture_free_record(&stored);

    struct report report;
    assert_true(first_stored(fixture, 0, &key, &stored));
    assert_int_equal(report_decode(stored, &report, &encoded), 0);
    assert_int_equal(report.error, -42);
    assert_int_equal(report.partition, 3);
    assert_int_equal(report.offset, 1LL << 40);
    assert_int_equal(report.destination, 1);
    assert_int_equal(report.sequence, 1);
    assert_false(report.is_payload_left_out);
    assert_memory_equal(encoded.data, record.data, record.size_bytes);
    spool_fixture_free_record(&stored);
    spool_fixture_free_record(&record);
}

static void batch_settle_of_what_is_not_there_changes_nothing(void **state)
{
    static const enum settle_action actions[] = {SETTLE_DELIVERED, SETTLE_DEAD, SETTLE_REQUEUE,
                                                 SETTLE_DEAD_DROP, SETTLE_REPORT_RUN};
    struct spool_fixture *fixture = *state;
    struct counters before;
    struct counters after;
    spool_fixture_append(fixture, 1, 100);
    assert_int_equal(spool_counters(fixture->spool, DESTINATION_ALL, &before), 0);
    for (size_t i = 0; i < SPOOL_COUNT_OF(actions); i++) {
        spool_fixture_settle(fixture, actions[i], 1, 77);
    }
    assert_int_equal(spool_counters(fixture->spool, DESTINATION_ALL, &after), 0);
    assert_memory_equal(&before, &after, sizeof(before));
}

static void batch_settle_requeues_with_the_sequence_it_had(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t sequences[4];
    struct settlement requeue = {
        .action = SETTLE_REQUEUE, .destination = 1, .to_destination = 2, .sequence = 1};
    spool_fixture_append(fixture, 1, 100);
    spool_fixture_append(fixture, 2, 100);
    spool_fixture_settle(fixture, SETTLE_DEAD, 1, 1);
    assert_int_equal(batch_begin(fixture->batch, 0, 0), 0);
    assert_int_equal(batch_settle(fixture->batch, &requeue), 0);
    assert_int_equal(batch_commit(fixture->batch), 0);
    assert_int_equal(spool_fixture_sequences(fixture, 1, true, sequences, 4), 0);
    assert_int_equal(spool_fixture_sequences(fixture, 2, false, sequences, 4), 2);
    assert_int_equal(sequences[0], 1);
    assert_int_equal(spool_fixture_counter(fixture, 2, COUNTER_REQUEUED), 1);
    spool_fixture_check(fixture);
    assert_int_equal(spool_fixture_append(fixture, 2, 100), 3);
    spool_fixture_check(fixture);
}

static void batch_settle_drops_a_dead_letter_and_runs_a_report(void **state)
{
    struct spool_fixture *fixture = *state;
    append_with_route(fixture, 1, 200);
    spool_fixture_settle(fixture, SETTLE_DEAD, 1, 1);
    spool_fixture_settle(fixture, SETTLE_DEAD_DROP, 1, 1);
    spool_fixture_settle(fixture, SETTLE_REPORT_RUN, 1, 1);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_DEAD_RECORDS), 0);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_DEAD), 1);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_DROPPED), 1);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_REPORT_RECORDS), 0);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_REPORTS_RUN), 1);
    spool_fixture_check(fixture);
}

static void batch_settle_gets_rid_of_entries_that_nobody_can_read(void **state)
{
    struct spool_fixture *fixture = *state;
    struct span garbage = {"no head", 7};
    put_raw(fixture, fixture->spool->reports, 5, garbage);
    put_raw(fixture, fixture->spool->destinations[1].dead, 6, garbage);
    spool_fixture_settle(fixture, SETTLE_REPORT_RUN, 1, 5);
    spool_fixture_settle(fixture, SETTLE_REQUEUE, 1, 6);
    uint64_t sequences[2];
    assert_int_equal(spool_fixture_sequences(fixture, 1, true, sequences, 2), 1);
    spool_fixture_settle(fixture, SETTLE_DEAD_DROP, 1, 6);
    assert_false(spool_is_latched(fixture->spool));
    assert_int_equal(spool_fixture_sequences(fixture, 1, true, sequences, 2), 0);
    spool_fixture_check(fixture);
}

static void batch_settle_moves_a_corrupt_record_as_it_is(void **state)
{
    struct spool_fixture *fixture = *state;
    struct span record = spool_fixture_record(200, 3, ROUTE);
    append_with_route(fixture, 1, 200);
    append_with_route(fixture, 1, 200);
    ((uint8_t *)(uintptr_t)record.data)[100] ^= 1;
    put_raw(fixture, fixture->spool->destinations[1].queue, 1, record);
    spool_fixture_settle(fixture, SETTLE_CORRUPT, 1, 1);

    uint64_t key;
    struct span stored = {0};
    assert_true(first_stored(fixture, 1, &key, &stored));
    assert_memory_equal((const uint8_t *)stored.data + DEAD_LETTER_BYTES, record.data,
                        record.size_bytes);
    spool_fixture_free_record(&stored);
    spool_fixture_free_record(&record);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_CORRUPT), 1);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 1);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_REPORT_RECORDS), 0);
    spool_fixture_check(fixture);
}

static void batch_is_large_when_settlements_have_copied_a_batch_of_bytes(void **state)
{
    struct spool_fixture *fixture = *state;
    fixture->config.max_bytes = 64ULL << 20;
    spool_fixture_close(fixture);
    spool_fixture_open(fixture);
    size_t count = BATCH_BYTES_MAX / (1 << 20) + 1;
    for (size_t i = 0; i < count; i++) {
        spool_fixture_append(fixture, 1, 1 << 20);
    }
    assert_int_equal(batch_begin(fixture->batch, 0, 0), 0);
    for (size_t i = 1; i < count; i++) {
        struct settlement settlement = {.action = SETTLE_DEAD, .destination = 1, .sequence = i};
        assert_false(batch_is_large(fixture->batch));
        assert_int_equal(batch_settle(fixture->batch, &settlement), 0);
    }
    assert_true(batch_is_large(fixture->batch));
    assert_int_equal(batch_commit(fixture->batch), 0);
    spool_fixture_check(fixture);
}

/* --- All or nothing --------------------------------------------------------------------------- */

static void batch_abort_changes_nothing(void **state)
{
    struct spool_fixture *fixture = *state;
    struct counters before;
    struct counters after;
    struct span record = spool_fixture_record(500, 1, ROUTE);
    struct settlement settlement = {.action = SETTLE_DEAD, .destination = 1, .sequence = 1};
    uint64_t sequence;
    int refusal;
    append_with_route(fixture, 1, 300);
    assert_int_equal(spool_counters(fixture->spool, DESTINATION_ALL, &before), 0);
    assert_int_equal(batch_begin(fixture->batch, 1000, 2), 0);
    assert_int_equal(batch_append(fixture->batch, 1, record, &sequence, &refusal), 0);
    assert_int_equal(batch_settle(fixture->batch, &settlement), 0);
    batch_abort(fixture->batch);
    spool_fixture_free_record(&record);
    assert_int_equal(spool_counters(fixture->spool, DESTINATION_ALL, &after), 0);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(cursor_appended(fixture->spool, 1), 1);
    spool_fixture_check(fixture);
    assert_int_equal(spool_fixture_append(fixture, 1, 100), 2);
}

static void batch_commit_of_nothing_writes_nothing(void **state)
{
    struct spool_fixture *fixture = *state;
    MDB_envinfo before;
    MDB_envinfo after;
    struct destination_limits limits = {.max_bytes = 64};
    int refusal = 0;
    spool_destination_limit(fixture->spool, 1, &limits);
    mdb_env_info(fixture->spool->env, &before);
    assert_int_equal(try_append(fixture, 1, 100, &refusal), BATCH_E_REFUSED);
    spool_fixture_settle(fixture, SETTLE_DELIVERED, 1, 99);
    mdb_env_info(fixture->spool->env, &after);
    assert_int_equal(before.me_last_txnid, after.me_last_txnid);
}

static void batch_commit_is_not_seen_by_a_reader_that_began_before(void **state)
{
    struct spool_fixture *fixture = *state;
    struct cursor cursor;
    uint64_t sequence;
    struct span stored = {0};
    struct record record;
    for (int i = 0; i < 50; i++) {
        spool_fixture_append(fixture, 1, 400);
    }
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 0), 0);
    for (uint64_t i = 1; i <= 50; i++) {
        spool_fixture_settle(fixture, SETTLE_DELIVERED, 1, i);
        spool_fixture_append(fixture, 1, 500);
    }
    for (uint64_t i = 1; i <= 50; i++) {
        assert_int_equal(cursor_next(&cursor, &sequence, &stored), 0);
        assert_int_equal(sequence, i);
        assert_int_equal(stored.size_bytes, 400);
        assert_int_equal(record_decode(stored, &record), 0);
    }
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), CURSOR_E_END);
    cursor_end(&cursor);
    spool_fixture_check(fixture);
}

#define A_TEST(name)                                                                               \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(batch_append_gives_growing_sequences_over_all_destinations),
        A_TEST(batch_append_never_reuses_a_sequence),
        A_TEST(batch_append_refuses_at_the_limit_of_records),
        A_TEST(batch_append_refuses_at_the_destinations_limits),
        A_TEST(batch_append_refused_does_not_stop_the_batch),
        A_TEST(batch_append_drops_the_oldest_that_is_not_in_flight),
        A_TEST(batch_append_drops_no_record_that_the_forwarder_takes_meanwhile),
        A_TEST(batch_append_refuses_when_all_that_could_be_dropped_is_in_flight),
        A_TEST(batch_append_drops_nothing_for_a_record_that_cannot_fit),
        A_TEST(batch_settle_does_what_each_action_says),
        A_TEST(batch_settle_keeps_what_it_was_told_with_the_record),
        A_TEST(batch_settle_of_what_is_not_there_changes_nothing),
        A_TEST(batch_settle_requeues_with_the_sequence_it_had),
        A_TEST(batch_settle_drops_a_dead_letter_and_runs_a_report),
        A_TEST(batch_settle_gets_rid_of_entries_that_nobody_can_read),
        A_TEST(batch_settle_moves_a_corrupt_record_as_it_is),
        A_TEST(batch_is_large_when_settlements_have_copied_a_batch_of_bytes),
        A_TEST(batch_abort_changes_nothing),
        A_TEST(batch_commit_of_nothing_writes_nothing),
        A_TEST(batch_commit_is_not_seen_by_a_reader_that_began_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
