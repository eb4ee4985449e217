/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The committer measures its commits, and waits a moment for its crowd; publishers wait until a
 * deadline. Here that is in a time that passes only when somebody looks at it or sleeps: linked
 * with
 * --wrap in place of the C library's.
 */
#include "spool/base.h"

#include <time.h>

static uint64_t now_us = 1000000;

int passing_clock_gettime(clockid_t id, struct timespec *ret_now) __asm__("__wrap_clock_gettime");
int passing_nanosleep(const struct timespec *wait,
                      struct timespec *rest) __asm__("__wrap_nanosleep");

int passing_clock_gettime(clockid_t id, struct timespec *ret_now)
{
    (void)id;
    now_us++;
    *ret_now = (struct timespec){.tv_sec = (time_t)(now_us / 1000000),
                                 .tv_nsec = (long)(now_us % 1000000 * 1000)};
    return 0;
}

int passing_nanosleep(const struct timespec *wait, struct timespec *rest)
{
    (void)rest;
    now_us += (uint64_t)wait->tv_sec * 1000000 + (uint64_t)wait->tv_nsec / 1000;
    return 0;
}
