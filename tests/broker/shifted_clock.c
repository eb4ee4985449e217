/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loaded into a program before the C library (LD_PRELOAD): its wall clock is SHIFTED_CLOCK_S
 * seconds off. The clock that only goes forward is not, so waits take as long as they should.
 * (libfaketime also changes waits, and Java does not start with it.)
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

SHOWN int shifted_gettime(clockid_t clock, struct timespec *now) __asm__("clock_gettime");
SHOWN int shifted_timeofday(struct timeval *now, void *zone) __asm__("gettimeofday");
SHOWN time_t shifted_time(time_t *now) __asm__("time");

static long shift_s(void)
{
    const char *text = getenv("SHIFTED_CLOCK_S");

    return text != NULL ? strtol(text, NULL, 10) : 0;
}

int shifted_gettime(clockid_t clock, struct timespec *now)
{
    int r = (int)syscall(SYS_clock_gettime, clock, now);

    if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        now->tv_sec += shift_s();
    }
    return r;
}

int shifted_timeofday(struct timeval *now, void *zone)
{
    int r = (int)syscall(SYS_gettimeofday, now, zone);

    if (r == 0) {
        now->tv_sec += shift_s();
    }
    return r;
}

time_t shifted_time(time_t *now)
{
    struct timespec precise;

    (void)shifted_gettime(CLOCK_REALTIME, &precise);
    if (now != NULL) {
        *now = precise.tv_sec;
    }
    return precise.tv_sec;
}
