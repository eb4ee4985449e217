/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A look at all that is stored. What changed since the last look must have a reason that the model
 * knows; the counters must have moved by just that; each record that left with a report route must
 * have left its report.
 */
#include "spool/little_endian.h"
#include "tests/sim/look_private.h"
#include "tests/sim/tally.h"

#include <string.h>

void found_count(struct found *found, uint32_t destination, enum counter counter, uint64_t delta)
{
    found->totals[destination][counter] += delta;
    found->totals[0][counter] += delta;
}

static const char *look_place_name(enum known_place place)
{
    static const char *const names[] = {"nowhere", "waiting", "dead", "gone"};
    return names[place];
}

/* --- Leaving ---------------------------------------------------------------------------------- */

static bool look_has_expired(const struct world *world, const struct known *known)
{
    return known->has_expired || (known->expired_in & known_bit(known->destination)) != 0 ||
           (known->expires_wall_ms != 0 && known->expires_wall_ms <= world->clock.wall_now_ms);
}

/* A record left its queue, so. */
static void look_leave(struct world *world, struct found *found, struct known *known,
                       enum settle_action action)
{
    uint32_t destination = known->destination;
    const char *name = settle_action_name(action);
    switch (action) {
    case SETTLE_DELIVERED:
        found_count(found, destination, COUNTER_DELIVERED, 1);
        found_count(found, destination, COUNTER_DELIVERED_BYTES, known->size_bytes);
        break;
    case SETTLE_EXPIRED:
    case SETTLE_EXPIRED_DROP:
        found_count(found, destination, COUNTER_EXPIRED, 1);
        break;
    case SETTLE_CORRUPT:
        found_count(found, destination, COUNTER_CORRUPT, 1);
        break;
    case SETTLE_DROP:
        name = known->act == (int)SETTLE_DROP ? "dropped by an operator" : "dropped as the oldest";
        found_count(found, destination, COUNTER_DROPPED, 1);
        break;
    default:
        break;
    }
    name = action == SETTLE_EXPIRED_DROP ? "expired, and dropped" : name;
    tally("left", name);
    trace(world, "record %u (sequence %llu) left queue %u: %s", known->number,
          (unsigned long long)known->sequence, destination, name);
    if (known->has_route && !known->is_damaged) {
        found->left[known->number] = (int8_t)((int)action + 1);
    }
}

/* P2: the reasons for which a record may be in no place at all. SETTLE_ACTION_COUNT: none. */
static enum settle_action look_reason(const struct world *world, const struct known *known)
{
    const struct address *address = world->addresses[known->destination];
    if (known->act == (int)SETTLE_DROP || known->act == (int)SETTLE_EXPIRED_DROP) {
        return (enum settle_action)known->act;
    }
    if ((known->delivered_in & known_bit(known->destination)) != 0) {
        return SETTLE_DELIVERED;
    }
    if (look_has_expired(world, known) && address->on_expire == ADDRESS_ON_EXPIRE_DROP) {
        return SETTLE_EXPIRED_DROP;
    }
    /* Never one that is in-flight: it may be delivered at this moment. */
    if (address->on_full == ADDRESS_ON_FULL_DROP_OLDEST &&
        known->inflight_to[known->destination] == 0) {
        return SETTLE_DROP;
    }
    return SETTLE_ACTION_COUNT;
}

/* A record that was there at the last look is nowhere now, or never was seen and was accepted. */
static void look_gone(struct world *world, struct found *found, struct known *known)
{
    if (known->place == KNOWN_DEAD) {
        if (known->act != (int)SETTLE_DEAD_DROP) {
            violate(world, "P2", "dead letter %u is gone, and nobody dropped it", known->number);
        }
        found_count(found, known->destination, COUNTER_DROPPED, 1);
        tally("left", "dead letter dropped");
    } else {
        enum settle_action reason = look_reason(world, known);
        if (reason == SETTLE_ACTION_COUNT) {
            violate(world, "P2", "record %u (sequence %llu) is gone from queue %u without a reason",
                    known->number, (unsigned long long)known->sequence, known->destination);
            return;
        }
        look_leave(world, found, known, reason);
    }
    known->place = KNOWN_GONE;
    known->act = -1;
}

