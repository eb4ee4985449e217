/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the spool says of itself: each answer one short read transaction, O(1) in the depth. */
#include "spool/batch_private.h"
#include "spool/transaction.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static int statistics_counters(struct spool *spool, MDB_txn *txn, uint32_t row,
                               struct counters *ret_counters)
{
    MDB_val key = environment_key(&row, sizeof(row));
    MDB_val data = {0};
    int code = mdb_get(txn, spool->counters_db, &key, &data);
    if (code == 0 || code == MDB_NOTFOUND) {
        counters_decode((struct span){data.mv_data, code == 0 ? data.mv_size : 0}, ret_counters);
        code = 0;
    }
    return code;
}

int spool_counters(struct spool *spool, uint32_t destination, struct counters *ret_counters)
{
    MDB_txn *txn;
    if (transaction_begin(spool, MDB_RDONLY, &txn) != 0) {
        return -EIO;
    }
    return transaction_end_read(spool, txn,
                                statistics_counters(spool, txn, destination, ret_counters));
}

int spool_next_sequence(struct spool *spool, uint64_t *ret_sequence)
{
    MDB_txn *txn;
    if (transaction_begin(spool, MDB_RDONLY, &txn) != 0) {
        return -EIO;
    }
    MDB_val key = environment_key("next_sequence", strlen("next_sequence"));
    MDB_val data;
    uint64_t stored;
    int code = mdb_get(txn, spool->meta, &key, &data);
    if (code == 0 && data.mv_size != sizeof(stored)) {
        code = MDB_CORRUPTED;
    }
    if (code == 0) {
        memcpy(&stored, data.mv_data, sizeof(stored));
        *ret_sequence = le64toh(stored);
    }
    return transaction_end_read(spool, txn, code);
}

static uint64_t statistics_room_bytes(uint64_t limit_bytes, uint64_t used_pages,
                                      uint32_t page_bytes)
{
    uint64_t limit_pages = limit_bytes / page_bytes;
    uint64_t taken_pages = used_pages + room_reserve_pages(limit_pages);
    return taken_pages < limit_pages ? (limit_pages - taken_pages) * page_bytes : 0;
}

int spool_space(struct spool *spool, struct spool_space *ret_space)
{
    MDB_txn *txn;
    if (transaction_begin(spool, MDB_RDONLY, &txn) != 0) {
        return -EIO;
    }
    struct counters all;
    MDB_envinfo info;
    uint64_t pages = 0;
    uint32_t page_bytes = 0;
    int code = statistics_counters(spool, txn, DESTINATION_ALL, &all);
    if (code == 0) {
        code = environment_count_pages(spool, txn, &all, &pages, &page_bytes);
    }
    mdb_env_info(spool->env, &info);
    if (code == 0) {
        *ret_space = (struct spool_space){
            .limit_bytes = spool->config.max_bytes,
            .used_bytes = pages * page_bytes,
            .room_bytes = statistics_room_bytes(spool->config.max_bytes, pages, page_bytes),
            .file_bytes = ((uint64_t)info.me_last_pgno + 1) * page_bytes,
            .claimed_bytes = spool->claim.claimed_bytes,
            .is_disk_full = spool->claim.is_disk_full,
        };
    }
    return transaction_end_read(spool, txn, code);
}

/* --- Readers ---------------------------------------------------------------------------------- */

struct statistics_readers {
    uint32_t count;
    uint64_t oldest_txn;
    uint64_t oldest_pid;
};

/* LMDB tells of its readers in lines of text: process, thread, and transaction or "-". */
static int statistics_note_reader(const char *line, void *context)
{
    struct statistics_readers *readers = context;
    char *end;
    uint64_t pid = strtoull(line, &end, 10);
    const char *at = strrchr(line, ' ');
    if (end == line || at == NULL || at[1] < '0' || at[1] > '9' || pid == (uint64_t)getpid()) {
        return 0;
    }
    uint64_t txn = strtoull(at + 1, NULL, 10);
    readers->count++;
    if (txn < readers->oldest_txn) {
        readers->oldest_txn = txn;
        readers->oldest_pid = pid;
    }
    return 0;
}

int spool_readers(struct spool *spool, struct spool_readers *ret_readers)
{
    MDB_txn *txn;
    MDB_envinfo info;
    struct statistics_readers readers = {.oldest_txn = UINT64_MAX};
    if (transaction_begin(spool, MDB_RDONLY, &txn) != 0) {
        return -EIO;
    }
    mdb_reader_list(spool->env, statistics_note_reader, &readers);
    mdb_env_info(spool->env, &info);
    *ret_readers = (struct spool_readers){.count = readers.count, .oldest_pid = readers.oldest_pid};
    if (readers.count > 0 && info.me_last_txnid > readers.oldest_txn) {
        ret_readers->behind_count = info.me_last_txnid - readers.oldest_txn;
    }
    return transaction_end_read(spool, txn, 0);
}
