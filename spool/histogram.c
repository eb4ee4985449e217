/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/histogram.h"

#include <assert.h>
#include <string.h>

/* Durations below 8 have a bucket each; then each power of two has 8. */
#define STEPS_BITS 3
#define STEPS (1U << STEPS_BITS)

static_assert((64 - STEPS_BITS + 1) * STEPS > HISTOGRAM_BUCKETS,
              "the last bucket takes what is beyond it");

static size_t histogram_bucket(uint64_t duration)
{
    if (duration < STEPS) {
        return (size_t)duration;
    }
    unsigned bits = 63U - (unsigned)__builtin_clzll(duration);
    size_t bucket = (size_t)(bits - STEPS_BITS + 1) * STEPS +
                    (size_t)(duration >> (bits - STEPS_BITS) & (STEPS - 1));
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest duration of a bucket. */
static uint64_t histogram_bucket_end(size_t bucket)
{
    if (bucket < STEPS) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / STEPS) - 1;
    return ((uint64_t)(STEPS + bucket % STEPS + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t duration, uint64_t now_ms)
{
    uint64_t age_ms = now_ms - histogram->window_started_ms;
    if (age_ms >= HISTOGRAM_WINDOW_MS) {
        if (age_ms < 2 * (uint64_t)HISTOGRAM_WINDOW_MS) {
            memcpy(histogram->last, histogram->current, sizeof(histogram->last));
        } else {
            memset(histogram->last, 0, sizeof(histogram->last));
        }
        memset(histogram->current, 0, sizeof(histogram->current));
        histogram->window_started_ms = now_ms;
    }
    histogram->current[histogram_bucket(duration)]++;
}

uint64_t histogram_percentile(const struct histogram *histogram, unsigned percent)
{
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += (uint64_t)histogram->current[i] + histogram->last[i];
    }
    uint64_t wanted = (count * percent + 99) / 100;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS && count > 0; i++) {
        seen += (uint64_t)histogram->current[i] + histogram->last[i];
        if (seen >= wanted && seen > 0) {
            return histogram_bucket_end(i);
        }
    }
    return 0;
}
