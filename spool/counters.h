/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters of a destination, stored beside the records they count and changed in the same
 * transaction, so that statistics are exact and read in O(1). Row DESTINATION_ALL is the spool's
 * total.
 *
 * On disk: the array as little-endian u64. New counters go to the end; a shorter row reads as
 * zeros.
 */
#ifndef SPOOL_COUNTERS_H
#define SPOOL_COUNTERS_H

#include "spool/base.h"

enum counter {
    /* Levels: what is there now. */
    COUNTER_QUEUE_RECORDS, /* waiting, in-flight ones included */
    COUNTER_QUEUE_BYTES,   /* their encoded sizes */
    COUNTER_DEAD_RECORDS,
    COUNTER_DEAD_BYTES,
    COUNTER_REPORT_RECORDS, /* final statuses whose route has not run */
    COUNTER_REPORT_BYTES,
    COUNTER_PAGES, /* of the destination's two databases */

    /* Totals: what has happened since the spool was made. */
    COUNTER_APPENDED,
    COUNTER_DELIVERED,
    COUNTER_DELIVERED_BYTES,
    COUNTER_DEAD,     /* became dead letters, expired ones included */
    COUNTER_EXPIRED,  /* whether kept as dead letters or dropped */
    COUNTER_DROPPED,  /* by s.on.full=drop-oldest or by an operator */
    COUNTER_CORRUPT,  /* failed their checksum: dead letters too */
    COUNTER_REQUEUED, /* came into the queue again: requeued, or moved from another destination */
    COUNTER_REPORTS_RUN,

    /* Times, wall clock. */
    COUNTER_LAST_APPENDED_WALL_MS,
    COUNTER_LAST_DELIVERED_WALL_MS,

    /* DESTINATION_ALL only: the largest record that was appended since all queues were empty. Room
     * to move it is kept free. */
    COUNTER_LARGEST_BYTES,

    /* A total again, which came later. */
    COUNTER_MOVED, /* left the queue for another destination's */
    COUNTER_COUNT,
};

struct counters {
    uint64_t values[COUNTER_COUNT];
};

/* A counter's name in statistics ("queue_records"). Static. */
SPOOL_MUST_CHECK const char *counter_name(enum counter counter);

/* Adds to a counter (delta may be negative; a level never goes below zero). */
void counters_add(struct counters *counters, enum counter counter, int64_t delta);

/* To and from the stored form: counters_decode() takes a row of any length, none at all included.
 */
void counters_encode(const struct counters *counters, struct counters *ret_stored);
void counters_decode(struct span stored, struct counters *ret_counters);

#endif
