/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In-flight records: handed to the sink without a delivery report yet, or with a verdict whose
 * settlement is not committed yet. Memory only: after a crash a record is simply in the spool
 * again.
 *
 * All entries come from one pool made at start, so an outage cannot make memory grow. An entry
 * is in one list at a time: its destination's "produced" list (in the order of produce) or its
 * "settling" list (in the order of settlement).
 */
#ifndef SRC_INFLIGHT_H
#define SRC_INFLIGHT_H

#include "spool/base.h"

struct inflight {
    struct inflight *next;
    struct inflight *previous;
    void *destination; /* the forwarder's; the pool does not look at it */
    uint64_t sequence;
    uint64_t expires_wall_ms;
    uint64_t first_attempt_wall_ms;
    uint64_t settle_position; /* when settling: see committer_settle() */
    uint32_t size_bytes;
    uint32_t attempts;
    bool is_suspect; /* one of a batch that was rejected, and not judged since */
    bool is_alone;   /* nothing else of the destination was in-flight with it */
};

/* A list with its sums. Zeros are an empty list. */
struct inflight_list {
    struct inflight *first;
    struct inflight *last;
    size_t count;
    size_t bytes;
};

struct inflight_pool {
    struct inflight *entries;
    size_t entries_count;
    size_t touched_count;  /* those behind were never used: their memory was never touched */
    struct inflight *free; /* given back, linked by next */
};

SPOOL_MUST_CHECK int inflight_pool_init(struct inflight_pool *pool, size_t count);
void inflight_pool_deinit(struct inflight_pool *pool);

/* Takes an entry out of the pool, zeroed; NULL when all are in use. */
struct inflight *inflight_take(struct inflight_pool *pool);

/* Gives an entry that is in no list back. */
void inflight_give(struct inflight_pool *pool, struct inflight *entry);

void inflight_append(struct inflight_list *list, struct inflight *entry);
void inflight_remove(struct inflight_list *list, struct inflight *entry);

#endif
