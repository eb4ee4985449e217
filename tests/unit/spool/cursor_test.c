/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/environment.h"
#include "spool/limits.h"

#include <fcntl.h>

static void cursor_next_shows_records_in_order_from_where_it_was_told(void **state)
{
    struct spool_fixture *fixture = *state;
    struct cursor cursor;
    struct span stored;
    uint64_t sequence;
    for (int i = 0; i < 100; i++) {
        spool_fixture_append(fixture, 1 + (uint32_t)(i % 2), 64 + (size_t)i);
    }
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 50), 0);
    for (uint64_t expected = 51; expected <= 99; expected += 2) {
        assert_int_equal(cursor_next(&cursor, &sequence, &stored), 0);
        assert_int_equal(sequence, expected);
        assert_int_equal(stored.size_bytes, 64 + expected - 1);
    }
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), CURSOR_E_END);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), CURSOR_E_END);
    cursor_end(&cursor);
}

static void cursor_next_ends_at_once_where_nothing_is(void **state)
{
    struct spool_fixture *fixture = *state;
    struct cursor cursor;
    struct span stored = {0};
    uint64_t sequence = 77;
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 0), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), CURSOR_E_END);
    cursor_end(&cursor);
    assert_int_equal(cursor_begin_dead(&cursor, fixture->spool, 1, 0), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), CURSOR_E_END);
    cursor_end(&cursor);
    assert_int_equal(cursor_begin_reports(&cursor, fixture->spool, 0), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), CURSOR_E_END);
    cursor_end(&cursor);
    spool_fixture_append(fixture, 1, 100);
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, UINT64_MAX), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), CURSOR_E_END);
    cursor_end(&cursor);
    assert_int_equal(sequence, 77);
    assert_null(stored.data);
}

static void cursor_next_shows_bytes_as_they_were_appended(void **state)
{
    static const size_t sizes[] = {64, 2022, 2023, 4096, 1048576, RECORD_BYTES_MAX};
    struct spool_fixture *fixture = *state;
    fixture->config.max_bytes = 64ULL << 20;
    spool_fixture_close(fixture);
    spool_fixture_open(fixture);
    for (size_t i = 0; i < SPOOL_COUNT_OF(sizes); i++) {
        struct span record = spool_fixture_record(sizes[i], (uint32_t)i, "route");
        struct cursor cursor;
        struct span stored;
        uint64_t appended;
        uint64_t sequence;
        int refusal;
        assert_int_equal(spool_fixture_try_append(fixture, 2, record, &appended, &refusal), 0);
        assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 2, appended), 0);
        assert_int_equal(cursor_next(&cursor, &sequence, &stored), 0);
        assert_int_equal(sequence, appended);
        assert_int_equal(stored.size_bytes, record.size_bytes);
        assert_memory_equal(stored.data, record.data, record.size_bytes);
        cursor_end(&cursor);
        spool_fixture_free_record(&record);
    }
}

static void cursor_appended_is_the_last_that_was_committed(void **state)
{
    struct spool_fixture *fixture = *state;
    struct span record = spool_fixture_record(100, 1, NULL);
    uint64_t sequence;
    int refusal;
    assert_int_equal(cursor_appended(fixture->spool, 1), 0);
    spool_fixture_append(fixture, 1, 100);
    assert_int_equal(batch_begin(fixture->batch, 100, 1), 0);
    assert_int_equal(batch_append(fixture->batch, 1, record, &sequence, &refusal), 0);
    assert_int_equal(cursor_appended(fixture->spool, 1), 1);
    assert_int_equal(batch_commit(fixture->batch), 0);
    assert_int_equal(cursor_appended(fixture->spool, 1), 2);
    spool_fixture_free_record(&record);
}

/* A page of zeros in the middle of the file, behind LMDB's back. */
static void cursor_next_says_that_a_page_is_damaged(void **state)
{
    struct spool_fixture *fixture = *state;
    struct cursor cursor;
    struct span stored;
    uint64_t sequence = 0;
    static const uint8_t zeros[4096];
    for (int i = 0; i < 300; i++) {
        spool_fixture_append(fixture, 1, 1000);
    }
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 150), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), 0);
    cursor_end(&cursor);
    /* The leaf of record 150 is found by the record's bytes. */
    int fd = open(spool_fixture_path(fixture, "data.mdb"), O_RDWR);
    assert_true(fd >= 0);
    struct span record = spool_fixture_record(1000, 1000, NULL);
    uint64_t key = 150;
    uint8_t page[4096];
    for (off_t at = 8192; pread(fd, page, sizeof(page), at) == sizeof(page); at += 4096) {
        if (memmem(page, sizeof(page), &key, sizeof(key)) != NULL &&
            memmem(page, sizeof(page), record.data, record.size_bytes) != NULL) {
            assert_int_equal(pwrite(fd, zeros, sizeof(zeros), at), sizeof(zeros));
        }
    }
    close(fd);
    spool_fixture_free_record(&record);
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 150), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), CURSOR_E_DAMAGED);
    cursor_end(&cursor);
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 200), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), 0);
    cursor_end(&cursor);
}

static void cursor_shows_a_record_again_after_a_restart(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t sequences[4];
    spool_fixture_append(fixture, 1, 100);
    spool_fixture_append(fixture, 1, 100);
    cursor_tell_position(fixture->spool, 1, 3); /* both in-flight: memory only */
    spool_fixture_close(fixture);
    spool_fixture_open(fixture);
    assert_int_equal(spool_fixture_sequences(fixture, 1, false, sequences, 4), 2);
}

/* As another program does: this process's memory knows nothing of it. */
static void append_behind(struct spool_fixture *fixture, uint64_t sequence)
{
    MDB_txn *txn;
    MDB_val key = environment_key(&sequence, sizeof(sequence));
    MDB_val data = environment_key("bytes", 5);
    assert_int_equal(mdb_txn_begin(fixture->spool->env, NULL, 0, &txn), 0);
    assert_int_equal(
        mdb_put(txn, environment_destination(fixture->spool, 1)->queue, &key, &data, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static void cursor_look_sees_what_other_programs_appended(void **state)
{
    struct spool_fixture *fixture = *state;
    cursor_look(fixture->spool, 1);
    assert_int_equal(cursor_appended(fixture->spool, 1), 0);
    append_behind(fixture, 7);
    assert_int_equal(cursor_appended(fixture->spool, 1), 0);
    cursor_look(fixture->spool, 1);
    assert_int_equal(cursor_appended(fixture->spool, 1), 7);
    /* What is known is never less than before. */
    append_behind(fixture, 5);
    spool_fixture_settle(fixture, SETTLE_CORRUPT, 1, 7);
    cursor_look(fixture->spool, 1);
    assert_int_equal(cursor_appended(fixture->spool, 1), 7);
}

#define A_TEST(name)                                                                               \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(cursor_next_shows_records_in_order_from_where_it_was_told),
        A_TEST(cursor_next_ends_at_once_where_nothing_is),
        A_TEST(cursor_next_shows_bytes_as_they_were_appended),
        A_TEST(cursor_appended_is_the_last_that_was_committed),
        A_TEST(cursor_look_sees_what_other_programs_appended),
        A_TEST(cursor_next_says_that_a_page_is_damaged),
        A_TEST(cursor_shows_a_record_again_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
