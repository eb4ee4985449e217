/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host runs report routes: now, later, twice after a crash, never twice in one life (P4). */
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

#include <string.h>

/* What the host was given is what the model expects. */
static void routes_check(struct world *world, const struct fake_host_report *taken)
{
    struct model *model = &world->model;
    struct kept_report *kept = &model->reports[taken->number];
    if (taken->number >= MODEL_REPORTS_MAX || !kept->is_there) {
        violate(world, "P4", "the route of report %llu was run, and there is no such report",
                (unsigned long long)taken->number);
        return;
    }
    if (kept->is_run) {
        violate(world, "P4", "the route of report %llu was run twice in one life",
                (unsigned long long)taken->number);
    }
    if (strcmp(taken->route, "route") != 0) {
        violate(world, "P4", "report %llu has the route '%s'", (unsigned long long)taken->number,
                taken->route);
    }
    tally("report", kept->runs_count > 0 ? "run again" : "run");
    kept->is_run = true;
    kept->runs_count++;
    if (world->running_count < SPOOL_COUNT_OF(world->running)) {
        world->running[world->running_count++] = taken->number;
    }
}

void routes_run(struct world *world)
{
    bool is_busy = dice_once_in(&world->dice, 4);
    world->host.report_result = is_busy ? HOST_E_BUSY : 0;
    size_t count = reports_step(world->reports);
    if (is_busy) {
        tally("report", "host was busy");
    }
    for (; world->host_seen_count < world->host.reports_count; world->host_seen_count++) {
        routes_check(world, &world->host.reports[world->host_seen_count]);
    }
    trace(world, "%zu report routes begin", count);
}

void routes_done(struct world *world)
{
    size_t kept_count = 0;
    for (size_t i = 0; i < world->running_count; i++) {
        uint64_t number = world->running[i];
        if (dice_once_in(&world->dice, 4)) {
            world->running[kept_count++] = number;
            continue;
        }
        world->model.reports[number].is_done = true;
        reports_done(world->reports, number);
    }
    world->running_count = kept_count;
}

void routes_forget(struct world *world)
{
    world->running_count = 0;
    for (size_t i = 0; i < MODEL_REPORTS_MAX; i++) {
        world->model.reports[i].is_run = false;
    }
}
