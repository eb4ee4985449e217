/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to spool/: what a batch is made of, for batch.c, append.c and settle.c. */
#ifndef SPOOL_BATCH_PRIVATE_H
#define SPOOL_BATCH_PRIVATE_H

#include "spool/batch.h"
#include "spool/environment.h"

/* What a batch does to one destination. */
struct batch_destination {
    bool is_touched; /* counters and cursor are this batch's */
    MDB_cursor *queue;
    struct counters counters;
    uint64_t appended_sequence;
};

struct batch {
    struct spool *spool;
    MDB_txn *txn; /* NULL: no batch is open */
    uint64_t now_wall_ms;
    uint64_t next_sequence;
    uint64_t next_report;
    struct counters all;

    /* Pages: what is used, what may be, and what this batch's appends will take at most. */
    uint64_t used_pages;
    uint64_t limit_pages;
    uint64_t append_leaf_bytes;
    uint64_t append_overflow_pages;
    uint32_t page_bytes;
    bool is_limit_disk; /* limit_pages is what the disk gave */

    uint32_t touched_count;
    uint32_t touched[DESTINATIONS_MAX];
    struct batch_destination destinations[DESTINATIONS_MAX + 1];
};

/* The destination's part of the batch, with counters and cursor ready. LMDB's code. */
SPOOL_MUST_CHECK int batch_touch(struct batch *batch, uint32_t destination,
                                 struct batch_destination **ret_part);

/* Aborts the batch because of LMDB's code; the batch's result for it. */
SPOOL_MUST_CHECK int batch_fail(struct batch *batch, int code);

/* Adds to the destination's counter and to the total. */
void batch_count(struct batch *batch, struct batch_destination *part, enum counter counter,
                 int64_t delta);

/* Drops the destination's oldest record that is not in-flight. 0, MDB_NOTFOUND (there is none),
 * LMDB's code. */
SPOOL_MUST_CHECK int settle_drop_oldest(struct batch *batch, uint32_t destination,
                                        struct batch_destination *part);

#endif
