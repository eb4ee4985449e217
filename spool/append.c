/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Appending: limits first, then the record to the end of its destination's queue. */
#include "spool/batch_private.h"
#include "spool/outcome.h"

#include <assert.h>

/* A value above this goes to pages of its own: LMDB's node limit for a page of 4096 bytes with an
 * 8-byte key (mdb.c: half a page, less headers). */
static bool append_is_overflow(const struct batch *batch, size_t size_bytes)
{
    return size_bytes + 8 + 8 > (batch->page_bytes - 16) / 2 - 2;
}

/* Adds to the estimate of what this batch's appends take. */
static void append_estimate(struct batch *batch, size_t size_bytes)
{
    if (append_is_overflow(batch, size_bytes)) {
        batch->append_overflow_pages +=
            (16 + size_bytes + batch->page_bytes - 1) / batch->page_bytes;
        size_bytes = 8; /* the leaf has the page's number */
    }
    batch->append_leaf_bytes += size_bytes + 8 + 8 + 2 + 1;
}

static bool append_has_room(const struct batch *batch, size_t size_bytes)
{
    uint64_t pages = batch->used_pages + batch->append_overflow_pages + 1 +
                     (batch->append_leaf_bytes + size_bytes) / (batch->page_bytes - 16);
    if (append_is_overflow(batch, size_bytes)) {
        pages += size_bytes / batch->page_bytes + 1;
    }
    return pages < batch->limit_pages;
}

/* The limit that the record would pass, or OUTCOME_ACCEPTED. */
static enum outcome append_check_spool(const struct batch *batch, size_t size_bytes)
{
    uint64_t max_records = batch->spool->config.max_records;
    if (max_records != 0 && batch->all.values[COUNTER_QUEUE_RECORDS] >= max_records) {
        return OUTCOME_FULL_RECORDS;
    }
    if (!append_has_room(batch, size_bytes)) {
        return batch->is_limit_disk ? OUTCOME_FULL_DISK : OUTCOME_FULL_BYTES;
    }
    return OUTCOME_ACCEPTED;
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
    while (refusal != OUTCOME_ACCEPTED && limits->drops_oldest) {
        int code = settle_drop_oldest(batch, id, part);
        if (code == MDB_NOTFOUND) {
            break;
        }
        if (code != 0) {
            return code;
        }
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
    enum outcome refusal = append_check_spool(batch, encoded.size_bytes);
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
    append_estimate(batch, encoded.size_bytes);
    batch->next_sequence++;
    part->appended_sequence = sequence;
    batch_count(batch, part, COUNTER_QUEUE_RECORDS, 1);
    batch_count(batch, part, COUNTER_QUEUE_BYTES, (int64_t)encoded.size_bytes);
    batch_count(batch, part, COUNTER_APPENDED, 1);
    part->counters.values[COUNTER_LAST_APPENDED_WALL_MS] = batch->now_wall_ms;
    batch->all.values[COUNTER_LAST_APPENDED_WALL_MS] = batch->now_wall_ms;
    *ret_sequence = sequence;
    return 0;
}
