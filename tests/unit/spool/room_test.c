/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The room that appends are given, and that settling always finds: spool/room.c. */
#include "spool/batch_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/cursor.h"
#include "spool/outcome.h"

#include <sys/stat.h>

/* What filling came to. */
struct filled {
    size_t records;
    uint64_t bytes;
    size_t
        no_space_count; /* batches that LMDB had no space for: appends are to be refused before */
};

/* Appends in batches until one record is refused, or there was no space for a batch of one. */
static struct filled fill(struct spool_fixture *fixture, size_t size_bytes, size_t batch_records)
{
    struct filled filled = {0};
    struct span record = spool_fixture_record(size_bytes, 1, NULL);
    size_t in_batch = batch_records;
    int r = 0;
    while (r == 0) {
        uint64_t sequence;
        int refusal = 0;
        size_t count = 0;
        assert_int_equal(batch_begin(fixture->batch, in_batch * size_bytes, in_batch), 0);
        while (r == 0 && count < in_batch) {
            r = batch_append(fixture->batch, 1, record, &sequence, &refusal);
            count += r == 0;
        }
        int committed = r == BATCH_E_NO_SPACE ? r : batch_commit(fixture->batch);
        if (committed == BATCH_E_NO_SPACE) {
            filled.no_space_count++;
            r = in_batch == 1 ? r : 0;
            in_batch = in_batch / 2 > 0 ? in_batch / 2 : 1;
            continue;
        }
        assert_int_equal(committed, 0);
        filled.records += count;
        filled.bytes += count * size_bytes;
    }
    spool_fixture_free_record(&record);
    return filled;
}

/* Settles a batch of what waits, oldest first: less and less of it as long as there is no space.
 * Returns how many; 0 when even one has none. */
static size_t settle_some(struct spool_fixture *fixture, enum settle_action action,
                          size_t batch_records)
{
    static uint64_t sequences[4096];
    size_t count = spool_fixture_sequences(fixture, 1, false, sequences, batch_records);
    for (; count > 0; count /= 2) {
        size_t done = 0;
        int r = batch_begin(fixture->batch, 0, 0);
        while (r == 0 && done < count && !batch_is_large(fixture->batch)) {
            struct settlement settlement = {
                .action = action, .destination = 1, .sequence = sequences[done]};
            r = batch_settle(fixture->batch, &settlement);
            done += r == 0;
        }
        r = r == BATCH_E_LATER ? 0 : r;
        r = r == 0 ? batch_commit(fixture->batch) : r;
        if (r == 0) {
            return done;
        }
        assert_int_equal(r, BATCH_E_NO_SPACE);
    }
    return 0;
}

/* Delivers so many records; there is always space for that (S7). */
static void drain(struct spool_fixture *fixture, size_t records, size_t batch_records)
{
    while (records > 0) {
        size_t done = settle_some(fixture, SETTLE_DELIVERED,
                                  batch_records < records ? batch_records : records);
        assert_true(done > 0);
        records -= done;
    }
}

static void reopen_with(struct spool_fixture *fixture, uint64_t max_bytes)
{
    spool_fixture_close(fixture);
    fixture->config.max_bytes = max_bytes;
    spool_fixture_open(fixture);
}

/* A new spool of that size. */
static struct spool_fixture *fresh(void **state, uint64_t max_bytes)
{
    spool_fixture_tear_down(state);
    spool_fixture_set_up_closed(state);
    struct spool_fixture *fixture = *state;
    fixture->config.max_bytes = max_bytes;
    spool_fixture_open(fixture);
    return fixture;
}

/* Sizes on both sides of what LMDB does differently: many to a page, two to a page and a third of
 * it lost, one to a page, pages of their own, pages in a row. */
static const size_t sizes[] = {64, 512, 1400, 2000, 2022, 2023, 3000, 4081, 100000, 1048576};

static void room_appends_are_refused_before_the_map_is_full(void **state)
{
    for (size_t i = 0; i < SPOOL_COUNT_OF(sizes); i++) {
        struct spool_fixture *fixture = fresh(state, 16ULL << 20);
        size_t batch_records = (size_t)BATCH_BYTES_MAX / sizes[i];
        batch_records = batch_records < BATCH_RECORDS_MAX ? batch_records : BATCH_RECORDS_MAX;
        for (int round = 0; round < 3; round++) {
            struct filled filled = fill(fixture, sizes[i], batch_records);
            if (round == 0) {
                print_message("16 MiB take %zu records of %zu bytes: %.1f %% are payload\n",
                              filled.records, sizes[i],
                              100.0 * (double)filled.bytes / (16.0 * 1048576));
                assert_int_equal(filled.no_space_count, 0);
            }
            assert_true(filled.records > 0);
            spool_fixture_check(fixture);
            drain(fixture, filled.records, 1000);
            assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 0);
        }
        spool_fixture_check(fixture);
    }
}

/* A dead letter takes a little more than the record did, so not all of a full spool can become
 * dead letters; what does not fit stays where it is, and can be delivered. */
