/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A batch: one LMDB write transaction of appends and settlements, all of it or nothing. Made again
 * and again by one thread, the committer, of the process that owns the spool (S6).
 *
 * Nothing about records is remembered between batches: sequences, counters and levels are read in
 * the transaction that changes them, so another process (spool-inspect) may write in between.
 */
#ifndef SPOOL_BATCH_H
#define SPOOL_BATCH_H

#include "spool/base.h"
#include "spool/settlement.h"
#include "spool/spool.h"

struct batch;

/* Why an append was refused: the publish path's reasons, see spool/outcome.h. */
#define BATCH_E_REFUSED 1  /* a limit; the batch goes on */
#define BATCH_E_NO_SPACE 2 /* map or disk full: the batch was aborted, nothing changed */
#define BATCH_E_LATCHED 3  /* a write failed: the batch was aborted, the spool is latched */
#define BATCH_E_LATER 4    /* what this settlement copies has no room now; the batch goes on */

/* Memory for batches of one thread. 0, -errno. */
SPOOL_MUST_CHECK int batch_new(struct spool *spool, struct batch **ret_batch);
void batch_free(struct batch **batch);

/* Begins; appends_bytes and appends_count say what is about to be appended, so that disk for it can
 * be claimed. Appends beyond that may be refused. 0, BATCH_E_NO_SPACE, BATCH_E_LATCHED,
 * -errno. */
SPOOL_MUST_CHECK int batch_begin(struct batch *batch, uint64_t appends_bytes,
                                 uint64_t appends_count);

/* Appends an encoded record. On BATCH_E_REFUSED *ret_refusal is an enum outcome, on 0 *ret_sequence
 * is the record's. 0, BATCH_E_REFUSED, BATCH_E_NO_SPACE, BATCH_E_LATCHED, -errno. */
SPOOL_MUST_CHECK int batch_append(struct batch *batch, uint32_t destination, struct span encoded,
                                  uint64_t *ret_sequence, int *ret_refusal);

/* Appends a dead letter, or a report, that another spool had: for import. The dead letter's record
 * is taken as it is; so is the report's, whose destination is this spool's and whose sequence
 * becomes *ret_sequence. Results as batch_append()'s; only the room is a limit. */
SPOOL_MUST_CHECK int batch_append_dead(struct batch *batch, uint32_t destination,
                                       const struct dead_letter *dead, struct span encoded,
                                       uint64_t *ret_sequence, int *ret_refusal);
SPOOL_MUST_CHECK int batch_append_report(struct batch *batch, const struct report *report,
                                         struct span encoded, uint64_t *ret_sequence,
                                         int *ret_refusal);

/* Applies a settlement. One whose record is not there (any more) changes nothing. One that copies a
 * record takes no page that the next commits need to delete any; without room even so a report is
 * kept without its payload and headers. 0, BATCH_E_LATER (nothing was done), BATCH_E_NO_SPACE,
 * BATCH_E_LATCHED, -errno. */
SPOOL_MUST_CHECK int batch_settle(struct batch *batch, const struct settlement *settlement);

/* Whether the batch has hardly any room for what settlements copy. */
SPOOL_MUST_CHECK bool batch_is_short(const struct batch *batch);

/* Whether the batch should take no further settlements: they have copied as much as one batch may
 * (to dead letters, reports, queues), or what is left of the pages belongs to the next commit.
 * False for a batch without any. */
SPOOL_MUST_CHECK bool batch_is_large(const struct batch *batch);

/* How many of the batch's settlements found their record or dead letter, and the bytes of these as
 * stored. */
void batch_applied(const struct batch *batch, uint64_t *ret_count, uint64_t *ret_bytes);

/* Commits, as durably as the spool was opened for. 0, BATCH_E_NO_SPACE (nothing changed),
 * BATCH_E_LATCHED (it may or may not be on disk: known after spool_reopen()), -errno. */
SPOOL_MUST_CHECK int batch_commit(struct batch *batch);

/* Aborts a batch that is open; nothing has changed. */
void batch_abort(struct batch *batch);

#endif
