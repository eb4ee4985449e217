/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/below.h"

#include "spool/committer.h"
#include "spool/cursor.h"
#include "spool/live.h"
#include "spool/mend/verify.h"
#include "spool/outcome.h"
#include "spool/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RECORDS_MAX 64
#define PAYLOAD_BYTES_MAX 90000
#define ENGINE_BYTES (8ULL << 20)
/* So many steps of the committer, two seconds apart, mend what can be mended. */
#define MEND_STEPS 4

/* A record that was published here. */
struct published {
    size_t payload_bytes;
    uint64_t sequence;
    int result;
    bool is_touched; /* somebody tried to settle it */
};

struct engine {
    struct clock clock;
    uint64_t now_ms;
    const char *dir;
    struct ring *ring;
    struct spool *spool;
    struct committer *committer;
    uint32_t destinations[2];
    bool was_open;
    size_t salt; /* so that no record is like one that was there before */
    struct published published[RECORDS_MAX];
    size_t count;
};

static uint64_t engine_now_ms(struct clock *clock)
{
    return ((struct engine *)clock)->now_ms;
}

static void engine_on_commit(void *context)
{
    (void)context;
}

/* --- Open and close --------------------------------------------------------------------------- */

static const char *const identities[] = {"broker:9092/one", "broker:9092/two"};

/* 0, or it cannot be opened: then it is said where and why. */
static int engine_open(struct engine *engine)
{
    struct message message = {.text = ""};
    struct spool_config config = {
        .dir = engine->dir,
        .owner_name = "below",
        .max_bytes = ENGINE_BYTES,
        .may_create = true,
        .clock = &engine->clock,
    };
    int r = spool_open(&config, &engine->spool, &message);
    if (r != 0 && (strstr(message.text, engine->dir) == NULL ||
                   strlen(message.text) < strlen(engine->dir) + 8)) {
        below_fail("spool_open gave %d and said only '%s'", r, message.text);
    }
    /* The first write of a new file may have left half of it, with nothing in it. */
    if (r == 0 && spool_set_aside_path(engine->spool) != NULL && engine->was_open) {
        below_fail("a sound spool was set aside");
    }
    engine->was_open |= r == 0;
    return r;
}

static int engine_start(struct engine *engine)
{
    struct message message = {.text = ""};
    struct committer_config config = {
        .spool = engine->spool, .ring = engine->ring, .on_commit = engine_on_commit};
    int r = committer_new(&config, &engine->committer);
    for (size_t i = 0; r == 0 && i < SPOOL_COUNT_OF(identities); i++) {
        r = spool_destination_open(engine->spool, identities[i], identities[i],
                                   &engine->destinations[i], &message);
        if (r != 0 && message.text[0] == '\0') {
            below_fail("spool_destination_open gave %d and said nothing", r);
        }
    }
    return r;
}

static void engine_close(struct engine *engine)
{
    committer_free(&engine->committer);
    spool_close(&engine->spool);
}

static void engine_step(struct engine *engine)
{
    engine->now_ms += 2000;
    (void)committer_step(engine->committer, true);
}

/* --- What is done ----------------------------------------------------------------------------- */

static const uint8_t *payload_of(const struct engine *engine, size_t number)
{
    static uint8_t payload[PAYLOAD_BYTES_MAX];
    for (size_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)(number * 31 + i * (number + 7) + (i >> 8) + engine->salt);
    }
    return payload;
}

static struct published *publish(struct engine *engine, uint32_t destination, size_t payload_bytes)
{
    size_t number = engine->count++;
    struct published *published = &engine->published[number];
    struct record record = {
        .published_wall_ms = engine->now_ms,
        .key = {"key", 3},
        .payload = {payload_of(engine, number), payload_bytes},
        .report_route = {"route", number % 2 == 0 ? 5 : 0},
    };
    struct ring_ticket ticket = {0};
    struct ring_outcome outcome = {.result = OUTCOME_UNKNOWN};
    if (engine->count > RECORDS_MAX ||
        ring_submit(engine->ring, destination, &record, 0, false, &ticket) != 0) {
        below_fail("the ring takes nothing");
    }
    for (int i = 0; i < MEND_STEPS; i++) {
        engine_step(engine);
        int r = ring_poll(engine->ring, ticket, &outcome);
        if (r == 0) {
            break;
        }
        if (r != RING_E_PENDING || i == MEND_STEPS - 1) {
            below_fail("a publish is not answered");
        }
    }
    *published = (struct published){payload_bytes, outcome.sequence, outcome.result, false};
    return published;
}

