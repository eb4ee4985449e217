/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What world.c (processes, choices, states) and hooks.c (what a step does) share. */
#ifndef TESTS_RACE_WORLD_PRIVATE_H
#define TESTS_RACE_WORLD_PRIVATE_H

#include "tests/race/world.h"

#include <setjmp.h>

#define FDS_MAX 32
#define STORES_MAX 12
#define STORE_BYTES_MAX 64

enum process_state {
    PROCESS_READY,
    PROCESS_ON_FUTEX,
    PROCESS_ON_LOCK,
    PROCESS_ON_FD,
    PROCESS_DONE,
    PROCESS_DEAD,
};

/* A store that the others do not see yet. */
struct store {
    uint8_t *at;
    uint32_t size;
    bool is_release;
    uint8_t bytes[STORE_BYTES_MAX];
};

struct one_process {
    enum process_state state;
    const void *waits_for;
    bool can_die;
    bool can_time_out;
    bool has_timed_out;
    int fd;
    const char *text;
    const uint8_t *stack; /* in use from here on; NULL: the process has not begun */
    jmp_buf registers;
};

/* What is saved as it is. */
struct state {
    struct one_process processes[WORLD_PROCESSES_MAX];
    uint32_t owner_time_outs;
    int lock_holder; /* -1: nobody */
    bool is_lock_orphaned;
    bool is_lock_broken;
    uint8_t fds[FDS_MAX]; /* which are readable */
};

/* The stores of a process that the others do not see yet, in its order; only in a weak world. */
struct late {
    uint32_t count;
    struct store stores[STORES_MAX];
};

extern struct state world;
extern struct late late[WORLD_PROCESSES_MAX];
extern bool is_weak;
extern int running; /* -1: the scheduler, or a scenario before or after all */

/* Everything that the running process does between two of these nobody can come between. */
void world_stop(const char *text);

/* Before a use of a place: a step, unless nobody else uses it, or nobody writes it. */
void world_step(const volatile void *at, bool is_write, const char *text);

/* Notes who uses the place; whether another process could tell when. */
bool world_is_shared(const volatile void *at, bool is_write);

/* The running process goes on when somebody unblocks what it waits for, or its time is over. */
void world_block(enum process_state state, const void *waits_for, bool can_time_out);
void world_unblock(enum process_state state, const void *waits_for);

/* Lets a store of the running process be seen later, in a weak world; else at once. */
void world_put_store(void *at, const void *bytes, size_t size, bool is_release);
void world_flush_all(int process);

#endif
