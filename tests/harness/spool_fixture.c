/* SPDX-License-Identifier: GPL-2.0-or-later */
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
#include "spool/record.h"

#include <ftw.h>

#define FIXTURE_BYTES (4ULL << 20)

static uint64_t fixture_now_ms(struct clock *clock)
{
    return ((struct spool_fixture *)clock)->now_ms;
}

static int fixture_remove(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

int spool_fixture_set_up_closed(void **state)
{
    struct spool_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->clock = (struct clock){.wall_ms = fixture_now_ms, .monotonic_ms = fixture_now_ms};
    fixture->now_ms = 1700000000000;
    (void)snprintf(fixture->root, sizeof(fixture->root), "%s/spool_test.XXXXXX",
                   getenv("SPOOL_TEST_DIR") != NULL ? getenv("SPOOL_TEST_DIR") : "/tmp");
    assert_non_null(mkdtemp(fixture->root));
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "%s/spool", fixture->root);
    fixture->config = (struct spool_config){
        .dir = fixture->dir,
        .owner_name = "spool-test",
        .max_bytes = FIXTURE_BYTES,
        .durability = SPOOL_SYNC,
        .may_create = true,
        .clock = &fixture->clock,
    };
    *state = fixture;
    return 0;
}

int spool_fixture_set_up(void **state)
{
    spool_fixture_set_up_closed(state);
    spool_fixture_open(*state);
    return 0;
}

