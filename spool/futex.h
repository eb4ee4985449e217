/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Futexes in memory that processes share, and deadlines on the monotonic clock.
 */
#ifndef SPOOL_FUTEX_H
#define SPOOL_FUTEX_H

#include "spool/base.h"

#include <time.h>

#define FUTEX_NEVER UINT64_MAX

/* The monotonic time in so many nanoseconds; FUTEX_NEVER when that is beyond all time. */
uint64_t futex_deadline_ns(uint64_t timeout_ns);
uint64_t futex_deadline_ms(uint64_t timeout_ms);

struct timespec futex_timespec(uint64_t deadline_ns);

/* Sleeps while *word is expected. False once the deadline has passed; true after a wake-up, which
 * may be for nothing: look again. */
bool futex_wait_until(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);

/* Wakes everybody who sleeps on word. */
void futex_wake(_Atomic uint32_t *word);

#endif
