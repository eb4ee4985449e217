/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/backoff.h"

/* 2^16 times any base is above any cap. */
#define BACKOFF_EXPONENT_MAX 16

void backoff_init(struct backoff *backoff, uint64_t seed)
{
    *backoff = (struct backoff){.random_state = seed != 0 ? seed : 1};
}

/* Marsaglia's xorshift64 (Journal of Statistical Software 8(14), 2003). */
static uint64_t backoff_random(struct backoff *backoff)
{
    uint64_t x = backoff->random_state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    backoff->random_state = x;
    return x;
}

uint64_t backoff_next_ms(struct backoff *backoff, uint64_t base_ms, uint64_t cap_ms)
{
    unsigned exponent = backoff->failures_count;
    if (exponent < BACKOFF_EXPONENT_MAX) {
        backoff->failures_count++;
    }
    uint64_t span_ms = base_ms << exponent;
    if (span_ms > cap_ms) {
        span_ms = cap_ms;
    }
    return 1 + backoff_random(backoff) % span_ms;
}

void backoff_reset(struct backoff *backoff)
{
    backoff->failures_count = 0;
}
