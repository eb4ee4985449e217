/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/command.h"

#include <inttypes.h>
#include <stdio.h>

static error_t status_parse(int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->input;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%.40s' belongs to no option", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

enum inspect_exit status_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct argp_child children[] = {{&inspect_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = status_parse, .doc = "Say how the spool is.", .children = children};
    inspect_parse(&argp, argc, argv, inspect);
    enum inspect_exit code = inspect_open(inspect);
    struct counters counters;
    if (code == INSPECT_EXIT_DONE &&
        spool_counters(inspect->spool, DESTINATION_ALL, &counters) == 0) {
        printf("%" PRIu64 " waiting\n", counters.values[COUNTER_QUEUE_RECORDS]);
    }
    return code;
}
