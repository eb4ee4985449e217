/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 3 of the flow: from the spool into the sink, as far as the window goes. */
#include "src/forward_private.h"

#include "spool/cursor.h"
#include "spool/point.h"
#include "spool/record.h"

#include <assert.h>

/* At least so long before a sink or a spool that cannot be used is tried again. */
#define FEED_HOLD_MS 1000

/* --- The window ------------------------------------------------------------------------------- */

/* Each destination has an equal share of what may be in-flight, so that none takes another's. */
static bool feed_has_room(const struct forward_destination *destination)
{
    size_t share = destination->forward->destinations_count;
    size_t records = destination->produced.count + destination->settling.count;
    if (destination->produced.count == 0 && destination->settling.count == 0) {
        return true; /* one record always goes, however large */
    }
    return records < INFLIGHT_RECORDS_MAX / share &&
           destination->produced.bytes < INFLIGHT_BYTES_MAX / share;
}

/* Whether the sink has as many suspects as may be together. */
static bool feed_is_group_full(const struct forward_destination *destination)
{
    return destination->produced.first != NULL && destination->produced.first->is_suspect &&
           destination->produced.count >= destination->group_max;
}

/* Suspects go in groups, and nothing else with them: half of those that were rejected together,
 * then twice as many after each group that was taken. So one that is bad is alone after a few
 * groups; and when the topic takes no batch of the usual size, the groups come to be of one that it
 * takes. */
static bool feed_may_join(const struct forward_destination *destination, bool is_suspect)
{
    const struct inflight *first = destination->produced.first;
    return first == NULL || (first->is_suspect == is_suspect && !feed_is_group_full(destination));
}

/* --- Opening ---------------------------------------------------------------------------------- */

static void feed_hold(struct forward_destination *destination, const char *text, uint64_t until_ms)
{
    uint64_t earliest_ms = destination->forward->now_ms + FEED_HOLD_MS;
    forward_note_error(destination, 0, text);
    forward_tell_trouble(destination, FORWARD_TROUBLE_HELD);
    destination->state = FORWARD_WAITING;
    destination->drain_reason = VERDICT_HOLD;
    destination->wait_until_ms = until_ms > earliest_ms ? until_ms : earliest_ms;
}

/* Makes sink and topic ready. Returns whether they are. */
static bool feed_open(struct forward_destination *destination)
{
    struct forward *forward = destination->forward;
    struct producer *producer = destination->producer;
    int r = producer_open(producer, forward->config.maker, forward->now_ms);
    if (r == PRODUCER_E_FAILED) {
        feed_hold(destination, producer->trouble.text, producer->open_at_ms);
    }
    if (r != 0) {
        return false;
    }
    if (destination->topic != NULL && destination->topic_generation == producer->generation) {
        return true;
    }
    struct message message;
    destination->topic = NULL;
    r = producer->sink->ops->open_topic(producer->sink, destination->address, &destination->topic,
                                        &message);
    if (r != 0) {
        feed_hold(destination, r > 0 ? message.text : "out of memory", 0);
        return false;
    }
    destination->topic_generation = producer->generation;
    return true;
}

/* --- One record ------------------------------------------------------------------------------- */

enum feed_result {
    FEED_NEXT, /* dealt with: on to the next record */
    FEED_STOP, /* not now: this record again at the next step */
};

static struct inflight *feed_take_entry(struct forward_destination *destination, uint64_t sequence)
{
    struct inflight *entry = inflight_take(&destination->forward->pool);
    if (entry != NULL) {
        entry->destination = destination;
        entry->sequence = sequence;
    }
    return entry;
}

/* Settles a record without producing it. */
static enum feed_result feed_settle(struct forward_destination *destination, uint64_t sequence,
                                    enum settle_action action, int error)
{
    struct inflight *entry = feed_take_entry(destination, sequence);
    if (entry == NULL) {
        return FEED_STOP;
    }
    const struct retried_record *before = retried_find(&destination->retried, sequence);
    if (before != NULL) {
        entry->attempts = before->attempts;
        entry->first_attempt_wall_ms = before->first_attempt_wall_ms;
    }
    struct sink_report report = {.error = error, .partition = -1, .offset = -1};
    forward_stage(destination->forward, entry, action, &report);
    SPOOL_POINT("feed.settled");
    return FEED_NEXT;
}

/* The sink would not have the record: it alone, or all of them? */
static enum feed_result feed_rejected(struct forward_destination *destination, uint64_t sequence,
                                      int error)
{
    enum verdict verdict = verdict_of_error(error);
    forward_note_error(destination, error, "refused by the Kafka client");
    if (verdict == VERDICT_DEAD) {
        forward_tell_dead(destination);
        return feed_settle(destination, sequence, SETTLE_DEAD, error);
    }
    bool is_held = verdict == VERDICT_HOLD;
    destination->retries_count++;
    forward_tell_trouble(destination, is_held ? FORWARD_TROUBLE_HELD : FORWARD_TROUBLE_RETRY);
    forward_drain(destination, is_held ? VERDICT_HOLD : VERDICT_RETRY);
    return FEED_STOP;
}

