/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs plans, each in a process of its own: so each begins with the same memory, an assertion or a
 * sanitizer ends one episode only, and one that hangs is ended.
 */
#ifndef TESTS_SIM_RUNNER_H
#define TESTS_SIM_RUNNER_H

#include "tests/sim/plan.h"

enum run_end {
    RUN_HELD,     /* everything that must hold held */
    RUN_VIOLATED, /* something did not: see the rule */
    RUN_DIED,     /* an assertion, a signal, a sanitizer */
};

struct run_result {
    enum run_end end;
    char rule[16];
    char text[512];
    size_t step; /* from 1; 0: at the end */
};

/* Prepares; root is a folder for the spools, removed by runner_deinit(). */
void runner_init(void);
void runner_deinit(void);

/* Runs a plan. */
struct run_result runner_run(const struct plan *plan, bool traces);

/* Leaves out steps as long as the plan fails by the same rule; for a minute at most. Returns how
 * many it tried. */
size_t runner_shrink(struct plan *plan, const struct run_result *result);

#endif
