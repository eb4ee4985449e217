/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Power losses: the states that a spool had, and whether a disk shows one that it may show. */
#ifndef TESTS_CRASH_POWER_H
#define TESTS_CRASH_POWER_H

#include "spool/message.h"
#include "tests/crash/disk_model.h"

/* --- power_state.c ---------------------------------------------------------------------------- */

/* What a spool holds, as far as it must not be lost. All zeros: a new one, or none. */
struct power_state {
    uint64_t all[2];     /* of every entry, but for the spool's uuid and when it was made */
    uint64_t records[2]; /* of queues, dead letters and reports alone */
    uint64_t next_sequence;
    uint64_t waiting_count;
    uint64_t dead_count;
    uint64_t reports_count;
    uint64_t destinations_count;
};

/* Who wants to see each sequence that waits or is a dead letter. NULL: nobody. */
struct power_visitor {
    void *context;
    void (*see)(void *context, uint64_t sequence);
};

/* Reads the newest state of the spool in a folder. false: there is one, and it cannot be read;
 * message says why. */
bool power_state_read(const char *dir, const struct power_visitor *visitor,
                      struct power_state *ret_state, struct message *message);

/* --- power_history.c -------------------------------------------------------------------------- */

/* A state, and the step of the log that made it the newest. */
struct power_point {
    size_t step;
    bool is_synced; /* its meta page was on disk when the call returned */
    struct power_state state;
};

struct power_history {
    struct power_point *points; /* the first: nothing, before the log begins */
    size_t points_count;
    uint64_t acked_count;
    uint64_t gone_count;
    /* A spool that was damaged on purpose: its file then, and the step. NULL: none. */
    uint8_t *damaged;
    size_t damaged_bytes;
    size_t damaged_step;
    /* A file that was written out before records were deleted. NULL: none. */
    const char *kept_name;
    uint8_t *kept;
    size_t kept_bytes;
    size_t kept_step; /* of its flush */
};

/* Follows the log from end to end, and reads each state of the spool (a folder's name below the
 * root). Looks on the way whether each acked record was in a state before (S1), and whether each
 * that left was told to be gone before; ends the program when not. kept_name: NULL, or a file's.
 * scratch is a folder that is empty. */
void power_history_read(struct power_history *history, struct disk_model *model, const char *spool,
                        const char *kept_name, const char *scratch);
void power_history_free(struct power_history *history);

/* How many of its points are done before the step. */
size_t power_history_before(const struct power_history *history, size_t step);

/* Whether the step writes a meta page of the spool's file. */
bool power_is_commit(const struct disk_model *model, const char *spool, size_t step);

/* --- power_check.c ---------------------------------------------------------------------------- */

enum power_verdict {
    POWER_FINE,
    POWER_FINE_OLDER, /* the last commit is gone, as documented for nometasync */
    POWER_LOST,       /* an older state */
    POWER_DAMAGED, /* no state that ever was; what verify finds; cannot be opened; does not work */
    POWER_DIED,    /* a signal, or a sanitizer's report */
    POWER_VERDICT_COUNT,
};

/* What must be found. */
struct power_wanted {
    const struct power_history *history;
    size_t lowest;  /* point: the last that is on disk for certain */
    size_t highest; /* the last that was begun */
    bool may_lose_last;
    bool is_damaged;     /* by the test: the damaged file must be kept somewhere */
    const char *inspect; /* to be asked too; NULL: not */
    uint64_t seed;
};

/* Looks at the spool, opens it, works with it, looks again. The folder is changed. The text says
 * what is wrong. */
enum power_verdict power_check(const char *root, const char *spool,
                               const struct power_wanted *wanted, struct message *ret_text);

#endif
