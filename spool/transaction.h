/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to spool/: one short transaction, for what is not a batch; and what a failed write comes
 * to. */
#ifndef SPOOL_TRANSACTION_H
#define SPOOL_TRANSACTION_H

#include "spool/environment.h"

/* Begins a transaction, flags 0 or MDB_RDONLY. env_lock is held for reading until it ends. LMDB's
 * code; ESHUTDOWN when the spool is latched (to read: only when there is no environment). */
SPOOL_MUST_CHECK int transaction_begin(struct spool *spool, unsigned flags, MDB_txn **ret_txn);

/* Ends a reading transaction; code is LMDB's for what was done in it. 0, -errno (-EIO for all that
 * is LMDB's own). */
SPOOL_MUST_CHECK int transaction_end_read(struct spool *spool, MDB_txn *txn, int code);

/* Commits a writing transaction when code is 0, else aborts it; txn NULL: it could not begin, with
 * that code. what stands behind "cannot" in the message. 0, SPOOL_E_DISK_FULL, SPOOL_E_LATCHED,
 * -errno. */
SPOOL_MUST_CHECK int transaction_end_write(struct spool *spool, MDB_txn *txn, int code,
                                           const char *what, struct message *message);

/* What LMDB's code of a failed write comes to, once its transaction is over: MDB_RESULT_NO_SPACE,
 * -ENOMEM, or MDB_RESULT_PANIC, for which the spool was latched (S9). */
SPOOL_MUST_CHECK int transaction_failure(struct spool *spool, int code);

#endif
