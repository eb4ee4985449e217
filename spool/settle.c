/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settling: the only way a record leaves its queue. Deleting it, moving it to the dead letters and
 * noting its report are one transaction, so a record is never in two places (S2) and a report never
 * lost (S5).
 */
#include "spool/batch_private.h"
#include "spool/point.h"
#include "spool/record.h"

#include <assert.h>
#include <string.h>

int settle_put_report(struct batch *batch, struct batch_destination *part,
                      const struct report *report, const struct record *without_payload,
                      struct span encoded)
{
    size_t record_bytes = encoded.size_bytes;
    if (without_payload != NULL && record_size(without_payload, &record_bytes) != 0) {
        return MDB_CORRUPTED;
    }
    uint64_t number = batch->next_report;
    MDB_val key = environment_key(&number, sizeof(number));
    MDB_val data = {.mv_size = REPORT_BYTES + record_bytes};
    int code = mdb_put(batch->txn, batch->spool->reports, &key, &data, MDB_RESERVE | MDB_APPEND);
    if (code != 0) {
        return code;
    }
    report_encode(report, data.mv_data);
    if (without_payload != NULL) {
        record_encode(without_payload, (uint8_t *)data.mv_data + REPORT_BYTES);
    } else {
        memcpy((uint8_t *)data.mv_data + REPORT_BYTES, encoded.data, encoded.size_bytes);
    }
    SPOOL_POINT("settle.report_put");
    batch->next_report++;
    batch->copied_bytes += data.mv_size;
    room_take(batch, &batch->reports_leaf_bytes, data.mv_size);
    batch_count(batch, part, COUNTER_REPORT_RECORDS, 1);
    batch_count(batch, part, COUNTER_REPORT_BYTES, (int64_t)data.mv_size);
    return 0;
}

/* What a settlement copies when the record leaves its queue. */
struct settle_copies {
    bool has_report;
    bool is_payload_left_out;
    struct record without_payload; /* when the report has none: the key stays */
};

/* Decides on the report: a route waits for one. A record that was dropped to make room takes no
 * room again, and one whose payload finds none is kept without: the status counts. False: there is
 * no room even for that. */
static bool settle_plan_report(const struct batch *batch, const struct settlement *settlement,
                               struct span encoded, struct settle_copies *copies)
{
    struct record *record = &copies->without_payload;
    if (record_report_route_size(encoded) == 0 || record_decode(encoded, record) != 0) {
        return true; /* damaged since it was read: nobody could be told what it was */
    }
    record->payload.size_bytes = 0;
    record->headers_count = 0;
    record->headers = NULL;
    size_t little_bytes = 0;
    copies->has_report = record_size(record, &little_bytes) == 0;
    copies->is_payload_left_out =
        settlement->action == SETTLE_DROP || settlement->leaves_payload_out ||
        !room_may_copy(batch, batch->reports_leaf_bytes, REPORT_BYTES + encoded.size_bytes, false);
    return !copies->is_payload_left_out ||
           room_may_copy(batch, batch->reports_leaf_bytes, REPORT_BYTES + little_bytes, true);
}

/* Notes the report. LMDB's code. */
static int settle_note_report(struct batch *batch, struct batch_destination *part,
                              const struct settlement *settlement, struct span encoded,
                              const struct settle_copies *copies)
{
    struct report report = {
        .reason = settlement->action,
        .is_payload_left_out = copies->is_payload_left_out,
        .error = settlement->error,
        .partition = settlement->partition,
        .attempts = settlement->attempts,
        .offset = settlement->offset,
        .settled_wall_ms = batch->now_wall_ms,
        .destination = settlement->destination,
        .sequence = settlement->sequence,
    };
    return settle_put_report(batch, part, &report,
                             copies->is_payload_left_out ? &copies->without_payload : NULL,
                             encoded);
}

int settle_put_dead(struct batch *batch, uint32_t destination, uint64_t sequence,
                    const struct dead_letter *dead, struct span encoded)
{
    struct batch_destination *part = &batch->destinations[destination];
    MDB_dbi db = environment_destination(batch->spool, destination)->dead;
    MDB_val key = environment_key(&sequence, sizeof(sequence));
    MDB_val data = {.mv_size = DEAD_LETTER_BYTES + encoded.size_bytes};
    assert(part->is_touched);
    /* Mostly the highest sequence so far; appending fills the pages, inserting leaves half of each
     * empty. */
    int code = mdb_put(batch->txn, db, &key, &data, MDB_RESERVE | MDB_APPEND);
    if (code == MDB_KEYEXIST) {
        code = mdb_put(batch->txn, db, &key, &data, MDB_RESERVE | MDB_NOOVERWRITE);
    }
    if (code != 0) {
        return code;
    }
    dead_letter_encode(dead, data.mv_data);
    memcpy((uint8_t *)data.mv_data + DEAD_LETTER_BYTES, encoded.data, encoded.size_bytes);
    SPOOL_POINT("settle.dead_put");
    batch->copied_bytes += data.mv_size;
    room_take(batch, &part->dead_leaf_bytes, data.mv_size);
    batch_count(batch, part, COUNTER_DEAD_RECORDS, 1);
    batch_count(batch, part, COUNTER_DEAD_BYTES, (int64_t)data.mv_size);
    batch_count(batch, part, COUNTER_DEAD, 1);
    return 0;
}

