/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/race/scenario.h"

#include "spool/futex.h"
#include "spool/record.h"
#include "spool/ring_internal.h"
#include "tests/race/world.h"

#include <string.h>

#define PUBLISHERS_MAX 3
#define PUBLISHES_MAX 3
#define PAYLOAD_BYTES_MAX 1600
#define RING_BYTES 4096
#define TAKE_MAX 4
#define SWEEPS_MAX 3
#define NEVER UINT64_MAX
#define SMALL 24
#define SOON 1000
/* An entry that fills what is left of a ring of two is this large, with its head. */
#define HALF 1600

const struct scenario scenarios[] = {
    {.name = "two",
     .text = "two publishers",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .preemptions_max = -1,
     .slots_count = 2},
    {.name = "two-die",
     .text = "two publishers, of whom one may die at any step",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .preemptions_max = -1,
     .slots_count = 2,
     .deaths_count = 1},
    {.name = "both-die",
     .text = "two publishers, who both may die",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .preemptions_max = 3,
     .slots_count = 2,
     .deaths_count = 2},
    {.name = "twice",
     .text = "one publisher after the other on two slots, twice each",
     .publishers_count = 2,
     .publishes_count = 2,
     .payload_bytes = 24,
     .slots_count = 2,
     .preemptions_max = 2},
    {.name = "slot",
     .text = "two publishers wait for one slot",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .preemptions_max = -1,
     .slots_count = 1},
    {.name = "slot-die",
     .text = "two publishers wait for one slot, of whom one may die",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .preemptions_max = 3,
     .slots_count = 1,
     .deaths_count = 1,
     .needs_sweep = true},
    {.name = "bytes",
     .text = "two publishers wait for room, at the ring's end",
     .publishers_count = 2,
     .publishes_count = 2,
     .slots_count = 4,
     .payload_bytes = HALF,
     .entries_before = 1,
     .preemptions_max = 2},
    {.name = "bytes-die",
     .text = "two publishers wait for room, of whom one may die",
     .publishers_count = 2,
     .publishes_count = 2,
     .slots_count = 4,
     .payload_bytes = HALF,
     .entries_before = 1,
     .deaths_count = 1,
     .preemptions_max = 1,
     .needs_sweep = true},
    {.name = "timeout",
     .text = "two publishers who may stop waiting",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .slots_count = 2,
     .has_timeout = true,
     .preemptions_max = 2},
    {.name = "timeout-slot",
     .text = "two publishers who may stop waiting, for one slot",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .slots_count = 1,
     .has_timeout = true,
     .preemptions_max = 2},
    {.name = "close",
     .text = "a publisher, and somebody who closes the ring",
     .publishers_count = 1,
     .publishes_count = 1,
     .payload_bytes = 24,
     .preemptions_max = -1,
     .slots_count = 1,
     .closes = true},
    {.name = "close-die",
     .text = "two publishers, of whom one may die, and somebody who closes the ring",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .slots_count = 1,
     .deaths_count = 1,
     .closes = true,
     .preemptions_max = 2,
     .needs_sweep = true},
    {.name = "fd",
     .text = "two publishers who wait for fds",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .preemptions_max = -1,
     .slots_count = 2,
     .polls = true},
    {.name = "weak",
     .text = "two publishers whose stores are seen late",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .slots_count = 2,
     .is_weak = true,
     .preemptions_max = 2},
    {.name = "weak-slot-die",
     .text = "two publishers on one slot, of whom one may die, and whose stores are seen late",
     .publishers_count = 2,
     .publishes_count = 1,
     .payload_bytes = 24,
     .slots_count = 1,
     .deaths_count = 1,
     .is_weak = true,
     .preemptions_max = 2,
     .needs_sweep = true},
    {.name = "three",
     .text = "three publishers",
     .publishers_count = 3,
     .publishes_count = 1,
     .payload_bytes = 24,
     .slots_count = 3,
     .preemptions_max = 2},
    {.name = "three-die",
     .text = "three publishers on two slots, of whom one may die",
     .publishers_count = 3,
     .publishes_count = 1,
     .payload_bytes = 24,
     .slots_count = 2,
     .deaths_count = 1,
     .preemptions_max = 1,
     .needs_sweep = true},
};
const size_t scenarios_count = SPOOL_COUNT_OF(scenarios);

/* What the checks remember: a part of the world's state. */
struct seen {
    uint64_t next_sequence;
    uint32_t sweeps_count;
    uint64_t sequences[PUBLISHERS_MAX + 1][PUBLISHES_MAX]; /* 0: not taken */
    uint8_t last_taken[PUBLISHERS_MAX + 1];
    int heard[PUBLISHERS_MAX + 1][PUBLISHES_MAX]; /* 1 + the result */
};

