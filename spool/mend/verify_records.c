/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The records: all queues and dead letters in the one order of their sequences, so that a sequence
 * in two places is met twice in a row; then the reports. */
#include "spool/mend/verify_private.h"
#include "spool/record.h"
#include "spool/settlement.h"

#include <inttypes.h>

/* All windows together; each one's share is at most the largest that makes reading faster. */
#define WINDOWS_BYTES (16U << 20)
#define WINDOW_BYTES_MAX (64U << 10)

/* After so many bytes the clock is looked at. */
#define CLOCK_BYTES (256U << 10)
/* An entry counts as so many bytes at least. */
#define ENTRY_BYTES 64U

/* --- One entry -------------------------------------------------------------------------------- */

static void verify_check_record(struct verify *verify, const struct verify_database *database,
                                struct span encoded, bool is_known_damaged)
{
    int r = record_check(encoded);
    if (r == RECORD_E_NEWER) {
        verify_find(verify, "record", database->name, database->sequence, database->head.page,
                    "a newer version wrote it: this one cannot read it");
    } else if (r != 0 && !is_known_damaged) {
        verify_find(verify, "record", database->name, database->sequence, database->head.page,
                    "its checksum is wrong");
    }
}

static void verify_check_dead(struct verify *verify, const struct verify_database *database,
                              struct span value)
{
    struct dead_letter dead;
    struct span encoded;
    if (dead_letter_decode(value, &dead, &encoded) != 0) {
        verify_find(verify, "record", database->name, database->sequence, database->head.page,
                    "the dead letter's head cannot be read");
        return;
    }
    if (dead.reason != SETTLE_DEAD && dead.reason != SETTLE_CORRUPT &&
        dead.reason != SETTLE_EXPIRED) {
        verify_find(verify, "record", database->name, database->sequence, database->head.page,
                    "no record becomes a dead letter by \"%s\"", settle_action_name(dead.reason));
    }
    /* S8: one that failed its checksum was kept as it is. */
    verify_check_record(verify, database, encoded, dead.reason == SETTLE_CORRUPT);
}

/* 0 when it does not say whose it is. */
static uint32_t verify_check_report(struct verify *verify, const struct verify_database *database,
                                    struct span value)
{
    struct report report;
    struct span encoded;
    if (report_decode(value, &report, &encoded) != 0) {
        verify_find(verify, "record", database->name, database->sequence, database->head.page,
                    "the report's head cannot be read");
        return 0;
    }
    if (report.destination < 1 || report.destination > verify->destinations_count) {
        verify_find(verify, "S5", database->name, database->sequence, database->head.page,
                    "it is for destination %u, which is not there", report.destination);
        report.destination = 0;
    }
    verify_check_record(verify, database, encoded, false);
    if (encoded.size_bytes > 0 && record_report_route_size(encoded) == 0) {
        verify_find(verify, "S5", database->name, database->sequence, database->head.page,
                    "it names no route, so it would wait for ever");
    }
    return report.destination;
}

static void verify_check_sequence(struct verify *verify, const struct verify_database *database)
{
    bool is_report = database->kind == VERIFY_REPORTS;
    uint64_t next = is_report ? verify->next_report : verify->next_sequence;
    if (database->sequence == 0 || database->sequence >= next) {
        verify_find(verify, is_report ? "S5" : "S3", database->name, database->sequence,
                    database->head.page, "the next number to be given is %" PRIu64, next);
    }
    if (verify->last_database != NULL && verify->at.last_sequence == database->sequence) {
        verify_find(verify, "S2", database->name, database->sequence, database->head.page,
                    "it is in %s too", verify->last_database->name);
    }
    verify->at.last_sequence = database->sequence;
    verify->last_database = database;
}

static void verify_count(struct verify *verify, const struct verify_database *database,
                         uint32_t destination, uint64_t bytes)
{
    struct verify_counts *counts = &verify->counts[destination];
    switch (database->kind) {
    case VERIFY_QUEUE:
        verify->at.waiting_count++;
        counts->queue_bytes += bytes;
        if (bytes > verify->largest_bytes) {
            verify->largest_bytes = bytes;
        }
        break;
    case VERIFY_DEAD:
        verify->at.dead_count++;
        counts->dead_bytes += bytes;
        break;
    default:
        verify->at.reports_count++;
        counts->report_records++;
        counts->report_bytes += bytes;
        break;
    }
}

/* The entry that the database's walk stands on. 0, -ENOMEM. */
static int verify_entry(struct verify *verify, struct verify_database *database)
{
    struct span value;
    uint32_t destination = database->destination;
    verify_check_sequence(verify, database);
    int r = page_walk_value(&database->walk, &database->head, &value);
    if (r < 0) {
        return r;
    }
    if (r != 0) {
        verify_find_damage(verify, database->name, &database->walk.damage);
        database->is_damaged = true;
        return 0;
    }
    if (database->kind == VERIFY_QUEUE) {
        verify_check_record(verify, database, value, false);
    } else if (database->kind == VERIFY_DEAD) {
        verify_check_dead(verify, database, value);
    } else {
        destination = verify_check_report(verify, database, value);
    }
    verify_count(verify, database, destination, value.size_bytes);
    verify->result.read_bytes += value.size_bytes + ENTRY_BYTES;
    return 0;
}

