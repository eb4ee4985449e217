/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/harness/flow_fixture.h"

#include "spool/cursor.h"
#include "tests/harness/damage.h"

#include <assert.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cmocka.h>

#define FLOW_SPOOL_BYTES (64U << 20)
#define FLOW_RING_BYTES (1U << 20)

static void flow_on_commit(void *context)
{
    (void)context;
}

/* --- Life ------------------------------------------------------------------------------------- */

static void flow_connect(struct flow_fixture *flow, size_t at)
{
    const struct address *address = flow->addresses[at];
    struct message message;
    int r = spool_destination_open(flow->spool, address->identity, address->text,
                                   &flow->destinations[at], &message);
    assert_int_equal(r, 0);
    assert_int_equal(forward_add(flow->forward, flow->destinations[at], address), 0);
}

static void flow_start_parts(struct flow_fixture *flow)
{
    struct committer_config committer_config = {
        .spool = flow->spool,
        .ring = flow->ring,
        .on_commit = flow_on_commit,
    };
    assert_int_equal(committer_new(&committer_config, &flow->committer), 0);
    struct forward_config forward_config = {
        .spool = flow->spool,
        .committer = flow->committer,
        .maker = &flow->sinks.maker,
        .clock = &flow->clock.clock,
        .host = &flow->host.host,
        .seed = flow->seed,
    };
    assert_int_equal(forward_new(&forward_config, &flow->forward), 0);
    for (size_t i = 0; i < flow->addresses_count; i++) {
        flow_connect(flow, i);
    }
}

void flow_start(struct flow_fixture *flow)
{
    struct message message;
    struct spool_config spool_config = {
        .dir = flow->dir,
        .owner_name = "test",
        .max_bytes = FLOW_SPOOL_BYTES,
        .durability = flow->durability,
        .may_create = true,
        .clock = &flow->clock.clock,
    };
    struct ring_config ring_config = {.slots_count = 64, .bytes = FLOW_RING_BYTES};
    assert_int_equal(ring_new(&ring_config, &flow->ring), 0);
    if (spool_open(&spool_config, &flow->spool, &message) != 0) {
        fail_msg("%s", message.text);
    }
    assert_int_equal(batch_new(flow->spool, &flow->batch), 0);
    flow_start_parts(flow);
}

void flow_stop(struct flow_fixture *flow)
{
    forward_free(&flow->forward);
    committer_free(&flow->committer);
    batch_free(&flow->batch);
    spool_close(&flow->spool);
    ring_free(&flow->ring);
}

void flow_forget(struct flow_fixture *flow)
{
    forward_free(&flow->forward);
    committer_free(&flow->committer);
    flow_start_parts(flow);
}

void flow_restart(struct flow_fixture *flow)
{
    flow_stop(flow);
    flow_start(flow);
}

/* Memory if there is enough: these tests are about order, and would wait for the disk's flushes
 * most of their time. */
static const char *flow_base(void)
{
    const char *base = getenv("TMPDIR");
    if (base != NULL) {
        return base;
    }
    struct statvfs status;
    bool has_room = statvfs("/dev/shm", &status) == 0 &&
                    (uint64_t)status.f_bavail * status.f_frsize >= 4ULL * FLOW_SPOOL_BYTES;
    return has_room ? "/dev/shm" : "/tmp";
}

int flow_fixture_setup(void **state)
{
    struct flow_fixture *flow = calloc(1, sizeof(*flow));
    assert_non_null(flow);
    snprintf(flow->dir, sizeof(flow->dir), "%s/flow-XXXXXX", flow_base());
    assert_non_null(mkdtemp(flow->dir));
    flow->seed = 1;
    flow->durability = SPOOL_NOMETASYNC;
    fake_clock_init(&flow->clock);
    fake_host_init(&flow->host);
    fake_sinks_init(&flow->sinks);
    flow_start(flow);
    *state = flow;
    return 0;
}

