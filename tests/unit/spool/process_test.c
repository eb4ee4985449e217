/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real processes: alive, ended but not waited for, gone, and with a main thread that ended first.
 */
#include "spool/process.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The write end is the child's: reading 0 bytes from the other end means that the child ended. */
struct child {
    pid_t pid;
    int pipe_fd;
    struct process process; /* as it sees itself */
};

/* Forks a child that tells who it is and then runs body, which does not return. */
static struct child start_child(void (*body)(void))
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct child child = {.pid = fork(), .pipe_fd = fds[0]};
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails half-way */
        struct process self = process_self();
        if (write(fds[1], &self, sizeof(self)) != (ssize_t)sizeof(self)) {
            _exit(1);
        }
        body();
        _exit(0);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &child.process, sizeof(child.process)), sizeof(child.process));
    return child;
}

static void end_child(struct child *child)
{
    kill(child->pid, SIGKILL);
    assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
    close(child->pipe_fd);
}

static void body_sleep(void)
{
    pause();
}

static void body_end(void)
{
}

static void *thread_sleep(void *argument)
{
    pause();
    return argument;
}

static void body_end_main_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_sleep, NULL) == 0) {
        pthread_exit(NULL);
    }
}

/* Whether the kernel shows the process as a zombie, which it does once the main thread ended. */
static bool looks_ended(pid_t pid)
{
    char path[64];
    char text[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    (void)fclose(file);
    return strstr(text, ") Z ") != NULL;
}

static void process_self_is_this_process(void **state)
{
    (void)state;
    struct process self = process_self();
    assert_int_equal(self.pid, getpid());
    assert_true(process_is_alive(self));
    struct process again = process_self();
    assert_int_equal(again.pid, self.pid);
    assert_int_equal(again.start_ticks, self.start_ticks);
}

static void process_self_is_the_child_after_a_fork(void **state)
{
    (void)state;
    (void)process_self();
    struct child child = start_child(body_sleep);
    assert_int_equal(child.process.pid, child.pid);
    assert_true(process_is_alive(child.process));
    end_child(&child);
}

static void process_is_alive_until_the_process_ended(void **state)
{
    (void)state;
    struct child child = start_child(body_sleep);
    assert_true(process_is_alive(child.process));
    end_child(&child);
    assert_false(process_is_alive(child.process));
}

static void process_is_alive_is_false_before_it_is_waited_for(void **state)
{
    (void)state;
    if (process_self().start_ticks == 0) {
        skip(); /* no /proc here: it cannot be known */
    }
    struct child child = start_child(body_end);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(process_is_alive(child.process));
    end_child(&child);
}

static void process_is_alive_while_any_thread_is(void **state)
{
    (void)state;
    if (process_self().start_ticks == 0) {
        skip(); /* no /proc here: it cannot be seen */
    }
    struct child child = start_child(body_end_main_thread);
    while (!looks_ended(child.pid)) { /* before and while its main thread ends */
        assert_true(process_is_alive(child.process));
    }
    assert_true(process_is_alive(child.process));
    end_child(&child);
    assert_false(process_is_alive(child.process));
}

static void process_is_alive_knows_a_pid_that_was_given_away_again(void **state)
{
    (void)state;
    struct process other = process_self();
    if (other.start_ticks == 0) {
        skip(); /* no /proc here: it cannot be known */
    }
    other.start_ticks++;
    assert_false(process_is_alive(other));
}

static void process_is_alive_goes_by_the_pid_alone_without_a_start_time(void **state)
{
    (void)state;
    assert_true(process_is_alive((struct process){.pid = (uint32_t)getpid()}));
    struct child child = start_child(body_sleep);
    struct process unknown = {.pid = child.process.pid};
    assert_true(process_is_alive(unknown));
    end_child(&child);
    assert_false(process_is_alive(unknown));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(process_self_is_this_process),
        cmocka_unit_test(process_self_is_the_child_after_a_fork),
        cmocka_unit_test(process_is_alive_until_the_process_ended),
        cmocka_unit_test(process_is_alive_is_false_before_it_is_waited_for),
        cmocka_unit_test(process_is_alive_while_any_thread_is),
        cmocka_unit_test(process_is_alive_knows_a_pid_that_was_given_away_again),
        cmocka_unit_test(process_is_alive_goes_by_the_pid_alone_without_a_start_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
