/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A workload whose power losses are tried, the same each time for a seed: the flow without threads
 * and without time (tests/harness/flow_fixture.h), on a spool in FOLDER.
 *
 *   power-work FOLDER live sync|nometasync SEED ROUNDS   makes the spool if there is none, and lets
 *                                                        records come and go
 *   power-work FOLDER damage                             makes both meta pages of its file unusable
 *
 * Prints each sequence that is acked, and "gone SEQUENCE" when a record may leave the spool.
 */
#include "src/report.h"
#include "tests/harness/flow_fixture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEQUENCES_MAX 65536
#define PAYLOAD_BYTES_MAX 12000

struct work {
    struct flow_fixture flow;
    struct reports *reports;
    uint64_t seed;
    uint32_t destinations[3];
    uint8_t attempts[SEQUENCES_MAX];
};

static uint64_t chance(struct work *work, uint64_t below)
{
    work->seed += 0x9e3779b97f4a7c15ULL;
    uint64_t z = work->seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (z ^ (z >> 31)) % below;
}

static void say_gone(uint64_t sequence)
{
    printf("gone %" PRIu64 "\n", sequence);
    (void)fflush(stdout);
}

/* The brokers: most records are taken, some late, some never. */
static int decide(void *context, const struct fake_record *record)
{
    struct work *work = context;
    assert_true(record->sequence < SEQUENCES_MAX);
    uint64_t kind = (record->sequence * 2654435761U >> 7) % 16;
    uint8_t attempt = work->attempts[record->sequence]++;
    if (kind < 2) {
        return FAKE_TOO_LARGE;
    }
    if (kind < 4 && attempt == 0) {
        return FAKE_TRANSPORT;
    }
    if (kind < 6) {
        return FAKE_LATER;
    }
    say_gone(record->sequence);
    return 0;
}

static void answer_later(struct work *work)
{
    for (size_t i = 0; i < work->flow.sinks.records_count; i++) {
        const struct fake_record *record = &work->flow.sinks.records[i];
        if (record->stage == FAKE_TAKEN && chance(work, 3) == 0) {
            say_gone(record->sequence);
            fake_sinks_answer(&work->flow.sinks, i, 0);
        }
    }
}

/* --- Publishing ------------------------------------------------------------------------------- */

static void submit(struct work *work, uint32_t destination, struct ring_ticket *ret_ticket)
{
    static uint8_t payload[PAYLOAD_BYTES_MAX];
    static const size_t sizes[] = {20, 200, 700, 1900, 2100, 5000, PAYLOAD_BYTES_MAX};
    size_t size = sizes[chance(work, SPOOL_COUNT_OF(sizes))];
    for (size_t i = 0; i < size; i++) {
        payload[i] = (uint8_t)chance(work, 256);
    }
    struct record record = {
        .published_wall_ms = work->flow.clock.wall_now_ms,
        .key = {"key", 3},
        .payload = {payload, size},
        .report_route = {"route", chance(work, 3) == 0 ? 5 : 0},
    };
    if (destination == work->destinations[2]) {
        record.expires_wall_ms = record.published_wall_ms + 5000;
    }
    assert_int_equal(ring_submit(work->flow.ring, destination, &record, 0, false, ret_ticket), 0);
}

/* Some publishers at once, and their answers. */
static void publish(struct work *work)
{
    struct ring_ticket tickets[12];
    uint32_t destinations[12];
    size_t count = 1 + chance(work, SPOOL_COUNT_OF(tickets));
    for (size_t i = 0; i < count; i++) {
        destinations[i] = work->destinations[chance(work, 3)];
        submit(work, destinations[i], &tickets[i]);
    }
    while (committer_step(work->flow.committer, true) > 0) {
    }
    for (size_t i = 0; i < count; i++) {
        struct ring_outcome outcome;
        assert_int_equal(ring_poll(work->flow.ring, tickets[i], &outcome), 0);
        if (outcome.result == 0) {
            printf("%" PRIu64 "\n", outcome.sequence);
            (void)fflush(stdout);
            /* It drops what expires. */
            if (destinations[i] == work->destinations[2]) {
                say_gone(outcome.sequence);
            }
        }
    }
}

static void run_reports(struct work *work)
{
    size_t before = work->flow.host.reports_count;
    (void)!reports_step(work->reports);
    for (size_t i = before; i < work->flow.host.reports_count; i++) {
        reports_done(work->reports, work->flow.host.reports[i].number);
    }
}

/* --- The life of a spool ---------------------------------------------------------------------- */

static void open_work(struct work *work, const char *folder, const char *durability)
{
    struct flow_fixture *flow = &work->flow;
    (void)snprintf(flow->dir, sizeof(flow->dir), "%s", folder);
    flow->seed = work->seed;
    flow->durability = strcmp(durability, "sync") == 0 ? SPOOL_SYNC : SPOOL_NOMETASYNC;
    fake_clock_init(&flow->clock);
    fake_host_init(&flow->host);
    fake_sinks_init(&flow->sinks);
    flow->sinks.decide = decide;
    flow->sinks.context = work;
    flow_start(flow);
    work->destinations[0] = flow_add(flow, "[one]broker:9092/one");
    work->destinations[1] = flow_add(flow, "[two]broker:9092/two?s.on.expire=dead");
    work->destinations[2] = flow_add(flow, "[three]broker:9092/three?s.on.expire=drop");
    assert_int_equal(reports_new(flow->spool, flow->committer, &flow->host.host, &work->reports),
                     0);
}

static void close_work(struct work *work)
{
    struct flow_fixture *flow = &work->flow;
    reports_free(&work->reports);
    flow_stop(flow);
    for (size_t i = 0; i < flow->addresses_count; i++) {
        address_free(&flow->addresses[i]);
    }
    fake_sinks_deinit(&flow->sinks);
    fake_host_deinit(&flow->host);
}

static void live(const char *folder, const char *durability, uint64_t seed, uint64_t rounds)
{
    struct work *work = calloc(1, sizeof(*work));
    assert_non_null(work);
    work->seed = seed;
    open_work(work, folder, durability);
    for (uint64_t i = 0; i < rounds; i++) {
        publish(work);
        flow_pass(&work->flow, chance(work, 900));
        if (i % 3 == 2) {
            answer_later(work);
            flow_pass(&work->flow, 10);
        }
        run_reports(work);
        if (i % 20 == 19) {
            fake_clock_pass(&work->flow.clock, 20000);
        }
    }
    close_work(work);
    free(work);
}

static void damage(const char *folder)
{
    static const uint8_t nothing[8192];
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/data.mdb", folder);
    int fd = open(path, O_WRONLY | O_DSYNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, nothing, sizeof(nothing), 0), sizeof(nothing));
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[2], "live") == 0) {
        live(argv[1], argv[3], strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
    } else if (argc == 3 && strcmp(argv[2], "damage") == 0) {
        damage(argv[1]);
    } else {
        (void)fprintf(stderr,
                      "usage: power-work FOLDER live sync|nometasync SEED ROUNDS | damage\n");
        return 2;
    }
    return 0;
}
