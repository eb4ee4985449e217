/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A world of a few processes on one shared memory, each a coroutine, in which one runs at a time
 * and stops before each step (tests/race/hooks.h). Its whole state can be saved, restored and
 * compared, so that the search can try every order of steps.
 *
 * Processes die between steps. Who holds the lock then leaves it to the next, as a robust mutex
 * does. A store that is weaker than sequentially consistent may, in a weak world, stay unseen by
 * the others for a while, and be overtaken by later ones to other places; a release store is seen
 * after all that its process stored before.
 */
#ifndef TESTS_RACE_WORLD_H
#define TESTS_RACE_WORLD_H

#include "spool/base.h"

#define WORLD_PROCESSES_MAX 5
/* The first process is the ring's owner: its time passes only when nobody else can do anything. */
#define WORLD_OWNER 0

enum choice_kind {
    CHOICE_RUN,      /* the process does its next step */
    CHOICE_TIME_OUT, /* the process waits no longer */
    CHOICE_DIE,
    CHOICE_FLUSH, /* a store of the process becomes visible */
};

struct choice {
    enum choice_kind kind;
    uint8_t process;
    uint8_t store; /* CHOICE_FLUSH: which of those that wait */
};

#define WORLD_CHOICES_MAX 64

/* Begins a world without processes. */
void world_begin(bool is_weak);

/* Adds memory that is a part of the state: what processes share, and what the checks remember. */
void world_add_memory(void *memory, size_t size_bytes);

/* Adds a process that runs the function and is done when that returns. */
void world_add_process(void (*run)(int process), bool can_die);

/* --- For the search --------------------------------------------------------------------------- */

/* What can happen next. Deaths only of processes that may die, and while some are left. 0: nothing
 * can: the end. */
SPOOL_MUST_CHECK size_t world_choices(struct choice choices[WORLD_CHOICES_MAX], bool may_die);

/* Lets it happen, up to the next step of whoever runs. */
void world_do(const struct choice *choice);

/* What the process is about to do, for people. */
const char *world_text(int process);

SPOOL_MUST_CHECK bool world_can_run(int process);

/* Whether a place turned out to be one that several processes use, and somebody writes. Until then
 * its uses were no steps, and the search must begin anew: from then on they are. */
SPOOL_MUST_CHECK bool world_has_learnt(void);

SPOOL_MUST_CHECK size_t world_state_bytes(void);
void world_save(void *state);
void world_restore(const void *state);
SPOOL_MUST_CHECK uint64_t world_hash(void);

/* --- For scenarios ---------------------------------------------------------------------------- */

SPOOL_MUST_CHECK bool world_is_done(int process);
SPOOL_MUST_CHECK bool world_is_dead(int process);

/* How often the owner's time has passed so far. */
SPOOL_MUST_CHECK uint32_t world_owner_time_outs(void);

/* Lets the running process wait until the fd is readable. */
void world_wait_for_fd(int fd);

/* The search's: a check failed. Says the steps that led there, and ends the program. */
_Noreturn void race_fail(const char *format, ...) SPOOL_PRINTF(1, 2);

#endif
