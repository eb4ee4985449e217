/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulator's program: episodes from seeds.
 *
 *     sim [--from N] [--count N] [--failures N] [--steps N] [--tally]
 *     sim --seed N [--keep 3,17,21-25] [--steps N] [--trace]
 *
 * Exits 0 when everything held, 1 when something did not, 2 for a wrong option. A failing seed is
 * printed as the command that repeats it. The first one is shrunk; those behind it, up to
 * --failures in all, say whether it is one mistake or many.
 */
#include "tests/sim/runner.h"
#include "tests/sim/tally.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/personality.h>

struct options {
    uint64_t from;
    uint64_t count;
    uint64_t failures_max; /* so many end the run */
    size_t steps_count;
    const char *keep;
    bool traces;
    bool tallies;
    bool shrinks;
};

static struct plan plan;

static bool options_parse(int argc, char **argv, struct options *options)
{
    static const struct option long_options[] = {
        {"seed", required_argument, NULL, 's'},  {"from", required_argument, NULL, 'f'},
        {"count", required_argument, NULL, 'c'}, {"failures", required_argument, NULL, 'm'},
        {"steps", required_argument, NULL, 'n'}, {"keep", required_argument, NULL, 'k'},
        {"trace", no_argument, NULL, 't'},       {"tally", no_argument, NULL, 'y'},
        {"no-shrink", no_argument, NULL, 'x'},   {NULL, 0, NULL, 0},
    };
    *options = (struct options){
        .from = 1,
        .count = 100,
        .failures_max = 1,
        .steps_count = PLAN_STEPS_DEFAULT,
        .shrinks = true,
    };
    int letter;
    while ((letter = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
        uint64_t number = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;
        switch (letter) {
        case 's':
            options->from = number;
            options->count = 1;
            break;
        case 'f':
            options->from = number;
            break;
        case 'c':
            options->count = number;
            break;
        case 'm':
            options->failures_max = number;
            break;
        case 'n':
            options->steps_count = number;
            break;
        case 'k':
            options->keep = optarg;
            break;
        case 't':
            options->traces = true;
            break;
        case 'y':
            options->tallies = true;
            break;
        case 'x':
            options->shrinks = false;
            break;
        default:
            return false;
        }
    }
    return optind == argc && options->failures_max > 0 && options->steps_count <= PLAN_STEPS_MAX;
}

/* Where memory lies must not depend on chance: how much room a batch counts on does, a little. */
static void be_repeatable(char **argv)
{
    int now = personality(0xffffffff);
    if (now >= 0 && (now & ADDR_NO_RANDOMIZE) == 0 &&
        personality((unsigned long)now | ADDR_NO_RANDOMIZE) >= 0) {
        execv("/proc/self/exe", argv);
    }
}

static void say_failure(const char *program, const struct options *options,
                        const struct run_result *result)
{
    char kept[4096];
    printf("seed %" PRIu64 ": %s: %s (", plan.seed, result->rule, result->text);
    if (result->step > 0) {
        printf("step %zu: %s)\n", result->step, step_kind_name(plan.steps[result->step - 1].kind));
    } else {
        printf("at the end)\n");
    }
    if (options->shrinks && options->keep == NULL) {
        size_t tries = runner_shrink(&plan, result);
        printf("shrunk in %zu runs to:\n", tries);
        for (size_t i = 0; i < plan.count; i++) {
            if (plan.is_kept[i]) {
                printf("    step %zu: %s\n", i + 1, step_kind_name(plan.steps[i].kind));
            }
        }
    }
    plan_print_kept(&plan, kept, sizeof(kept));
    printf("repeat: %s --seed %" PRIu64, program, plan.seed);
    if (options->steps_count != PLAN_STEPS_DEFAULT) {
        printf(" --steps %zu", options->steps_count);
    }
    printf(" --keep %s --trace\n", kept[0] != '\0' ? kept : "''");
}

/* Runs the seeds, up to so many failures; the numbers of seeds done and failed. False: --keep is
 * wrong. */
static bool run_seeds(const char *program, struct options *options, uint64_t *ret_done,
                      uint64_t *ret_failed)
{
    *ret_done = 0;
    *ret_failed = 0;
    while (*ret_done < options->count && *ret_failed < options->failures_max) {
        plan_make(&plan, options->from + *ret_done, options->steps_count);
        if (options->keep != NULL && !plan_keep(&plan, options->keep)) {
            (void)fprintf(stderr, "sim: cannot read the steps in --keep %s\n", options->keep);
            return false;
        }
        struct run_result result = runner_run(&plan, options->traces);
        (*ret_done)++;
        if (result.end != RUN_HELD) {
            (*ret_failed)++;
            say_failure(program, options, &result);
            options->shrinks = false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options;
    be_repeatable(argv);
    if (!options_parse(argc, argv, &options)) {
        (void)fprintf(stderr, "usage: sim [--seed N | --from N --count N] [--failures N]"
                              " [--steps N] [--keep LIST] [--trace] [--tally] [--no-shrink]\n");
        return 2;
    }
    tally_init();
    runner_init();
    uint64_t done;
    uint64_t failed;
    bool is_understood = run_seeds(argv[0], &options, &done, &failed);
    if (is_understood) {
        printf("%" PRIu64 " seeds from %" PRIu64 ": ", done, options.from);
        if (failed == 0) {
            printf("everything held\n");
        } else {
            printf("%" PRIu64 " FAILED\n", failed);
        }
        if (options.tallies) {
            tally_print(stdout);
        }
    }
    runner_deinit();
    if (!is_understood) {
        return 2;
    }
    return failed == 0 ? 0 : 1;
}