static void settle(struct engine *engine, enum settle_action action, uint32_t destination,
                   uint64_t sequence)
{
    struct settlement settlement = {
        .action = action,
        .destination = destination,
        .to_destination = destination,
        .sequence = sequence,
        .partition = -1,
        .offset = -1,
    };
    uint64_t position = 0;
    if (committer_settle(engine->committer, &settlement, 1, &position) != 0) {
        below_fail("the committer takes no settlement");
    }
    engine_step(engine);
}

static void publish_all(struct engine *engine)
{
    static const size_t sizes[] = {50, 1500, 5000, PAYLOAD_BYTES_MAX, 60, 2100, 300, 40000};
    for (size_t i = 0; i < SPOOL_COUNT_OF(sizes); i++) {
        (void)publish(engine, engine->destinations[i % 2], sizes[i]);
    }
}

static void settle_some(struct engine *engine)
{
    static const enum settle_action actions[] = {SETTLE_DELIVERED, SETTLE_DEAD, SETTLE_EXPIRED,
                                                 SETTLE_DROP};

    for (size_t i = 0; i < SPOOL_COUNT_OF(actions); i++) {
        struct published *published = &engine->published[i];
        if (published->result == OUTCOME_ACCEPTED) {
            published->is_touched = true;
            settle(engine, actions[i], engine->destinations[i % 2], published->sequence);
        }
    }
    if (engine->published[1].result == OUTCOME_ACCEPTED) {
        settle(engine, SETTLE_REQUEUE, engine->destinations[1], engine->published[1].sequence);
    }
    settle(engine, SETTLE_REPORT_RUN, 0, 1);
}

/* Reading may fail; it must not show anything wrong. */
static void read_some(struct engine *engine)
{
    struct cursor cursor;
    uint64_t sequence;
    struct span stored;
    struct counters counters;
    struct spool_space space;
    (void)!spool_counters(engine->spool, DESTINATION_ALL, &counters);
    (void)!spool_space(engine->spool, &space);
    if (cursor_begin_queue(&cursor, engine->spool, engine->destinations[0], 0) == 0) {
        while (cursor_next(&cursor, &sequence, &stored) == 0) {
            if (record_check(stored) != 0) {
                below_fail("sequence %llu is damaged", (unsigned long long)sequence);
            }
        }
        cursor_end(&cursor);
    }
}

static void tell_live(struct engine *engine)
{
    struct live_writer *writer = NULL;
    static struct live live;
    if (live_open(engine->spool, &writer) == 0) {
        live_describe(engine->spool, &live);
        (void)!live_write(writer, &live);
        live_close(&writer);
    }
}

/* --- What must hold --------------------------------------------------------------------------- */

static bool is_it(const struct engine *engine, const struct published *published,
                  struct span encoded, uint64_t sequence)
{
    struct record record;
    if (record_decode(encoded, &record) != 0) {
        below_fail("sequence %llu is damaged", (unsigned long long)sequence);
    }
    return record.payload.size_bytes == published->payload_bytes &&
           memcmp(record.payload.data, payload_of(engine, (size_t)(published - engine->published)),
                  record.payload.size_bytes) == 0;
}

static bool is_in(struct engine *engine, const struct published *published, uint32_t destination,
                  bool is_dead)
{
    struct cursor cursor;
    uint64_t sequence;
    struct span stored;
    struct dead_letter dead;
    bool is_found = false;
    int r = is_dead ? cursor_begin_dead(&cursor, engine->spool, destination, 0)
                    : cursor_begin_queue(&cursor, engine->spool, destination, 0);
    if (r != 0) {
        below_fail("the spool cannot be read: %d", r);
    }
    while (!is_found && cursor_next(&cursor, &sequence, &stored) == 0) {
        if (is_dead && dead_letter_decode(stored, &dead, &stored) != 0) {
            below_fail("a dead letter is damaged");
        }
        is_found = is_it(engine, published, stored, sequence);
    }
    cursor_end(&cursor);
    return is_found;
}

static bool is_stored(struct engine *engine, const struct published *published)
{
    bool is_found = false;
    for (uint32_t i = 1; !is_found && i <= spool_destinations_count(engine->spool); i++) {
        is_found = is_in(engine, published, i, false) || is_in(engine, published, i, true);
    }
    return is_found;
}

static void check_records(struct engine *engine)
{
    for (size_t i = 0; i < engine->count; i++) {
        const struct published *published = &engine->published[i];
        bool is_there = is_stored(engine, published);
        if (published->result == OUTCOME_ACCEPTED && !published->is_touched && !is_there) {
            below_fail("record %zu was accepted and is gone", i);
        }
        if (published->result != OUTCOME_ACCEPTED && published->result != OUTCOME_UNKNOWN &&
            is_there) {
            below_fail("record %zu was refused (%s) and is there", i,
                       outcome_name((enum outcome)published->result));
        }
    }
}

