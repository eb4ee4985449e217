/* SPDX-License-Identifier: GPL-2.0-or-later */
/* compact: gives the disk what the spool's file no longer uses. */
#include "spool/mend/compact.h"
#include "tools/inspect/command.h"
#include "tools/inspect/output.h"
#include "tools/inspect/progress.h"

#include <stdio.h>

static error_t compact_command_parse(int key, char *argument, struct argp_state *state)
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

static const struct argp_child compact_command_children[] = {{&inspect_argp, 0, NULL, 0}, {0}};

static const struct argp compact_command_argp = {
    .parser = compact_command_parse,
    .children = compact_command_children,
    .doc = "Write the spool's file anew without the pages that are free, and put it in the old "
           "one's place. No pipeline may run. What is in the spool stays as it is.\v"
           "It needs disk for the new file beside the old one, and says how much before it starts. "
           "It can be stopped at any moment: the spool is then as it was, or compacted.\n\n"
           "Exit codes: 0 done; 1 not done: the spool is in use, damaged, or the disk is full; "
           "3 there is no spool.\n\n"
           "Examples:\n"
           "  spool-inspect compact\n"
           "  spool-inspect --spool DIR compact --json",
};

static void compact_command_tell_sizes(void *context, const struct compact_sizes *sizes)
{
    struct progress *progress = context;
    char used[OUTPUT_WORD_BYTES];
    char file[OUTPUT_WORD_BYTES];
    char room[OUTPUT_WORD_BYTES];
    output_bytes(sizes->used_bytes, used);
    output_bytes(sizes->file_bytes, file);
    output_bytes(sizes->free_bytes, room);
    progress_end(progress);
    inspect_say("the file has %s; the new one needs %s of disk beside it, %s are free", file, used,
                room);
}

static void compact_command_tell(void *context, const char *what, uint64_t done, uint64_t all)
{
    progress_tell(context, what, done, all);
}

static void compact_command_print(const struct inspect *inspect, const struct compact_sizes *sizes)
{
    uint64_t gained_bytes =
        sizes->file_bytes > sizes->new_bytes ? sizes->file_bytes - sizes->new_bytes : 0;
    if (inspect->prints_json) {
        json_t *object = json_object();
        (void)json_object_set_new(object, "format", json_string("spool-inspect/compact/1"));
        output_json_number(object, "before_bytes", sizes->file_bytes);
        output_json_number(object, "after_bytes", sizes->new_bytes);
        output_json_number(object, "gained_bytes", gained_bytes);
        output_json(object);
        return;
    }
    char before[OUTPUT_WORD_BYTES];
    char after[OUTPUT_WORD_BYTES];
    char gained[OUTPUT_WORD_BYTES];
    output_bytes(sizes->file_bytes, before);
    output_bytes(sizes->new_bytes, after);
    output_bytes(gained_bytes, gained);
    printf("compacted: %s before, %s now, %s gained\n", before, after, gained);
}

enum inspect_exit compact_run(struct inspect *inspect, int argc, char **argv)
{
    struct message message;
    struct progress progress;
    struct compact_sizes sizes = {0};
    inspect_parse(&compact_command_argp, argc, argv, inspect);
    if (inspect_become_owner(inspect->spool_dir, &message) != 0) {
        inspect_say("%s", message.text);
        return INSPECT_EXIT_SPOOL;
    }
    struct compact_host host = {
        .context = &progress,
        .tell_sizes = compact_command_tell_sizes,
        .tell = compact_command_tell,
    };
    progress_init(&progress);
    int r = compact_spool(inspect->spool_dir, &host, &sizes, &message);
    progress_end(&progress);
    if (r != 0) {
        inspect_say("%s", message.text);
    }
    switch (r) {
    case 0:
        compact_command_print(inspect, &sizes);
        return inspect_finish_output(INSPECT_EXIT_DONE);
    case COMPACT_E_OWNED:
    case COMPACT_E_DAMAGED:
    case COMPACT_E_FULL:
        return INSPECT_EXIT_ATTENTION;
    case COMPACT_E_REFUSED:
    default:
        return INSPECT_EXIT_SPOOL;
    }
}