/* --- Coming and moving ------------------------------------------------------------------------ */

/* From nowhere into a queue, or, with an import, into the dead letters. */
static void look_arrive(struct world *world, struct found *found, struct known *known,
                        enum known_place place, uint32_t destination)
{
    struct model *model = &world->model;
    found_count(found, destination, COUNTER_APPENDED, 1);
    if (known->answer == KNOWN_NO) {
        violate(world, "P1", "record %u was refused, and is stored", known->number);
    }
    if (known->sequence < model->next_sequence) {
        violate(world, "S3", "record %u has the sequence %llu, and the next was %llu",
                known->number, (unsigned long long)known->sequence,
                (unsigned long long)model->next_sequence);
    }
    if (destination != known->destination) {
        violate(world, "S2", "record %u was published to %u, and is in %u", known->number,
                known->destination, destination);
    }
    if (place == KNOWN_DEAD) {
        found_count(found, destination, COUNTER_DEAD, 1);
        if (known->act != (int)SETTLE_EXPIRED) {
            violate(world, "S2", "record %u came as a dead letter", known->number);
        }
        known->act = -1;
    }
    if (!known->is_import && place == KNOWN_WAITING) {
        if (known->number < model->last_number[destination]) {
            violate(world, "P3", "record %u was committed behind %u, which was published later",
                    known->number, model->last_number[destination]);
        }
        model->last_number[destination] = known->number;
    }
}

/* From a queue to the dead letters. */
static void look_die(struct world *world, struct found *found, struct known *known,
                     const struct dead_letter *head)
{
    bool is_allowed = false;
    const struct address *address = world->addresses[known->destination];
    switch (head->reason) {
    case SETTLE_DEAD:
        is_allowed = known->dead_error != 0 && head->error == known->dead_error;
        break;
    case SETTLE_CORRUPT:
        is_allowed = known->is_damaged;
        break;
    case SETTLE_EXPIRED:
        is_allowed =
            known->act == (int)SETTLE_EXPIRED ||
            (look_has_expired(world, known) && address->on_expire == ADDRESS_ON_EXPIRE_DEAD);
        break;
    default:
        break;
    }
    if (!is_allowed) {
        violate(world, "P2", "record %u became a dead letter (%s) without a reason", known->number,
                settle_action_name(head->reason));
    }
    found_count(found, known->destination, COUNTER_DEAD, 1);
    look_leave(world, found, known, head->reason);
    known->dead_error = 0;
    known->act = -1;
}

/* Into a queue again: requeued or moved. One that had expired when it was requeued expires no more.
 */
static void look_put_back(struct world *world, struct found *found, struct known *known,
                          uint32_t destination)
{
    bool was_dead = known->place == KNOWN_DEAD;
    unsigned expired_bit = known->has_expired ? known_bit(known->destination) : 0;
    enum settle_action wanted = was_dead ? SETTLE_REQUEUE : SETTLE_MOVE;
    if (known->act != (int)wanted || known->act_to != destination) {
        violate(world, "S2", "record %u went from %s %u to queue %u, and nobody wanted it",
                known->number, look_place_name(known->place), known->destination, destination);
    }
    if (!was_dead) {
        found_count(found, known->destination, COUNTER_MOVED, 1);
    }
    if (was_dead && known->expires_wall_ms != 0 && known->expires_wall_ms <= known->act_wall_ms &&
        !known->is_damaged) {
        known->expires_wall_ms = 0;
        known->has_expired = false;
        known->expired_in |= expired_bit;
        known_seal(known);
    }
    tally("left", was_dead ? "requeued" : "moved");
    found_count(found, destination, COUNTER_REQUEUED, 1);
    known->act = -1;
    known->is_out_of_order = true;
    known->may_repeat = true;
    known->must_not_produce = false;
    known->destination = destination;
}

