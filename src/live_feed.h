/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Feeds the spool's file "live" (spool/live.h) with what the pipeline knows: for spool-inspect, and
 * for whoever else asks how it goes without asking the owner. One thread's.
 */
#ifndef SRC_LIVE_FEED_H
#define SRC_LIVE_FEED_H

#include "spool/base.h"
#include "spool/committer.h"
#include "spool/spool.h"
#include "src/forward.h"

struct live_feed;

struct live_feed_config {
    struct spool *spool; /* all borrowed */
    struct committer *committer;
    struct forward *forward;
    struct clock *clock;
};

/* 0, -errno: the file cannot be made. */
SPOOL_MUST_CHECK int live_feed_new(const struct live_feed_config *config,
                                   struct live_feed **ret_feed);

/* NULL is fine. */
void live_feed_free(struct live_feed **feed);

/* Writes how it goes now; call it about twice a second. is_last: the pipeline ends. A file that
 * cannot be written (a full disk) is tried again the next time: nothing depends on it. NULL is
 * fine: does nothing. */
void live_feed_step(struct live_feed *feed, bool is_last);

#endif