/* Copies the record to the dead letters. LMDB's code. */
static int settle_go_dead(struct batch *batch, const struct settlement *settlement,
                          struct span encoded)
{
    struct dead_letter dead = {
        .reason = settlement->action,
        .error = settlement->error,
        .attempts = settlement->attempts,
        .first_attempt_wall_ms = settlement->first_attempt_wall_ms,
        .settled_wall_ms = batch->now_wall_ms,
    };
    return settle_put_dead(batch, settlement->destination, settlement->sequence, &dead, encoded);
}

/* Whether a record finds room in the queue of settlement->to_destination. */
static bool settle_may_put_back(const struct batch *batch, const struct settlement *settlement,
                                struct span encoded)
{
    const struct batch_destination *to = &batch->destinations[settlement->to_destination];
    uint64_t leaf_bytes = to->is_touched ? to->queue_leaf_bytes : 0;
    return room_may_copy(batch, leaf_bytes, encoded.size_bytes, false);
}

/* Copies a record to the queue of settlement->to_destination, under its sequence. A requeued one
 * that has expired would be a dead letter again at once: an operator wants it delivered. LMDB's
 * code. */
static int settle_put_back(struct batch *batch, const struct settlement *settlement,
                           struct span encoded)
{
    struct batch_destination *to;
    struct record record;
    int code = batch_touch(batch, settlement->to_destination, &to);
    if (code != 0) {
        return code;
    }
    bool has_expired = settlement->action == SETTLE_REQUEUE &&
                       record_decode(encoded, &record) == 0 && record.expires_wall_ms != 0 &&
                       record.expires_wall_ms <= batch->now_wall_ms;
    MDB_val key = environment_key(&settlement->sequence, sizeof(settlement->sequence));
    MDB_val data = {.mv_size = encoded.size_bytes};
    code = mdb_cursor_put(to->queue, &key, &data, MDB_NOOVERWRITE | MDB_RESERVE);
    if (code != 0) {
        return code;
    }
    memcpy(data.mv_data, encoded.data, encoded.size_bytes);
    SPOOL_POINT("settle.put_back");
    if (has_expired) {
        record_clear_expiry(data.mv_data, encoded.size_bytes);
    }
    batch->copied_bytes += encoded.size_bytes;
    room_take(batch, &to->queue_leaf_bytes, encoded.size_bytes);
    batch_count(batch, to, COUNTER_QUEUE_RECORDS, 1);
    batch_count(batch, to, COUNTER_QUEUE_BYTES, (int64_t)encoded.size_bytes);
    batch_count(batch, to, COUNTER_REQUEUED, 1);
    batch_note_largest(batch, encoded.size_bytes);
    return 0;
}

static void settle_note_applied(struct batch *batch, size_t size_bytes)
{
    batch->applied_count++;
    batch->applied_bytes += size_bytes;
}

/* Counts what an action means for the totals. */
static void settle_count(struct batch *batch, struct batch_destination *part,
                         enum settle_action action, size_t size_bytes)
{
    switch (action) {
    case SETTLE_DELIVERED:
        batch_count(batch, part, COUNTER_DELIVERED, 1);
        batch_count(batch, part, COUNTER_DELIVERED_BYTES, (int64_t)size_bytes);
        part->counters.values[COUNTER_LAST_DELIVERED_WALL_MS] = batch->now_wall_ms;
        batch->all.values[COUNTER_LAST_DELIVERED_WALL_MS] = batch->now_wall_ms;
        break;
    case SETTLE_EXPIRED:
    case SETTLE_EXPIRED_DROP:
        batch_count(batch, part, COUNTER_EXPIRED, 1);
        break;
    case SETTLE_CORRUPT:
        batch_count(batch, part, COUNTER_CORRUPT, 1);
        break;
    case SETTLE_DROP:
        batch_count(batch, part, COUNTER_DROPPED, 1);
        break;
    case SETTLE_MOVE:
        batch_count(batch, part, COUNTER_MOVED, 1);
        break;
    default:
        break;
    }
}

