/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/module_statistics.h"

#include "spool/cursor.h"
#include "src/opensips/destination_table.h"
#include "src/opensips/opensips.h"
#include "src/opensips/shared_state.h"
#include "src/pipeline.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define GROUP "kafka"

static const char *const names[STATISTIC_COUNT] = {
    [STATISTIC_INFLIGHT_RECORDS] = "inflight_records",
    [STATISTIC_INFLIGHT_BYTES] = "inflight_bytes",
    [STATISTIC_OLDEST_AGE_S] = "oldest_age_s",
    [STATISTIC_DELIVERED_AGE_S] = "delivered_age_s",
    [STATISTIC_DELIVERY_MS_P50] = "delivery_ms_p50",
    [STATISTIC_DELIVERY_MS_P99] = "delivery_ms_p99",
    [STATISTIC_RETRIES] = "retries",
    [STATISTIC_HOLDS] = "holds",
    [STATISTIC_POSSIBLE_DUPLICATES] = "possible_duplicates",
    [STATISTIC_PRODUCERS_LOST] = "producers_lost",
    [STATISTIC_PAUSED] = "paused",
    [STATISTIC_HELD] = "held",
    [STATISTIC_STALLED] = "stalled",
    [STATISTIC_SERVING] = "serving",
    [STATISTIC_USED_BYTES] = "used_bytes",
    [STATISTIC_LIMIT_BYTES] = "limit_bytes",
    [STATISTIC_FILL_PERCENT] = "fill_percent",
    [STATISTIC_DISK_FULL] = "disk_full",
    [STATISTIC_READER_LAG] = "reader_lag",
    [STATISTIC_COMMITS] = "commits",
    [STATISTIC_COMMITS_FAILED] = "commits_failed",
    [STATISTIC_COMMIT_US_P50] = "commit_us_p50",
    [STATISTIC_COMMIT_US_P99] = "commit_us_p99",
    [STATISTIC_COMMIT_US_MAX] = "commit_us_max",
    [STATISTIC_REPORTS_WITHOUT_ROUTE] = "reports_without_route",
};

/* [0] the whole, [1 + index] the table's destinations. */
static struct statistics_row *rows;

const char *module_statistic_name(enum statistic statistic)
{
    return names[statistic];
}

const struct statistics_row *module_statistics_all(void)
{
    return &rows[0];
}

const struct statistics_row *module_statistics_of(uint32_t index)
{
    return &rows[1 + index];
}

/* --- Registering ------------------------------------------------------------------------------ */

static unsigned long statistics_show(void *value)
{
    return atomic_load((_Atomic uint64_t *)value);
}

/* Behind the name: nothing, or "_ID" with what is no letter or digit made '_'. */
static int statistics_register(const char *name, const char *id, _Atomic uint64_t *value)
{
    SPOOL_CLEANUP(spool_free) char *full = NULL;
    if (asprintf(&full, "%s%s%s", name, id[0] != '\0' ? "_" : "", id) < 0) {
        full = NULL;
        LM_ERR("out of memory\n");
        return -1;
    }
    for (char *at = full; *at != '\0'; at++) {
        *at = isalnum((unsigned char)*at) ? *at : '_';
    }
    /* OpenSIPS copies the name. */
    if (register_stat2(GROUP, full, (stat_var **)(uintptr_t)statistics_show, STAT_IS_FUNC, value,
                       0) != 0) {
        LM_ERR("cannot register the statistic %s\n", full);
        return -1;
    }
    return 0;
}

/* What is a level or a total; the rest of a counters row is times and the store's own. */
static bool statistics_is_shown(enum counter counter)
{
    return counter != COUNTER_PAGES && counter != COUNTER_LAST_APPENDED_WALL_MS &&
           counter != COUNTER_LAST_DELIVERED_WALL_MS && counter != COUNTER_LARGEST_BYTES;
}

