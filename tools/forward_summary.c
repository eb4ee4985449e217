/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/forward_summary.h"

#include <jansson.h>

static void summary_set(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* What this run did: the spool's totals less what they were at the start; and what is left. */
static void summary_add_run(const struct forward_summary *summary, json_t *object)
{
    static const enum counter totals[] = {COUNTER_APPENDED, COUNTER_DELIVERED, COUNTER_DEAD,
                                          COUNTER_EXPIRED,  COUNTER_DROPPED,   COUNTER_CORRUPT};
    struct counters now = *summary->counters_at_start;
    (void)!spool_counters(pipeline_spool(summary->pipeline), DESTINATION_ALL, &now);
    for (size_t i = 0; i < SPOOL_COUNT_OF(totals); i++) {
        summary_set(object, counter_name(totals[i]),
                    now.values[totals[i]] - summary->counters_at_start->values[totals[i]]);
    }
    summary_set(object, "waiting", now.values[COUNTER_QUEUE_RECORDS]);
    summary_set(object, "dead_letters", now.values[COUNTER_DEAD_RECORDS]);
}

static json_t *summary_refusals(const struct committer_statistics *statistics)
{
    json_t *refused = json_object();
    for (int outcome = OUTCOME_ACCEPTED + 1; outcome < OUTCOME_COUNT; outcome++) {
        if (statistics->outcomes[outcome] > 0) {
            summary_set(refused, outcome_name((enum outcome)outcome),
                        statistics->outcomes[outcome]);
        }
    }
    return refused;
}

static json_t *summary_destination(const struct forward_summary *summary, size_t at)
{
    struct forward_status status = {0};
    struct counters counters = {0};
    uint32_t id = summary->destinations[at];
    (void)!forward_status(pipeline_forward(summary->pipeline), id, &status);
    (void)!spool_counters(pipeline_spool(summary->pipeline), id, &counters);
    json_t *object = json_object();
    json_object_set_new(object, "address", json_string(summary->addresses[at]->text));
    summary_set(object, "waiting", counters.values[COUNTER_QUEUE_RECORDS]);
    summary_set(object, "dead_letters", counters.values[COUNTER_DEAD_RECORDS]);
    summary_set(object, "retries", status.retries_count);
    summary_set(object, "possible_duplicates", status.possible_duplicates_count);
    summary_set(object, "producers_lost", status.producers_lost_count);
    json_object_set_new(object, "last_error", json_string(status.last_error_text.text));
    return object;
}

void forward_summary_print(const struct forward_summary *summary, FILE *stream)
{
    struct committer_statistics statistics;
    committer_statistics(pipeline_committer(summary->pipeline), &statistics);
    json_t *object = json_object();
    json_object_set_new(object, "spool",
                        json_string(spool_uuid(pipeline_spool(summary->pipeline))));
    summary_set(object, "elapsed_ms", summary->elapsed_ms);
    summary_add_run(summary, object);
    json_object_set_new(object, "refused", summary_refusals(&statistics));
    summary_set(object, "commits", statistics.commits_count);
    summary_set(object, "failed_commits", statistics.failed_commits_count);
    summary_set(object, "commit_us_mean",
                statistics.commits_count > 0 ? statistics.commit_us_total / statistics.commits_count
                                             : 0);
    summary_set(object, "commit_us_max", statistics.commit_us_max);
    json_t *destinations = json_array();
    for (size_t i = 0; i < summary->destinations_count; i++) {
        json_array_append_new(destinations, summary_destination(summary, i));
    }
    json_object_set_new(object, "destinations", destinations);
    json_dumpf(object, stream, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', stream);
    fflush(stream);
    json_decref(object);
}
