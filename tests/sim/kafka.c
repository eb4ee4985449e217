/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kafka: brokers behind the fake client. Each topic has partitions, which are written in the order
 * of produce, so nothing behind a record that failed is written. Answers come in any order, late,
 * wrongly (an acknowledgement is lost), or never.
 */
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

#include <assert.h>
#include <string.h>

#define LISTED_MAX 2048
#define PERSISTED_ERROR (-192)

/* What the errors of a delivery report mean, as DESIGN says it: not the product's table. */
enum kafka_class {
    KAFKA_RETRY,
    KAFKA_HOLD,
    KAFKA_FATAL,
    KAFKA_CLASS_COUNT,
};

static const int errors[KAFKA_CLASS_COUNT][6] = {
    [KAFKA_RETRY] = {-195, -192, 6, 19, 89, 7},
    [KAFKA_HOLD] = {3, 29, 31, 58, -181, 17},
    [KAFKA_FATAL] = {45, 47, 59, -150, 45, 47},
};
static const char *const class_names[KAFKA_CLASS_COUNT] = {"retry", "hold", "fatal"};

/* Some records no broker takes, and some the client does not: each time. */
static bool kafka_is_poison(const struct known *known)
{
    return known->number % 29 == 3;
}

static bool kafka_is_refused(const struct known *known)
{
    return known->number % 31 == 5;
}

bool kafka_never_takes(const struct known *known)
{
    return kafka_is_poison(known) || kafka_is_refused(known);
}

static uint32_t kafka_destination(const char *topic)
{
    uint32_t destination = (uint32_t)(topic[0] - 'a') + 1;
    assert(destination >= 1 && destination <= MODEL_DESTINATIONS);
    return destination;
}

static bool kafka_is_inflight(const struct fake_record *record)
{
    return record->stage == FAKE_TAKEN || record->stage == FAKE_ANSWERED;
}

/* --- Produce ---------------------------------------------------------------------------------- */

/* The same id, however often it is sent. */
static void kafka_check_id(struct world *world, const struct known *known,
                           const struct fake_record *record)
{
    char wanted[SPOOL_ID_BYTES];
    struct record mine;
    known_record(known, &mine);
    spool_id_print(world->spool, mine.has_origin ? mine.origin_uuid : NULL,
                   mine.has_origin ? mine.origin_sequence : known->sequence, wanted);
    if (strcmp(wanted, record->spool_id) != 0) {
        violate(world, "P2", "record %u was produced with the spool-id %s, and is %s",
                known->number, record->spool_id, wanted);
    }
}

/* Order, and no second copy in-flight; whether it is alone. */
static bool kafka_check_inflight(struct world *world, const struct known *known,
                                 uint32_t destination)
{
    bool is_alone = true;
    const struct fake_sinks *sinks = &world->sinks;
    for (size_t i = world->noticed_from; i + 1 < sinks->records_count; i++) {
        const struct known *other = &world->model.known[world->sent[i].known];
        if (!kafka_is_inflight(&sinks->records[i]) || world->sent[i].destination != destination) {
            continue;
        }
        is_alone = false;
        world->sent[i].is_alone = false;
        if (other == known) {
            violate(world, "P2", "record %u was produced while it was in-flight", known->number);
        } else if (other->sequence >= known->sequence && !other->is_out_of_order) {
            violate(world, "P3", "record %u was produced behind the newer %u, which is in-flight",
                    known->number, other->number);
        }
    }
    return is_alone;
}

static void kafka_check_produce(struct world *world, struct known *known, uint32_t destination)
{
    uint64_t now_ms = world->clock.monotonic_now_ms;
    if (known->must_not_produce) {
        violate(world, "P2", "record %u was produced again after its delivery", known->number);
    }
    if (!look_is_waiting(world, destination, known->sequence)) {
        violate(world, "S1", "record %u was produced, and is not in queue %u", known->number,
                destination);
    }
    if (known->expires_wall_ms != 0 && known->expires_wall_ms <= world->clock.wall_now_ms) {
        violate(world, "P2", "record %u was produced after its time-to-live", known->number);
    }
    if (world->is_wanted_paused[destination] && now_ms >= world->paused_at_ms[destination] + 1000) {
        violate(world, "pause", "record %u was produced to a paused destination", known->number);
    }
    if (!world->is_configured[destination]) {
        violate(world, "P2", "record %u was produced to a destination that is not configured",
                known->number);
    }
}

