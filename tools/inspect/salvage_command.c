/* SPDX-License-Identifier: GPL-2.0-or-later */
/* salvage: what can be read of a damaged spool, into a new one. */
#include "spool/mend/salvage.h"
#include "tools/inspect/command.h"
#include "tools/inspect/output.h"
#include "tools/inspect/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    OPTION_INTO = 0x3000,
    OPTION_ALL,
};

struct salvage_command {
    struct inspect *inspect;
    char *from_text; /* as typed; NULL: not */
    char *into_text;
    const char *from;
    const char *into;
    bool takes_stale;
    char *default_into; /* owned */
    struct progress progress;
};

static const struct argp_option salvage_command_options[] = {
    {"into", OPTION_INTO, "DIR", 0, "The new spool's folder: empty, or not there (FROM-salvaged)",
     1},
    {"all", OPTION_ALL, NULL, 0,
     "Also records of pages that are free. Most of them were delivered long ago", 1},
    {0},
};

static error_t salvage_command_parse(int key, char *argument, struct argp_state *state)
{
    struct salvage_command *command = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = command->inspect;
        return 0;
    case OPTION_INTO:
        command->into_text = argument;
        return 0;
    case OPTION_ALL:
        command->takes_stale = true;
        return 0;
    case ARGP_KEY_ARG:
        if (command->from_text != NULL) {
            argp_error(state, "one FROM at a time");
        }
        command->from_text = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child salvage_command_children[] = {{&inspect_argp, 0, NULL, 0}, {0}};

static const struct argp salvage_command_argp = {
    .options = salvage_command_options,
    .parser = salvage_command_parse,
    .args_doc = "[FROM]",
    .children = salvage_command_children,
    .doc = "Read what can be read of a damaged spool, or of one that was set aside "
           "(damaged-TIME in the spool's folder), into a new spool. FROM is its folder; without "
           "it, the spool's own. Nothing in FROM is changed.\v"
           "Records keep their old spool-id, so consumers can drop what they have already. Records "
           "that fail their checksum become dead letters as they are.\n\n"
           "Exit codes: 0 all that was there was saved; 1 something was damaged, or could not be "
           "saved: the counts say what; 3 nothing could be read.\n\n"
           "Examples:\n"
           "  spool-inspect salvage DIR/damaged-20261121T081500Z\n"
           "  spool-inspect salvage DIR/damaged-20261121T081500Z --into /var/spool/saved\n"
           "  spool-forward --spool /var/spool/saved --broker ADDRESS --drain",
};

static void salvage_command_tell(void *context, uint64_t done, uint64_t all)
{
    struct salvage_command *command = context;
    progress_tell(&command->progress, "salvage", done, all == 0 ? done : all);
}

/* The folder's owner makes the new spool; a folder that only root can make is given to it. */
static int salvage_command_become_owner(const struct salvage_command *command,
                                        struct message *message)
{
    struct stat status;
    if (geteuid() == 0 && stat(command->from, &status) == 0) {
        if (mkdir(command->into, 0750) == 0) {
            if (chown(command->into, status.st_uid, status.st_gid) < 0) {
                message_set(message, "%s: cannot be given to user id %ld: %s", command->into,
                            (long)status.st_uid, strerror(errno));
                return -errno;
            }
        } else if (errno != EEXIST) {
            message_set(message, "%s: cannot make the folder: %s", command->into, strerror(errno));
            return -errno;
        }
    }
    return inspect_become_owner(command->from, message);
}

/* --- The answer ------------------------------------------------------------------------------- */

static void salvage_command_print_json(const struct salvage_command *command,
                                       const struct salvage_result *result, bool is_whole)
{
    json_t *object = json_object();
    (void)json_object_set_new(object, "format", json_string("spool-inspect/salvage/1"));
    output_json_bytes(object, "from", (struct span){command->from, strlen(command->from)});
    output_json_bytes(object, "into", (struct span){command->into, strlen(command->into)});
    (void)json_object_set_new(object, "uuid",
                              result->is_uuid_known ? json_string(result->uuid_text) : json_null());
    (void)json_object_set_new(object, "complete", json_boolean(is_whole));
    output_json_number(object, "waiting", result->waiting_count);
    output_json_number(object, "dead", result->dead_count);
    output_json_number(object, "reports", result->reports_count);
    output_json_number(object, "damaged", result->damaged_count);
    output_json_number(object, "unreadable", result->lost_count);
    output_json_number(object, "doubtful", result->doubtful_count);
    output_json_number(object, "without_destination", result->homeless_count);
    output_json_number(object, "stale_not_taken", result->stale_count);
    output_json_number(object, "damaged_pages", result->damaged_pages);
    output_json(object);
}

static void salvage_command_print_count(uint64_t count, const char *text)
{
    if (count > 0) {
        printf("%12" PRIu64 "  %s\n", count, text);
    }
}

static void salvage_command_print_text(const struct salvage_command *command,
                                       const struct salvage_result *result)
{
    printf("saved into %s:\n", command->into);
    printf("%12" PRIu64 "  waiting records\n", result->waiting_count);
    printf("%12" PRIu64 "  dead letters\n", result->dead_count);
    printf("%12" PRIu64 "  reports\n", result->reports_count);
    salvage_command_print_count(result->damaged_count,
                                "of these failed their checksum: they are dead letters now");
    salvage_command_print_count(result->doubtful_count,
                                "of these may have been settled before: expect duplicates");
    salvage_command_print_count(result->homeless_count,
                                "of these belong to nobody knows which destination: they are in "
                                "\"" SALVAGE_HOMELESS "\"; see 'move'");
    salvage_command_print_count(result->lost_count, "entries could not be read");
    salvage_command_print_count(result->damaged_pages, "damaged pages");
    salvage_command_print_count(result->stale_count,
                                "further records on free pages, which were settled most likely; "
                                "--all takes them");
    if (!result->is_uuid_known) {
        printf("the old spool's uuid is lost: what was saved has new spool-ids\n");
    }
}

/* --- The command ------------------------------------------------------------------------------ */

static enum inspect_exit salvage_command_salvage(struct salvage_command *command)
{
    struct salvage_result result;
    struct message message;
    struct salvage_config config = {
        .from = command->from,
        .into = command->into,
        .takes_stale = command->takes_stale,
        .clock = clock_system(),
        .context = command,
        .tell = salvage_command_tell,
    };
    progress_init(&command->progress);
    int r = salvage(&config, &result, &message);
    progress_end(&command->progress);
    if (r != 0) {
        inspect_say("%s", message.text);
    }
    if (r == SALVAGE_E_REFUSED || r < 0) {
        return INSPECT_EXIT_SPOOL;
    }
    if (command->inspect->prints_json) {
        salvage_command_print_json(command, &result, r == 0);
    } else {
        salvage_command_print_text(command, &result);
    }
    bool is_clean = r == 0 && result.damaged_count == 0 && result.lost_count == 0 &&
                    result.damaged_pages == 0 && result.homeless_count == 0;
    return inspect_finish_output(is_clean ? INSPECT_EXIT_DONE : INSPECT_EXIT_ATTENTION);
}

static int salvage_command_name_into(struct salvage_command *command)
{
    size_t length = strlen(command->from);
    while (length > 1 && command->from[length - 1] == '/') {
        length--;
    }
    if (command->into == NULL) {
        if (asprintf(&command->default_into, "%.*s-salvaged", (int)length, command->from) < 0) {
            command->default_into = NULL;
            return -ENOMEM;
        }
        command->into = command->default_into;
    }
    return 0;
}

enum inspect_exit salvage_run(struct inspect *inspect, int argc, char **argv)
{
    struct message message;
    struct salvage_command command = {.inspect = inspect};
    inspect_parse(&salvage_command_argp, argc, argv, &command);
    command.from = command.from_text != NULL ? command.from_text : inspect->spool_dir;
    command.into = command.into_text;
    enum inspect_exit code = INSPECT_EXIT_SPOOL;
    if (salvage_command_name_into(&command) != 0) {
        inspect_say("out of memory");
    } else if (salvage_command_become_owner(&command, &message) != 0) {
        inspect_say("%s", message.text);
    } else {
        code = salvage_command_salvage(&command);
    }
    free(command.default_into);
    return code;
}
