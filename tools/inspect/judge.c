/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to think of a snapshot: the reasons behind the verdict, each with what to do. */
#include "tools/inspect/output.h"
#include "tools/inspect/snapshot.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A record is refused before the last page is gone: what the largest needs is kept free, and what
 * the last commits freed cannot be used yet. */
#define JUDGE_FULL_BYTES 65536
#define JUDGE_FULL_SHARE 256

/* A reader that stays so far behind keeps the file growing. */
#define JUDGE_READER_BEHIND 1000

static void judge_add(struct snapshot *snapshot, enum verdict_kind kind, const char *format, ...)
    SPOOL_PRINTF(3, 4);

/* Adds a reason behind those that are as bad. What does not fit is the least bad. */
static void judge_add(struct snapshot *snapshot, enum verdict_kind kind, const char *format, ...)
{
    char text[MESSAGE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    size_t at = snapshot->reasons_count;
    while (at > 0 && snapshot->reasons[at - 1].kind < kind) {
        at--;
    }
    if (at == SNAPSHOT_REASONS_MAX) {
        return;
    }
    if (snapshot->reasons_count < SNAPSHOT_REASONS_MAX) {
        snapshot->reasons_count++;
    }
    struct snapshot_reason *reason = &snapshot->reasons[at];
    memmove(reason + 1, reason, (snapshot->reasons_count - 1 - at) * sizeof(*reason));
    reason->kind = kind;
    message_set(&reason->text, "%s", text);
}

static void judge_spool(struct snapshot *snapshot)
{
    const struct live *live = &snapshot->live;
    uint64_t waiting = snapshot->all.values[COUNTER_QUEUE_RECORDS];
    if (snapshot->is_live && live->is_latched) {
        judge_add(snapshot, VERDICT_ATTENTION, "the owner cannot write the spool: %s",
                  live->trouble[0] != '\0' ? live->trouble : "a write failed");
    } else if (snapshot->is_live && live->trouble[0] != '\0' && !live->is_disk_full) {
        judge_add(snapshot, VERDICT_ATTENTION, "the owner has trouble: %s", live->trouble);
    }
    if (snapshot->is_owned && !snapshot->is_live) {
        char age[OUTPUT_WORD_BYTES] = "it started";
        if (snapshot->has_live && snapshot->taken_wall_ms > live->written_wall_ms) {
            output_duration(snapshot->taken_wall_ms - live->written_wall_ms, age);
        }
        judge_add(snapshot, VERDICT_ATTENTION,
                  "the owner (%s) has said nothing for %s: it may hang; look at its log",
                  snapshot->owner, age);
    }
    if (!snapshot->is_owned && waiting > 0) {
        judge_add(snapshot, VERDICT_ATTENTION,
                  "%" PRIu64
                  " records wait and no process owns the spool: start OpenSIPS, or drain "
                  "it with spool-forward",
                  waiting);
    }
    if (snapshot->set_aside_count > 0) {
        judge_add(snapshot, VERDICT_ATTENTION,
                  "%u damaged %s set aside in this folder: 'spool-inspect salvage' reads it; then "
                  "move it away",
                  snapshot->set_aside_count,
                  snapshot->set_aside_count == 1 ? "spool was" : "spools were");
    }
    if (snapshot->readers.behind_count > JUDGE_READER_BEHIND) {
        judge_add(snapshot, VERDICT_ATTENTION,
                  "process %" PRIu64 " reads the spool and is %" PRIu64
                  " commits behind: no freed page can be used again until it ends",
                  snapshot->readers.oldest_pid, snapshot->readers.behind_count);
    }
}

static void judge_fill(struct snapshot *snapshot)
{
    const struct spool_space *space = &snapshot->space;
    uint64_t waiting = snapshot->all.values[COUNTER_QUEUE_RECORDS];
    uint64_t largest = snapshot->all.values[COUNTER_LARGEST_BYTES];
    uint64_t max_records = snapshot->has_live ? snapshot->live.max_records : 0;
    char limit[OUTPUT_WORD_BYTES];
    output_bytes(space->limit_bytes, limit);
    if (space->is_disk_full) {
        judge_add(snapshot, VERDICT_FULL,
                  "the disk is full: publishes are refused: free some space");
    } else if (space->room_bytes <=
               largest + JUDGE_FULL_BYTES + space->limit_bytes / JUDGE_FULL_SHARE) {
        judge_add(snapshot, VERDICT_FULL,
                  "the spool has reached its limit of %s: publishes are refused", limit);
    }
    if (max_records != 0 && waiting >= max_records) {
        judge_add(snapshot, VERDICT_FULL,
                  "%" PRIu64 " records wait, which is the limit: publishes are refused", waiting);
    }
}

/* A destination's own limits, in the owner's configuration. */
static void judge_own_limits(struct snapshot *snapshot, const struct snapshot_destination *it)
{
    const struct destination_limits *limits = &it->live.limits;
    const char *effect = limits->drops_oldest ? "the oldest are dropped" : "publishes are refused";
    enum verdict_kind kind = limits->drops_oldest ? VERDICT_ATTENTION : VERDICT_FULL;
    if (limits->max_records != 0 &&
        it->counters.values[COUNTER_QUEUE_RECORDS] >= limits->max_records) {
        judge_add(snapshot, kind, "%s has reached its limit of %" PRIu64 " records: %s",
                  it->identity, limits->max_records, effect);
    } else if (limits->max_bytes != 0 &&
               it->counters.values[COUNTER_QUEUE_BYTES] +
                       it->counters.values[COUNTER_QUEUE_BYTES] /
                           (it->counters.values[COUNTER_QUEUE_RECORDS] + 1) >=
                   limits->max_bytes) {
        /* With one more of the usual size it would be above. */
        judge_add(snapshot, kind, "%s has reached its limit of %" PRIu64 " bytes: %s", it->identity,
                  limits->max_bytes, effect);
    }
}

static void judge_dead(struct snapshot *snapshot, const struct snapshot_destination *it)
{
    uint64_t dead = it->counters.values[COUNTER_DEAD_RECORDS];
    if (dead > 0) {
        judge_add(snapshot, VERDICT_ATTENTION,
                  "%s has %" PRIu64 " dead letter%s: 'spool-inspect dead ls' shows why",
                  it->identity, dead, dead == 1 ? "" : "s");
    }
}

/* What a living owner says of a destination that has records. */
static void judge_flow(struct snapshot *snapshot, const struct snapshot_destination *it)
{
    uint64_t waiting = it->counters.values[COUNTER_QUEUE_RECORDS];
    const struct live_destination *live = &it->live;
    const char *error =
        live->last_error_text[0] != '\0' ? live->last_error_text : "no error is known";
    if (it->paused_since_wall_ms != 0) {
        judge_add(snapshot, VERDICT_WAITING,
                  "%s is paused and %" PRIu64 " records wait: 'spool-inspect resume' lets it go on",
                  it->identity, waiting);
    } else if (!snapshot->is_live) {
        return; /* said for the spool as a whole */
    } else if (live->state == LIVE_NOT_CONFIGURED) {
        judge_add(snapshot, VERDICT_ATTENTION,
                  "%s is not configured and %" PRIu64
                  " records wait for it: configure it again, or move them",
                  it->identity, waiting);
    } else if (live->is_held) {
        judge_add(snapshot, VERDICT_ATTENTION, "%s is held, since only an operator can mend it: %s",
                  it->identity, error);
    } else if (live->is_stalled) {
        judge_add(snapshot, VERDICT_STALLED,
                  "%s has %" PRIu64 " records in-flight and delivers nothing: %s", it->identity,
                  live->inflight_records, error);
    } else if (live->state != LIVE_FLOWING || live->last_error != 0) {
        judge_add(snapshot, VERDICT_WAITING, "%s is tried again: %s", it->identity, error);
    }
}

static void judge_limits(struct snapshot *snapshot, uint32_t id,
                         const struct snapshot_limits *limits)
{
    const struct snapshot_destination *it = &snapshot->destinations[id];
    uint64_t waiting = it->counters.values[COUNTER_QUEUE_RECORDS];
    uint64_t age_ms = snapshot_age_ms(snapshot, id);
    if (limits->max_age_ms != 0 && age_ms > limits->max_age_ms) {
        char age[OUTPUT_WORD_BYTES];
        char limit[OUTPUT_WORD_BYTES];
        output_duration(age_ms, age);
        output_duration(limits->max_age_ms, limit);
        judge_add(snapshot, VERDICT_ATTENTION, "%s: the oldest record waits for %s (limit %s)",
                  it->identity, age, limit);
    }
    if (limits->max_depth_records != 0 && waiting > limits->max_depth_records) {
        judge_add(snapshot, VERDICT_ATTENTION, "%s: %" PRIu64 " records wait (limit %" PRIu64 ")",
                  it->identity, waiting, limits->max_depth_records);
    }
}

/* With limits, what only waits is judged by them. */
static void judge_forget_waiting(struct snapshot *snapshot)
{
    while (snapshot->reasons_count > 0 &&
           snapshot->reasons[snapshot->reasons_count - 1].kind <= VERDICT_STALLED) {
        snapshot->reasons_count--;
    }
}

void snapshot_judge(struct snapshot *snapshot, const struct snapshot_limits *limits)
{
    snapshot->reasons_count = 0;
    judge_spool(snapshot);
    judge_fill(snapshot);
    for (uint32_t i = 1; i <= snapshot->destinations_count; i++) {
        const struct snapshot_destination *it = &snapshot->destinations[i];
        if (it->counters.values[COUNTER_QUEUE_RECORDS] > 0) {
            judge_flow(snapshot, it);
        }
        judge_own_limits(snapshot, it);
        judge_dead(snapshot, it);
        judge_limits(snapshot, i, limits);
    }
    if (limits->max_age_ms != 0 || limits->max_depth_records != 0) {
        judge_forget_waiting(snapshot);
    }
}
