/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a spool is at one moment, and what to think of it: what status, watch and metrics show. Takes
 * as long for ten records as for ten million. */
#ifndef TOOLS_INSPECT_SNAPSHOT_H
#define TOOLS_INSPECT_SNAPSHOT_H

#include "spool/base.h"
#include "spool/limits.h"
#include "spool/live.h"
#include "spool/message.h"
#include "spool/spool.h"
#include "spool/visit.h"

/* From good to bad. */
enum verdict_kind {
    VERDICT_HEALTHY,
    VERDICT_WAITING, /* records wait, and are tried again by itself; or for a pause to end */
    VERDICT_STALLED, /* in-flight, and nothing delivered for a while */
    VERDICT_ATTENTION,
    VERDICT_FULL, /* publishes are refused */
    VERDICT_COUNT,
};

#define SNAPSHOT_REASONS_MAX 32

struct snapshot_reason {
    enum verdict_kind kind;
    struct message text;
};

struct snapshot_destination {
    const char *identity; /* the spool's own */
    const char *address;
    struct counters counters;
    uint64_t
        oldest_wall_ms; /* when the first in its queue was published; 0: none, or not readable */
    uint64_t paused_since_wall_ms;
    struct live_destination live; /* all zero without a living owner */
};

struct snapshot {
    uint64_t taken_wall_ms;
    bool is_owned;
    char owner[SPOOL_OWNER_BYTES];
    bool has_live; /* live is set, by the owner or the last one that there was */
    bool is_live;  /* and it is what the owner says now */
    struct live live;
    struct counters all;
    struct spool_space space;
    struct spool_readers readers;
    uint64_t disk_free_bytes;
    uint64_t next_sequence;
    uint32_t set_aside_count; /* folders of damaged spools */
    uint32_t destinations_count;
    struct snapshot_destination destinations[DESTINATIONS_MAX + 1]; /* [1..count] */
    size_t reasons_count;
    struct snapshot_reason reasons[SNAPSHOT_REASONS_MAX]; /* the worst first */
};

/* Limits that somebody who checks the spool wants to hear of; 0: none. */
struct snapshot_limits {
    uint64_t max_age_ms;
    uint64_t max_depth_records;
};

/* Looks. 0, -errno: the spool cannot be read (-ESTALE: its file is another one now). */
SPOOL_MUST_CHECK int snapshot_take(struct spool *spool, struct snapshot *ret_snapshot);

/* Finds the reasons. With limits given, records that only wait (VERDICT_WAITING, VERDICT_STALLED)
 * are no reason by themselves: they are judged by the limits. */
void snapshot_judge(struct snapshot *snapshot, const struct snapshot_limits *limits);

/* The worst of the reasons. */
SPOOL_MUST_CHECK enum verdict_kind snapshot_verdict(const struct snapshot *snapshot);

/* "needs attention". Static. */
const char *snapshot_verdict_name(enum verdict_kind kind);

/* A destination's state in a word: "flowing", "held", "paused", ... Static. */
const char *snapshot_state(const struct snapshot *snapshot, uint32_t destination);

/* How old the oldest waiting record is; 0: none waits. */
SPOOL_MUST_CHECK uint64_t snapshot_age_ms(const struct snapshot *snapshot, uint32_t destination);

/* For owning locals. */
static inline void snapshot_free(struct snapshot **snapshot)
{
    free(SPOOL_TAKE(*snapshot));
}

#endif
