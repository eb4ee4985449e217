/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Acting on records by hand: settlements in write transactions of at most ACT_BATCH_MAX records,
 * each with the act's entry in the audit log brought up to date. Whatever ends the program, no
 * record is half settled (S2) and the log says how many were.
 */
#ifndef TOOLS_INSPECT_ACT_H
#define TOOLS_INSPECT_ACT_H

#include "spool/audit.h"
#include "spool/batch.h"
#include "spool/message.h"
#include "spool/settlement.h"
#include "spool/spool.h"

#define ACT_BATCH_MAX 1000

struct act {
    struct spool *spool;
    struct batch *batch;
    struct audit_entry entry; /* what was done so far */
    uint64_t number;          /* the entry's; 0: nothing was done yet */
    size_t batch_max;         /* less than ACT_BATCH_MAX after a want of room */
    size_t waiting_count;
    struct settlement waiting[ACT_BATCH_MAX];
};

/* Prepares an act; the entry's texts are borrowed for its life. 0, -errno. */
SPOOL_MUST_CHECK int act_init(struct act *act, struct spool *spool,
                              const struct audit_entry *entry);
void act_deinit(struct act *act);

#define ACT_E_FULL 1    /* no room, however small the batch: what was not done is as it was */
#define ACT_E_LATCHED 2 /* a write failed: nothing more is written */

/* Takes a settlement; every ACT_BATCH_MAX of them are committed. message is set for each result but
 * 0. 0, ACT_E_FULL, ACT_E_LATCHED, -errno. */
SPOOL_MUST_CHECK int act_settle(struct act *act, const struct settlement *settlement,
                                struct message *message);

/* Commits those that wait. Results as act_settle()'s. */
SPOOL_MUST_CHECK int act_flush(struct act *act, struct message *message);

#endif
