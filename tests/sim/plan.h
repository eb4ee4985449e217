/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens in one episode: a list of steps, made from the seed alone. Each step has random
 * numbers of its own, so that a step does the same when others are left out.
 */
#ifndef TESTS_SIM_PLAN_H
#define TESTS_SIM_PLAN_H

#include "tests/sim/dice.h"

#define PLAN_STEPS_MAX 1000
#define PLAN_STEPS_DEFAULT 70

enum step_kind {
    /* The flow. */
    STEP_PUBLISH,
    STEP_FILL,
    STEP_COMMIT,
    STEP_FORWARD,
    STEP_RUN, /* all of it, until nothing more happens */
    STEP_GIVE_UP,
    STEP_REPORTS,
    STEP_REPORTS_DONE,
    /* Kafka and its client. */
    STEP_KAFKA,
    STEP_KAFKA_FAILS,
    STEP_KAFKA_MOOD,
    STEP_CLIENT_MOOD,
    STEP_CLIENT_FATAL,
    STEP_CLIENT_SAYS,
    STEP_CLIENT_UNOPENABLE,
    /* Time. */
    STEP_TIME,
    STEP_WALL_CLOCK,
    /* The process. */
    STEP_CRASH,
    STEP_CRASH_IN_COMMIT,
    STEP_STOP,
    STEP_SECOND_OWNER,
    /* The disk. */
    STEP_WRITE_FAILS,
    STEP_DISK_FULL,
    STEP_DISK_FREED,
    STEP_DAMAGE,
    STEP_SPOIL,
    STEP_READER,
    /* Operators. */
    STEP_PAUSE,
    STEP_RESUME,
    STEP_RETRY_NOW,
    STEP_DROP,
    STEP_EXPIRE,
    STEP_MOVE,
    STEP_REQUEUE,
    STEP_DEAD_DROP,
    STEP_IMPORT,
    STEP_KIND_COUNT,
};

struct step {
    enum step_kind kind;
    uint64_t random;
};

struct plan {
    uint64_t seed;
    size_t count;
    struct step steps[PLAN_STEPS_MAX];
    bool is_kept[PLAN_STEPS_MAX];
};

/* Makes the plan of a seed; all steps are kept. */
void plan_make(struct plan *plan, uint64_t seed, size_t steps_count);

const char *step_kind_name(enum step_kind kind);

/* Reads "3,17,21-25": the steps to keep, from 1. False: it cannot be read. */
bool plan_keep(struct plan *plan, const char *text);

/* Writes the kept steps so. */
void plan_print_kept(const struct plan *plan, char *text, size_t text_bytes);

#endif