/* A record is found in a place. */
static void look_found(struct world *world, struct found *found, struct known *known,
                       enum known_place place, uint32_t destination, const struct dead_letter *head)
{
    if (known->seen_at == world->model.looks_count) {
        violate(world, "S2", "record %u is in two places", known->number);
    }
    known->seen_at = world->model.looks_count;
    bool is_same = known->place == place && known->destination == destination;
    if (known->place == KNOWN_NOWHERE) {
        look_arrive(world, found, known, place, destination);
    } else if (known->place == KNOWN_WAITING && place == KNOWN_DEAD &&
               destination == known->destination) {
        look_die(world, found, known, head);
    } else if (!is_same && place == KNOWN_WAITING && known->place != KNOWN_GONE) {
        look_put_back(world, found, known, destination);
    } else if (!is_same) {
        violate(world, "S2", "record %u went from %s %u to %s %u", known->number,
                look_place_name(known->place), known->destination, look_place_name(place),
                destination);
    }
    known->place = place;
}

/* --- What is stored --------------------------------------------------------------------------- */

/* Whose bytes they are, by the sequence, or by what they hold when that is not known yet. */
static struct known *look_identify(struct world *world, uint64_t sequence, struct span encoded)
{
    struct known *known = model_find_sequence(&world->model, sequence);
    if (known == NULL) {
        known = model_find_encoded(&world->model, encoded);
        if (known != NULL && known->sequence != 0 && known->sequence != sequence) {
            violate(world, "S3", "record %u has the sequence %llu, and now %llu", known->number,
                    (unsigned long long)known->sequence, (unsigned long long)sequence);
        }
        if (known != NULL) {
            known->sequence = sequence;
            world->model.by_sequence[sequence] = known->number;
        }
    }
    return known;
}

static void look_at_stored(struct world *world, struct found *found, enum known_place place,
                           uint32_t destination, uint64_t sequence, struct span stored)
{
    struct dead_letter head = {.reason = SETTLE_DEAD};
    struct span encoded = stored;
    if (place == KNOWN_DEAD && dead_letter_decode(stored, &head, &encoded) != 0) {
        violate(world, "S8", "dead letter %llu cannot be read", (unsigned long long)sequence);
        return;
    }
    struct known *known = look_identify(world, sequence, encoded);
    if (known == NULL) {
        violate(world, "S3", "sequence %llu is a record that nobody published",
                (unsigned long long)sequence);
        return;
    }
    enum counter records = place == KNOWN_DEAD ? COUNTER_DEAD_RECORDS : COUNTER_QUEUE_RECORDS;
    found->levels[destination][records]++;
    found->levels[destination][records + 1] += stored.size_bytes;
    found->levels[0][records]++;
    found->levels[0][records + 1] += stored.size_bytes;
    look_found(world, found, known, place, destination, &head);
    if (encoded.size_bytes != known->size_bytes ||
        (!known->is_damaged && get_u32(encoded.data) != known->checksum)) {
        violate(world, "S8", "record %u is not stored as it was published", known->number);
    }
}

static void look_at_place(struct world *world, struct found *found, enum known_place place,
                          uint32_t destination)
{
    struct cursor cursor;
    uint64_t sequence;
    struct span stored;
    int r = place == KNOWN_DEAD ? cursor_begin_dead(&cursor, world->spool, destination, 0)
                                : cursor_begin_queue(&cursor, world->spool, destination, 0);
    if (r != 0) {
        violate(world, "S8", "destination %u cannot be read: %d", destination, r);
        return;
    }
    while ((r = cursor_next(&cursor, &sequence, &stored)) == 0 && !world->violation.is_set) {
        look_at_stored(world, found, place, destination, sequence, stored);
    }
    if (r != CURSOR_E_END && !world->violation.is_set) {
        violate(world, "S8", "destination %u cannot be read to its end: %d", destination, r);
    }
    cursor_end(&cursor);
}

