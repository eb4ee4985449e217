/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's statistics, in the group "kafka": a row for the whole spool and one for each
 * destination, as the Kafka process last saw them. What OpenSIPS shows has the name alone for the
 * whole, and the name with "_ID" for a broker_id. Beside them: how many publishes were refused, by
 * reason ("refused_full_disk").
 */
#ifndef SRC_OPENSIPS_MODULE_STATISTICS_H
#define SRC_OPENSIPS_MODULE_STATISTICS_H

#include "spool/base.h"
#include "spool/counters.h"
#include "spool/limits.h"

#include <stdatomic.h>

struct pipeline;

/* Beside the spool's own counters (spool/counters.h). */
enum statistic {
    /* Of each destination; the whole has their sum, or the largest. */
    STATISTIC_INFLIGHT_RECORDS,
    STATISTIC_INFLIGHT_BYTES,
    STATISTIC_OLDEST_AGE_S,    /* of what waits; 0: nothing waits */
    STATISTIC_DELIVERED_AGE_S, /* since the last delivery; 0: there was none yet */
    STATISTIC_DELIVERY_MS_P50, /* from the first attempt to the delivery report */
    STATISTIC_DELIVERY_MS_P99,
    STATISTIC_RETRIES,
    STATISTIC_HOLDS, /* of the retries: an operator is needed */
    STATISTIC_POSSIBLE_DUPLICATES,
    STATISTIC_PRODUCERS_LOST,
    STATISTIC_PAUSED, /* 1 or 0; the whole: how many are */
    STATISTIC_HELD,
    STATISTIC_STALLED,
    STATISTIC_OF_DESTINATION_COUNT,

    /* Of the whole alone. */
    STATISTIC_SERVING = STATISTIC_OF_DESTINATION_COUNT, /* 1: publishes are taken */
    STATISTIC_USED_BYTES,
    STATISTIC_LIMIT_BYTES,
    STATISTIC_FILL_PERCENT,
    STATISTIC_DISK_FULL,
    STATISTIC_READER_LAG, /* commits that the oldest reader of the spool is behind */
    STATISTIC_COMMITS,
    STATISTIC_COMMITS_FAILED,
    STATISTIC_COMMIT_US_P50,
    STATISTIC_COMMIT_US_P99,
    STATISTIC_COMMIT_US_MAX,
    STATISTIC_REPORTS_WITHOUT_ROUTE,
    STATISTIC_COUNT,
};

struct statistics_row {
    _Atomic uint64_t counters[COUNTER_COUNT];
    _Atomic uint64_t values[STATISTIC_COUNT];
};

/* Makes the rows, and registers them with OpenSIPS: in mod_init, when all broker_ids are known. 0,
 * -1 (logged). */
SPOOL_MUST_CHECK int module_statistics_init(void);

/* Brings the rows up to date, in the main loop of the Kafka process. */
void module_statistics_step(struct pipeline *pipeline);

/* The row of the whole, and of the destination at that index of the table. */
const struct statistics_row *module_statistics_all(void);
const struct statistics_row *module_statistics_of(uint32_t index);

/* A statistic's name ("oldest_age_s"). Static. */
SPOOL_MUST_CHECK const char *module_statistic_name(enum statistic statistic);

#endif