static enum feed_result feed_produce(struct forward_destination *destination, uint64_t sequence,
                                     const struct record *record, size_t size_bytes,
                                     bool is_suspect)
{
    struct forward *forward = destination->forward;
    struct producer *producer = destination->producer;
    struct inflight *entry = feed_take_entry(destination, sequence);
    if (entry == NULL) {
        return FEED_STOP;
    }
    const struct retried_record *before = retried_find(&destination->retried, sequence);
    entry->attempts = before != NULL ? before->attempts + 1 : 1;
    entry->first_attempt_wall_ms =
        before != NULL ? before->first_attempt_wall_ms : forward->now_wall_ms;
    entry->expires_wall_ms = record->expires_wall_ms;
    entry->size_bytes = (uint32_t)size_bytes;
    entry->is_suspect = is_suspect;
    entry->is_alone = is_suspect && destination->group_max == 1;

    char spool_id[SPOOL_ID_BYTES];
    spool_id_print(forward->config.spool, record->has_origin ? record->origin_uuid : NULL,
                   record->has_origin ? record->origin_sequence : sequence, spool_id);
    int error = 0;
    SPOOL_POINT("feed.producing");
    int r = producer->sink->ops->produce(producer->sink, destination->topic, record, spool_id,
                                         entry, &error);
    if (r == 0) {
        SPOOL_POINT("feed.produced");
        if (destination->produced.count == 0) {
            destination->last_progress_ms = forward->now_ms;
        }
        inflight_append(&destination->produced, entry);
        producer->taken_count++;
        return FEED_NEXT;
    }
    inflight_give(&forward->pool, entry);
    if (r == SINK_E_REJECTED) {
        return feed_rejected(destination, sequence, error);
    }
    if (r == SINK_E_FATAL) {
        struct message reason;
        message_set(&reason, "the producer failed: %s", verdict_error_name(error));
        forward_lose_producer(forward, producer, &reason);
    }
    return FEED_STOP; /* also for SINK_E_BUSY and for want of memory: again after some reports */
}

/* Deals with the record that the cursor shows. */
static enum feed_result feed_record(struct forward_destination *destination, uint64_t sequence,
                                    struct span encoded)
{
    struct record record;
    if (record_decode(encoded, &record) != 0) {
        struct message text;
        message_set(&text, "record %llu failed its checksum and became a dead letter",
                    (unsigned long long)sequence);
        forward_note_error(destination, 0, text.text);
        forward_tell_dead(destination);
        return feed_settle(destination, sequence, SETTLE_CORRUPT, 0);
    }
    if (record.expires_wall_ms != 0 &&
        record.expires_wall_ms <= destination->forward->now_wall_ms) {
        bool drops = destination->address->on_expire == ADDRESS_ON_EXPIRE_DROP;
        return feed_settle(destination, sequence, drops ? SETTLE_EXPIRED_DROP : SETTLE_EXPIRED, 0);
    }
    const struct retried_record *before = retried_find(&destination->retried, sequence);
    bool is_suspect = before != NULL && before->is_suspect;
    if (!feed_may_join(destination, is_suspect)) {
        return FEED_STOP;
    }
    return feed_produce(destination, sequence, &record, encoded.size_bytes, is_suspect);
}

/* --- The queue -------------------------------------------------------------------------------- */

/* Reads on from the position. Returns whether there may be more to read at once. */
static bool feed_read(struct forward_destination *destination, struct cursor *cursor,
                      uint64_t appended)
{
    for (size_t i = 0; i < READ_RECORDS_MAX; i++) {
        if (!feed_has_room(destination) || feed_is_group_full(destination)) {
            return false;
        }
        uint64_t sequence;
        struct span encoded;
        int r = cursor_next(cursor, &sequence, &encoded);
        if (r == CURSOR_E_END) {
            /* All that was there when we began: what is not in the queue was settled before. */
            if (destination->position <= appended) {
                destination->position = appended + 1;
            }
            return false;
        }
        if (r != 0) {
            feed_hold(destination,
                      "the spool cannot be read: its file is damaged here; see 'spool-inspect "
                      "verify'",
                      0);
            return false;
        }
        if (!cursor_take(destination->forward->config.spool, destination->id, sequence) ||
            feed_record(destination, sequence, encoded) == FEED_STOP) {
            return false;
        }
        destination->position = sequence + 1;
        retried_pass(&destination->retried, sequence);
    }
    return true;
}

bool forward_feed(struct forward_destination *destination)
{
    struct forward *forward = destination->forward;
    struct spool *spool = forward->config.spool;
    assert(destination->state == FORWARD_FLOWING);
    uint64_t appended = cursor_appended(spool, destination->id);
    if (forward->is_stopping || destination->is_paused || appended < destination->position ||
        !feed_has_room(destination) || feed_is_group_full(destination) || !feed_open(destination)) {
        return false;
    }
    struct cursor cursor;
    int r = cursor_begin_queue(&cursor, spool, destination->id, destination->position);
    if (r != 0) {
        return false; /* latched: the committer opens it again */
    }
    bool has_more = feed_read(destination, &cursor, appended);
    cursor_end(&cursor);
    cursor_tell_position(spool, destination->id, destination->position);
    return has_more;
}
