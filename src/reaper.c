/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/reaper.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "src/quiet_thread.h"

struct ending {
    void (*end)(void *thing);
    void *thing;
};

/* Things that have not ended yet. */
static pthread_mutex_t ending_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ending_changed = PTHREAD_COND_INITIALIZER;
static unsigned ending_count;

static void *reap(void *argument)
{
    struct ending *ending = argument;

    ending->end(ending->thing);
    free(ending);
    (void)pthread_mutex_lock(&ending_lock);
    ending_count--;
    (void)pthread_cond_broadcast(&ending_changed);
    (void)pthread_mutex_unlock(&ending_lock);
    return NULL;
}

void reaper_end(void (*end)(void *thing), void *thing)
{
    struct ending *ending = malloc(sizeof(*ending));
    pthread_t thread;

    if (ending == NULL) {
        end(thing); /* waiting is better than leaving it behind */
        return;
    }
    *ending = (struct ending){.end = end, .thing = thing};
    (void)pthread_mutex_lock(&ending_lock);
    ending_count++;
    (void)pthread_mutex_unlock(&ending_lock);
    if (quiet_thread_start(reap, ending, &thread) == 0) {
        (void)pthread_detach(thread);
    } else {
        (void)reap(ending);
    }
}

bool reaper_settle(uint64_t timeout_ms)
{
    struct timespec deadline;
    bool has_settled;
    int r = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += (time_t)(timeout_ms / 1000);
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&ending_lock);
    while (ending_count > 0 && r == 0) {
        r = pthread_cond_clockwait(&ending_changed, &ending_lock, CLOCK_MONOTONIC, &deadline);
    }
    has_settled = ending_count == 0;
    (void)pthread_mutex_unlock(&ending_lock);
    return has_settled;
}
