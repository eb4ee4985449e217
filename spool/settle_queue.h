/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settlements on their way into a commit, first come first served. Any thread of the process
 * appends; the committer's thread alone looks at them, marks them and takes them out.
 */
#ifndef SPOOL_SETTLE_QUEUE_H
#define SPOOL_SETTLE_QUEUE_H

#include "spool/base.h"
#include "spool/clock.h"
#include "spool/limits.h"
#include "spool/settlement.h"

#include <pthread.h>
#include <stdatomic.h>

/* In-flight records, and reports and operators' settlements beside them. */
#define SETTLE_QUEUE_MAX (INFLIGHT_RECORDS_MAX + 8192U)

struct settle_queue {
    struct clock *clock;
    pthread_mutex_t lock; /* of all but settled_count */
    struct settlement *settlements;
    size_t first;
    size_t count;
    uint64_t appended_count; /* since the beginning */
    uint64_t since_ms;       /* when the first that waits came */
    _Atomic uint64_t settled_count;
    _Atomic uint64_t given_back_counts[DESTINATIONS_MAX + 1];
};

#define SETTLE_QUEUE_E_FULL 1

SPOOL_MUST_CHECK int settle_queue_init(struct settle_queue *queue, struct clock *clock);
void settle_queue_deinit(struct settle_queue *queue);

/* Appends all or none. *ret_count_before is how many waited, *ret_position where the last of these
 * is, counted from the beginning: it is settled when settle_queue_settled() has reached that. 0,
 * SETTLE_QUEUE_E_FULL. */
SPOOL_MUST_CHECK int settle_queue_append(struct settle_queue *queue,
                                         const struct settlement *settlements, size_t count,
                                         size_t *ret_count_before, uint64_t *ret_position);

/* How many wait, and since when the first. */
SPOOL_MUST_CHECK size_t settle_queue_waiting(struct settle_queue *queue, uint64_t *ret_since_ms);

/* How many were taken out since the beginning. Safe from any thread. */
SPOOL_MUST_CHECK uint64_t settle_queue_settled(const struct settle_queue *queue);

/* How many of a destination were given back since the beginning. Safe from any thread. */
SPOOL_MUST_CHECK uint64_t settle_queue_given_back(const struct settle_queue *queue,
                                                  uint32_t destination);

/* --- The committer's thread ------------------------------------------------------------------- */

/* The at-th that waits. */
struct settlement *settle_queue_at(struct settle_queue *queue, size_t at);

/* Those of count from the at-th on that are not committed. Returns how many. */
size_t settle_queue_list(struct settle_queue *queue, size_t at, size_t count,
                         struct settlement **ret_list);

/* Brings them into the order of the queues: by destination and sequence. */
void settle_queue_sort(struct settlement **list, size_t count);

/* S7: what copies and finds no room must not hold up what is behind it: that is committed, but
 * settle_queue_settled() counts in order, and nobody would hear of it. Gives back such ones of the
 * first count: they count as committed, and their records are where they were. Returns how many. */
size_t settle_queue_give_back(struct settle_queue *queue, size_t count);

/* The first count are committed. */
void settle_queue_take_out(struct settle_queue *queue, size_t count);

#endif
