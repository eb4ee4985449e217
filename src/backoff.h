/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Backoff with full jitter: the n-th wait is a random part of min(cap, base * 2^n), so that many
 * producers that lost a broker together do not come back together.
 */
#ifndef SRC_BACKOFF_H
#define SRC_BACKOFF_H

#include "spool/base.h"

struct backoff {
    uint64_t random_state; /* never 0 */
    unsigned failures_count;
};

/* Prepares a backoff; the same seed gives the same waits. */
void backoff_init(struct backoff *backoff, uint64_t seed);

/* The next wait, in milliseconds: at least 1, at most cap_ms. */
SPOOL_MUST_CHECK uint64_t backoff_next_ms(struct backoff *backoff, uint64_t base_ms,
                                          uint64_t cap_ms);

/* Something worked: the next wait is short again. */
void backoff_reset(struct backoff *backoff);

#endif
