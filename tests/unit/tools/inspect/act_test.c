/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/act.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "spool/cursor.h"
#include "spool/environment.h"
#include "tests/harness/spool_fixture.h"

#define RECORDS_COUNT (2 * ACT_BATCH_MAX + 500)

static const struct audit_entry an_entry = {
    .act = AUDIT_DROP,
    .destination = 1,
    .who = {"a test", 6},
    .what = {"all", 3},
};

/* The last entry of the audit log; its texts are not to be looked at. */
static size_t read_log(struct spool_fixture *fixture, struct audit_entry *ret_last)
{
    struct cursor cursor;
    struct span stored;
    uint64_t number;
    size_t count = 0;
    if (cursor_begin_audit(&cursor, fixture->spool, 0) == CURSOR_E_END) {
        return 0;
    }
    for (; cursor_next(&cursor, &number, &stored) == 0; count++) {
        assert_int_equal(audit_decode(stored, ret_last), 0);
    }
    cursor_end(&cursor);
    return count;
}

static void append_many(struct spool_fixture *fixture, size_t count)
{
    struct span record = spool_fixture_record(64, 1, NULL);
    uint64_t sequence;
    int refusal;
    for (size_t i = 0; i < count;) {
        assert_int_equal(batch_begin(fixture->batch, 1000 * record.size_bytes, 1000), 0);
        for (size_t j = 0; j < 1000 && i < count; i++, j++) {
            assert_int_equal(batch_append(fixture->batch, 1, record, &sequence, &refusal), 0);
        }
        assert_int_equal(batch_commit(fixture->batch), 0);
    }
    spool_fixture_free_record(&record);
}

static int drop(struct act *act, uint64_t sequence, struct message *message)
{
    struct settlement settlement = {.action = SETTLE_DROP, .destination = 1, .sequence = sequence};
    return act_settle(act, &settlement, message);
}

static void act_settle_commits_by_batches_and_notes_them(void **state)
{
    struct spool_fixture *fixture = *state;
    struct act *act = calloc(1, sizeof(*act));
    struct audit_entry last = {0};
    assert_non_null(act);
    append_many(fixture, RECORDS_COUNT);
    assert_int_equal(act_init(act, fixture->spool, &an_entry), 0);
    assert_int_equal(read_log(fixture, &last), 0);
    for (uint64_t i = 1; i <= RECORDS_COUNT; i++) {
        assert_int_equal(drop(act, i, &fixture->message), 0);
        if (i == ACT_BATCH_MAX) {
            assert_int_equal(read_log(fixture, &last), 1);
            assert_int_equal(last.records_count, ACT_BATCH_MAX);
            assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_DROPPED), ACT_BATCH_MAX);
        }
    }
    assert_int_equal(act_flush(act, &fixture->message), 0);
    assert_int_equal(act->entry.records_count, RECORDS_COUNT);
    act_deinit(act);
    free(act);
    assert_int_equal(read_log(fixture, &last), 1);
    assert_int_equal(last.records_count, RECORDS_COUNT);
    assert_int_equal(last.bytes, RECORDS_COUNT * 64);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 0);
    spool_fixture_check(fixture);
}

/* What somebody else settled in the meantime is not this act's. */
static void act_flush_counts_only_what_was_there(void **state)
{
    struct spool_fixture *fixture = *state;
    struct act *act = calloc(1, sizeof(*act));
    struct audit_entry last = {0};
    assert_non_null(act);
    append_many(fixture, 3);
    spool_fixture_settle(fixture, SETTLE_DELIVERED, 1, 2);
    assert_int_equal(act_init(act, fixture->spool, &an_entry), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(drop(act, i, &fixture->message), 0);
    }
    assert_int_equal(act_flush(act, &fixture->message), 0);
    assert_int_equal(act->entry.records_count, 2);
    assert_int_equal(read_log(fixture, &last), 1);
    assert_int_equal(last.records_count, 2);
    act_deinit(act);
    /* An act that found nothing leaves nothing. */
    assert_int_equal(act_init(act, fixture->spool, &an_entry), 0);
    assert_int_equal(drop(act, 1, &fixture->message), 0);
    assert_int_equal(act_flush(act, &fixture->message), 0);
    act_deinit(act);
    free(act);
    assert_int_equal(read_log(fixture, &last), 1);
    spool_fixture_check(fixture);
}

static void act_flush_of_a_latched_spool_changes_nothing(void **state)
{
    struct spool_fixture *fixture = *state;
    struct act *act = calloc(1, sizeof(*act));
    assert_non_null(act);
    append_many(fixture, 1);
    assert_int_equal(act_init(act, fixture->spool, &an_entry), 0);
    assert_int_equal(drop(act, 1, &fixture->message), 0);
    atomic_store(&fixture->spool->is_latched, true);
    assert_int_equal(act_flush(act, &fixture->message), ACT_E_LATCHED);
    assert_non_null(strstr(fixture->message.text, "a write failed"));
    assert_int_equal(act->entry.records_count, 0);
    atomic_store(&fixture->spool->is_latched, false);
    act_deinit(act);
    free(act);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 1);
}

#define ACT_TEST(function)                                                                         \
    cmocka_unit_test_setup_teardown(function, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ACT_TEST(act_settle_commits_by_batches_and_notes_them),
        ACT_TEST(act_flush_counts_only_what_was_there),
        ACT_TEST(act_flush_of_a_latched_spool_changes_nothing),
    };
    return cmocka_run_group_tests_name("act", tests, NULL, NULL);
}