static void must_accept(struct engine *engine)
{
    const struct published *published = NULL;
    for (int i = 0; i < MEND_STEPS; i++) {
        published = publish(engine, engine->destinations[0], 200);
        if (published->result == OUTCOME_ACCEPTED) {
            return;
        }
    }
    below_fail("the fault is gone, and a publish is still refused: %s",
               outcome_name((enum outcome)published->result));
}

static void say_finding(void *context, const struct verify_finding *finding)
{
    (void)context;
    below_fail("verify: %s: %s: %s", finding->rule, finding->database, finding->text);
}

static void check_verify(const char *dir)
{
    struct verify_host host = {.find = say_finding};
    struct verify_result result;
    struct message message;
    SPOOL_CLEANUP(spool_close_fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = verify_spool(fd, dir, &host, &result, &message);
    if (r != 0) {
        below_fail("verify: %s", message.text);
    }
}

/* Everything can leave. */
static void settle_all(struct engine *engine)
{
    struct counters counters = {.values = {0}};
    for (uint32_t i = 1; i <= spool_destinations_count(engine->spool); i++) {
        uint64_t sequences[256];
        size_t count = 0;
        struct cursor cursor;
        struct span stored;
        if (cursor_begin_queue(&cursor, engine->spool, i, 0) != 0) {
            below_fail("the spool cannot be read");
        }
        while (count < SPOOL_COUNT_OF(sequences) &&
               cursor_next(&cursor, &sequences[count], &stored) == 0) {
            count++;
        }
        cursor_end(&cursor);
        for (size_t j = 0; j < count; j++) {
            settle(engine, SETTLE_DELIVERED, i, sequences[j]);
        }
    }
    if (spool_counters(engine->spool, DESTINATION_ALL, &counters) != 0 ||
        counters.values[COUNTER_QUEUE_RECORDS] != 0) {
        below_fail("%llu records cannot be settled",
                   (unsigned long long)counters.values[COUNTER_QUEUE_RECORDS]);
    }
}

/* --- All -------------------------------------------------------------------------------------- */

static struct engine *engine_new(const char *dir, size_t salt)
{
    static struct engine engine;
    struct ring_config config = {.slots_count = 8, .bytes = 1U << 20};
    engine = (struct engine){.dir = dir, .now_ms = 1700000000000, .salt = salt};
    engine.clock = (struct clock){.wall_ms = engine_now_ms, .monotonic_ms = engine_now_ms};
    if (ring_new(&config, &engine.ring) != 0) {
        below_fail("no ring");
    }
    return &engine;
}

/* While the fault is armed: any of it may fail. Whether the committer runs. */
static bool engine_run(struct engine *engine)
{
    if (engine_open(engine) != 0 || engine_start(engine) != 0) {
        return false;
    }
    publish_all(engine);
    settle_some(engine);
    read_some(engine);
    tell_live(engine);
    return true;
}

void below_engine(const char *dir, const struct below_fault *fault)
{
    struct engine *engine = engine_new(dir, 1);
    engine->was_open = access(dir, F_OK) == 0; /* it is there already, with records */
    below_arm(fault);
    bool is_running = engine_run(engine);
    below_disarm();
    if (is_running) {
        /* As it is: it mends itself. */
        must_accept(engine);
        check_records(engine);
    }
    engine_close(engine);
    if (engine_open(engine) != 0 || engine_start(engine) != 0) {
        below_fail("the fault is gone, and the spool cannot be opened");
    }
    check_records(engine);
    must_accept(engine);
    check_records(engine);
    settle_all(engine);
    engine_close(engine);
    ring_free(&engine->ring);
    check_verify(dir);
}

void below_make(const char *dir)
{
    struct engine *engine = engine_new(dir, 0);
    if (engine_open(engine) != 0 || engine_start(engine) != 0) {
        below_fail("no spool");
    }
    for (size_t i = 0; i < 5; i++) {
        publish_all(engine);
        if (i == 2) {
            settle_some(engine);
        }
    }
    for (size_t i = 10; i < 16; i++) {
        settle(engine, i % 2 == 0 ? SETTLE_DEAD : SETTLE_EXPIRED, engine->destinations[i % 2],
               engine->published[i].sequence);
    }
    engine_close(engine);
    ring_free(&engine->ring);
    check_verify(dir);
}
