/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A spool that is full of records of which each needs a report. Kafka's answers come partition by
 * partition, so those of one leaf of the queue come far apart: deleting frees nothing for a while,
 * and each report takes.
 */
#include "spool/committer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/batch.h"
#include "spool/cursor.h"
#include "spool/record.h"

#define RECORDS_MAX 4096
#define PARTITIONS 7
#define STEPS_MAX 20000
#define LARGE_RECORDS 20

struct world {
    struct spool_fixture *spool;
    struct ring *ring;
    struct committer *committer;
    uint64_t sequences[RECORDS_MAX];
    size_t records_count;
    uint64_t reports_run; /* those up to this number */
    size_t reports_without_payload;
};

static void ignore_commit(void *context)
{
    (void)context;
}

/* An empty spool of so many bytes. */
static void begin(struct world *world, uint64_t max_bytes)
{
    struct ring_config ring_config = {.slots_count = 1, .bytes = 16U << 20};
    spool_fixture_set_up_closed((void **)&world->spool);
    world->spool->config.max_bytes = max_bytes;
    spool_fixture_open(world->spool);
    struct committer_config config = {.spool = world->spool->spool, .on_commit = ignore_commit};
    assert_int_equal(ring_new(&ring_config, &world->ring), 0);
    config.ring = world->ring;
    assert_int_equal(committer_new(&config, &world->committer), 0);
}

/* Appends records of that size, up to so many or until the spool is full. */
static void append(struct world *world, size_t size_bytes, const char *route, size_t count)
{
    struct span record = spool_fixture_record(size_bytes, 1, route);
    int refusal = 0;
    for (size_t i = 0; i < count && refusal == 0; i++) {
        uint64_t sequence = 0;
        assert_true(world->records_count < RECORDS_MAX);
        assert_int_equal(batch_begin(world->spool->batch, size_bytes, 1), 0);
        int r = batch_append(world->spool->batch, 1, record, &sequence, &refusal);
        assert_true(r == 0 || r == BATCH_E_REFUSED);
        assert_int_equal(batch_commit(world->spool->batch), 0);
        if (r == 0) {
            world->sequences[world->records_count++] = sequence;
        }
    }
    spool_fixture_free_record(&record);
}

/* A spool of so many bytes, full of records of that size. */
static void fill(struct world *world, uint64_t max_bytes, size_t size_bytes)
{
    begin(world, max_bytes);
    append(world, size_bytes, "route", RECORDS_MAX);
}

static void end(struct world *world)
{
    spool_fixture_check(world->spool);
    committer_free(&world->committer);
    ring_free(&world->ring);
    spool_fixture_tear_down((void **)&world->spool);
}

/* Hands one over. */
static void settle(struct world *world, size_t at, enum settle_action action)
{
    uint64_t position;
    struct settlement settlement = {
        .action = action, .destination = 1, .sequence = world->sequences[at]};
    assert_int_equal(committer_settle(world->committer, &settlement, 1, &position), 0);
}

/* Hands all of them over as delivered, partition by partition. */
static void deliver_all(struct world *world)
{
    for (size_t partition = 0; partition < PARTITIONS; partition++) {
        for (size_t i = partition; i < world->records_count; i += PARTITIONS) {
            settle(world, i, SETTLE_DELIVERED);
        }
    }
}

/* Says of each report that came since that its route was run. */
static void run_reports(struct world *world)
{
    struct cursor cursor;
    struct span stored;
    struct settlement run = {.action = SETTLE_REPORT_RUN};
    uint64_t position;
    assert_int_equal(cursor_begin_reports(&cursor, world->spool->spool, world->reports_run + 1), 0);
    while (cursor_next(&cursor, &run.sequence, &stored) == 0) {
        struct report report;
        struct span encoded;
        struct record record;
        assert_int_equal(report_decode(stored, &report, &encoded), 0);
        assert_int_equal(record_decode(encoded, &record), 0);
        assert_memory_equal(record.report_route.data, "route", strlen("route"));
        assert_int_equal(report.is_payload_left_out, record.payload.size_bytes == 0);
        world->reports_without_payload += report.is_payload_left_out;
        world->reports_run = run.sequence;
        assert_int_equal(committer_settle(world->committer, &run, 1, &position), 0);
    }
    cursor_end(&cursor);
}

/* Steps until the queue is empty. */
static void drain(struct world *world, bool runs_reports)
{
    struct committer_statistics statistics;
    for (size_t i = 0; i < STEPS_MAX; i++) {
        (void)committer_step(world->committer, true);
        if (runs_reports) {
            run_reports(world);
        }
        if (spool_fixture_counter(world->spool, 1, COUNTER_QUEUE_RECORDS) == 0) {
            break;
        }
        world->spool->now_ms += 100;
    }
    assert_int_equal(spool_fixture_counter(world->spool, 1, COUNTER_QUEUE_RECORDS), 0);
    assert_int_equal(spool_fixture_counter(world->spool, 1, COUNTER_DELIVERED),
                     world->records_count);
    committer_statistics(world->committer, &statistics);
    print_message("%zu records: %llu commits, %llu failed\n", world->records_count,
                  (unsigned long long)statistics.commits_count,
                  (unsigned long long)statistics.failed_commits_count);
    /* Few are tried in vain, and none again and again. */
    assert_true(statistics.failed_commits_count < 200);
}

static const size_t sizes[] = {200, 1000, 3000, 60000};

