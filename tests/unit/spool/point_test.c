/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/point.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void reach(const char *name, int times)
{
    for (int i = 0; i < times; i++) {
        point_hit(name);
    }
}

static void reach_macro(const char *name, int times)
{
    (void)name;
    for (int i = 0; i < times; i++) {
        SPOOL_POINT("unit.point");
    }
}

/* Whether a process that is armed so is killed. */
static bool is_killed(const char *armed, void (*reaches)(const char *name, int times),
                      const char *name, int times)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        point_arm(armed);
        reaches(name, times);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(status, 0);
    return false;
}

static void point_kills_at_the_hit_that_is_named(void **state)
{
    (void)state;
    assert_true(is_killed("a.b:1", reach, "a.b", 1));
    assert_true(is_killed("a.b:3", reach, "a.b", 3));
    assert_false(is_killed("a.b:3", reach, "a.b", 2));
    assert_false(is_killed("a.b:1", reach, "a.bc", 5));
    assert_false(is_killed("a.b:1", reach, "a", 5));
}

static void point_kills_nowhere_without_a_hit(void **state)
{
    (void)state;
    static const char *const texts[] = {NULL, "", "a.b", "a.b:", "a.b:0", "a.b:x", ":1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(is_killed(texts[i], reach, "a.b", 5));
    }
}

/* What a program has of a point: nothing, unless it was built for the tests. */
static void point_is_there_only_when_built_in(void **state)
{
    (void)state;
#ifdef SPOOL_POINTS
    assert_true(is_killed("unit.point:2", reach_macro, NULL, 2));
#else
    assert_false(is_killed("unit.point:2", reach_macro, NULL, 2));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(point_kills_at_the_hit_that_is_named),
        cmocka_unit_test(point_kills_nowhere_without_a_hit),
        cmocka_unit_test(point_is_there_only_when_built_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
