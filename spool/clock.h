/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time, as an interface, so that tests can hold it in their hands. */
#ifndef SPOOL_CLOCK_H
#define SPOOL_CLOCK_H

#include "spool/base.h"

struct clock {
    /* Milliseconds since the epoch. May jump. For what is stored or shown. */
    uint64_t (*wall_ms)(struct clock *clock);
    /* Milliseconds since some moment; never goes back. For waiting and backoff. */
    uint64_t (*monotonic_ms)(struct clock *clock);
};

/* The system's clock. Static. */
struct clock *clock_system(void);

#endif
