/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the spool says of itself: each answer one short read transaction, O(1) in the depth. */
#include "spool/transaction.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

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
            .file_bytes = ((uint64_t)info.me_last_pgno + 1) * page_bytes,
            .claimed_bytes = spool->claim.claimed_bytes,
            .is_disk_full = spool->claim.is_disk_full,
        };
    }
    return transaction_end_read(spool, txn, code);
}
