/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk under the spool's data file. The program's own pwrite(), fdatasync() and so on stand in
 * front of the C library's, also for LMDB: so any write can fail, the disk can be full, the process
 * can die between two writes, and a power loss takes what was not flushed.
 *
 * "Dying" is that from some call on nothing is written any more: what the process does until the
 * simulator takes its memory away reaches nobody.
 */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "tests/sim/dice.h"

enum disk_failure {
    DISK_FAILS_NOT,
    DISK_FAILS_IO,    /* EIO, nothing written */
    DISK_FAILS_SPACE, /* ENOSPC, nothing written, though there seemed to be room */
    DISK_FAILS_SHORT, /* half of it is written */
    DISK_FAILURE_COUNT,
};

/* The spool's folder from now on; NULL: none. Forgets all faults. */
void disk_watch(const char *dir);

/* The at-th access from now on (from 1) fails so; once. */
void disk_fail(enum disk_failure failure, unsigned at);
/* Whether it did since then. */
bool disk_has_failed(void);

/* The process dies at the at-th access or named point from now on (from 1): before it or, for an
 * access, behind it. */
void disk_die(unsigned at, bool is_behind);
/* Whether it has died; where is a name for the place, or NULL. */
bool disk_is_dead(void);
const char *disk_death_place(void);
/* The process is gone; faults that are still to come are forgotten. With power, what was not
 * flushed may be lost. */
void disk_revive(void);
void disk_lose_power(struct dice *dice);

/* The disk has so many bytes left beyond what the file has; UINT64_MAX: enough. */
void disk_set_free(uint64_t bytes);
bool disk_is_full(void);

/* Whether a meta page could not be written, and none was since. LMDB then puts back what it had
 * read, but not all of it, so the page is not sound; it is the older one, which the next commit
 * writes. */
bool disk_has_odd_meta(void);

/* Called at each flush of the file, before it is done; NULL: nobody. */
void disk_on_flush(void (*on_flush)(void *context), void *context);

/* Asked at each write: whether it must not come (the spool is latched). NULL: nobody. */
void disk_on_write(bool (*is_forbidden)(void *context), void *context);
/* How many came nevertheless. */
unsigned disk_forbidden_count(void);

#endif