/* --- The order -------------------------------------------------------------------------------- */

/* Moves a database to its next entry; damage on the way is told. 0, -ENOMEM. */
static int verify_advance(struct verify *verify, struct verify_database *database)
{
    int r;
    while ((r = page_walk_next(&database->walk, &database->head)) == PAGE_WALK_E_DAMAGED) {
        verify_find_damage(verify, database->name, &database->walk.damage);
        database->is_damaged = true;
    }
    database->has_head = r == 0;
    database->sequence = database->has_head ? page_entry_number(&database->head) : UINT64_MAX;
    return r < 0 ? r : 0;
}

static bool verify_is_before(const struct verify *verify, uint32_t a, uint32_t b)
{
    uint64_t a_sequence = verify->databases[a].sequence;
    uint64_t b_sequence = verify->databases[b].sequence;
    return a_sequence != b_sequence ? a_sequence < b_sequence : a < b;
}

/* Lets the first of the heap sink to its place. */
static void verify_sink(struct verify *verify)
{
    uint32_t *heap = verify->heap;
    uint32_t at = 0;
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < verify->heap_count && verify_is_before(verify, heap[child], heap[least])) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        uint32_t moved = heap[at];
        heap[at] = heap[least];
        heap[least] = moved;
        at = least;
    }
}

static void verify_push(struct verify *verify, uint32_t database)
{
    uint32_t *heap = verify->heap;
    uint32_t at = verify->heap_count++;
    heap[at] = database;
    while (at > 0 && verify_is_before(verify, heap[at], heap[(at - 1) / 2])) {
        uint32_t parent = (at - 1) / 2;
        uint32_t moved = heap[at];
        heap[at] = heap[parent];
        heap[parent] = moved;
        at = parent;
    }
}

/* --- Beginning, running, ending --------------------------------------------------------------- */

static bool verify_is_of_stage(const struct verify *verify, const struct verify_database *database)
{
    return (database->kind == VERIFY_REPORTS) == verify->at.is_at_reports;
}

int verify_records_begin(struct verify *verify)
{
    size_t window_bytes = WINDOWS_BYTES / (2 * verify->databases_count);
    if (window_bytes > WINDOW_BYTES_MAX) {
        window_bytes = WINDOW_BYTES_MAX;
    }
    verify->heap_count = 0;
    verify->last_database = NULL;
    for (uint32_t i = 0; i < verify->databases_count; i++) {
        struct verify_database *database = &verify->databases[i];
        if (!verify_is_of_stage(verify, database)) {
            continue;
        }
        page_walk_init(&database->walk, &verify->view.file, &database->tree,
                       verify->view.meta.last_page, sizeof(uint64_t), window_bytes);
        database->walk.use = verify->has_use ? &verify->use : NULL;
        database->is_walking = true;
        if (verify->at.key > 0) {
            page_walk_restart(&database->walk, &database->tree, verify->view.meta.last_page,
                              verify->at.key);
        }
        int r = verify_advance(verify, database);
        if (r != 0) {
            return r;
        }
        if (database->has_head) {
            verify_push(verify, i);
        }
    }
    return 0;
}

void verify_records_end(struct verify *verify)
{
    for (uint32_t i = 0; i < verify->databases_count; i++) {
        struct verify_database *database = &verify->databases[i];
        if (database->is_walking) {
            const struct page_walk *walk = &database->walk;
            verify->result.pages_count +=
                walk->branch_pages + walk->leaf_pages + walk->overflow_pages;
            page_walk_deinit(&database->walk);
            database->is_walking = false;
        }
    }
}

int verify_records_run(struct verify *verify, uint64_t deadline_ns)
{
    uint64_t look_at_bytes = verify->result.read_bytes + CLOCK_BYTES;
    while (verify->heap_count > 0) {
        struct verify_database *database = &verify->databases[verify->heap[0]];
        int r = verify_entry(verify, database);
        verify->at.key = database->sequence + 1;
        if (r == 0) {
            r = verify_advance(verify, database);
        }
        if (r != 0) {
            return r;
        }
        if (!database->has_head) {
            verify->heap[0] = verify->heap[--verify->heap_count];
        }
        verify_sink(verify);
        if (verify->result.read_bytes >= look_at_bytes) {
            look_at_bytes = verify->result.read_bytes + CLOCK_BYTES;
            if (verify_now_ns() >= deadline_ns) {
                return 0;
            }
        }
    }
    return VERIFY_RECORDS_END;
}