static void look_at_missing(struct world *world, struct found *found)
{
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        struct known *known = &world->model.known[i];
        bool was_there = known->place == KNOWN_WAITING || known->place == KNOWN_DEAD;
        if (was_there && known->seen_at != world->model.looks_count) {
            look_gone(world, found, known);
        } else if (known->place == KNOWN_NOWHERE && known->answer == KNOWN_YES &&
                   !known->is_import_report) {
            /* Appended, and made room for others in the same commit. */
            const struct address *address = world->addresses[known->destination];
            if (address->on_full != ADDRESS_ON_FULL_DROP_OLDEST) {
                violate(world, "P1", "record %u was accepted, and is not stored", known->number);
                return;
            }
            found_count(found, known->destination, COUNTER_APPENDED, 1);
            look_gone(world, found, known);
        }
    }
}

/* What was under way when the last process ended was committed or not: from now on neither its
 * reports nor its refusals are a reason for anything. */
static void look_forget_life(struct world *world)
{
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        struct known *known = &world->model.known[i];
        known->delivered_in = 0;
        known->expired_in = 0;
        known->dead_error = 0;
        known->has_expired = false;
    }
    for (size_t i = 0; i < MODEL_REPORTS_MAX; i++) {
        world->model.reports[i].is_done = false;
    }
    world->is_new_life = false;
}

/* What the forwarder handed over is settled: it is no reason any more. */
static void look_forget_settled(struct world *world)
{
    for (uint32_t destination = 1; destination <= MODEL_DESTINATIONS; destination++) {
        if (!kafka_is_settled(world, destination)) {
            continue;
        }
        for (uint32_t i = 1; i <= world->model.known_count; i++) {
            world->model.known[i].delivered_in &= ~known_bit(destination);
            world->model.known[i].expired_in &= ~known_bit(destination);
        }
    }
}

/* --- All of it -------------------------------------------------------------------------------- */

void look(struct world *world)
{
    static struct found found;
    struct counters now[MODEL_DESTINATIONS + 1] = {0};
    if (world->violation.is_set || !world_is_readable(world)) {
        return;
    }
    found = (struct found){.unseen = {0}};
    world->model.looks_count++;
    world->numbers_count = spool_destinations_count(world->spool);
    for (uint32_t i = 0; i <= world->numbers_count; i++) {
        if (spool_counters(world->spool, i, &now[i]) != 0) {
            violate(world, "S4", "the counters of %u cannot be read", i);
            return;
        }
    }
    for (uint32_t i = 1; i <= world->numbers_count; i++) {
        look_at_place(world, &found, KNOWN_WAITING, i);
        look_at_place(world, &found, KNOWN_DEAD, i);
    }
    look_at_missing(world, &found);
    for (uint32_t i = 1; i <= world->numbers_count; i++) {
        look_count_unseen(world, &found, i, &now[i]);
    }
    look_at_reports(world, &found);
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        if (found.left[i] != 0) {
            violate(world, "S5", "record %u left its queue (%s) without a report", i,
                    settle_action_name((enum settle_action)(found.left[i] - 1)));
        }
    }
    look_at_counters(world, &found, now);
    if (world->is_new_life) {
        look_forget_life(world);
    }
    look_forget_settled(world);
}

bool look_is_waiting(struct world *world, uint32_t destination, uint64_t sequence)
{
    struct cursor cursor;
    uint64_t found = 0;
    struct span stored;
    if (cursor_begin_queue(&cursor, world->spool, destination, sequence) != 0) {
        return false;
    }
    bool is_there = cursor_next(&cursor, &found, &stored) == 0 && found == sequence;
    cursor_end(&cursor);
    return is_there;
}