int spool_fixture_tear_down(void **state)
{
    struct spool_fixture *fixture = *state;
    spool_fixture_close(fixture);
    (void)nftw(fixture->root, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

int spool_fixture_try_open(struct spool_fixture *fixture)
{
    fixture->message.text[0] = '\0';
    return spool_open(&fixture->config, &fixture->spool, &fixture->message);
}

void spool_fixture_open(struct spool_fixture *fixture)
{
    uint32_t id;
    int r = spool_fixture_try_open(fixture);
    if (r != 0) {
        fail_msg("spool_open: %d: %s", r, fixture->message.text);
    }
    assert_int_equal(batch_new(fixture->spool, &fixture->batch), 0);
    for (uint32_t i = 1; i <= 2; i++) {
        const char *identity = i == 1 ? "broker:9092/one" : "broker:9092/two";
        assert_int_equal(
            spool_destination_open(fixture->spool, identity, identity, &id, &fixture->message), 0);
        assert_int_equal(id, i);
    }
}

void spool_fixture_close(struct spool_fixture *fixture)
{
    batch_free(&fixture->batch);
    spool_close(&fixture->spool);
}

const char *spool_fixture_path(const struct spool_fixture *fixture, const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
    return path;
}

/* --- Records ---------------------------------------------------------------------------------- */

struct span spool_fixture_record(size_t size_bytes, uint32_t seed, const char *route)
{
    struct record record = {.published_wall_ms = 1700000000000};
    size_t size;
    if (route != NULL) {
        record.report_route = (struct span){route, strlen(route)};
    }
    assert_int_equal(record_size(&record, &size), 0);
    assert_true(size_bytes >= size);
    record.payload.size_bytes = size_bytes - size;
    uint8_t *payload = malloc(record.payload.size_bytes + 1);
    void *encoded = malloc(size_bytes);
    assert_non_null(payload);
    assert_non_null(encoded);
    for (size_t i = 0; i < record.payload.size_bytes; i++) {
        seed = seed * 1664525 + 1013904223;
        payload[i] = (uint8_t)(seed >> 24);
    }
    record.payload.data = payload;
    record_encode(&record, encoded);
    free(payload);
    return (struct span){encoded, size_bytes};
}

void spool_fixture_free_record(struct span *record)
{
    free((void *)(uintptr_t)record->data);
    *record = (struct span){0};
}

/* --- One thing in a batch of its own ---------------------------------------------------------- */

int spool_fixture_try_append(struct spool_fixture *fixture, uint32_t destination,
                             struct span record, uint64_t *ret_sequence, int *ret_refusal)
{
    int r = batch_begin(fixture->batch, record.size_bytes, 1);
    if (r != 0) {
        return r;
    }
    r = batch_append(fixture->batch, destination, record, ret_sequence, ret_refusal);
    if (r != 0 && r != BATCH_E_REFUSED) {
        return r;
    }
    int committed = batch_commit(fixture->batch);
    return committed != 0 ? committed : r;
}

uint64_t spool_fixture_append(struct spool_fixture *fixture, uint32_t destination,
                              size_t size_bytes)
{
    struct span record = spool_fixture_record(size_bytes, (uint32_t)size_bytes, NULL);
    uint64_t sequence = 0;
    int refusal = 0;
    int r = spool_fixture_try_append(fixture, destination, record, &sequence, &refusal);
    spool_fixture_free_record(&record);
    assert_int_equal(r, 0);
    return sequence;
}

void spool_fixture_settle(struct spool_fixture *fixture, enum settle_action action,
                          uint32_t destination, uint64_t sequence)
{
    struct settlement settlement = {
        .action = action,
        .destination = destination,
        .to_destination = destination,
        .sequence = sequence,
        .partition = -1,
        .offset = -1,
    };
    assert_int_equal(batch_begin(fixture->batch, 0, 0), 0);
    assert_int_equal(batch_settle(fixture->batch, &settlement), 0);
    assert_int_equal(batch_commit(fixture->batch), 0);
}

uint64_t spool_fixture_counter(struct spool_fixture *fixture, uint32_t destination,
                               enum counter counter)
{
    struct counters counters;
    assert_int_equal(spool_counters(fixture->spool, destination, &counters), 0);
    return counters.values[counter];
}

/* --- The full count --------------------------------------------------------------------------- */

struct fixture_count {
    uint64_t records;
    uint64_t bytes;
};

enum fixture_kind {
    FIXTURE_QUEUE,
    FIXTURE_DEAD,
    FIXTURE_REPORTS,
};

static int fixture_begin(struct cursor *cursor, struct spool *spool, enum fixture_kind kind,
                         uint32_t destination)
{
    switch (kind) {
    case FIXTURE_QUEUE:
        return cursor_begin_queue(cursor, spool, destination, 0);
    case FIXTURE_DEAD:
        return cursor_begin_dead(cursor, spool, destination, 0);
    default:
        return cursor_begin_reports(cursor, spool, 0);
    }
}

/* Whether the stored bytes are what their kind is to be; a report says whose it is. */
static void fixture_check_stored(enum fixture_kind kind, struct span stored, uint32_t *destination)
{
    struct record record;
    struct dead_letter dead = {.reason = SETTLE_DEAD};
    struct report report;
    struct span encoded = stored;
    if (kind == FIXTURE_DEAD) {
        assert_int_equal(dead_letter_decode(stored, &dead, &encoded), 0);
    } else if (kind == FIXTURE_REPORTS) {
        assert_int_equal(report_decode(stored, &report, &encoded), 0);
        *destination = report.destination;
    }
    if (dead.reason != SETTLE_CORRUPT) {
        assert_int_equal(record_decode(encoded, &record), 0);
    }
}

static void fixture_count(struct spool *spool, enum fixture_kind kind, uint32_t destination,
                          struct fixture_count counts[DESTINATIONS_MAX + 1])
{
    struct cursor cursor;
    uint64_t sequence;
    uint64_t before = 0;
    struct span stored;
    int r;
    assert_int_equal(fixture_begin(&cursor, spool, kind, destination), 0);
    while ((r = cursor_next(&cursor, &sequence, &stored)) == 0) {
        uint32_t whose = destination;
        assert_true(sequence > before);
        before = sequence;
        fixture_check_stored(kind, stored, &whose);
        counts[whose].records++;
        counts[whose].bytes += stored.size_bytes;
    }
    assert_int_equal(r, CURSOR_E_END);
    cursor_end(&cursor);
}

static uint64_t fixture_pages(struct spool *spool, uint32_t destination)
{
    MDB_txn *txn;
    MDB_stat queue;
    MDB_stat dead;
    assert_int_equal(mdb_txn_begin(spool->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_stat(txn, spool->destinations[destination].queue, &queue), 0);
    assert_int_equal(mdb_stat(txn, spool->destinations[destination].dead, &dead), 0);
    mdb_txn_abort(txn);
    return environment_stat_pages(&queue) + environment_stat_pages(&dead);
}

static void fixture_compare(struct spool_fixture *fixture, uint32_t row, enum counter records,
                            struct fixture_count count)
{
    assert_int_equal(spool_fixture_counter(fixture, row, records), count.records);
    assert_int_equal(spool_fixture_counter(fixture, row, records + 1), count.bytes);
}

/* One kind of database, over all destinations; the totals too. */
static void fixture_check_kind(struct spool_fixture *fixture, enum fixture_kind kind,
                               enum counter counter)
{
    struct fixture_count counts[DESTINATIONS_MAX + 1] = {0};
    uint32_t destinations = spool_destinations_count(fixture->spool);
    struct fixture_count all = {0};
    if (kind == FIXTURE_REPORTS) {
        fixture_count(fixture->spool, kind, 0, counts);
    }
    for (uint32_t i = 1; i <= destinations; i++) {
        if (kind != FIXTURE_REPORTS) {
            fixture_count(fixture->spool, kind, i, counts);
        }
        fixture_compare(fixture, i, counter, counts[i]);
        all.records += counts[i].records;
        all.bytes += counts[i].bytes;
    }
    fixture_compare(fixture, DESTINATION_ALL, counter, all);
}

static void fixture_check_one_place(struct spool_fixture *fixture, uint32_t destination)
{
    struct cursor cursor;
    struct cursor dead;
    uint64_t sequence;
    uint64_t dead_sequence;
    struct span stored;
    assert_int_equal(cursor_begin_dead(&cursor, fixture->spool, destination, 0), 0);
    while (cursor_next(&cursor, &sequence, &stored) == 0) {
        assert_int_equal(cursor_begin_queue(&dead, fixture->spool, destination, sequence), 0);
        if (cursor_next(&dead, &dead_sequence, &stored) == 0) {
            assert_int_not_equal(dead_sequence, sequence);
        }
        cursor_end(&dead);
    }
    cursor_end(&cursor);
}

void spool_fixture_check(struct spool_fixture *fixture)
{
    uint64_t pages = 0;
    fixture_check_kind(fixture, FIXTURE_QUEUE, COUNTER_QUEUE_RECORDS);
    fixture_check_kind(fixture, FIXTURE_DEAD, COUNTER_DEAD_RECORDS);
    fixture_check_kind(fixture, FIXTURE_REPORTS, COUNTER_REPORT_RECORDS);
    for (uint32_t i = 1; i <= spool_destinations_count(fixture->spool); i++) {
        uint64_t counted = fixture_pages(fixture->spool, i);
        assert_int_equal(spool_fixture_counter(fixture, i, COUNTER_PAGES), counted);
        pages += counted;
        fixture_check_one_place(fixture, i);
    }
    assert_int_equal(spool_fixture_counter(fixture, DESTINATION_ALL, COUNTER_PAGES), pages);
}

size_t spool_fixture_sequences(struct spool_fixture *fixture, uint32_t destination, bool is_dead,
                               uint64_t *sequences, size_t max)
{
    struct cursor cursor;
    struct span stored;
    size_t count = 0;
    enum fixture_kind kind = is_dead ? FIXTURE_DEAD : FIXTURE_QUEUE;
    assert_int_equal(fixture_begin(&cursor, fixture->spool, kind, destination), 0);
    while (count < max && cursor_next(&cursor, &sequences[count], &stored) == 0) {
        count++;
    }
    cursor_end(&cursor);
    return count;
}