static int flow_remove(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

int flow_fixture_teardown(void **state)
{
    struct flow_fixture *flow = *state;
    flow_stop(flow);
    for (size_t i = 0; i < flow->addresses_count; i++) {
        address_free(&flow->addresses[i]);
    }
    fake_sinks_deinit(&flow->sinks);
    fake_host_deinit(&flow->host);
    assert_int_equal(nftw(flow->dir, flow_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(flow);
    return 0;
}

uint32_t flow_add(struct flow_fixture *flow, const char *address)
{
    struct message message;
    size_t at = flow->addresses_count;
    assert_true(at < FLOW_ADDRESSES_MAX);
    if (address_parse(address, strlen(address), &flow->addresses[at], &message) != 0) {
        fail_msg("%s", message.text);
    }
    flow->addresses_count++;
    flow_connect(flow, at);
    return flow->destinations[at];
}

/* --- Records ---------------------------------------------------------------------------------- */

void flow_begin(struct flow_fixture *flow, size_t bytes, size_t count)
{
    assert_int_equal(batch_begin(flow->batch, bytes, count), 0);
}

uint64_t flow_put(struct flow_fixture *flow, uint32_t destination, const struct record *record)
{
    size_t size_bytes;
    assert_int_equal(record_size(record, &size_bytes), 0);
    void *encoded = malloc(size_bytes);
    assert_non_null(encoded);
    record_encode(record, encoded);
    uint64_t sequence = 0;
    int refusal = 0;
    int r = batch_append(flow->batch, destination, (struct span){encoded, size_bytes}, &sequence,
                         &refusal);
    free(encoded);
    assert_int_equal(r, 0);
    return sequence;
}

void flow_commit(struct flow_fixture *flow)
{
    assert_int_equal(batch_commit(flow->batch), 0);
}

uint64_t flow_append_record(struct flow_fixture *flow, uint32_t destination,
                            const struct record *record)
{
    size_t size_bytes;
    assert_int_equal(record_size(record, &size_bytes), 0);
    flow_begin(flow, size_bytes, 1);
    uint64_t sequence = flow_put(flow, destination, record);
    flow_commit(flow);
    return sequence;
}

uint64_t flow_append_many(struct flow_fixture *flow, uint32_t destination, size_t count)
{
    struct record record = {
        .published_wall_ms = flow->clock.wall_now_ms,
        .payload = {"record", 6},
    };
    flow_begin(flow, count * FLOW_RECORD_BYTES, count);
    uint64_t first = flow_put(flow, destination, &record);
    for (size_t i = 1; i < count; i++) {
        (void)flow_put(flow, destination, &record);
    }
    flow_commit(flow);
    return first;
}

uint64_t flow_append(struct flow_fixture *flow, uint32_t destination)
{
    return flow_append_many(flow, destination, 1);
}

/* --- Steps ------------------------------------------------------------------------------------ */

void flow_step(struct flow_fixture *flow)
{
    (void)!forward_step(flow->forward);
    while (committer_step(flow->committer, true) > 0) {
    }
    (void)!forward_step(flow->forward);
}

void flow_run(struct flow_fixture *flow)
{
    uint64_t settled;
    size_t produced;
    int quiet_count = 0;
    do {
        settled = committer_settled(flow->committer);
        produced = flow->sinks.records_count + flow->sinks.purges_count;
        flow_step(flow);
        bool is_quiet = settled == committer_settled(flow->committer) &&
                        produced == flow->sinks.records_count + flow->sinks.purges_count &&
                        flow->sinks.reports_count == 0;
        quiet_count = is_quiet ? quiet_count + 1 : 0;
    } while (quiet_count < 2);
}

void flow_pass(struct flow_fixture *flow, uint64_t ms)
{
    fake_clock_pass(&flow->clock, ms);
    flow_run(flow);
}

/* --- Looks ------------------------------------------------------------------------------------ */

uint64_t flow_counter(struct flow_fixture *flow, uint32_t destination, enum counter counter)
{
    struct counters counters;
    assert_int_equal(spool_counters(flow->spool, destination, &counters), 0);
    return counters.values[counter];
}

struct forward_status flow_status(struct flow_fixture *flow, uint32_t destination)
{
    struct forward_status status;
    assert_int_equal(forward_status(flow->forward, destination, &status), 0);
    return status;
}

size_t flow_dead(struct flow_fixture *flow, uint32_t destination, uint64_t *sequences,
                 struct dead_letter *heads, size_t max)
{
    struct cursor cursor;
    assert_int_equal(cursor_begin_dead(&cursor, flow->spool, destination, 0), 0);
    size_t count = 0;
    uint64_t sequence;
    struct span stored;
    while (cursor_next(&cursor, &sequence, &stored) == 0) {
        struct span encoded;
        struct dead_letter head;
        assert_int_equal(dead_letter_decode(stored, &head, &encoded), 0);
        if (count < max) {
            sequences[count] = sequence;
            if (heads != NULL) {
                heads[count] = head;
            }
        }
        count++;
    }
    cursor_end(&cursor);
    return count;
}

/* Changes a byte of the entry that the cursor finds first, and ends the cursor. */
static void flow_damage(const struct flow_fixture *flow, struct cursor *cursor, uint64_t wanted,
                        size_t at)
{
    uint64_t number;
    struct span stored;
    assert_int_equal(cursor_next(cursor, &number, &stored), 0);
    assert_int_equal(number, wanted);
    assert_true(at < stored.size_bytes);
    assert_true(damage_byte(flow->dir, (const uint8_t *)stored.data + at));
    cursor_end(cursor);
}

void flow_damage_record(struct flow_fixture *flow, uint32_t destination, uint64_t sequence,
                        size_t at)
{
    struct cursor cursor;
    assert_int_equal(cursor_begin_queue(&cursor, flow->spool, destination, sequence), 0);
    flow_damage(flow, &cursor, sequence, at);
}

void flow_damage_report(struct flow_fixture *flow, uint64_t number, size_t at)
{
    struct cursor cursor;
    assert_int_equal(cursor_begin_reports(&cursor, flow->spool, number), 0);
    flow_damage(flow, &cursor, number, at);
}
