/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random numbers with a seed: a stream can be had again. */
#ifndef TESTS_SIM_DICE_H
#define TESTS_SIM_DICE_H

#include "spool/base.h"

struct dice {
    uint64_t state;
};

/* Steele, Lea, Flood: splitmix64. */
static inline uint64_t dice_next(struct dice *dice)
{
    uint64_t x = dice->state += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

/* Below limit, which is not 0. */
static inline uint64_t dice_below(struct dice *dice, uint64_t limit)
{
    return dice_next(dice) % limit;
}

/* True once in so many times. */
static inline bool dice_once_in(struct dice *dice, uint64_t times)
{
    return dice_next(dice) % times == 0;
}

#endif
