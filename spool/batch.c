/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/batch.h"

#include "spool/batch_private.h"
#include "spool/mdb_result.h"
#include "spool/point.h"
#include "spool/transaction.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

/* How often the slots of readers that died are freed: each one holds back the reuse of pages. */
#define BATCH_READERS_CHECK_MS 1000

int batch_new(struct spool *spool, struct batch **ret_batch)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return -ENOMEM;
    }
    batch->spool = spool;
    *ret_batch = batch;
    return 0;
}

void batch_free(struct batch **batch)
{
    if (*batch != NULL) {
        assert((*batch)->txn == NULL);
        free(SPOOL_TAKE(*batch));
    }
}

/* Forgets what the batch knew; its transaction is over. */
static void batch_end(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->touched_count; i++) {
        uint32_t id = batch->touched[i];
        struct batch_destination *part = &batch->destinations[id];
        part->is_touched = false;
        part->queue = NULL; /* LMDB closes a write transaction's cursors with it */
        pthread_mutex_lock(&batch->spool->oldest_lock);
        environment_destination(batch->spool, id)->is_dropping = false;
        pthread_mutex_unlock(&batch->spool->oldest_lock);
    }
    batch->touched_count = 0;
    batch->txn = NULL;
    pthread_rwlock_unlock(&batch->spool->env_lock);
}

void batch_abort(struct batch *batch)
{
    assert(batch->txn != NULL);
    mdb_txn_abort(batch->txn);
    batch_end(batch);
}

/* The batch's result for an LMDB code, once its transaction is over. */
static int batch_result(struct batch *batch, int code)
{
    assert(code != 0);
    int r = transaction_failure(batch->spool, code);
    if (r < 0) {
        return r;
    }
    return r == MDB_RESULT_NO_SPACE ? BATCH_E_NO_SPACE : BATCH_E_LATCHED;
}

int batch_fail(struct batch *batch, int code)
{
    if (batch->txn != NULL) {
        mdb_txn_abort(batch->txn);
    }
    int r = batch_result(batch, code);
    batch_end(batch);
    return r;
}

/* --- Meta and counters ------------------------------------------------------------------------ */

static int batch_get_number(struct batch *batch, const char *name, uint64_t *ret_number)
{
    MDB_val key = environment_key(name, strlen(name));
    MDB_val data;
    int code = mdb_get(batch->txn, batch->spool->meta, &key, &data);
    if (code != 0 || data.mv_size != sizeof(*ret_number)) {
        return code == 0 || code == MDB_NOTFOUND ? MDB_CORRUPTED : code;
    }
    uint64_t number;
    memcpy(&number, data.mv_data, sizeof(number));
    *ret_number = le64toh(number);
    return 0;
}

static int batch_put_number(struct batch *batch, const char *name, uint64_t number)
{
    uint64_t stored = htole64(number);
    MDB_val key = environment_key(name, strlen(name));
    MDB_val data = environment_key(&stored, sizeof(stored));
    return mdb_put(batch->txn, batch->spool->meta, &key, &data, 0);
}

static int batch_get_counters(struct batch *batch, uint32_t row, struct counters *ret_counters)
{
    MDB_val key = environment_key(&row, sizeof(row));
    MDB_val data;
    int code = mdb_get(batch->txn, batch->spool->counters_db, &key, &data);
    if (code != 0 && code != MDB_NOTFOUND) {
        return code;
    }
    counters_decode(code == 0 ? (struct span){data.mv_data, data.mv_size} : (struct span){0},
                    ret_counters);
    return 0;
}

static int batch_put_counters(struct batch *batch, uint32_t row, const struct counters *counters)
{
    struct counters stored;
    counters_encode(counters, &stored);
    MDB_val key = environment_key(&row, sizeof(row));
    MDB_val data = environment_key(&stored, sizeof(stored));
    return mdb_put(batch->txn, batch->spool->counters_db, &key, &data, 0);
}

int batch_touch(struct batch *batch, uint32_t destination, struct batch_destination **ret_part)
{
    struct batch_destination *part = &batch->destinations[destination];
    if (!part->is_touched) {
        struct destination *known = environment_destination(batch->spool, destination);
        int code = batch_get_counters(batch, destination, &part->counters);
        if (code == 0) {
            code = mdb_cursor_open(batch->txn, known->queue, &part->queue);
        }
        if (code != 0) {
            return code;
        }
        part->is_touched = true;
        part->appended_sequence = 0;
        part->queue_leaf_bytes = 0;
        part->dead_leaf_bytes = 0;
        batch->touched[batch->touched_count++] = destination;
        room_take_destination(batch);
    }
    *ret_part = part;
    return 0;
}

void batch_count(struct batch *batch, struct batch_destination *part, enum counter counter,
                 int64_t delta)
{
    /* S4: a counter and what it counts are changed in one transaction. */
    batch->is_changed = true;
    if (part != NULL) {
        counters_add(&part->counters, counter, delta);
    }
    counters_add(&batch->all, counter, delta);
}

void batch_note_largest(struct batch *batch, size_t size_bytes)
{
    if (size_bytes > batch->all.values[COUNTER_LARGEST_BYTES]) {
        batch->all.values[COUNTER_LARGEST_BYTES] = size_bytes;
    }
}

/* --- Begin ------------------------------------------------------------------------------------ */