static struct known *kafka_find(struct world *world, const struct fake_record *sent)
{
    struct known *known = NULL;
    uint64_t number = strtoull(sent->payload, NULL, 10);
    if (number >= 1 && number <= world->model.known_count) {
        struct record mine;
        known = &world->model.known[number];
        known_record(known, &mine);
        bool is_same = mine.payload.size_bytes == sent->payload_bytes &&
                       memcmp(mine.payload.data, sent->payload, sent->payload_bytes) == 0 &&
                       mine.key.size_bytes == sent->key_bytes &&
                       mine.published_wall_ms == sent->published_wall_ms;
        known = is_same ? known : NULL;
    }
    return known;
}

/* At each produce. */
static int kafka_take(void *context, const struct fake_record *record)
{
    struct world *world = context;
    size_t at = world->sinks.records_count - 1;
    struct known *known = kafka_find(world, record);
    uint32_t destination = kafka_destination(record->topic);
    assert(at < WORLD_SENT_MAX);
    if (known == NULL) {
        violate(world, "S8", "something was produced that nobody published");
        known = &world->model.known[0];
    }
    if (known->sequence == 0 && !known->is_import) {
        known->sequence = record->sequence; /* its publisher has not heard yet */
    }
    trace(world, "produced: record %u, sequence %llu, to %u", known->number,
          (unsigned long long)known->sequence, destination);
    kafka_check_produce(world, known, destination);
    kafka_check_id(world, known, record);
    bool is_alone = kafka_check_inflight(world, known, destination);
    world->sent[at] = (struct sent){
        .known = known->number,
        .destination = destination,
        .partition =
            (uint32_t)(known->key >= 0 ? known->key : (int)known->number) % world->partitions_count,
        .life = world->life,
        .is_alone = is_alone,
    };
    known->inflight_count++;
    known->inflight_to[destination]++;
    if (known->writings_count > 0 || known->may_repeat) {
        tally("produced", "again");
    }
    return FAKE_LATER;
}

/* The client refuses, before it takes. */
static int kafka_refuse(void *context, const struct record *record, uint64_t sequence,
                        int *ret_error)
{
    struct world *world = context;
    struct known *known = model_find_record(&world->model, record);
    (void)sequence;
    if (known != NULL && kafka_is_refused(known)) {
        *ret_error = FAKE_TOO_LARGE;
        known->dead_error = FAKE_TOO_LARGE;
        tally("refused", "dead");
        return SINK_E_REJECTED;
    }
    if (dice_below(&world->dice, 100) >= world->busy_in_100) {
        return 0;
    }
    if (dice_once_in(&world->dice, 4)) {
        enum kafka_class class = dice_once_in(&world->dice, 2) ? KAFKA_RETRY : KAFKA_HOLD;
        *ret_error = errors[class][dice_below(&world->dice, 6)];
        tally("refused", class_names[class]);
        return SINK_E_REJECTED;
    }
    tally("refused", "busy");
    return SINK_E_BUSY;
}

void kafka_init(struct world *world)
{
    world->sinks.decide = kafka_take;
    world->sinks.refuse = kafka_refuse;
    world->sinks.context = world;
    world->fails_in_100 = 15;
    world->busy_in_100 = 2;
}

/* --- What became of it ------------------------------------------------------------------------ */

/* A report was taken by the forwarder. */
static void kafka_notice_report(struct known *known, struct sent *sent,
                                const struct fake_record *record)
{
    bool is_persisted = record->error == PERSISTED_ERROR && sent->is_written;
    if (record->error == 0 || record->error == 46 || is_persisted) {
        known->delivered_in |= known_bit(sent->destination);
        /* One that an operator moved meanwhile was delivered where it is not any more. */
        if (sent->destination == known->destination) {
            known->must_not_produce = true;
        }
    } else if (record->error == FAKE_TOO_LARGE && sent->is_alone) {
        known->dead_error = FAKE_TOO_LARGE;
    } else if (sent->is_written) {
        known->may_repeat = true; /* possibly persisted, and so it was reported */
    }
    if (record->error == FAKE_PURGED_QUEUE || record->error == FAKE_PURGED_INFLIGHT) {
        tally("verdict", "returned");
    }
}

void kafka_notice(struct world *world)
{
    for (size_t i = world->noticed_from; i < world->sinks.records_count; i++) {
        struct sent *sent = &world->sent[i];
        struct known *known = &world->model.known[sent->known];
        const struct fake_record *record = &world->sinks.records[i];
        if (!sent->is_noticed && !kafka_is_inflight(record)) {
            sent->is_noticed = true;
            known->inflight_count--;
            known->inflight_to[sent->destination]--;
            if (record->stage == FAKE_REPORTED) {
                kafka_notice_report(known, sent, record);
            } else {
                known->may_repeat = true;
                tally("verdict", "never reported");
            }
        }
        if (sent->is_noticed && i == world->noticed_from) {
            world->noticed_from++;
        }
    }
}

