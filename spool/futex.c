/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_PER_S 1000000000U
#define NS_PER_MS 1000000U

uint64_t futex_deadline_ns(uint64_t timeout_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    return timeout_ns < FUTEX_NEVER - now_ns ? now_ns + timeout_ns : FUTEX_NEVER;
}

uint64_t futex_deadline_ms(uint64_t timeout_ms)
{
    return futex_deadline_ns(timeout_ms < FUTEX_NEVER / NS_PER_MS ? timeout_ms * NS_PER_MS
                                                                  : FUTEX_NEVER);
}

struct timespec futex_timespec(uint64_t deadline_ns)
{
    return (struct timespec){.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                             .tv_nsec = (long)(deadline_ns % NS_PER_S)};
}

bool futex_wait_until(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct timespec deadline = futex_timespec(deadline_ns);
    /* The bitset form is the one that takes a point in time, so that signals do not stretch it. */
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &deadline, NULL,
                          FUTEX_BITSET_MATCH_ANY);
    return result == 0 || errno != ETIMEDOUT;
}

void futex_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
