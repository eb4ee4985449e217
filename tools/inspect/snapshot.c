/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/snapshot.h"

#include "spool/cursor.h"
#include "spool/pause.h"
#include "spool/record.h"
#include "tools/inspect/inspect.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#define SNAPSHOT_DISK_FULL_BYTES (1ULL << 20)

/* --- Looking ---------------------------------------------------------------------------------- */

/* When the first waiting record was published; 0 when there is none, or it cannot be decoded. */
static uint64_t snapshot_oldest(struct spool *spool, uint32_t destination)
{
    struct cursor cursor;
    struct span stored;
    struct record record;
    uint64_t sequence;
    uint64_t oldest = 0;
    if (cursor_begin_queue(&cursor, spool, destination, 0) != 0) {
        return 0;
    }
    if (cursor_next(&cursor, &sequence, &stored) == 0 && record_decode(stored, &record) == 0) {
        oldest = record.published_wall_ms;
    }
    cursor_end(&cursor);
    return oldest;
}

static int snapshot_look_at(struct spool *spool, struct snapshot *snapshot, uint32_t id)
{
    struct snapshot_destination *destination = &snapshot->destinations[id];
    *destination = (struct snapshot_destination){
        .identity = spool_destination_identity(spool, id),
        .address = spool_destination_address(spool, id),
        .oldest_wall_ms = snapshot_oldest(spool, id),
    };
    if (snapshot->is_live && id <= snapshot->live.destinations_count) {
        destination->live = snapshot->live.destinations[id];
    }
    int r = spool_counters(spool, id, &destination->counters);
    return r != 0 ? r : spool_paused_since(spool, id, &destination->paused_since_wall_ms);
}

/* Spools that were found damaged and set aside. */
static uint32_t snapshot_count_set_aside(const char *dir)
{
    uint32_t count = 0;
    DIR *folder = opendir(dir);
    if (folder == NULL) {
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        count += strncmp(entry->d_name, "damaged-", strlen("damaged-")) == 0;
    }
    (void)closedir(folder);
    return count;
}

/* Whether it is the owner that wrote the file: one that was killed may have, a moment ago. */
static bool snapshot_is_owners(const struct snapshot *snapshot)
{
    const char *pid = strrchr(snapshot->owner, ' ');
    return pid != NULL && strtoull(pid, NULL, 10) == snapshot->live.pid;
}

static void snapshot_look_around(struct spool *spool, struct snapshot *snapshot)
{
    struct statvfs status;
    snapshot->taken_wall_ms = inspect_now_ms();
    if (spool_owner(spool, &snapshot->is_owned, snapshot->owner) != 0) {
        snapshot->is_owned = false;
    }
    snapshot->has_live = live_read(spool_dir(spool), &snapshot->live) == 0;
    uint64_t written_ms = snapshot->live.written_wall_ms;
    snapshot->is_live = snapshot->has_live && snapshot->is_owned && !snapshot->live.is_stopped &&
                        snapshot_is_owners(snapshot) &&
                        written_ms + LIVE_STALE_MS >= snapshot->taken_wall_ms;
    if (statvfs(spool_dir(spool), &status) == 0) {
        snapshot->disk_free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    }
    snapshot->set_aside_count = snapshot_count_set_aside(spool_dir(spool));
}

int snapshot_take(struct spool *spool, struct snapshot *snapshot)
{
    *snapshot = (struct snapshot){0};
    snapshot_look_around(spool, snapshot);
    /* Behind that: whatever the owner has told of is there now. */
    int r = spool_refresh(spool);
    if (r == VISIT_E_REPLACED) {
        return -ESTALE;
    }
    snapshot->destinations_count = spool_destinations_count(spool);
    if (r == 0) {
        r = spool_counters(spool, DESTINATION_ALL, &snapshot->all);
    }
    if (r == 0) {
        r = spool_space(spool, &snapshot->space);
    }
    if (r == 0) {
        r = spool_readers(spool, &snapshot->readers);
    }
    if (r == 0) {
        r = spool_next_sequence(spool, &snapshot->next_sequence);
    }
    for (uint32_t i = 1; r == 0 && i <= snapshot->destinations_count; i++) {
        r = snapshot_look_at(spool, snapshot, i);
    }
    /* Whether the disk gives no more is known to who asked it last. */
    snapshot->space.is_disk_full = snapshot->is_live
                                       ? snapshot->live.is_disk_full
                                       : snapshot->disk_free_bytes < SNAPSHOT_DISK_FULL_BYTES;
    return r;
}

/* --- Words ------------------------------------------------------------------------------------ */

const char *snapshot_verdict_name(enum verdict_kind kind)
{
    static const char *const names[] = {
        [VERDICT_HEALTHY] = "healthy", [VERDICT_WAITING] = "waiting",
        [VERDICT_STALLED] = "stalled", [VERDICT_ATTENTION] = "needs attention",
        [VERDICT_FULL] = "full",
    };
    static_assert(SPOOL_COUNT_OF(names) == VERDICT_COUNT, "each has a name");
    return names[kind];
}

const char *snapshot_state(const struct snapshot *snapshot, uint32_t destination)
{
    const struct snapshot_destination *it = &snapshot->destinations[destination];
    if (it->paused_since_wall_ms != 0) {
        return "paused";
    }
    if (!snapshot->is_live) {
        return snapshot->is_owned ? "unknown" : "no owner";
    }
    if (it->live.state == LIVE_NOT_CONFIGURED) {
        return "not configured";
    }
    if (it->live.is_held) {
        return "held";
    }
    if (it->live.is_stalled) {
        return "stalled";
    }
    /* The client tries again by itself, and has delivered nothing since. */
    bool is_retrying = it->live.state == LIVE_FLOWING && it->live.last_error != 0;
    return is_retrying ? "retrying" : live_state_name(it->live.state);
}

uint64_t snapshot_age_ms(const struct snapshot *snapshot, uint32_t destination)
{
    uint64_t oldest = snapshot->destinations[destination].oldest_wall_ms;
    return oldest != 0 && snapshot->taken_wall_ms > oldest ? snapshot->taken_wall_ms - oldest : 0;
}

enum verdict_kind snapshot_verdict(const struct snapshot *snapshot)
{
    return snapshot->reasons_count == 0 ? VERDICT_HEALTHY : snapshot->reasons[0].kind;
}
