/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/snapshot_json.h"

#include "tools/inspect/output.h"

#include <string.h>

static void json_set_text(json_t *object, const char *name, const char *text)
{
    output_json_bytes(object, name, (struct span){text, strlen(text)});
}

static json_t *json_reasons(const struct snapshot *snapshot)
{
    json_t *reasons = json_array();
    for (size_t i = 0; i < snapshot->reasons_count; i++) {
        json_t *reason = json_object();
        json_set_text(reason, "verdict", snapshot_verdict_name(snapshot->reasons[i].kind));
        json_set_text(reason, "text", snapshot->reasons[i].text.text);
        (void)json_array_append_new(reasons, reason);
    }
    return reasons;
}

/* NULL (null in JSON) when nothing is known of an owner. */
static json_t *json_owner(const struct snapshot *snapshot)
{
    const struct live *live = &snapshot->live;
    json_t *owner = json_object();
    (void)json_object_set_new(owner, "present", json_boolean(snapshot->is_owned));
    (void)json_object_set_new(owner, "name",
                              snapshot->is_owned ? json_string(snapshot->owner) : json_null());
    (void)json_object_set_new(owner, "live", json_boolean(snapshot->is_live));
    output_json_time(owner, "started_ms", live->started_wall_ms);
    output_json_time(owner, "written_ms", live->written_wall_ms);
    (void)json_object_set_new(owner, "stopped", json_boolean(live->is_stopped));
    (void)json_object_set_new(owner, "latched",
                              json_boolean(snapshot->is_live && live->is_latched));
    json_set_text(owner, "trouble", live->trouble);
    return owner;
}

static json_t *json_commits(const struct live *live)
{
    json_t *commits = json_object();
    output_json_number(commits, "count", live->commits_count);
    output_json_number(commits, "median_us", live->commit_us_p50);
    output_json_number(commits, "p99_us", live->commit_us_p99);
    return commits;
}

static json_t *json_space(const struct snapshot *snapshot)
{
    const struct spool_space *space = &snapshot->space;
    json_t *object = json_object();
    output_json_number(object, "limit_bytes", space->limit_bytes);
    output_json_number(object, "used_bytes", space->used_bytes);
    output_json_number(object, "room_bytes", space->room_bytes);
    output_json_number(object, "file_bytes", space->file_bytes);
    output_json_number(object, "claimed_bytes", space->claimed_bytes);
    output_json_number(object, "disk_free_bytes", snapshot->disk_free_bytes);
    (void)json_object_set_new(object, "disk_full", json_boolean(space->is_disk_full));
    output_json_number(object, "max_records", snapshot->live.max_records);
    return object;
}

static json_t *json_readers(const struct spool_readers *readers)
{
    json_t *object = json_object();
    output_json_number(object, "count", readers->count);
    output_json_number(object, "behind_commits", readers->behind_count);
    (void)json_object_set_new(object, "oldest_pid",
                              readers->count > 0 ? json_integer((json_int_t)readers->oldest_pid)
                                                 : json_null());
    return object;
}

static json_t *json_counters(const struct counters *counters)
{
    json_t *object = json_object();
    for (int i = 0; i < COUNTER_COUNT; i++) {
        output_json_number(object, counter_name((enum counter)i), counters->values[i]);
    }
    return object;
}

/* What only a living owner knows; null without one. */
static json_t *json_live(const struct snapshot *snapshot, const struct live_destination *live)
{
    if (!snapshot->is_live) {
        return json_null();
    }
    json_t *object = json_object();
    (void)json_object_set_new(object, "configured",
                              json_boolean(live->state != LIVE_NOT_CONFIGURED));
    (void)json_object_set_new(object, "held", json_boolean(live->is_held));
    (void)json_object_set_new(object, "stalled", json_boolean(live->is_stalled));
    output_json_number(object, "inflight_records", live->inflight_records);
    output_json_number(object, "inflight_bytes", live->inflight_bytes);
    (void)json_object_set_new(object, "in_per_s", json_real((double)live->in_per_ks / 1000));
    (void)json_object_set_new(object, "out_per_s", json_real((double)live->out_per_ks / 1000));
    output_json_time(object, "retry_at_ms", live->retry_at_wall_ms);
    output_json_number(object, "retries", live->retries_count);
    output_json_number(object, "possible_duplicates", live->possible_duplicates_count);
    output_json_number(object, "producers_lost", live->producers_lost_count);
    (void)json_object_set_new(object, "error", json_integer(live->last_error));
    json_set_text(object, "error_text", live->last_error_text);
    output_json_number(object, "max_records", live->limits.max_records);
    output_json_number(object, "max_bytes", live->limits.max_bytes);
    (void)json_object_set_new(object, "drops_oldest", json_boolean(live->limits.drops_oldest));
    return object;
}

static json_t *json_destinations(const struct snapshot *snapshot)
{
    json_t *destinations = json_array();
    for (uint32_t i = 1; i <= snapshot->destinations_count; i++) {
        const struct snapshot_destination *it = &snapshot->destinations[i];
        json_t *object = json_object();
        output_json_number(object, "number", i);
        json_set_text(object, "destination", it->identity);
        json_set_text(object, "address", it->address);
        json_set_text(object, "state", snapshot_state(snapshot, i));
        output_json_time(object, "paused_since_ms", it->paused_since_wall_ms);
        output_json_time(object, "oldest_ms", it->oldest_wall_ms);
        output_json_number(object, "age_ms", snapshot_age_ms(snapshot, i));
        (void)json_object_set_new(object, "counters", json_counters(&it->counters));
        (void)json_object_set_new(object, "live", json_live(snapshot, &it->live));
        (void)json_array_append_new(destinations, object);
    }
    return destinations;
}

json_t *snapshot_json(const struct spool *spool, const struct snapshot *snapshot)
{
    json_t *object = json_object();
    json_set_text(object, "format", "spool-inspect/status/1");
    json_set_text(object, "verdict", snapshot_verdict_name(snapshot_verdict(snapshot)));
    (void)json_object_set_new(object, "reasons", json_reasons(snapshot));
    json_set_text(object, "spool", spool_dir(spool));
    json_set_text(object, "uuid", spool_uuid(spool));
    output_json_time(object, "taken_ms", snapshot->taken_wall_ms);
    output_json_number(object, "next_sequence", snapshot->next_sequence);
    (void)json_object_set_new(object, "owner", json_owner(snapshot));
    (void)json_object_set_new(
        object, "durability",
        !snapshot->has_live
            ? json_null()
            : json_string(snapshot->live.durability == SPOOL_SYNC ? "sync" : "nometasync"));
    (void)json_object_set_new(object, "commits", json_commits(&snapshot->live));
    (void)json_object_set_new(object, "space", json_space(snapshot));
    (void)json_object_set_new(object, "readers", json_readers(&snapshot->readers));
    output_json_number(object, "set_aside", snapshot->set_aside_count);
    (void)json_object_set_new(object, "counters", json_counters(&snapshot->all));
    (void)json_object_set_new(object, "destinations", json_destinations(snapshot));
    return object;
}
