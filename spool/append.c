/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Appending: limits first, then the record to the end of its destination's queue. */
#include "spool/batch_private.h"
#include "spool/outcome.h"
#include "spool/point.h"

#include <assert.h>

static enum outcome append_check_room(const struct batch *batch, uint64_t leaf_left_bytes,
                                      uint64_t size_bytes)
{
    if (!room_is_enough(batch, leaf_left_bytes, size_bytes)) {
        return batch->is_limit_disk ? OUTCOME_FULL_DISK : OUTCOME_FULL_BYTES;
    }
    return OUTCOME_ACCEPTED;
}

/* The limit that the record would pass, or OUTCOME_ACCEPTED. */
static enum outcome append_check_spool(const struct batch *batch,
                                       const struct batch_destination *part, size_t size_bytes)
{
    uint64_t max_records = batch->spool->config.max_records;
    if (max_records != 0 && batch->all.values[COUNTER_QUEUE_RECORDS] >= max_records) {
        return OUTCOME_FULL_RECORDS;
    }
    return append_check_room(batch, part->queue_leaf_bytes, size_bytes);
}

static enum outcome append_check_destination(const struct destination_limits *limits,
                                             const struct counters *counters, size_t size_bytes)
{
    if (limits->max_records != 0 &&
        counters->values[COUNTER_QUEUE_RECORDS] >= limits->max_records) {
        return OUTCOME_FULL_DESTINATION_RECORDS;
    }
    if (limits->max_bytes != 0 &&
        counters->values[COUNTER_QUEUE_BYTES] + size_bytes > limits->max_bytes) {
        return OUTCOME_FULL_DESTINATION_BYTES;
    }
    return OUTCOME_ACCEPTED;
}

/* Makes room in the destination if its policy says so. LMDB's code; *ret_refusal is what stays. */
static int append_make_room(struct batch *batch, uint32_t id, struct batch_destination *part,
                            size_t size_bytes, enum outcome *ret_refusal)
{
    const struct destination_limits *limits = &environment_destination(batch->spool, id)->limits;
    enum outcome refusal = append_check_destination(limits, &part->counters, size_bytes);
    /* A record that would not fit an empty queue drops nothing. */
    bool may_drop =
        limits->drops_oldest && (limits->max_bytes == 0 || size_bytes <= limits->max_bytes);
    while (refusal != OUTCOME_ACCEPTED && may_drop) {
        int code = settle_drop_oldest(batch, id, part);
        if (code == MDB_NOTFOUND || code == SETTLE_NO_ROOM) {
            break;
        }
        if (code != 0) {
            return code;
        }
        SPOOL_POINT("batch.oldest_dropped");
        refusal = append_check_destination(limits, &part->counters, size_bytes);
    }
    *ret_refusal = refusal;
    return 0;
}

int batch_append(struct batch *batch, uint32_t destination, struct span encoded,
                 uint64_t *ret_sequence, int *ret_refusal)
{
    assert(batch->txn != NULL);
    struct batch_destination *part;
    int code = batch_touch(batch, destination, &part);
    if (code != 0) {
        return batch_fail(batch, code);
    }
    enum outcome refusal = append_check_spool(batch, part, encoded.size_bytes);
    if (refusal == OUTCOME_ACCEPTED) {
        code = append_make_room(batch, destination, part, encoded.size_bytes, &refusal);
        if (code != 0) {
            return batch_fail(batch, code);
        }
    }
    if (refusal != OUTCOME_ACCEPTED) {
        *ret_refusal = (int)refusal;
        return BATCH_E_REFUSED;
    }

    uint64_t sequence = batch->next_sequence;
    MDB_val key = environment_key(&sequence, sizeof(sequence));
    MDB_val data = environment_key(encoded.data, encoded.size_bytes);
    /* S3: sequences only grow, so a new record is always its queue's last. */
    code = mdb_cursor_put(part->queue, &key, &data, MDB_APPEND);
    if (code != 0) {
        return batch_fail(batch, code == MDB_KEYEXIST ? MDB_CORRUPTED : code);
    }
    SPOOL_POINT("batch.appended");
    room_take(batch, &part->queue_leaf_bytes, encoded.size_bytes);
    batch->next_sequence++;
    part->appended_sequence = sequence;
    batch_count(batch, part, COUNTER_QUEUE_RECORDS, 1);
    batch_count(batch, part, COUNTER_QUEUE_BYTES, (int64_t)encoded.size_bytes);
    batch_count(batch, part, COUNTER_APPENDED, 1);
    part->counters.values[COUNTER_LAST_APPENDED_WALL_MS] = batch->now_wall_ms;
    batch->all.values[COUNTER_LAST_APPENDED_WALL_MS] = batch->now_wall_ms;
    batch_note_largest(batch, encoded.size_bytes);
    *ret_sequence = sequence;
    return 0;
}

/* --- What another spool had ------------------------------------------------------------------- */

int batch_append_dead(struct batch *batch, uint32_t destination, const struct dead_letter *dead,
                      struct span encoded, uint64_t *ret_sequence, int *ret_refusal)
{
    assert(batch->txn != NULL);
    struct batch_destination *part;
    int code = batch_touch(batch, destination, &part);
    if (code != 0) {
        return batch_fail(batch, code);
    }
    enum outcome refusal =
        append_check_room(batch, part->dead_leaf_bytes, DEAD_LETTER_BYTES + encoded.size_bytes);
    if (refusal != OUTCOME_ACCEPTED) {
        *ret_refusal = (int)refusal;
        return BATCH_E_REFUSED;
    }
    code = settle_put_dead(batch, destination, batch->next_sequence, dead, encoded);
    if (code != 0) {
        return batch_fail(batch, code == MDB_KEYEXIST ? MDB_CORRUPTED : code);
    }
    batch_count(batch, part, COUNTER_APPENDED, 1);
    *ret_sequence = batch->next_sequence++;
    return 0;
}

int batch_append_report(struct batch *batch, const struct report *report, struct span encoded,
                        uint64_t *ret_sequence, int *ret_refusal)
{
    assert(batch->txn != NULL);
    struct batch_destination *part;
    struct report mine = *report;
    int code = batch_touch(batch, report->destination, &part);
    if (code != 0) {
        return batch_fail(batch, code);
    }
    enum outcome refusal =
        append_check_room(batch, batch->reports_leaf_bytes, REPORT_BYTES + encoded.size_bytes);
    if (refusal != OUTCOME_ACCEPTED) {
        *ret_refusal = (int)refusal;
        return BATCH_E_REFUSED;
    }
    mine.sequence = batch->next_sequence;
    code = settle_put_report(batch, part, &mine, NULL, encoded);
    if (code != 0) {
        return batch_fail(batch, code == MDB_KEYEXIST ? MDB_CORRUPTED : code);
    }
    *ret_sequence = batch->next_sequence++;
    return 0;
}
