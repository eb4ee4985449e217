/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A histogram of durations: exact below 64 microseconds, to within 2 % above. */
#ifndef TESTS_BENCH_LATENCY_H
#define TESTS_BENCH_LATENCY_H

#include "spool/base.h"

#define LATENCY_BUCKETS 1920

struct latency {
    uint32_t counts[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t us);

/* Adds another histogram's counts. */
void latency_merge(struct latency *latency, const struct latency *other);

/* The duration that so many thousandths stay below; 0 for none at all. */
SPOOL_MUST_CHECK uint64_t latency_at(const struct latency *latency, unsigned thousandths);

#endif
