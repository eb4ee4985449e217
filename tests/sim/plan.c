/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/plan.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* How often each kind comes, and whether an episode may do without it. */
static const struct {
    const char *name;
    unsigned weight;
    bool is_trouble;
} kinds[STEP_KIND_COUNT] = {
    [STEP_PUBLISH] = {"publish", 180, false},
    [STEP_FILL] = {"fill", 8, true},
    [STEP_COMMIT] = {"commit", 160, false},
    [STEP_FORWARD] = {"forward", 120, false},
    [STEP_RUN] = {"run", 60, false},
    [STEP_GIVE_UP] = {"give up waiting", 10, true},
    [STEP_REPORTS] = {"reports", 40, false},
    [STEP_REPORTS_DONE] = {"reports done", 30, false},
    [STEP_KAFKA] = {"kafka", 120, false},
    [STEP_KAFKA_FAILS] = {"kafka fails", 40, true},
    [STEP_KAFKA_MOOD] = {"kafka's mood", 15, true},
    [STEP_CLIENT_MOOD] = {"client's mood", 15, true},
    [STEP_CLIENT_FATAL] = {"client fatal", 8, true},
    [STEP_CLIENT_SAYS] = {"client says", 8, true},
    [STEP_CLIENT_UNOPENABLE] = {"client unopenable", 8, true},
    [STEP_TIME] = {"time", 60, false},
    [STEP_WALL_CLOCK] = {"wall clock", 8, true},
    [STEP_CRASH] = {"crash", 15, true},
    [STEP_CRASH_IN_COMMIT] = {"crash in commit", 25, true},
    [STEP_STOP] = {"stop", 8, true},
    [STEP_SECOND_OWNER] = {"second owner", 3, true},
    [STEP_WRITE_FAILS] = {"write fails", 12, true},
    [STEP_DISK_FULL] = {"disk full", 10, true},
    [STEP_DISK_FREED] = {"disk freed", 10, false},
    [STEP_DAMAGE] = {"damage", 8, true},
    [STEP_SPOIL] = {"spoil", 1, true},
    [STEP_READER] = {"reader", 8, true},
    [STEP_PAUSE] = {"pause", 8, true},
    [STEP_RESUME] = {"resume", 8, false},
    [STEP_RETRY_NOW] = {"retry now", 5, true},
    [STEP_DROP] = {"drop", 8, true},
    [STEP_EXPIRE] = {"expire", 8, true},
    [STEP_MOVE] = {"move", 10, true},
    [STEP_REQUEUE] = {"requeue", 16, true},
    [STEP_DEAD_DROP] = {"dead drop", 6, true},
    [STEP_IMPORT] = {"import", 10, true},
};

const char *step_kind_name(enum step_kind kind)
{
    return kinds[kind].name;
}

void plan_make(struct plan *plan, uint64_t seed, size_t steps_count)
{
    struct dice dice = {seed};
    unsigned weights[STEP_KIND_COUNT];
    unsigned sum = 0;
    assert(steps_count <= PLAN_STEPS_MAX);
    *plan = (struct plan){.seed = seed, .count = steps_count};
    for (size_t i = 0; i < STEP_KIND_COUNT; i++) {
        /* Not every trouble in every episode: what is rare else would never come undisturbed. */
        bool is_left_out = kinds[i].is_trouble && dice_once_in(&dice, 2);
        weights[i] = is_left_out ? 0 : kinds[i].weight;
        sum += weights[i];
    }
    for (size_t i = 0; i < steps_count; i++) {
        uint64_t at = dice_below(&dice, sum);
        size_t kind = 0;
        while (at >= weights[kind]) {
            at -= weights[kind++];
        }
        plan->steps[i] = (struct step){.kind = (enum step_kind)kind, .random = dice_next(&dice)};
        plan->is_kept[i] = true;
    }
}

bool plan_keep(struct plan *plan, const char *text)
{
    memset(plan->is_kept, 0, sizeof(plan->is_kept));
    while (*text != '\0') {
        char *end;
        size_t from = strtoul(text, &end, 10);
        size_t to = from;
        if (*end == '-') {
            to = strtoul(end + 1, &end, 10);
        }
        if (from < 1 || to < from || to > plan->count || (*end != ',' && *end != '\0')) {
            return false;
        }
        for (size_t i = from; i <= to; i++) {
            plan->is_kept[i - 1] = true;
        }
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

void plan_print_kept(const struct plan *plan, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < plan->count && used + 32 < text_bytes; i++) {
        if (!plan->is_kept[i]) {
            continue;
        }
        size_t last = i;
        while (last + 1 < plan->count && plan->is_kept[last + 1]) {
            last++;
        }
        const char *comma = used > 0 ? "," : "";
        int size =
            last > i ? snprintf(text + used, text_bytes - used, "%s%zu-%zu", comma, i + 1, last + 1)
                     : snprintf(text + used, text_bytes - used, "%s%zu", comma, i + 1);
        used += (size_t)size;
        i = last;
    }
}