static void committer_drains_a_full_spool_whose_reports_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(sizes); i++) {
        struct world world = {.spool = NULL};
        fill(&world, sizes[i] < 1000 ? 1 << 20 : 2 << 20, sizes[i]);
        deliver_all(&world);
        drain(&world, true);
        for (int step = 0; step < 10; step++) {
            (void)committer_step(world.committer, true);
            run_reports(&world);
        }
        assert_int_equal(spool_fixture_counter(world.spool, 1, COUNTER_REPORT_RECORDS), 0);
        assert_int_equal(world.reports_run, world.records_count);
        end(&world);
    }
}

/* Nobody runs them: spool-forward leaves the reports to the host that can. */
static void committer_drains_a_full_spool_whose_reports_wait(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(sizes); i++) {
        struct world world = {.spool = NULL};
        fill(&world, sizes[i] < 1000 ? 1 << 20 : 2 << 20, sizes[i]);
        deliver_all(&world);
        drain(&world, false);
        assert_int_equal(spool_fixture_counter(world.spool, 1, COUNTER_REPORT_RECORDS),
                         world.records_count);
        run_reports(&world);
        print_message("%zu of %zu reports without payload\n", world.reports_without_payload,
                      world.records_count);
        end(&world);
    }
}

/* Hands over what waits: so many as delivered, the rest as dead. All of it is dealt with. */
static void settle_waiting(struct world *world, size_t delivered_count)
{
    uint64_t sequences[RECORDS_MAX];
    uint64_t position = 0;
    size_t count = spool_fixture_sequences(world->spool, 1, false, sequences, RECORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct settlement settlement = {.action =
                                            i < delivered_count ? SETTLE_DELIVERED : SETTLE_DEAD,
                                        .destination = 1,
                                        .sequence = sequences[i]};
        assert_int_equal(committer_settle(world->committer, &settlement, 1, &position), 0);
    }
    for (size_t i = 0; i < 100; i++) {
        (void)committer_step(world->committer, true);
        world->spool->now_ms += 100;
    }
    assert_int_equal(committer_settled(world->committer), position);
}

/* A reader that stays holds back every freed page: dead letters find no room, and nothing can be
 * done about it. Whoever handed them over hears that, and can do so again. */
static void committer_gives_back_what_finds_no_room(void **state)
{
    (void)state;
    struct world world = {.spool = NULL};
    struct cursor reader;
    fill(&world, 2 << 20, 60000);
    assert_int_equal(cursor_begin_queue(&reader, world.spool->spool, 1, 0), 0);
    settle_waiting(&world, 0);
    cursor_end(&reader);
    uint64_t given_back = committer_given_back(world.committer, 1);
    assert_in_range(given_back, 1, world.records_count);
    assert_int_equal(committer_given_back(world.committer, 2), 0);
    assert_int_equal(spool_fixture_counter(world.spool, 1, COUNTER_QUEUE_RECORDS), given_back);
    assert_int_equal(spool_fixture_counter(world.spool, 1, COUNTER_DEAD_RECORDS),
                     world.records_count - given_back);
    settle_waiting(&world, RECORDS_MAX);
    assert_int_equal(committer_given_back(world.committer, 1), given_back);
    assert_int_equal(spool_fixture_counter(world.spool, 1, COUNTER_QUEUE_RECORDS), 0);
    assert_int_equal(spool_fixture_counter(world.spool, 1, COUNTER_DELIVERED), given_back);
    end(&world);
}

/* What waits for room is due again. */
static void step(struct world *world)
{
    world->spool->now_ms += 100;
    (void)committer_step(world->committer, true);
}

/* Half of the spool is free, but in small pieces: dead letters took the pages at the file's end
 * while a reader held back all others. A report's large payload finds none in a row, and what was
 * delivered leaves all the same. */
static void committer_leaves_out_a_payload_that_finds_no_pages_in_a_row(void **state)
{
    (void)state;
    struct world world = {.spool = NULL};
    struct cursor reader;
    begin(&world, 2 << 20);
    append(&world, 120000, "route", 1);
    for (size_t i = 0; i < LARGE_RECORDS; i++) {
        append(&world, 30000, NULL, 1);
        append(&world, 9000, NULL, 1);
    }
    size_t first = world.records_count;
    append(&world, 9000, NULL, RECORDS_MAX);
    for (size_t i = first; i < world.records_count; i += 2) {
        settle(&world, i, SETTLE_DELIVERED);
        step(&world);
    }
    assert_int_equal(cursor_begin_queue(&reader, world.spool->spool, 1, 0), 0);
    for (size_t i = 1; i < first; i += 2) {
        settle(&world, i, SETTLE_DEAD);
    }
    step(&world);
    step(&world);
    step(&world);
    cursor_end(&reader);
    assert_in_range(spool_fixture_counter(world.spool, 1, COUNTER_DEAD_RECORDS), 1,
                    LARGE_RECORDS - 1);
    for (size_t i = first + 1; i < first + 7; i += 2) {
        settle(&world, i, SETTLE_DELIVERED);
        step(&world);
    }
    settle(&world, 0, SETTLE_DELIVERED);
    for (int i = 0; i < 10; i++) {
        step(&world);
    }
    run_reports(&world);
    assert_int_equal(world.reports_run, 1);
    assert_int_equal(world.reports_without_payload, 1);
    end(&world);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(committer_leaves_out_a_payload_that_finds_no_pages_in_a_row),
        cmocka_unit_test(committer_gives_back_what_finds_no_room),
        cmocka_unit_test(committer_drains_a_full_spool_whose_reports_run),
        cmocka_unit_test(committer_drains_a_full_spool_whose_reports_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
