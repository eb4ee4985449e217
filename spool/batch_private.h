/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to spool/: what a batch is made of, for batch.c, append.c and settle.c. */
#ifndef SPOOL_BATCH_PRIVATE_H
#define SPOOL_BATCH_PRIVATE_H

#include "spool/batch.h"
#include "spool/environment.h"

#include <limits.h>

/* What a batch does to one destination. */
struct batch_destination {
    bool is_touched; /* what follows is this batch's */
    MDB_cursor *queue;
    struct counters counters;
    uint64_t appended_sequence;
    uint64_t queue_leaf_bytes; /* estimated: left on the last leaf of the queue, */
    uint64_t dead_leaf_bytes;  /* and of the dead letters */
};

struct record;

struct batch {
    struct spool *spool;
    MDB_txn *txn; /* NULL: no batch is open */
    uint64_t now_wall_ms;
    uint64_t next_sequence;
    uint64_t next_report;
    struct counters all;

    bool is_changed;       /* there is something to commit */
    uint64_t copied_bytes; /* by settlements, to dead letters and reports */

    uint64_t applied_count; /* settlements that found their record, and its bytes as stored */
    uint64_t applied_bytes;

    uint64_t used_pages;     /* that hold something, when the batch began */
    uint64_t room_pages;     /* that appends may still take */
    uint64_t settle_pages;   /* that settlements may still take */
    uint64_t floor_pages;    /* and, once these are gone, settlements that copy little or nothing */
    uint64_t held_pages;     /* free, but only from the next commit on */
    uintptr_t settled_frame; /* the page in memory that was last settled on */
    size_t settled_count;
    uint64_t reports_leaf_bytes; /* estimated: left on the last leaf of the reports */
    uint32_t page_bytes;
    bool is_limit_disk; /* it is the disk that sets the limit */
    uint64_t readers_checked_wall_ms;
    uint64_t disk_asked_wall_ms; /* for more, in vain */

    uint32_t touched_count;
    uint32_t touched[DESTINATIONS_MAX];
    struct batch_destination destinations[DESTINATIONS_MAX + 1];
};

/* The destination's part of the batch, with counters and cursor ready. LMDB's code. */
SPOOL_MUST_CHECK int batch_touch(struct batch *batch, uint32_t destination,
                                 struct batch_destination **ret_part);

/* Aborts the batch because of LMDB's code; the batch's result for it. */
SPOOL_MUST_CHECK int batch_fail(struct batch *batch, int code);

/* Adds to the destination's counter and to the total; part NULL: to the total alone. */
void batch_count(struct batch *batch, struct batch_destination *part, enum counter counter,
                 int64_t delta);

/* A record of that size came into a queue. */
void batch_note_largest(struct batch *batch, size_t size_bytes);

/* --- room.c ----------------------------------------------------------------------------------- */

/* The pages that appends leave free, of a file of so many. */
SPOOL_MUST_CHECK uint64_t room_reserve_pages(uint64_t limit_pages);

/* Claims disk for what the batch may write, and sets room_pages. used_pages and page_bytes are
 * known. LMDB's code. */
SPOOL_MUST_CHECK int room_measure(struct batch *batch, uint64_t appends_bytes,
                                  uint64_t appends_count);

/* Takes the pages that a destination costs the batch, whatever is done to it. */
void room_take_destination(struct batch *batch);

/* Notes that a settlement changes the page at that place in memory. */
void room_take_settled(struct batch *batch, const void *place);

/* Whether the batch lacks pages that an empty commit would give them. */
SPOOL_MUST_CHECK bool room_wants_turn(const struct batch *batch);

/* Whether an append has room, and leaves the reserve. */
SPOOL_MUST_CHECK bool room_is_enough(const struct batch *batch, uint64_t leaf_left_bytes,
                                     uint64_t size_bytes);

/* Whether a settlement may copy a value of that size to the end of a database whose last leaf has
 * so many bytes left. is_little: it is a report without payload. */
SPOOL_MUST_CHECK bool room_may_copy(const struct batch *batch, uint64_t leaf_left_bytes,
                                    uint64_t size_bytes, bool is_little);

/* Takes the room of a value that is put. */
void room_take(struct batch *batch, uint64_t *leaf_left_bytes, uint64_t size_bytes);

/* --- settle.c --------------------------------------------------------------------------------- */

/* Stores a report: its head, then the record, or what without_payload has of it. LMDB's code. */
SPOOL_MUST_CHECK int settle_put_report(struct batch *batch, struct batch_destination *part,
                                       const struct report *report,
                                       const struct record *without_payload, struct span encoded);

/* Stores a dead letter of a destination that the batch has touched: its head, then the record.
 * LMDB's code. */
SPOOL_MUST_CHECK int settle_put_dead(struct batch *batch, uint32_t destination, uint64_t sequence,
                                     const struct dead_letter *dead, struct span encoded);

/* Beside LMDB's codes, which are errno's or below zero: what is to be copied has no room now. */
#define SETTLE_NO_ROOM INT_MAX

/* Drops the destination's oldest record that is not in-flight. 0, MDB_NOTFOUND (there is none),
 * SETTLE_NO_ROOM, LMDB's code. */
SPOOL_MUST_CHECK int settle_drop_oldest(struct batch *batch, uint32_t destination,
                                        struct batch_destination *part);

#endif
