/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/latency.h"

/* Buckets of one microsecond up to 64; from there, 32 for each doubling. */
#define EXACT 64U
#define STEPS 32U
#define STEP_BITS 5U

static size_t latency_bucket(uint64_t us)
{
    if (us < EXACT) {
        return (size_t)us;
    }
    unsigned doubling = 63U - (unsigned)__builtin_clzll(us); /* 6 for 64 to 127 */
    size_t bucket =
        EXACT + (doubling - 6U) * STEPS + ((us >> (doubling - STEP_BITS)) & (STEPS - 1));
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

static uint64_t latency_of_bucket(size_t bucket)
{
    if (bucket < EXACT) {
        return bucket;
    }
    unsigned doubling = (unsigned)((bucket - EXACT) / STEPS) + 6U;
    uint64_t step = (bucket - EXACT) % STEPS;
    return (STEPS + step) << (doubling - STEP_BITS);
}

void latency_add(struct latency *latency, uint64_t us)
{
    latency->counts[latency_bucket(us)]++;
}

void latency_merge(struct latency *latency, const struct latency *other)
{
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        latency->counts[i] += other->counts[i];
    }
}

uint64_t latency_at(const struct latency *latency, unsigned thousandths)
{
    uint64_t total = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        total += latency->counts[i];
    }
    uint64_t wanted = (total * thousandths + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += latency->counts[i];
        if (seen >= wanted && seen > 0) {
            return latency_of_bucket(i);
        }
    }
    return 0;
}
