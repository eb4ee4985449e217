/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is appended of another spool: dead letters and reports. Appends of records are in
 * batch_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/cursor.h"
#include "spool/outcome.h"

static const struct dead_letter a_dead_letter = {
    .reason = SETTLE_EXPIRED,
    .error = -185,
    .attempts = 3,
    .first_attempt_wall_ms = 1234,
    .settled_wall_ms = 5678,
};

static const struct report a_report = {
    .reason = SETTLE_DEAD,
    .error = 10,
    .partition = 2,
    .attempts = 4,
    .offset = -1,
    .settled_wall_ms = 91011,
    .destination = 2,
    .sequence = 4711, /* where it came from */
};

static int append_dead(struct spool_fixture *fixture, struct span record, uint64_t *ret_sequence,
                       int *ret_refusal)
{
    assert_int_equal(batch_begin(fixture->batch, record.size_bytes, 1), 0);
    int r = batch_append_dead(fixture->batch, 1, &a_dead_letter, record, ret_sequence, ret_refusal);
    assert_int_equal(batch_commit(fixture->batch), 0);
    return r;
}

static int append_report(struct spool_fixture *fixture, struct span record, uint64_t *ret_sequence,
                         int *ret_refusal)
{
    assert_int_equal(batch_begin(fixture->batch, record.size_bytes, 1), 0);
    int r = batch_append_report(fixture->batch, &a_report, record, ret_sequence, ret_refusal);
    assert_int_equal(batch_commit(fixture->batch), 0);
    return r;
}

static void batch_append_dead_keeps_its_head_and_gives_a_sequence(void **state)
{
    struct spool_fixture *fixture = *state;
    struct span record = spool_fixture_record(3000, 1, NULL);
    struct cursor cursor;
    struct span stored;
    struct span encoded;
    struct dead_letter dead;
    uint64_t sequence = 0;
    uint64_t found = 0;
    int refusal;
    assert_int_equal(spool_fixture_append(fixture, 2, 100), 1);
    assert_int_equal(append_dead(fixture, record, &sequence, &refusal), 0);
    assert_int_equal(sequence, 2);
    assert_int_equal(cursor_begin_dead(&cursor, fixture->spool, 1, 0), 0);
    assert_int_equal(cursor_next(&cursor, &found, &stored), 0);
    assert_int_equal(found, 2);
    assert_int_equal(dead_letter_decode(stored, &dead, &encoded), 0);
    assert_int_equal(dead.reason, SETTLE_EXPIRED);
    assert_int_equal(dead.error, -185);
    assert_int_equal(dead.attempts, 3);
    assert_int_equal(dead.first_attempt_wall_ms, 1234);
    assert_int_equal(dead.settled_wall_ms, 5678);
    assert_memory_equal(encoded.data, record.data, record.size_bytes);
    cursor_end(&cursor);
    assert_int_equal(spool_fixture_append(fixture, 1, 100), 3);
    spool_fixture_free_record(&record);
    spool_fixture_check(fixture);
}

static void batch_append_report_gets_a_sequence_of_this_spool(void **state)
{
    struct spool_fixture *fixture = *state;
    struct span record = spool_fixture_record(300, 1, "route");
    struct cursor cursor;
    struct span stored;
    struct span encoded;
    struct report report;
    uint64_t sequence = 0;
    uint64_t number = 0;
    int refusal;
    assert_int_equal(append_report(fixture, record, &sequence, &refusal), 0);
    assert_int_equal(sequence, 1);
    assert_int_equal(cursor_begin_reports(&cursor, fixture->spool, 0), 0);
    assert_int_equal(cursor_next(&cursor, &number, &stored), 0);
    assert_int_equal(report_decode(stored, &report, &encoded), 0);
    assert_int_equal(report.sequence, 1);
    assert_int_equal(report.reason, SETTLE_DEAD);
    assert_int_equal(report.error, 10);
    assert_int_equal(report.partition, 2);
    assert_int_equal(report.settled_wall_ms, 91011);
    assert_memory_equal(encoded.data, record.data, record.size_bytes);
    cursor_end(&cursor);
    spool_fixture_free_record(&record);
    spool_fixture_check(fixture);
}

/* Room is kept for settling (S7): what waits can be delivered from the full spool. */
static void batch_append_of_another_spools_leaves_the_reserve(void **state)
{
    struct spool_fixture *fixture = *state;
    struct span record = spool_fixture_record(20000, 1, "route");
    uint64_t waiting = spool_fixture_append(fixture, 1, 100);
    uint64_t sequence;
    int refusal = OUTCOME_ACCEPTED;
    size_t count = 0;
    while (append_dead(fixture, record, &sequence, &refusal) == 0) {
        assert_true(++count < 1000);
    }
    assert_int_equal(refusal, OUTCOME_FULL_BYTES);
    refusal = OUTCOME_ACCEPTED;
    assert_int_equal(append_report(fixture, record, &sequence, &refusal), BATCH_E_REFUSED);
    assert_int_equal(refusal, OUTCOME_FULL_BYTES);
    spool_fixture_settle(fixture, SETTLE_DELIVERED, 1, waiting);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_DELIVERED), 1);
    spool_fixture_free_record(&record);
    spool_fixture_check(fixture);
}

#define APPEND_TEST(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        APPEND_TEST(batch_append_dead_keeps_its_head_and_gives_a_sequence),
        APPEND_TEST(batch_append_report_gets_a_sequence_of_this_spool),
        APPEND_TEST(batch_append_of_another_spools_leaves_the_reserve),
    };
    return cmocka_run_group_tests_name("append", tests, NULL, NULL);
}
