/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/harness/fake_clock.h"

#include <stdatomic.h>

/* Any moments that are not 0; unlike each other, so that a mix-up shows. */
#define WALL_START_MS 1700000000000ULL
#define MONOTONIC_START_MS 5000000ULL

static uint64_t fake_clock_wall_ms(struct clock *clock)
{
    return atomic_load(&((struct fake_clock *)clock)->wall_now_ms);
}

static uint64_t fake_clock_monotonic_ms(struct clock *clock)
{
    return atomic_load(&((struct fake_clock *)clock)->monotonic_now_ms);
}

void fake_clock_init(struct fake_clock *clock)
{
    clock->clock =
        (struct clock){.wall_ms = fake_clock_wall_ms, .monotonic_ms = fake_clock_monotonic_ms};
    atomic_init(&clock->wall_now_ms, WALL_START_MS);
    atomic_init(&clock->monotonic_now_ms, MONOTONIC_START_MS);
}

void fake_clock_pass(struct fake_clock *clock, uint64_t ms)
{
    atomic_fetch_add(&clock->wall_now_ms, ms);
    atomic_fetch_add(&clock->monotonic_now_ms, ms);
}
