/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/runner.h"

#include "tests/sim/world.h"

#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#define RUN_SECONDS_MAX 120
#define SHRINK_SECONDS_MAX 60
/* To look for leaks takes as long as a whole episode. */
#define LEAK_CHECK_EVERY 50

static struct {
    char root[64];
    struct run_result *shared; /* written by the child */
} runner;

static int runner_remove(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    return where->level > 0 || runner.root[0] == '\0' ? remove(path) : 0;
}

static void runner_clean(void)
{
    (void)nftw(runner.root, runner_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* Memory, if there is enough: flushes would take most of the time. */
static const char *runner_base(void)
{
    const char *base = getenv("TMPDIR");
    if (base != NULL) {
        return base;
    }
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

void runner_init(void)
{
    (void)snprintf(runner.root, sizeof(runner.root), "%s/sim-XXXXXX", runner_base());
    char *made = mkdtemp(runner.root);
    runner.shared = mmap(NULL, sizeof(*runner.shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(made != NULL && runner.shared != MAP_FAILED);
    (void)made;
}

void runner_deinit(void)
{
    runner_clean();
    (void)rmdir(runner.root);
}

static void runner_check_leaks(uint64_t seed)
{
#ifdef __SANITIZE_ADDRESS__
    if (seed % LEAK_CHECK_EVERY == 0 && __lsan_do_recoverable_leak_check() != 0) {
        _exit(1);
    }
#else
    (void)seed;
#endif
}

static void runner_be_child(const struct plan *plan, bool traces)
{
    alarm(RUN_SECONDS_MAX);
    struct world *world = world_new(plan->seed, runner.root, traces);
    episode_run(world, plan);
    const struct violation *violation = &world->violation;
    struct run_result *result = runner.shared;
    if (violation->is_set) {
        result->end = RUN_VIOLATED;
        result->step = violation->step;
        memcpy(result->rule, violation->rule, sizeof(result->rule));
        (void)snprintf(result->text, sizeof(result->text), "%.500s", violation->text.text);
    } else {
        result->end = RUN_HELD;
    }
    world_free(world);
    runner_check_leaks(plan->seed);
    (void)fflush(stdout);
    _exit(0);
}

struct run_result runner_run(const struct plan *plan, bool traces)
{
    *runner.shared = (struct run_result){.end = RUN_DIED, .rule = "died"};
    (void)fflush(stdout);
    pid_t child = fork();
    assert(child >= 0);
    if (child == 0) {
        runner_be_child(plan, traces);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    runner_clean();
    if (status != 0) {
        runner.shared->end = RUN_DIED;
        (void)snprintf(runner.shared->rule, sizeof(runner.shared->rule), "died");
        (void)snprintf(runner.shared->text, sizeof(runner.shared->text),
                       WIFSIGNALED(status) ? "the process was ended by signal %d"
                                           : "the process ended with status %d",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    return *runner.shared;
}

/* --- Shrinking -------------------------------------------------------------------------------- */

/* Whether the plan fails by the same rule without count kept steps from the at-th kept one on; it
 * keeps them otherwise. */
static bool runner_try_without(struct plan *plan, size_t at, size_t count, const char *rule)
{
    struct plan *smaller = malloc(sizeof(*smaller));
    assert(smaller != NULL);
    *smaller = *plan;
    size_t seen = 0;
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->is_kept[i]) {
            smaller->is_kept[i] = seen < at || seen >= at + count;
            seen++;
        }
    }
    struct run_result result = runner_run(smaller, false);
    bool is_same = result.end != RUN_HELD && strcmp(result.rule, rule) == 0;
    if (is_same) {
        *plan = *smaller;
    }
    free(smaller);
    return is_same;
}

static size_t runner_kept_count(const struct plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->count; i++) {
        count += plan->is_kept[i];
    }
    return count;
}

size_t runner_shrink(struct plan *plan, const struct run_result *result)
{
    time_t until = time(NULL) + SHRINK_SECONDS_MAX;
    size_t tries = 0;
    if (result->step > 0) {
        for (size_t i = result->step; i < plan->count; i++) {
            plan->is_kept[i] = false;
        }
    }
    size_t chunk = runner_kept_count(plan);
    while (chunk > 0 && time(NULL) < until) {
        bool has_shrunk = false;
        for (size_t at = 0; at < runner_kept_count(plan) && time(NULL) < until;) {
            tries++;
            if (runner_try_without(plan, at, chunk, result->rule)) {
                has_shrunk = true;
            } else {
                at += chunk;
            }
        }
        chunk = has_shrunk && chunk == 1 ? 1 : chunk / 2;
    }
    return tries;
}
