/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The world of one episode: the product's real parts without their threads, fakes for what is
 * around it, and the model. Everything happens in the simulator's one thread, in the order of the
 * plan.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "spool/batch.h"
#include "spool/committer.h"
#include "spool/cursor.h"
#include "spool/spool.h"
#include "src/address.h"
#include "src/forward.h"
#include "src/report.h"
#include "tests/harness/fake_clock.h"
#include "tests/harness/fake_host.h"
#include "tests/harness/fake_sink.h"
#include "tests/sim/dice.h"
#include "tests/sim/model.h"
#include "tests/sim/plan.h"

#define WORLD_SENT_MAX 65536

/* What the simulator knows of a record that the fake client was given, by its place there. */
struct sent {
    uint32_t known;
    uint32_t destination;
    uint32_t partition;
    unsigned life;
    bool is_written; /* on its partition */
    bool is_failed;  /* it will never be: one before it on its partition failed */
    bool is_noticed; /* what became of it is known to the model */
    bool is_alone;   /* nothing else of the destination was in-flight with it */
};

struct violation {
    bool is_set;
    char rule[16];
    struct message text;
    size_t step; /* from 1; 0: at the end */
};

struct world {
    uint64_t seed;
    bool traces;
    size_t step;
    struct dice dice; /* of the step */
    struct violation violation;

    /* Around the spool. */
    struct fake_clock clock;
    struct fake_host host;
    struct fake_sinks sinks;
    struct sent *sent;
    size_t noticed_from; /* what is before was noticed */
    uint32_t partitions_count;
    uint64_t written_max[MODEL_DESTINATIONS + 1][16];   /* by destination and key */
    bool is_hung[MODEL_DESTINATIONS + 1];               /* its topic's partitions */
    uint64_t given_back_before[MODEL_DESTINATIONS + 1]; /* when one began to hang for the end */
    unsigned fails_in_100;
    unsigned busy_in_100;
    size_t host_seen_count; /* of the host's reports */
    uint64_t running[512];  /* reports whose routes run, by number */
    size_t running_count;

    /* The product. */
    char dir[96];
    struct spool_config config;
    struct ring *ring;
    struct spool *spool; /* NULL: the process is down */
    struct batch *batch; /* an operator's */
    struct committer *committer;
    struct forward *forward;
    struct reports *reports;
    struct address *addresses[MODEL_DESTINATIONS + 1];
    uint32_t numbers_count; /* of destinations that the spool has */
    bool is_configured[MODEL_DESTINATIONS + 1];
    bool is_wanted_paused[MODEL_DESTINATIONS + 1];
    uint64_t paused_at_ms[MODEL_DESTINATIONS + 1];
    struct cursor reader; /* one that stays */
    unsigned reader_left; /* steps; 0: none */
    unsigned life;
    bool had_write_failure; /* since the spool was last writable */
    bool is_healing;        /* the troubles are over: nobody gives up any more */
    bool is_new_life;       /* nobody has looked since the last one ended */
    uint64_t full_wall_ms;  /* when the disk was seen full last */
    bool was_short;         /* of room, in this step: a reader, a full disk */
    uint64_t used_bytes;    /* before the last commit: what it freed is of use to the next one */

    struct model model;
};

/* --- world.c ---------------------------------------------------------------------------------- */

/* Notes that something is not as it must be: the first time counts. */
void violate(struct world *world, const char *rule, const char *format, ...) SPOOL_PRINTF(3, 4);

void trace(const struct world *world, const char *format, ...) SPOOL_PRINTF(2, 3);

/* Makes a world whose spool will be in a folder below root. */
struct world *world_new(uint64_t seed, const char *root, bool traces);
void world_free(struct world *world);

/* Opens the spool and makes all parts; false: it could not be opened. */
bool world_start(struct world *world);

/* Takes all of the process's memory away, as kill -9 does. */
void world_kill(struct world *world);

/* kill -9, perhaps with what else may come to pass until it is started again: a power loss, a
 * visitor, a change of the configuration. */
void world_crash(struct world *world, const char *place);

/* Stops in order, and starts again. */
void world_stop(struct world *world);

/* The folder's spool is verified: nobody has it open. */
void world_verify(struct world *world);

/* Damages the data file, and starts: it must be set aside. */
void world_spoil(struct world *world);

/* Changes a byte of a waiting record in the file. False: it could not be done. */
bool world_damage(struct world *world, const struct known *known);

void world_end_reader(struct world *world);

/* A commit comes: to open a latched spool again waits for readers, and this is the only thread. */
void world_free_latched(struct world *world);

/* A commit comes: notes how much is used before it. */
void world_note_used(struct world *world);

/* Whether the store can be read now. */
bool world_is_readable(struct world *world);

/* --- publishers.c ----------------------------------------------------------------------------- */

void publishers_publish(struct world *world);
/* Publishes many records of one size to one destination. Returns the last. */
struct known *publishers_fill(struct world *world, uint32_t destination, size_t payload_bytes);
/* Publishes one small record. */
struct known *publishers_publish_one(struct world *world, uint32_t destination);
/* Everybody whose answer is there hears it. */
void publishers_hear(struct world *world);
/* Some of those that wait give up. */
void publishers_give_up(struct world *world);
/* The ring is gone, with all who wait. */
void publishers_forget(struct world *world);

/* --- kafka.c ---------------------------------------------------------------------------------- */

void kafka_init(struct world *world);
/* Whether no broker or no client takes the record, ever. */
bool kafka_never_takes(const struct known *known);
/* One step of the forwarder, with all that must hold at it. */
void kafka_forward(struct world *world);
/* Whether the forwarder waits for no settlement of the destination. */
bool kafka_is_settled(const struct world *world, uint32_t destination);
void kafka_works(struct world *world);
void kafka_fails(struct world *world);
/* Writes and answers all but what is hung. */
void kafka_is_well(struct world *world);
/* The client's process is gone; what is on the wire may still arrive. */
void kafka_client_died(struct world *world);
/* Notices what became of what was sent. */
void kafka_notice(struct world *world);

/* --- operators.c ------------------------------------------------------------------------------ */

void operators_act(struct world *world, enum step_kind kind);
void operators_pause(struct world *world, uint32_t destination, bool pauses);
void operators_import(struct world *world);

/* --- routes.c --------------------------------------------------------------------------------- */

void routes_run(struct world *world);
void routes_done(struct world *world);
/* The process is gone: so are the routes that ran. */
void routes_forget(struct world *world);

/* --- look.c ----------------------------------------------------------------------------------- */

/* Looks at all that is stored, and compares it with the model, which then knows it. */
void look(struct world *world);
/* Whether the record is in the destination's queue now. */
bool look_is_waiting(struct world *world, uint32_t destination, uint64_t sequence);

/* --- heal.c ----------------------------------------------------------------------------------- */

/* All troubles end, one after the other, and everything must be settled. */
void heal(struct world *world);

/* --- episode.c -------------------------------------------------------------------------------- */

/* Does what is due until nothing more happens; no time passes. */
void episode_settle(struct world *world);
/* One group commit, heard by its publishers and looked at. */
void episode_commit(struct world *world, bool settles_now);
void episode_run(struct world *world, const struct plan *plan);

#endif