static const struct scenario *current;
static struct ring *ring;
static struct seen seen;
/* Each of a record's bytes follows from whose it is and which. */
static uint8_t payloads[PUBLISHERS_MAX + 1][PUBLISHES_MAX][PAYLOAD_BYTES_MAX];

static struct span payload_of(int process, int number)
{
    return (struct span){payloads[process][number], current->payload_bytes};
}

static void payloads_make(void)
{
    for (int i = 0; i <= PUBLISHERS_MAX; i++) {
        for (int j = 0; j < PUBLISHES_MAX; j++) {
            for (size_t at = 0; at < PAYLOAD_BYTES_MAX; at++) {
                payloads[i][j][at] = (uint8_t)(at * 7 + (size_t)i * 64 + (size_t)j * 16 + 1);
            }
        }
    }
}

static int submit(int process, int number, uint64_t timeout_ms, struct ring_ticket *ticket)
{
    struct record record = {.published_wall_ms = (uint64_t)number,
                            .payload = payload_of(process, number)};
    return ring_submit(ring, (uint32_t)process, &record, timeout_ms, current->polls, ticket);
}

/* --- The publishers --------------------------------------------------------------------------- */

static int poll_outcome(struct ring_ticket ticket, struct ring_outcome *outcome)
{
    int r;
    while ((r = ring_poll(ring, ticket, outcome)) == RING_E_PENDING) {
        world_wait_for_fd(ring_ticket_fd(ring, ticket));
    }
    return r;
}

static void hear(int process, int number, int result, const struct ring_outcome *outcome)
{
    uint64_t sequence = seen.sequences[process][number];
    if (result == 0 && (sequence == 0 || outcome->sequence != sequence || outcome->result != 0)) {
        race_fail("publisher %d heard of record %d that it is accepted as %d, but it is %d",
                  process, number, (int)outcome->sequence, (int)sequence);
    }
    if ((result == RING_E_TIMEOUT || result == RING_E_CLOSED) && sequence != 0) {
        race_fail("publisher %d took record %d back, which was taken", process, number);
    }
    if ((result == RING_E_TIMEOUT || result == RING_E_UNKNOWN) && !current->has_timeout) {
        race_fail("publisher %d gave up on record %d", process, number);
    }
    if (result == RING_E_CLOSED && !current->closes) {
        race_fail("publisher %d: nobody closed the ring", process);
    }
    seen.heard[process][number] = 1 + result;
}

static void publisher(int process)
{
    uint64_t timeout_ms = current->has_timeout ? SOON : NEVER;
    for (int i = 0; i < current->publishes_count; i++) {
        struct ring_ticket ticket;
        struct ring_outcome outcome = {0, 0};
        int r = submit(process, i, timeout_ms, &ticket);
        if (r == 0) {
            r = current->polls ? poll_outcome(ticket, &outcome)
                               : ring_wait(ring, ticket, timeout_ms, &outcome);
        }
        hear(process, i, r, &outcome);
    }
}

static void closer(int process)
{
    (void)process;
    ring_close(ring);
}

/* --- The owner -------------------------------------------------------------------------------- */

static void take(const struct ring_entry *entry)
{
    struct record record;
    int process = (int)entry->destination;
    if (record_decode(entry->encoded, &record) != 0 || process > current->publishers_count) {
        race_fail("a torn record was taken");
    }
    int number = (int)record.published_wall_ms;
    struct span payload = payload_of(process, number);
    if (record.payload.size_bytes != payload.size_bytes ||
        memcmp(record.payload.data, payload.data, payload.size_bytes) != 0) {
        race_fail("another record was taken");
    }
    if (seen.sequences[process][number] != 0) {
        race_fail("record %d of publisher %d was taken twice", number, process);
    }
    if (number < seen.last_taken[process]) {
        race_fail("record %d of publisher %d was taken after a later one", number, process);
    }
    if (seen.heard[process][number] != 0 && seen.heard[process][number] != 1 + RING_E_UNKNOWN) {
        race_fail("record %d of publisher %d was taken after it was taken back", number, process);
    }
    seen.last_taken[process] = (uint8_t)number;
    seen.sequences[process][number] = ++seen.next_sequence;
}

static size_t take_and_answer(void)
{
    struct ring_entry entries[TAKE_MAX];
    struct ring_outcome outcomes[TAKE_MAX];
    size_t count = ring_take(ring, entries, TAKE_MAX, SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        take(&entries[i]);
        outcomes[i] = (struct ring_outcome){0, seen.next_sequence};
    }
    if (count > 0) {
        ring_answer(ring, entries, outcomes, count);
    }
    return count;
}

