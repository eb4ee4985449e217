/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening a spool as a visitor: a program that looks at a spool, or mends it in short transactions,
 * while somebody else owns it or nobody does (S6). A visitor makes no folder, no spool and no
 * destination, takes no owner lock, sets nothing aside and never changes the format.
 *
 * What a visitor opened is a struct spool like the owner's: cursors, counters, pauses and batches
 * work on it. Read in short transactions: each holds back the reuse of freed pages (at most 50 ms;
 * go on behind the last sequence). One visitor of a folder in a process, and none beside an owner
 * (LMDB forbids it).
 */
#ifndef SPOOL_VISIT_H
#define SPOOL_VISIT_H

#include "spool/base.h"
#include "spool/spool.h"

/* Opens the spool in the folder as a visitor; spool_close() closes it. The clock is borrowed.
 * message is set for each result but 0. 0, SPOOL_E_REFUSED (no folder, no spool in it, a newer
 * format, no permission, a remote file system), SPOOL_E_DAMAGED, SPOOL_E_DISK_FULL (lock.mdb is
 * missing and cannot be made), -errno. */
SPOOL_MUST_CHECK int spool_visit(const char *dir, struct clock *clock, struct spool **ret_spool,
                                 struct message *message);

#define VISIT_E_REPLACED 1 /* the data file is another one now: close the spool and visit again */

/* Looks for destinations that the owner has made meanwhile. 0, VISIT_E_REPLACED, -errno. */
SPOOL_MUST_CHECK int spool_refresh(struct spool *spool);

/* The folder, absolute. The spool's own. */
const char *spool_dir(const struct spool *spool);

#define SPOOL_OWNER_BYTES 160

/* Whether some process owns the spool at the moment, and which ("spool-forward, pid 123"); the text
 * is empty when nobody does. Changes nothing. 0, -errno. */
SPOOL_MUST_CHECK int spool_owner(const struct spool *spool, bool *ret_is_owned,
                                 char ret_owner[SPOOL_OWNER_BYTES]);

#endif
