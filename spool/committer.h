/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The committer: step 2 of the flow, group commit. It takes everything that waits in the ring, and
 * the settlements that were handed to it, into one batch, commits it once, and answers everyone in
 * it.
 *
 * One thread steps it. committer_settle(), committer_settled() and the statistics are for any
 * thread of the same process.
 */
#ifndef SPOOL_COMMITTER_H
#define SPOOL_COMMITTER_H

#include "spool/base.h"
#include "spool/outcome.h"
#include "spool/ring.h"
#include "spool/settlement.h"
#include "spool/spool.h"

struct committer;

struct committer_config {
    struct spool *spool;
    struct ring *ring;
    /* Called by committer_step() after each commit, on its thread: there are new records to read or
     * settlements were applied. */
    void (*on_commit)(void *context);
    void *context;
};

struct committer_statistics {
    uint64_t commits_count;
    uint64_t
        failed_commits_count; /* full or broken; what was in them was refused or is tried again */
    uint64_t appended_count;
    uint64_t settled_count;
    uint64_t outcomes[OUTCOME_COUNT]; /* answers given, by outcome */
    uint64_t commit_us_total;
    uint64_t commit_us_max;
    uint64_t commit_us_p50; /* of the last minutes; see spool/histogram.h */
    uint64_t commit_us_p99;
};

#define COMMITTER_E_BUSY 1 /* too many settlements wait */

SPOOL_MUST_CHECK int committer_new(const struct committer_config *config,
                                   struct committer **ret_committer);

/* Frees *committer and sets it to NULL; NULL is fine. Settlements that wait are forgotten: their
 * records are simply there again after the next start. */
void committer_free(struct committer **committer);

/* Hands over settlements; all or none. They are committed when committer_settled() has reached
 * *ret_position. 0, COMMITTER_E_BUSY. */
SPOOL_MUST_CHECK int committer_settle(struct committer *committer,
                                      const struct settlement *settlements, size_t count,
                                      uint64_t *ret_position);

/* How many settlements were committed or given back since committer_new(), in the order they were
 * handed over. */
SPOOL_MUST_CHECK uint64_t committer_settled(const struct committer *committer);

/* How many settlements of a destination were given back since committer_new(): what they would have
 * copied (dead letters, requeued and moved records) found no room for a while, and nothing else was
 * left to be settled. Their records are where they were. Look behind committer_settled(). */
SPOOL_MUST_CHECK uint64_t committer_given_back(const struct committer *committer,
                                               uint32_t destination);

/* Does one group commit of what waits. Settlements alone wait a few milliseconds for company,
 * unless settles_now. Returns how many appends and settlements it dealt with, refused ones
 * included; 0: nothing to do. */
size_t committer_step(struct committer *committer, bool settles_now);

/* Sleeps until there is work for committer_step(), at most timeout_ms. */
void committer_wait(struct committer *committer, uint64_t timeout_ms);

/* What goes wrong now, in words for people; false: nothing. */
SPOOL_MUST_CHECK bool committer_trouble(struct committer *committer, struct message *ret_message);

void committer_statistics(struct committer *committer, struct committer_statistics *ret_statistics);

#endif
