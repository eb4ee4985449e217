/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who publishes: through the real ring, as any process does, without waiting. */
#include "src/publish.h"
#include "tests/sim/disk.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

#include <assert.h>

#define RECORD_BYTES_MAX_HERE 200000
#define NO_SUCH_DESTINATION 200
#define FILL_RECORDS 30

/* --- Answers ---------------------------------------------------------------------------------- */

static bool publishers_is_certain_no(enum outcome outcome)
{
    return outcome != OUTCOME_ACCEPTED && outcome != OUTCOME_UNKNOWN;
}

/* P6: "full" is said when it is. */
static void publishers_check_full(struct world *world, const struct known *known,
                                  enum outcome outcome)
{
    const struct address *address = world->addresses[known->destination];
    struct spool_space space;
    switch (outcome) {
    case OUTCOME_FULL_RECORDS:
        if (world->config.max_records == 0) {
            violate(world, "P6", "record %u: full_records without a limit", known->number);
        }
        break;
    case OUTCOME_FULL_DESTINATION_RECORDS:
        if (address->max_records == 0) {
            violate(world, "P6", "record %u: full_destination_records without a limit",
                    known->number);
        }
        break;
    case OUTCOME_FULL_DESTINATION_BYTES:
        if (address->max_bytes == 0) {
            violate(world, "P6", "record %u: full_destination_bytes without a limit",
                    known->number);
        }
        break;
    case OUTCOME_FULL_DISK:
        if (!world->was_short) {
            violate(world, "P6", "record %u: full_disk on a disk with room", known->number);
        }
        break;
    case OUTCOME_FULL_BYTES:
        if (!world->was_short && spool_space(world->spool, &space) == 0 &&
            world->used_bytes < space.limit_bytes / 8 && space.used_bytes < space.limit_bytes / 8 &&
            known->size_bytes < space.limit_bytes / 8) {
            violate(world, "P6", "record %u: full_bytes with %llu of %llu bytes used",
                    known->number, (unsigned long long)space.used_bytes,
                    (unsigned long long)space.limit_bytes);
        }
        break;
    case OUTCOME_BROKEN:
    case OUTCOME_UNKNOWN:
        if (!world->had_write_failure) {
            violate(world, "S1", "record %u: %s, and nothing had failed", known->number,
                    outcome_name(outcome));
        }
        break;
    default:
        break;
    }
}

static void publishers_note(struct world *world, struct known *known, enum outcome outcome,
                            uint64_t sequence)
{
    tally("answer", outcome_name(outcome));
    trace(world, "record %u (%u bytes, destination %u): %s %llu", known->number, known->size_bytes,
          known->destination, outcome_name(outcome), (unsigned long long)sequence);
    known->answer = KNOWN_UNKNOWN;
    if (publishers_is_certain_no(outcome)) {
        known->answer = KNOWN_NO;
    }
    if (outcome == OUTCOME_ACCEPTED) {
        struct known *before = model_find_sequence(&world->model, sequence);
        if (sequence == 0 || (before != NULL && before != known)) {
            violate(world, "S3", "record %u has the sequence %llu of record %u", known->number,
                    (unsigned long long)sequence, before != NULL ? before->number : 0);
            return;
        }
        known->answer = KNOWN_YES;
        known->sequence = sequence;
        world->model.by_sequence[sequence] = known->number;
    }
}

void publishers_hear(struct world *world)
{
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        struct known *known = &world->model.known[i];
        struct ring_outcome outcome = {.result = OUTCOME_CLOSED};
        if (known->answer != KNOWN_WAITS || known->is_import) {
            continue;
        }
        int r = ring_poll(world->ring, known->ticket, &outcome);
        if (r == RING_E_PENDING) {
            continue;
        }
        if (r == 0 && known->destination <= MODEL_DESTINATIONS) {
            publishers_check_full(world, known, (enum outcome)outcome.result);
        }
        publishers_note(world, known, r == 0 ? (enum outcome)outcome.result : OUTCOME_CLOSED,
                        outcome.sequence);
    }
}

