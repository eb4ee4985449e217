/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reports: the end of step 6. The final status of a record whose publisher named a report route is
 * in the spool until the route was run; this hands them to the host, oldest first, a bounded number
 * at a time. A report is run at least once: again after a crash between the run and its mark.
 */
#ifndef SRC_REPORT_H
#define SRC_REPORT_H

#include "spool/base.h"
#include "spool/committer.h"
#include "spool/spool.h"
#include "src/host.h"

struct reports;

SPOOL_MUST_CHECK int reports_new(struct spool *spool, struct committer *committer,
                                 struct host *host, struct reports **ret_reports);
void reports_free(struct reports **reports);

/* Hands the host what it will take. From one thread, the host's main loop. Returns how many it
 * took. */
size_t reports_step(struct reports *reports);

/* The report's route was run (or is gone): its mark is committed soon. Safe from any thread. */
void reports_done(struct reports *reports, uint64_t number);

#endif