/* A reader that was killed keeps its slot, and with it the pages that it could have read. */
static void batch_check_readers(struct batch *batch)
{
    uint64_t since_ms = batch->now_wall_ms - batch->readers_checked_wall_ms;
    if (since_ms >= BATCH_READERS_CHECK_MS) { /* also when the wall clock went back */
        int dead;
        mdb_reader_check(batch->spool->env, &dead);
        batch->readers_checked_wall_ms = batch->now_wall_ms;
    }
}

static int batch_count_pages(struct batch *batch, uint32_t id, struct batch_destination *part)
{
    struct destination *destination = environment_destination(batch->spool, id);
    MDB_stat queue;
    MDB_stat dead;
    int code = mdb_stat(batch->txn, destination->queue, &queue);
    if (code == 0) {
        code = mdb_stat(batch->txn, destination->dead, &dead);
    }
    if (code == 0) {
        uint64_t pages = environment_stat_pages(&queue) + environment_stat_pages(&dead);
        batch_count(batch, part, COUNTER_PAGES,
                    (int64_t)(pages - part->counters.values[COUNTER_PAGES]));
    }
    return code;
}

static int batch_write_meta(struct batch *batch)
{
    int code = 0;
    if (batch->all.values[COUNTER_QUEUE_RECORDS] == 0) {
        batch->all.values[COUNTER_LARGEST_BYTES] = 0;
    }
    for (uint32_t i = 0; code == 0 && i < batch->touched_count; i++) {
        uint32_t id = batch->touched[i];
        struct batch_destination *part = &batch->destinations[id];
        code = batch_count_pages(batch, id, part);
        if (code == 0) {
            code = batch_put_counters(batch, id, &part->counters);
        }
    }
    if (code == 0) {
        code = batch_put_counters(batch, DESTINATION_ALL, &batch->all);
    }
    if (code == 0) {
        code = batch_put_number(batch, "next_sequence", batch->next_sequence);
    }
    if (code == 0) {
        code = batch_put_number(batch, "next_report", batch->next_report);
    }
    return code;
}

/* Begins the transaction and reads what the batch needs to know. LMDB's code. */
static int batch_begin_txn(struct batch *batch, uint64_t appends_bytes, uint64_t appends_count)
{
    struct spool *spool = batch->spool;
    int code = environment_begin(spool, 0, &batch->txn);
    if (code != 0) {
        batch->txn = NULL;
        return code;
    }
    batch->is_changed = false;
    batch->copied_bytes = 0;
    batch->applied_count = 0;
    batch->applied_bytes = 0;
    batch->reports_leaf_bytes = 0;
    code = batch_get_number(batch, "next_sequence", &batch->next_sequence);
    if (code == 0) {
        code = batch_get_number(batch, "next_report", &batch->next_report);
    }
    if (code == 0) {
        code = batch_get_counters(batch, DESTINATION_ALL, &batch->all);
    }
    if (code == 0) {
        code = environment_count_pages(spool, batch->txn, &batch->all, &batch->used_pages,
                                       &batch->page_bytes);
    }
    if (code == 0) {
        code = room_measure(batch, appends_bytes, appends_count);
    }
    return code;
}

/* An empty commit: LMDB uses the pages that a commit freed only after the next one. Without it a
 * full spool that was drained by its last commit would refuse for ever. LMDB's code. */
static int batch_turn(struct batch *batch)
{
    int code = batch_write_meta(batch);
    if (code == 0) {
        code = mdb_txn_commit(batch->txn);
        batch->txn = NULL;
    }
    return code;
}

int batch_begin(struct batch *batch, uint64_t appends_bytes, uint64_t appends_count)
{
    struct spool *spool = batch->spool;
    assert(batch->txn == NULL);
    pthread_rwlock_rdlock(&spool->env_lock);
    if (atomic_load(&spool->is_latched)) {
        pthread_rwlock_unlock(&spool->env_lock);
        return BATCH_E_LATCHED;
    }
    batch->now_wall_ms = spool->config.clock->wall_ms(spool->config.clock);
    batch_check_readers(batch);
    int code = batch_begin_txn(batch, appends_bytes, appends_count);
    if (code == 0 && room_wants_turn(batch)) {
        code = batch_turn(batch);
        SPOOL_POINT("batch.turned");
        if (code == 0) {
            code = batch_begin_txn(batch, appends_bytes, appends_count);
        }
    }
    SPOOL_POINT("batch.begun");
    return code == 0 ? 0 : batch_fail(batch, code);
}

/* --- Commit ----------------------------------------------------------------------------------- */

void batch_applied(const struct batch *batch, uint64_t *ret_count, uint64_t *ret_bytes)
{
    *ret_count = batch->applied_count;
    *ret_bytes = batch->applied_bytes;
}

int batch_commit(struct batch *batch)
{
    assert(batch->txn != NULL);
    if (!batch->is_changed) {
        /* All of it was refused, or settled before: not worth two flushes, nor the pages. */
        batch_abort(batch);
        return 0;
    }
    int code = batch_write_meta(batch);
    if (code != 0) {
        return batch_fail(batch, code);
    }
    SPOOL_POINT("batch.filled");
    code = mdb_txn_commit(batch->txn);
    if (code != 0) {
        /* For want of space nothing has changed, unless it was the meta page that could not be
         * written: then the spool is latched. */
        batch->txn = NULL;
        return batch_fail(batch, code);
    }
    SPOOL_POINT("batch.committed");
    for (uint32_t i = 0; i < batch->touched_count; i++) {
        uint32_t id = batch->touched[i];
        uint64_t sequence = batch->destinations[id].appended_sequence;
        if (sequence != 0) {
            environment_note_appended(environment_destination(batch->spool, id), sequence);
        }
    }
    batch_end(batch);
    return 0;
}
