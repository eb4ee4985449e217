/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How an entry of the audit log comes into a transaction that somebody else has begun. */
#ifndef SPOOL_AUDIT_PRIVATE_H
#define SPOOL_AUDIT_PRIVATE_H

#include "spool/audit.h"

#include <lmdb.h>

/* Writes the entry under the number, or, when that is 0, under a new one, which *number is then.
 * The database is made when it is first needed. LMDB's code. */
SPOOL_MUST_CHECK int audit_put(MDB_txn *txn, const struct audit_entry *entry, uint64_t *number);

#endif
