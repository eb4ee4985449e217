/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/quiet_thread.h"

#include <signal.h>

int quiet_thread_start(void *(*run)(void *), void *argument, pthread_t *ret_thread)
{
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    int r;

    /* The new thread inherits the mask, so there is no moment in which it could be hit. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, NULL, run, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0) {
        *ret_thread = thread;
    }
    return -r;
}
