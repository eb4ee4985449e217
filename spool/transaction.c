/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/transaction.h"

#include "spool/mdb_result.h"
#include "spool/point.h"

#include <errno.h>
#include <sys/statvfs.h>

/* A disk with less than this left counts as full when a write fails for an unclear reason. */
#define TRANSACTION_DISK_FULL_BYTES (1ULL << 20)

int transaction_begin(struct spool *spool, unsigned flags, MDB_txn **ret_txn)
{
    int code = ESHUTDOWN;
    pthread_rwlock_rdlock(&spool->env_lock);
    bool may_write = !atomic_load(&spool->is_latched);
    if (spool->env != NULL && (may_write || (flags & MDB_RDONLY) != 0)) {
        code = environment_begin(spool, flags, ret_txn);
    }
    if (code != 0) {
        pthread_rwlock_unlock(&spool->env_lock);
    }
    return code;
}

int transaction_end_read(struct spool *spool, MDB_txn *txn, int code)
{
    mdb_txn_abort(txn);
    pthread_rwlock_unlock(&spool->env_lock);
    int r = mdb_result(code);
    return r > 0 ? -EIO : r;
}

/* LMDB writes "short write" on a full disk as EIO, so an I/O error needs a second look. */
static bool transaction_is_disk_full(const struct spool *spool)
{
    struct statvfs status;
    return fstatvfs(spool->dir_fd, &status) == 0 &&
           (uint64_t)status.f_bavail * status.f_frsize < TRANSACTION_DISK_FULL_BYTES;
}

/* LMDB's own latch: a meta page could not be written. */
static bool transaction_is_panicked(const struct spool *spool)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(spool->env, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        mdb_txn_abort(txn);
    }
    return code == MDB_PANIC;
}

int transaction_failure(struct spool *spool, int code)
{
    int r = mdb_result(code);
    bool lacks_space = r == MDB_RESULT_NO_SPACE || (r == -EIO && transaction_is_disk_full(spool));
    if (lacks_space && !transaction_is_panicked(spool)) {
        return MDB_RESULT_NO_SPACE;
    }
    if (r == -ENOMEM) {
        return r;
    }
    atomic_store(&spool->is_latched, true);
    return MDB_RESULT_PANIC;
}

int transaction_end_write(struct spool *spool, MDB_txn *txn, int code, const char *what,
                          struct message *message)
{
    if (txn == NULL && code == ESHUTDOWN) {
        message_set(message, "%s: cannot %s: the spool is latched after a failed write", spool->dir,
                    what);
        return SPOOL_E_LATCHED;
    }
    if (txn != NULL && code == 0) {
        SPOOL_POINT("transaction.filled");
        code = mdb_txn_commit(txn);
        SPOOL_POINT("transaction.committed");
    } else if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    int r = code == 0 ? 0 : transaction_failure(spool, code);
    if (r == MDB_RESULT_NO_SPACE) {
        message_set(message, "%s: cannot %s: the spool or the disk is full", spool->dir, what);
        r = SPOOL_E_DISK_FULL;
    } else if (r != 0) {
        message_set(message, "%s: cannot %s: %s", spool->dir, what, mdb_result_text(code));
        r = r < 0 ? r : SPOOL_E_LATCHED;
    }
    if (txn != NULL) {
        pthread_rwlock_unlock(&spool->env_lock);
    }
    return r;
}
