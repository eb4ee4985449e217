/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/quiet_thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

static void *read_mask(void *argument)
{
    (void)pthread_sigmask(SIG_SETMASK, NULL, argument);
    return argument;
}

static void quiet_thread_start_blocks_signals_in_the_new_thread_only(void **state)
{
    sigset_t in_thread;
    sigset_t here;
    pthread_t thread;
    void *result = NULL;

    (void)state;
    (void)sigemptyset(&in_thread);
    assert_int_equal(quiet_thread_start(read_mask, &in_thread, &thread), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &in_thread);
    assert_int_equal(sigismember(&in_thread, SIGTERM), 1);
    assert_int_equal(sigismember(&in_thread, SIGCHLD), 1);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &here), 0);
    assert_int_equal(sigismember(&here, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quiet_thread_start_blocks_signals_in_the_new_thread_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
