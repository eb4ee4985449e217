/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Report routes: the Kafka process hands a record's final status to some worker, which finds the
 * route by its name and runs it. Few are under way at once, so that neither OpenSIPS's shared
 * memory nor its pipe to the workers fills up.
 */
#ifndef SRC_OPENSIPS_REPORT_ROUTE_H
#define SRC_OPENSIPS_REPORT_ROUTE_H

#include "src/host.h"

struct pipeline;

/* Makes what the processes share, in mod_init. 0, -1 (logged). */
SPOOL_MUST_CHECK int report_route_init(void);

/* struct host's run_report. In the main loop of the Kafka process. */
SPOOL_MUST_CHECK int report_route_dispatch(struct host *host, const struct host_report *report);

/* Tells the pipeline which routes have run since. In the main loop of the Kafka process. */
void report_route_step(struct pipeline *pipeline);

#endif
