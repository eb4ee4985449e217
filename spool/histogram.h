/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A histogram of durations. Its buckets are at most an eighth of what is in them wide, so that a
 * percentile is known to 12 %. It forgets: it holds the last one to two windows.
 */
#ifndef SPOOL_HISTOGRAM_H
#define SPOOL_HISTOGRAM_H

#include "spool/base.h"

#define HISTOGRAM_WINDOW_MS 60000
#define HISTOGRAM_BUCKETS 256

/* Zeros are an empty one. No thread of its own: the caller guards it. */
struct histogram {
    uint64_t window_started_ms;
    uint32_t current[HISTOGRAM_BUCKETS];
    uint32_t last[HISTOGRAM_BUCKETS];
};

/* Adds a duration, in any unit; now_ms is a monotonic clock's. */
void histogram_add(struct histogram *histogram, uint64_t duration, uint64_t now_ms);

/* The duration that percent of those in the histogram do not exceed (the upper end of its bucket);
 * 0 for an empty one. */
SPOOL_MUST_CHECK uint64_t histogram_percentile(const struct histogram *histogram, unsigned percent);

#endif