/* What was in-flight on a partition behind one that was not written is not written either. */
static void kafka_notice_holes(struct world *world)
{
    for (size_t i = world->noticed_from; i < world->sinks.records_count; i++) {
        struct sent *sent = &world->sent[i];
        const struct fake_record *record = &world->sinks.records[i];
        if (record->stage == FAKE_TAKEN || sent->is_written || sent->is_failed) {
            continue;
        }
        sent->is_failed = true;
        for (size_t j = i + 1; j < world->sinks.records_count; j++) {
            struct sent *behind = &world->sent[j];
            if (world->sinks.records[j].stage == FAKE_TAKEN &&
                world->sinks.records[j].sink_number == record->sink_number &&
                behind->destination == sent->destination && behind->partition == sent->partition) {
                behind->is_failed = true;
            }
        }
    }
}

static void kafka_note_expired(struct world *world)
{
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        struct known *known = &world->model.known[i];
        if (known->expires_wall_ms != 0 && known->expires_wall_ms <= world->clock.wall_now_ms) {
            known->has_expired = true;
            /* It was passed; should the clock be set back, it comes behind the others. */
            known->is_out_of_order = true;
        }
    }
}

bool kafka_is_settled(const struct world *world, uint32_t destination)
{
    struct forward_status status;
    size_t count = 0;
    for (size_t i = world->noticed_from; i < world->sinks.records_count; i++) {
        count += world->sent[i].destination == destination &&
                 kafka_is_inflight(&world->sinks.records[i]);
    }
    return world->forward == NULL || forward_status(world->forward, destination, &status) != 0 ||
           status.inflight_records == count;
}

void kafka_forward(struct world *world)
{
    kafka_notice_holes(world);
    kafka_note_expired(world);
    (void)!forward_step(world->forward);
    kafka_notice_holes(world);
    kafka_notice(world);
}

/* --- Brokers ---------------------------------------------------------------------------------- */

static void kafka_write(struct world *world, size_t at)
{
    struct sent *sent = &world->sent[at];
    struct known *known = &world->model.known[sent->known];
    sent->is_written = true;
    world->sinks.records[at].is_on_wire = true;
    if (sent->destination != known->destination) {
        return; /* an operator moved it while it was in-flight: wanted twice */
    }
    if (known->writings_count++ > 0) {
        tally("written", "twice");
        if (!known->may_repeat) {
            violate(world, "P2", "record %u was written twice without a reason", known->number);
        }
        known->may_repeat = false;
        return;
    }
    known->may_repeat = false;
    if (known->key < 0 || known->is_out_of_order) {
        return;
    }
    uint64_t *max = &world->written_max[sent->destination][known->key];
    if (known->sequence < *max) {
        violate(world, "P3", "record %u (sequence %llu) of key %d was written behind sequence %llu",
                known->number, (unsigned long long)known->sequence, known->key,
                (unsigned long long)*max);
    }
    *max = known->sequence;
}

/* The unanswered records of a partition, in order. */
static size_t kafka_list(const struct world *world, uint32_t destination, uint32_t partition,
                         size_t *ret_at)
{
    size_t count = 0;
    for (size_t i = world->noticed_from; i < world->sinks.records_count && count < LISTED_MAX;
         i++) {
        if (world->sinks.records[i].stage == FAKE_TAKEN &&
            world->sent[i].destination == destination && world->sent[i].partition == partition) {
            ret_at[count++] = i;
        }
    }
    return count;
}

/* Writes the first so many of them, up to one that fails or failed. */
static void kafka_write_some(struct world *world, const size_t *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct sent *sent = &world->sent[at[i]];
        if (kafka_is_poison(&world->model.known[sent->known]) || sent->is_failed) {
            return;
        }
        if (!sent->is_written) {
            kafka_write(world, at[i]);
        }
    }
}

static void kafka_answer(struct world *world, size_t at, int error,
                         enum sink_persistence persistence)
{
    struct sink_report report = {
        .error = error,
        .persistence = persistence,
        .partition = error == 0 ? (int32_t)world->sent[at].partition : -1,
        .offset = error == 0 ? (int64_t)at : -1,
    };
    trace(world, "record %u is answered with %d", world->sent[at].known, error);
    fake_sinks_report(&world->sinks, at, &report);
}

/* Answers a record that is written; now and then not as it was. */
static void kafka_acknowledge(struct world *world, size_t at, bool is_well)
{
    switch (is_well ? 99 : dice_below(&world->dice, 30)) {
    case 0:
        tally("verdict", "retry");
        kafka_answer(world, at, FAKE_TRANSPORT, SINK_PERSISTENCE_POSSIBLY);
        break;
    case 1:
        tally("verdict", "persisted");
        kafka_answer(world, at, PERSISTED_ERROR, SINK_PERSISTENCE_YES);
        break;
    case 2:
        tally("verdict", "duplicate");
        kafka_answer(world, at, 46, SINK_PERSISTENCE_NOT);
        break;
    default:
        tally("verdict", "delivered");
        kafka_answer(world, at, 0, SINK_PERSISTENCE_NOT);
        break;
    }
}

