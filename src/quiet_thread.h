/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that stay out of the way of the program around: no signal is delivered to them. */
#ifndef SRC_QUIET_THREAD_H
#define SRC_QUIET_THREAD_H

#include <pthread.h>

#include "spool/base.h"

/* Starts one. The caller joins or detaches it. 0, -errno. */
SPOOL_MUST_CHECK int quiet_thread_start(void *(*run)(void *), void *argument,
                                        pthread_t *ret_thread);

#endif
