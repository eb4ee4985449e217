/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A clock that stands still until a test moves it. Safe from any thread. */
#ifndef TESTS_HARNESS_FAKE_CLOCK_H
#define TESTS_HARNESS_FAKE_CLOCK_H

#include "spool/clock.h"

struct fake_clock {
    struct clock clock;
    _Atomic uint64_t wall_now_ms;
    _Atomic uint64_t monotonic_now_ms;
};

void fake_clock_init(struct fake_clock *clock);

/* Lets time pass, on both clocks. */
void fake_clock_pass(struct fake_clock *clock, uint64_t ms);

#endif