static int statistics_register_row(struct statistics_row *row, const char *id, size_t values_count)
{
    for (enum counter i = 0; i < COUNTER_COUNT; i++) {
        if (statistics_is_shown(i) &&
            statistics_register(counter_name(i), id, &row->counters[i]) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < values_count; i++) {
        if (statistics_register(names[i], id, &row->values[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static int statistics_register_refusals(void)
{
    int r = 0;
    for (enum outcome i = OUTCOME_ACCEPTED + 1; r == 0 && i < OUTCOME_COUNT; i++) {
        r = statistics_register("refused", outcome_name(i), &shared_state->outcomes[i]);
    }
    return r;
}

int module_statistics_init(void)
{
    rows = shared_memory((1 + DESTINATIONS_MAX) * sizeof(*rows));
    if (rows == NULL) {
        LM_ERR("no shared memory\n");
        return -1;
    }
    int r = statistics_register_row(&rows[0], "", STATISTIC_COUNT);
    if (r == 0) {
        r = statistics_register_refusals();
    }
    for (uint32_t i = 0; r == 0 && i < destination_table_count(); i++) {
        const char *id = destination_table_at(i)->id;
        if (id[0] != '\0') {
            r = statistics_register_row(&rows[1 + i], id, STATISTIC_OF_DESTINATION_COUNT);
        }
    }
    return r;
}

/* --- Looking ---------------------------------------------------------------------------------- */

static uint64_t statistics_age_s(uint64_t since_wall_ms)
{
    uint64_t now_ms = clock_system()->wall_ms(clock_system());
    return since_wall_ms == 0 || since_wall_ms > now_ms ? 0 : (now_ms - since_wall_ms) / 1000;
}

static uint64_t statistics_oldest_age_s(struct spool *spool, uint32_t id)
{
    struct cursor cursor;
    struct span stored;
    struct record record;
    uint64_t sequence;
    uint64_t age_s = 0;
    if (cursor_begin_queue(&cursor, spool, id, 0) != 0) {
        return 0;
    }
    if (cursor_next(&cursor, &sequence, &stored) == 0 && record_decode(stored, &record) == 0) {
        age_s = statistics_age_s(record.published_wall_ms);
    }
    cursor_end(&cursor);
    return age_s;
}

static void statistics_look_counters(struct statistics_row *row, struct spool *spool, uint32_t id)
{
    struct counters counters;
    if (spool_counters(spool, id, &counters) != 0) {
        return;
    }
    for (enum counter i = 0; i < COUNTER_COUNT; i++) {
        atomic_store(&row->counters[i], counters.values[i]);
    }
}

static void statistics_look_destination(struct statistics_row *row, struct pipeline *pipeline,
                                        uint32_t id)
{
    struct forward_status status;
    struct spool *spool = pipeline_spool(pipeline);
    statistics_look_counters(row, spool, id);
    atomic_store(&row->values[STATISTIC_OLDEST_AGE_S], statistics_oldest_age_s(spool, id));
    atomic_store(&row->values[STATISTIC_DELIVERED_AGE_S],
                 statistics_age_s(row->counters[COUNTER_LAST_DELIVERED_WALL_MS]));
    if (forward_status(pipeline_forward(pipeline), id, &status) == 0) {
        atomic_store(&row->values[STATISTIC_INFLIGHT_RECORDS], status.inflight_records);
        atomic_store(&row->values[STATISTIC_INFLIGHT_BYTES], status.inflight_bytes);
        atomic_store(&row->values[STATISTIC_DELIVERY_MS_P50], status.delivery_ms_p50);
        atomic_store(&row->values[STATISTIC_DELIVERY_MS_P99], status.delivery_ms_p99);
        atomic_store(&row->values[STATISTIC_RETRIES], status.retries_count);
        atomic_store(&row->values[STATISTIC_HOLDS], status.holds_count);
        atomic_store(&row->values[STATISTIC_POSSIBLE_DUPLICATES], status.possible_duplicates_count);
        atomic_store(&row->values[STATISTIC_PRODUCERS_LOST], status.producers_lost_count);
        atomic_store(&row->values[STATISTIC_PAUSED], status.is_paused);
        atomic_store(&row->values[STATISTIC_HELD], status.is_held);
        atomic_store(&row->values[STATISTIC_STALLED], status.is_stalled);
    }
}

/* Adds a destination's values to the whole's: times are the longest, the rest is summed up. */
static void statistics_add(uint64_t *sums, const struct statistics_row *row)
{
    for (size_t i = 0; i < STATISTIC_OF_DESTINATION_COUNT; i++) {
        uint64_t value = atomic_load(&row->values[i]);
        bool is_sum = i != STATISTIC_OLDEST_AGE_S && i != STATISTIC_DELIVERED_AGE_S &&
                      i != STATISTIC_DELIVERY_MS_P50 && i != STATISTIC_DELIVERY_MS_P99;
        if (is_sum) {
            sums[i] += value;
        } else if (value > sums[i]) {
            sums[i] = value;
        }
    }
}

static void statistics_look_all(struct statistics_row *row, struct pipeline *pipeline)
{
    struct spool_space space;
    struct spool_readers readers;
    struct committer_statistics commits;
    struct spool *spool = pipeline_spool(pipeline);
    statistics_look_counters(row, spool, DESTINATION_ALL);
    /* Of the whole the last delivery anywhere counts, not the longest without one. */
    atomic_store(&row->values[STATISTIC_DELIVERED_AGE_S],
                 statistics_age_s(row->counters[COUNTER_LAST_DELIVERED_WALL_MS]));
    if (spool_space(spool, &space) == 0) {
        atomic_store(&row->values[STATISTIC_USED_BYTES], space.used_bytes);
        atomic_store(&row->values[STATISTIC_LIMIT_BYTES], space.limit_bytes);
        atomic_store(&row->values[STATISTIC_FILL_PERCENT],
                     space.used_bytes * 100 / space.limit_bytes);
        atomic_store(&row->values[STATISTIC_DISK_FULL], space.is_disk_full);
    }
    if (spool_readers(spool, &readers) == 0) {
        atomic_store(&row->values[STATISTIC_READER_LAG], readers.behind_count);
    }
    committer_statistics(pipeline_committer(pipeline), &commits);
    atomic_store(&row->values[STATISTIC_COMMITS], commits.commits_count);
    atomic_store(&row->values[STATISTIC_COMMITS_FAILED], commits.failed_commits_count);
    atomic_store(&row->values[STATISTIC_COMMIT_US_P50], commits.commit_us_p50);
    atomic_store(&row->values[STATISTIC_COMMIT_US_P99], commits.commit_us_p99);
    atomic_store(&row->values[STATISTIC_COMMIT_US_MAX], commits.commit_us_max);
    atomic_store(&row->values[STATISTIC_SERVING],
                 atomic_load(&shared_state->serving) == SERVING_OPEN && !spool_is_latched(spool));
    atomic_store(&row->values[STATISTIC_REPORTS_WITHOUT_ROUTE],
                 atomic_load(&shared_state->reports_without_route));
}

void module_statistics_step(struct pipeline *pipeline)
{
    uint64_t sums[STATISTIC_OF_DESTINATION_COUNT] = {0};
    for (uint32_t i = 0; i < destination_table_count(); i++) {
        const struct table_destination *destination = destination_table_at(i);
        if (atomic_load(&destination->state) == TABLE_OPEN) {
            statistics_look_destination(&rows[1 + i], pipeline, destination->target.destination);
            statistics_add(sums, &rows[1 + i]);
        }
    }
    for (size_t i = 0; i < STATISTIC_OF_DESTINATION_COUNT; i++) {
        atomic_store(&rows[0].values[i], sums[i]);
    }
    statistics_look_all(&rows[0], pipeline);
}