static bool is_anybody_blocked(void)
{
    bool is_blocked = false;
    for (int i = 1; i <= current->publishers_count; i++) {
        is_blocked = is_blocked || (!world_is_done(i) && !world_is_dead(i));
    }
    return is_blocked;
}

static bool has_anybody_died(void)
{
    bool has_died = false;
    for (int i = 1; i <= current->publishers_count; i++) {
        has_died = has_died || world_is_dead(i);
    }
    return has_died;
}

static void owner(int process)
{
    (void)process;
    while (seen.sweeps_count < SWEEPS_MAX) {
        uint32_t time_outs = world_owner_time_outs();
        ring_bell_wait(ring, SOON);
        if (time_outs != world_owner_time_outs()) {
            /* Nobody else can do anything. */
            if (is_anybody_blocked() && !(current->needs_sweep && has_anybody_died())) {
                race_fail("a publisher waits, and nobody will wake it");
            }
            (void)ring_sweep(ring);
            seen.sweeps_count++;
        }
        (void)take_and_answer();
    }
}

/* --- Begin and end ---------------------------------------------------------------------------- */

/* Publishes before the others do, one record after the other. */
static void publish_before(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ring_ticket ticket;
        struct ring_outcome outcome;
        if (submit(0, 0, 0, &ticket) != 0 || take_and_answer() != 1 ||
            ring_wait(ring, ticket, 0, &outcome) != 0) {
            race_fail("a ring that nobody else uses does not work");
        }
        seen = (struct seen){0};
    }
}

/* Of the shared memory; small entries never come further than this. */
static size_t used_bytes(void)
{
    bool is_small = current->payload_bytes <= SMALL && current->entries_before == 0;
    size_t entries =
        (size_t)(current->publishers_count * current->publishes_count) + current->slots_count;
    size_t bytes = is_small ? entries * 2 * RING_LINE_BYTES : ring->bytes_size;
    return (size_t)(ring->bytes - (uint8_t *)ring->memory) + bytes;
}

void scenario_begin(const struct scenario *scenario)
{
    struct ring_config config = {scenario->slots_count, RING_BYTES, scenario->polls};
    current = scenario;
    seen = (struct seen){0};
    payloads_make();
    if (ring_new(&config, &ring) != 0) {
        race_fail("no ring");
    }
    world_begin(scenario->is_weak);
    publish_before(scenario->entries_before);
    world_add_memory(ring, sizeof(*ring));
    world_add_memory(ring->memory, used_bytes());
    world_add_memory(ring->skipped, scenario->slots_count * sizeof(*ring->skipped));
    world_add_memory(&seen, sizeof(seen));
    world_add_process(owner, false);
    for (int i = 0; i < scenario->publishers_count; i++) {
        world_add_process(publisher, true);
    }
    if (scenario->closes) {
        world_add_process(closer, false);
    }
}

void scenario_free(void)
{
    ring_free(&ring);
}

static void check_heard(const struct scenario *scenario)
{
    for (int i = 1; i <= scenario->publishers_count; i++) {
        if (world_is_dead(i)) {
            continue;
        }
        if (!world_is_done(i)) {
            race_fail("publisher %d never ends", i);
        }
        for (int j = 0; j < scenario->publishes_count; j++) {
            if (seen.heard[i][j] == 1 + RING_E_UNKNOWN && seen.sequences[i][j] == 0) {
                race_fail("record %d of publisher %d was lost", j, i);
            }
        }
    }
}

/* Each slot, and all the bytes, can be had again. */
static void check_whole(const struct scenario *scenario)
{
    struct ring_ticket tickets[8];
    struct ring_outcome outcome;
    if (ring_used_count(ring) != 0) {
        race_fail("a slot is not free again");
    }
    if (scenario->closes) {
        return; /* of a closed ring nothing is taken any more */
    }
    if (ring->skipped_count != 0 ||
        atomic_load(&ring->control->tail) != atomic_load(&ring->control->head)) {
        race_fail("bytes are not free again");
    }
    size_t count = scenario->payload_bytes > RING_BYTES / 4 ? 1 : scenario->slots_count;
    for (size_t i = 0; i < count; i++) {
        if (submit(0, (int)i, 0, &tickets[i]) != 0) {
            race_fail("the ring that was emptied has no room for %zu records", count);
        }
    }
    if (take_and_answer() != count) {
        race_fail("the ring that was emptied does not work any more");
    }
    for (size_t i = 0; i < count; i++) {
        if (ring_poll(ring, tickets[i], &outcome) != 0) {
            race_fail("the ring that was emptied answers no more");
        }
    }
}

void scenario_end(const struct scenario *scenario)
{
    check_heard(scenario);
    check_whole(scenario);
}