void publishers_give_up(struct world *world)
{
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        struct known *known = &world->model.known[i];
        struct publisher publisher = {.ring = world->ring, .clock = &world->clock.clock};
        uint64_t sequence = 0;
        if (known->answer != KNOWN_WAITS || known->is_import || dice_once_in(&world->dice, 2)) {
            continue;
        }
        enum outcome outcome = publish_end(&publisher, known->ticket, &sequence);
        publishers_note(world, known, outcome, sequence);
    }
}

void publishers_forget(struct world *world)
{
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        struct known *known = &world->model.known[i];
        if (known->answer == KNOWN_WAITS && !known->is_import) {
            known->answer = KNOWN_UNKNOWN;
        }
    }
}

/* --- Publishes -------------------------------------------------------------------------------- */

static void publishers_submit(struct world *world, struct known *known, size_t record_bytes_max)
{
    struct publisher publisher = {.ring = world->ring, .clock = &world->clock.clock};
    uint64_t now_ms = world->clock.wall_now_ms;
    struct publish_target target = {
        .destination = known->destination,
        .ttl_ms = known->expires_wall_ms != 0 ? known->expires_wall_ms - now_ms : 0,
        .record_bytes_max = record_bytes_max,
    };
    struct record record;
    enum outcome refusal;
    known->published_wall_ms = now_ms;
    known_seal(known);
    known_record(known, &record);
    if (publish_begin(&publisher, &target, &record, false, &known->ticket, &refusal) != 0) {
        publishers_note(world, known, refusal, 0);
        if (refusal == OUTCOME_UNKNOWN) {
            violate(world, "S1", "record %u: unknown, and it was never taken", known->number);
        }
    }
}

static size_t publishers_size(struct dice *dice)
{
    switch (dice_below(dice, 24)) {
    case 0:
        return 1000 + dice_below(dice, 8000);
    case 1:
        return 20000 + dice_below(dice, 120000);
    case 2:
        return 1900 + dice_below(dice, 200); /* about half a page: where whole pages begin */
    default:
        return 10 + dice_below(dice, 300);
    }
}

static void publishers_publish_random(struct world *world, size_t payload_bytes)
{
    struct dice *dice = &world->dice;
    uint32_t destination = 1 + (uint32_t)dice_below(dice, MODEL_DESTINATIONS);
    if (!world->is_configured[destination]) {
        return;
    }
    bool is_nowhere = dice_once_in(dice, 200);
    bool is_oversized = dice_once_in(dice, 200);
    struct known *known =
        model_add(&world->model, is_nowhere ? NO_SUCH_DESTINATION : destination, payload_bytes);
    known->key = dice_once_in(dice, 4) ? -1 : (int)dice_below(dice, 4);
    known->has_route = dice_once_in(dice, 3);
    if (dice_once_in(dice, 6)) {
        known->expires_wall_ms = world->clock.wall_now_ms + 1 + dice_below(dice, 40000);
    }
    publishers_submit(world, known, is_oversized ? 5 : RECORD_BYTES_MAX_HERE);
}

void publishers_publish(struct world *world)
{
    struct dice *dice = &world->dice;
    uint64_t count = 1 + dice_below(dice, 10);
    size_t all_bytes = dice_once_in(dice, 12) ? 60000 : 0; /* some episodes fill up quickly */
    for (uint64_t i = 0; i < count && world->model.known_count + 64 < MODEL_KNOWN_MAX; i++) {
        publishers_publish_random(world, all_bytes != 0 ? all_bytes : publishers_size(dice));
    }
}

struct known *publishers_publish_one(struct world *world, uint32_t destination)
{
    struct known *known = model_add(&world->model, destination, 20);
    publishers_submit(world, known, RECORD_BYTES_MAX_HERE);
    return known;
}

struct known *publishers_fill(struct world *world, uint32_t destination, size_t payload_bytes)
{
    struct known *known = NULL;
    for (int i = 0; i < FILL_RECORDS && world->model.known_count + 64 < MODEL_KNOWN_MAX; i++) {
        known = model_add(&world->model, destination, payload_bytes);
        known->has_route = dice_once_in(&world->dice, 4);
        publishers_submit(world, known, RECORD_BYTES_MAX_HERE);
    }
    return known;
}
