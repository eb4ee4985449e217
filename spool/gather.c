/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/gather.h"

/* The share of a commit's time that is waited at most (docs/decisions/0005). */
#define GATHER_SHARE 2
#define GATHER_US_MAX 10000

/* Looks in between, and the shortest time between two of them: a look costs a sleep. */
#define GATHER_LOOKS 8
#define GATHER_LOOK_US_MIN 20

/* How many commits the mean remembers, about. */
#define GATHER_MEMORY 16

static uint64_t gather_moment_us(const struct gather *gather)
{
    uint64_t moment_us = gather->commit_us_mean / GATHER_SHARE;
    return moment_us < GATHER_US_MAX ? moment_us : GATHER_US_MAX;
}

void gather_note(struct gather *gather, uint64_t crowd_count, uint64_t commit_us, uint64_t now_us)
{
    uint64_t mean_us = gather->commit_us_mean != 0 ? gather->commit_us_mean : commit_us;
    gather->commit_us_mean = (mean_us * (GATHER_MEMORY - 1) + commit_us) / GATHER_MEMORY;
    gather->crowd_count = crowd_count;
    gather->until_us = now_us + gather_moment_us(gather);
}

uint64_t gather_wait_us(const struct gather *gather, uint64_t ready_count, uint64_t now_us)
{
    if (ready_count == 0 || ready_count >= gather->crowd_count || now_us >= gather->until_us) {
        return 0;
    }
    uint64_t look_us = gather_moment_us(gather) / GATHER_LOOKS;
    uint64_t left_us = gather->until_us - now_us;
    look_us = look_us > GATHER_LOOK_US_MIN ? look_us : GATHER_LOOK_US_MIN;
    return look_us < left_us ? look_us : left_us;
}
