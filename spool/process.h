/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who a process is, for those who must know later whether it is still there. A pid alone would not
 * do: the kernel gives it away again.
 */
#ifndef SPOOL_PROCESS_H
#define SPOOL_PROCESS_H

#include "spool/base.h"

struct process {
    uint32_t pid;
    uint64_t start_ticks; /* since boot, from /proc; 0: unknown, so that the pid alone counts */
};

/* This process. Cheap: remembered until the next fork(). */
struct process process_self(void);

/* Whether the process is there. In doubt it is: a live process is never called dead. One that has
 * ended and was not waited for is dead. */
bool process_is_alive(struct process process);

#endif
