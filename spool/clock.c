/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/clock.h"

#include <time.h>

static uint64_t clock_read_ms(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t clock_system_wall_ms(struct clock *clock)
{
    (void)clock;
    return clock_read_ms(CLOCK_REALTIME);
}

static uint64_t clock_system_monotonic_ms(struct clock *clock)
{
    (void)clock;
    return clock_read_ms(CLOCK_MONOTONIC);
}

struct clock *clock_system(void)
{
    static struct clock system = {
        .wall_ms = clock_system_wall_ms,
        .monotonic_ms = clock_system_monotonic_ms,
    };
    return &system;
}
