/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the committer waits a moment before it takes what is ready.
 *
 * Publishers that wait for their commit come back right after it, one by one. Taken at once, the
 * first few of them get a commit of their own, and all others wait for its end: the crowd falls
 * into groups that never meet again, with more flushes for the same records. So who was there gets
 * a moment to come back: at most a share of what a commit takes, so that waiting costs less than
 * the flush that it can save. Nobody waits for a crowd that is there already (a publisher alone,
 * many publishes under way), nor when the first one comes later than that moment.
 *
 * Knows no clock and no ring, and does not wait itself.
 */
#ifndef SPOOL_GATHER_H
#define SPOOL_GATHER_H

#include "spool/base.h"

/* Starts as zero. */
struct gather {
    uint64_t crowd_count;    /* publishes that may come together for the next commit */
    uint64_t until_us;       /* when it goes on without them */
    uint64_t commit_us_mean; /* what a commit takes, about */
};

/* A commit took commit_us, and its publishers were answered now. crowd_count is how many they
 * were, and how many others had come meanwhile. */
void gather_note(struct gather *gather, uint64_t crowd_count, uint64_t commit_us, uint64_t now_us);

/* How long to sleep, in microseconds, and then to ask again; 0: go on with the ready_count
 * publishes that are there. */
SPOOL_MUST_CHECK uint64_t gather_wait_us(const struct gather *gather, uint64_t ready_count,
                                         uint64_t now_us);

#endif