static void kafka_acknowledge_some(struct world *world, const size_t *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t one = at[dice_below(&world->dice, count)];
        if (world->sent[one].is_written && world->sinks.records[one].stage == FAKE_TAKEN) {
            kafka_acknowledge(world, one, false);
        }
    }
}

/* Fails the first record that is not written, and with it those behind it in its batch. */
static void kafka_fail_batch(struct world *world, const size_t *at, size_t count, int error,
                             const char *class_name)
{
    size_t first = 0;
    while (first < count && world->sent[at[first]].is_written) {
        first++;
    }
    size_t end = first + 1 + (size_t)dice_below(&world->dice, 8);
    end = end < count ? end : count;
    for (size_t i = first; i < end; i++) {
        if (kafka_is_poison(&world->model.known[world->sent[at[i]].known])) {
            error = FAKE_TOO_LARGE;
            class_name = "dead";
        }
    }
    for (size_t i = first; i < end; i++) {
        tally("verdict", class_name);
        kafka_answer(world, at[i], error, SINK_PERSISTENCE_NOT);
    }
    kafka_notice_holes(world);
}

static void kafka_fail_somehow(struct world *world, const size_t *at, size_t count)
{
    static const enum kafka_class classes[] = {KAFKA_RETRY, KAFKA_RETRY, KAFKA_HOLD, KAFKA_FATAL};
    enum kafka_class class = classes[dice_below(&world->dice, SPOOL_COUNT_OF(classes))];
    int error = errors[class][dice_below(&world->dice, 6)];
    kafka_fail_batch(world, at, count, error, class_names[class]);
}

void kafka_works(struct world *world)
{
    size_t at[LISTED_MAX];
    kafka_notice_holes(world);
    if (dice_once_in(&world->dice, 2)) {
        fake_sinks_end_purge(&world->sinks);
    }
    for (uint32_t i = 0; i < MODEL_DESTINATIONS * world->partitions_count; i++) {
        uint32_t destination = i / world->partitions_count + 1;
        uint32_t partition = i % world->partitions_count;
        size_t count = kafka_list(world, destination, partition, at);
        if (count == 0 || world->is_hung[destination] || dice_once_in(&world->dice, 4)) {
            continue;
        }
        kafka_write_some(world, at, (size_t)dice_below(&world->dice, count + 1));
        kafka_acknowledge_some(world, at, count);
        if (dice_below(&world->dice, 100) < world->fails_in_100) {
            count = kafka_list(world, destination, partition, at);
            kafka_fail_somehow(world, at, count);
        }
    }
    kafka_notice(world);
}

void kafka_fails(struct world *world)
{
    size_t at[LISTED_MAX];
    kafka_notice_holes(world);
    uint32_t destination = 1 + (uint32_t)dice_below(&world->dice, MODEL_DESTINATIONS);
    for (uint32_t i = 0; i < world->partitions_count; i++) {
        kafka_fail_somehow(world, at, kafka_list(world, destination, i, at));
    }
    kafka_notice(world);
}

void kafka_is_well(struct world *world)
{
    size_t at[LISTED_MAX];
    kafka_notice_holes(world);
    fake_sinks_end_purge(&world->sinks);
    for (uint32_t i = 0; i < MODEL_DESTINATIONS * world->partitions_count; i++) {
        uint32_t destination = i / world->partitions_count + 1;
        uint32_t partition = i % world->partitions_count;
        if (world->is_hung[destination]) {
            continue;
        }
        size_t count = kafka_list(world, destination, partition, at);
        kafka_write_some(world, at, count);
        for (size_t j = 0; j < count; j++) {
            if (world->sent[at[j]].is_written) {
                kafka_acknowledge(world, at[j], true);
            }
        }
        count = kafka_list(world, destination, partition, at);
        kafka_fail_batch(world, at, count, FAKE_TRANSPORT, "retry");
    }
    kafka_notice(world);
}

void kafka_client_died(struct world *world)
{
    size_t at[LISTED_MAX];
    kafka_notice_holes(world);
    for (uint32_t i = 0; i < MODEL_DESTINATIONS * world->partitions_count; i++) {
        size_t count =
            kafka_list(world, i / world->partitions_count + 1, i % world->partitions_count, at);
        if (count > 0 && dice_once_in(&world->dice, 3)) {
            kafka_write_some(world, at, (size_t)dice_below(&world->dice, count + 1));
        }
    }
}