/* Whether what the settlement copies finds room; nothing is changed yet. */
static bool settle_plan(struct batch *batch, const struct batch_destination *part,
                        const struct settlement *settlement, struct span encoded,
                        struct settle_copies *copies)
{
    *copies = (struct settle_copies){.has_report = false};
    switch (settlement->action) {
    case SETTLE_MOVE:
        /* One that is moved has no final status, so no report. */
        return settle_may_put_back(batch, settlement, encoded);
    case SETTLE_CORRUPT:
        return room_may_copy(batch, part->dead_leaf_bytes, DEAD_LETTER_BYTES + encoded.size_bytes,
                             false);
    case SETTLE_DEAD:
    case SETTLE_EXPIRED:
        return room_may_copy(batch, part->dead_leaf_bytes, DEAD_LETTER_BYTES + encoded.size_bytes,
                             false) &&
               settle_plan_report(batch, settlement, encoded, copies);
    default:
        return settle_plan_report(batch, settlement, encoded, copies);
    }
}

/* Takes the record that the queue's cursor stands on out of the queue. LMDB's code, or
 * SETTLE_NO_ROOM. */
static int settle_current(struct batch *batch, struct batch_destination *part,
                          const struct settlement *settlement, struct span encoded)
{
    struct settle_copies copies;
    enum settle_action action = settlement->action;
    if (!settle_plan(batch, part, settlement, encoded, &copies)) {
        return SETTLE_NO_ROOM;
    }
    room_take_settled(batch, encoded.data);
    bool goes_dead = action == SETTLE_DEAD || action == SETTLE_CORRUPT || action == SETTLE_EXPIRED;
    int code = 0;
    if (action == SETTLE_MOVE) {
        code = settle_put_back(batch, settlement, encoded);
    } else if (copies.has_report) {
        code = settle_note_report(batch, part, settlement, encoded, &copies);
    }
    if (code == 0 && goes_dead) {
        code = settle_go_dead(batch, settlement, encoded);
    }
    size_t size_bytes = encoded.size_bytes;
    if (code == 0) {
        code = mdb_cursor_del(part->queue, 0);
        SPOOL_POINT("settle.deleted");
    }
    if (code == 0) {
        batch_count(batch, part, COUNTER_QUEUE_RECORDS, -1);
        batch_count(batch, part, COUNTER_QUEUE_BYTES, -(int64_t)size_bytes);
        settle_count(batch, part, action, size_bytes);
        settle_note_applied(batch, size_bytes);
    }
    return code;
}

static int settle_from_queue(struct batch *batch, const struct settlement *settlement)
{
    struct batch_destination *part;
    if (settlement->action == SETTLE_MOVE &&
        settlement->to_destination == settlement->destination) {
        return 0; /* it is there already */
    }
    int code = batch_touch(batch, settlement->destination, &part);
    if (code != 0) {
        return code;
    }
    MDB_val key = environment_key(&settlement->sequence, sizeof(settlement->sequence));
    MDB_val data;
    code = mdb_cursor_get(part->queue, &key, &data, MDB_SET_KEY);
    if (code != 0) {
        return code;
    }
    return settle_current(batch, part, settlement, (struct span){data.mv_data, data.mv_size});
}

/* Finds the oldest record that the forwarder has not, which then cannot have it any more. LMDB's
 * code. */
static int settle_take_oldest(struct batch *batch, uint32_t destination,
                              struct batch_destination *part, uint64_t *ret_sequence,
                              MDB_val *ret_data)
{
    struct destination *known = environment_destination(batch->spool, destination);
    pthread_mutex_lock(&batch->spool->oldest_lock);
    uint64_t from = known->forward_position;
    MDB_val key = environment_key(&from, sizeof(from));
    int code = mdb_cursor_get(part->queue, &key, ret_data, MDB_SET_RANGE);
    if (code == 0) {
        memcpy(ret_sequence, key.mv_data, sizeof(*ret_sequence));
        if (!known->is_dropping) {
            known->dropped_from = *ret_sequence;
            known->is_dropping = true;
        }
        known->dropped_to = *ret_sequence;
    }
    pthread_mutex_unlock(&batch->spool->oldest_lock);
    return code;
}