static void room_is_found_for_dead_letters_and_always_for_deletes(void **state)
{
    for (size_t i = 0; i < SPOOL_COUNT_OF(sizes); i++) {
        struct spool_fixture *fixture = fresh(state, 16ULL << 20);
        struct filled filled = fill(fixture, sizes[i], 1 + 1000000 / sizes[i]);
        size_t dead = 0;
        size_t done;
        while ((done = settle_some(fixture, SETTLE_DEAD, 1000)) > 0) {
            dead += done;
        }
        print_message("%zu of %zu records of %zu bytes became dead letters\n", dead, filled.records,
                      sizes[i]);
        assert_true(dead > 0);
        spool_fixture_check(fixture);
        drain(fixture, filled.records - dead, 1000);
        assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_DEAD_RECORDS), dead);
        assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 0);
        spool_fixture_check(fixture);
    }
}

static void room_is_enough_in_the_smallest_spool(void **state)
{
    struct spool_fixture *fixture = fresh(state, SPOOL_BYTES_MIN);
    for (int round = 0; round < 5; round++) {
        struct filled filled = fill(fixture, 700, 4096);
        assert_int_equal(filled.no_space_count, 0);
        assert_true(filled.bytes > SPOOL_BYTES_MIN / 2);
        drain(fixture, filled.records, 4096);
    }
    spool_fixture_check(fixture);
}

/* A steady state at the limit: as much comes as leaves, and pages that were freed by one commit
 * cannot be used by the next. */
static void room_is_told_rightly_while_records_come_and_go(void **state)
{
    struct spool_fixture *fixture = fresh(state, 16ULL << 20);
    struct filled filled = fill(fixture, 512, 4096);
    for (int round = 0; round < 60; round++) {
        drain(fixture, 3000, 3000);
        struct filled more = fill(fixture, 512, 3000);
        assert_int_equal(more.no_space_count, 0);
        filled.records += more.records - 3000;
    }
    print_message("after 60 rounds %zu records wait\n", filled.records);
    drain(fixture, filled.records, 1000);
    spool_fixture_check(fixture);
}

/* A reader holds pages back: appends are refused in time, and settling has its reserve. */
static void room_counts_pages_that_a_reader_holds_as_taken(void **state)
{
    struct spool_fixture *fixture = fresh(state, 16ULL << 20);
    struct cursor cursor;
    struct filled filled = fill(fixture, 512, 1000);
    drain(fixture, filled.records, 1000);
    filled = fill(fixture, 512, 1000);
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 0), 0);
    size_t waiting = filled.records;
    for (int round = 0; round < 3; round++) {
        waiting -= 1000;
        drain(fixture, 1000, 1000);
        struct filled more = fill(fixture, 512, 500);
        assert_int_equal(more.no_space_count, 0);
        waiting += more.records;
    }
    cursor_end(&cursor);
    drain(fixture, waiting, 1000);
    assert_true(fill(fixture, 512, 1000).records > filled.records * 9 / 10);
    spool_fixture_check(fixture);
}

static void room_is_found_to_drain_a_spool_whose_limit_was_lowered(void **state)
{
    struct spool_fixture *fixture = fresh(state, 16ULL << 20);
    int refusal = 0;
    uint64_t sequence;
    struct span record = spool_fixture_record(512, 1, NULL);
    struct filled filled = fill(fixture, 512, 4096);
    reopen_with(fixture, SPOOL_BYTES_MIN);
    assert_int_equal(spool_fixture_try_append(fixture, 1, record, &sequence, &refusal),
                     BATCH_E_REFUSED);
    assert_int_equal(refusal, OUTCOME_FULL_BYTES);
    drain(fixture, filled.records, 1000);
    assert_int_equal(spool_fixture_try_append(fixture, 1, record, &sequence, &refusal), 0);
    spool_fixture_free_record(&record);
    spool_fixture_check(fixture);
}

static void room_the_file_never_grows_beyond_the_limit(void **state)
{
    struct spool_fixture *fixture = fresh(state, SPOOL_BYTES_MIN);
    struct stat status;
    for (int round = 0; round < 10; round++) {
        struct filled filled = fill(fixture, 3000, 100);
        drain(fixture, filled.records, 10);
        reopen_with(fixture, SPOOL_BYTES_MIN);
    }
    assert_int_equal(stat(spool_fixture_path(fixture, "data.mdb"), &status), 0);
    print_message("%llu bytes, %llu on disk\n", (unsigned long long)status.st_size,
                  (unsigned long long)status.st_blocks * 512);
    assert_true((uint64_t)status.st_size <= SPOOL_BYTES_MIN);
    assert_true((uint64_t)status.st_blocks * 512 <= SPOOL_BYTES_MIN + 65536);
}

#define A_TEST(name)                                                                               \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(room_appends_are_refused_before_the_map_is_full),
        A_TEST(room_is_found_for_dead_letters_and_always_for_deletes),
        A_TEST(room_is_enough_in_the_smallest_spool),
        A_TEST(room_is_told_rightly_while_records_come_and_go),
        A_TEST(room_counts_pages_that_a_reader_holds_as_taken),
        A_TEST(room_is_found_to_drain_a_spool_whose_limit_was_lowered),
        A_TEST(room_the_file_never_grows_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
