/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading: records in the order of their sequences, in one short read transaction. What a cursor
 * shows is valid until cursor_end(), which must come soon: a reader holds back the reuse of freed
 * pages.
 */
#ifndef SPOOL_CURSOR_H
#define SPOOL_CURSOR_H

#include "spool/base.h"
#include "spool/settlement.h"
#include "spool/spool.h"

struct MDB_txn;
struct MDB_cursor;
struct page_walk;

/* In the caller's memory; one thread's. */
struct cursor {
    struct spool *spool;
    struct MDB_txn *txn;
    struct MDB_cursor *mdb;
    struct page_walk *walk; /* a visitor's, instead of mdb */
    uint64_t from;
    bool is_started;
};

#define CURSOR_E_END 1     /* nothing further */
#define CURSOR_E_LATCHED 2 /* the spool is latched: nothing can be read now */
#define CURSOR_E_DAMAGED 3 /* the file cannot be read here: pages are damaged */

/* Begin to read a destination's queue, its dead letters, or the reports, at the sequence (report
 * number) from or the next that is there. 0, CURSOR_E_LATCHED, CURSOR_E_DAMAGED, -errno. */
SPOOL_MUST_CHECK int cursor_begin_queue(struct cursor *cursor, struct spool *spool,
                                        uint32_t destination, uint64_t from);
SPOOL_MUST_CHECK int cursor_begin_dead(struct cursor *cursor, struct spool *spool,
                                       uint32_t destination, uint64_t from);
SPOOL_MUST_CHECK int cursor_begin_reports(struct cursor *cursor, struct spool *spool,
                                          uint64_t from);

/* The same with the audit log, by the numbers of its entries; audit_decode() reads what is stored.
 * CURSOR_E_END: there is no log. Not while this thread has a batch. */
SPOOL_MUST_CHECK int cursor_begin_audit(struct cursor *cursor, struct spool *spool, uint64_t from);

/* The next entry: its key, and its bytes as stored (a visitor's are valid until the next call). A
 * visitor may go on behind CURSOR_E_DAMAGED: what was damaged is passed over. 0, CURSOR_E_END,
 * CURSOR_E_DAMAGED, -errno. */
SPOOL_MUST_CHECK int cursor_next(struct cursor *cursor, uint64_t *ret_sequence,
                                 struct span *ret_stored);

/* Ends reading. For each begin that gave 0. */
void cursor_end(struct cursor *cursor);

/* --- What the forwarder tells and asks ---------------------------------------------------------
 */

/* Tells how far the destination has been read: records before it may be in-flight. That is all the
 * store ever knows of it, and it is not stored (S10). */
void cursor_tell_position(struct spool *spool, uint32_t destination, uint64_t position);

/* Takes a record that a cursor showed: from now on it may be in-flight, and is not dropped as the
 * oldest. False: a batch was quicker, and drops it; end the cursor, tell the position, and read
 * again later. */
SPOOL_MUST_CHECK bool cursor_take(struct spool *spool, uint32_t destination, uint64_t sequence);

/* Looks up what other programs appended to the destination's queue (imports): one short read
 * transaction. Does nothing when the spool cannot be read. */
void cursor_look(struct spool *spool, uint32_t destination);

/* The last sequence that was appended to the destination's queue and committed, as far as this
 * process knows: whether it is worth to read. */
SPOOL_MUST_CHECK uint64_t cursor_appended(struct spool *spool, uint32_t destination);

#endif