int settle_drop_oldest(struct batch *batch, uint32_t destination, struct batch_destination *part)
{
    MDB_val data;
    struct settlement settlement = {
        .action = SETTLE_DROP,
        .destination = destination,
        .partition = -1,
        .offset = -1,
    };
    int code = settle_take_oldest(batch, destination, part, &settlement.sequence, &data);
    if (code != 0) {
        return code;
    }
    return settle_current(batch, part, &settlement, (struct span){data.mv_data, data.mv_size});
}

/* Puts a dead letter back into a queue (settlement->to_destination), or deletes it. */
static int settle_dead_letter(struct batch *batch, const struct settlement *settlement)
{
    struct batch_destination *part;
    MDB_dbi dead_db = environment_destination(batch->spool, settlement->destination)->dead;
    MDB_val key = environment_key(&settlement->sequence, sizeof(settlement->sequence));
    MDB_val data;
    int code = batch_touch(batch, settlement->destination, &part);
    if (code == 0) {
        code = mdb_get(batch->txn, dead_db, &key, &data);
    }
    if (code != 0) {
        return code;
    }
    int64_t dead_bytes = (int64_t)data.mv_size;
    if (settlement->action == SETTLE_REQUEUE &&
        !settle_may_put_back(batch, settlement, (struct span){data.mv_data, data.mv_size})) {
        return SETTLE_NO_ROOM;
    }
    room_take_settled(batch, data.mv_data);
    if (settlement->action == SETTLE_REQUEUE) {
        struct dead_letter dead;
        struct span encoded;
        if (dead_letter_decode((struct span){data.mv_data, data.mv_size}, &dead, &encoded) != 0) {
            return MDB_NOTFOUND; /* S8: damaged, so it stays where it is; it can be dropped */
        }
        code = settle_put_back(batch, settlement, encoded);
    } else {
        batch_count(batch, part, COUNTER_DROPPED, 1);
    }
    if (code == 0) {
        code = mdb_del(batch->txn, dead_db, &key, NULL);
        SPOOL_POINT("settle.dead_deleted");
    }
    if (code == 0) {
        batch_count(batch, part, COUNTER_DEAD_RECORDS, -1);
        batch_count(batch, part, COUNTER_DEAD_BYTES, -dead_bytes);
        settle_note_applied(batch, (size_t)dead_bytes);
    }
    return code;
}

/* Deletes a report whose route was run, or that nobody can read: nothing else does (S5). */
static int settle_report_run(struct batch *batch, const struct settlement *settlement)
{
    MDB_val key = environment_key(&settlement->sequence, sizeof(settlement->sequence));
    MDB_val data;
    int code = mdb_get(batch->txn, batch->spool->reports, &key, &data);
    if (code != 0) {
        return code;
    }
    room_take_settled(batch, data.mv_data);
    struct report report;
    struct span encoded;
    struct batch_destination *part = NULL;
    if (report_decode((struct span){data.mv_data, data.mv_size}, &report, &encoded) == 0 &&
        report.destination >= 1 && report.destination <= spool_destinations_count(batch->spool)) {
        code = batch_touch(batch, report.destination, &part);
    }
    int64_t report_bytes = (int64_t)data.mv_size;
    if (code == 0) {
        code = mdb_del(batch->txn, batch->spool->reports, &key, NULL);
        SPOOL_POINT("settle.report_deleted");
    }
    if (code == 0) {
        /* A damaged report (part NULL) does not say whose it is: the total alone stays exact. */
        batch_count(batch, part, COUNTER_REPORT_RECORDS, -1);
        batch_count(batch, part, COUNTER_REPORT_BYTES, -report_bytes);
        batch_count(batch, part, COUNTER_REPORTS_RUN, 1);
    }
    return code;
}

static bool settle_is_put_back(enum settle_action action)
{
    return action == SETTLE_REQUEUE || action == SETTLE_MOVE;
}

int batch_settle(struct batch *batch, const struct settlement *settlement)
{
    assert(batch->txn != NULL);
    int code;
    switch (settlement->action) {
    case SETTLE_REQUEUE:
    case SETTLE_DEAD_DROP:
        code = settle_dead_letter(batch, settlement);
        break;
    case SETTLE_REPORT_RUN:
        code = settle_report_run(batch, settlement);
        break;
    default:
        code = settle_from_queue(batch, settlement);
        break;
    }
    /* Not there: an operator was quicker, or it was settled before. There already: put back to
     * where the sequence is, which would be a second record of that sequence (S2). */
    if (code == SETTLE_NO_ROOM) {
        return BATCH_E_LATER;
    }
    if (code == MDB_NOTFOUND || (code == MDB_KEYEXIST && settle_is_put_back(settlement->action))) {
        return 0;
    }
    return code == 0 ? 0 : batch_fail(batch, code);
}
