/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file "live" in the spool's folder: what its owner knows and the store does not. In-flight,
 * states, rates, the last errors, what is configured, the limits. The owner writes it about twice a
 * second, so that other programs need not ask; it survives a crash, with its time. Nothing depends
 * on it (S10), and it is never flushed.
 */
#ifndef SPOOL_LIVE_H
#define SPOOL_LIVE_H

#include "spool/base.h"
#include "spool/limits.h"
#include "spool/spool.h"

#define LIVE_FILE "live"
#define LIVE_TEXT_BYTES 224
#define LIVE_NAME_BYTES 64

/* An owner that lives writes it again long before it is so old. */
#define LIVE_STALE_MS 5000

enum live_state {
    LIVE_NOT_CONFIGURED, /* the owner forwards nothing of it */
    LIVE_FLOWING,
    LIVE_DRAINING, /* something failed: what is in-flight is awaited */
    LIVE_WAITING,  /* then it is tried again, after a while */
    LIVE_STATE_COUNT,
};

struct live_destination {
    enum live_state state;
    bool is_held;    /* needs an operator, as far as known */
    bool is_paused;  /* as the owner saw it last */
    bool is_stalled; /* in-flight, and nothing delivered for a while */
    struct destination_limits limits;
    uint64_t inflight_records;
    uint64_t inflight_bytes;
    uint64_t retry_at_wall_ms; /* LIVE_WAITING */
    uint64_t retries_count;
    uint64_t possible_duplicates_count;
    uint64_t producers_lost_count;
    uint64_t last_delivered_wall_ms; /* 0: not since the owner's start */
    uint64_t in_per_ks;              /* records in 1,000 s, a moving average */
    uint64_t out_per_ks;
    int32_t last_error; /* the client's code, 0: none since the last delivery */
    char last_error_text[LIVE_TEXT_BYTES];
};

struct live {
    char owner[LIVE_NAME_BYTES]; /* the program */
    uint64_t pid;
    uint64_t started_wall_ms;
    uint64_t written_wall_ms;
    bool is_stopped; /* the owner ended in order, and this is the last that it said */
    enum spool_durability durability;
    uint64_t max_bytes;
    uint64_t map_bytes; /* max_bytes, or more when the file was larger already */
    uint64_t max_records;
    bool is_latched;
    bool is_disk_full;
    uint64_t commits_count;
    uint64_t commit_us_p50;
    uint64_t commit_us_p99;
    char trouble[LIVE_TEXT_BYTES]; /* what goes wrong with writing, in words; empty: nothing */
    uint32_t destinations_count;
    struct live_destination destinations[DESTINATIONS_MAX + 1]; /* [1..count] */
};

/* A state's name ("flowing"). Static. */
const char *live_state_name(enum live_state state);

/* Sets what the store itself knows: owner, durability, limits, latch, disk. Nothing else. */
void live_describe(struct spool *spool, struct live *live);

/* --- The owner -------------------------------------------------------------------------------- */

struct live_writer;

/* Opens (makes) the file in the folder of a spool that this process owns. 0, -errno. */
SPOOL_MUST_CHECK int live_open(const struct spool *spool, struct live_writer **ret_writer);

/* Closes the file, which stays. NULL is fine. */
void live_close(struct live_writer **writer);

/* Writes it. Disk is claimed first, so that a full disk does not silence an owner that wrote
 * before. 0, -errno. */
SPOOL_MUST_CHECK int live_write(struct live_writer *writer, const struct live *live);

/* --- Everybody -------------------------------------------------------------------------------- */

#define LIVE_E_NONE 1  /* no file: no owner has written one yet */
#define LIVE_E_NEWER 2 /* of another version */
#define LIVE_E_TORN 3  /* no owner finished writing it */

/* Reads the file of a spool's folder. How old it is says written_wall_ms. 0, LIVE_E_NONE,
 * LIVE_E_NEWER, LIVE_E_TORN, -errno. */
SPOOL_MUST_CHECK int live_read(const char *dir, struct live *ret_live);

#endif
