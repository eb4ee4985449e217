/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify: whether the spool is as it is to be. */
#include "spool/mend/verify.h"
#include "spool/owner_lock.h"
#include "tools/inspect/command.h"
#include "tools/inspect/output.h"
#include "tools/inspect/progress.h"
#include "tools/inspect/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* So many findings are listed; all are counted. */
#define FINDINGS_MAX 100
#define LEFT_OUT_MAX 8

struct verify_listed {
    struct verify_finding finding;
    char database[32];
};

struct verify_command {
    struct inspect *inspect;
    int dir_fd;
    struct progress progress;
    struct verify_listed findings[FINDINGS_MAX];
    size_t findings_count;
    const char *left_out[LEFT_OUT_MAX];
    size_t left_out_count;
    struct verify_result result;
};

/* --- What verify asks and tells --------------------------------------------------------------- */

static void verify_command_find(void *context, const struct verify_finding *finding)
{
    struct verify_command *command = context;
    if (command->findings_count == FINDINGS_MAX) {
        return;
    }
    struct verify_listed *listed = &command->findings[command->findings_count++];
    listed->finding = *finding;
    (void)snprintf(listed->database, sizeof(listed->database), "%s", finding->database);
}

static void verify_command_leave_out(void *context, const char *what)
{
    struct verify_command *command = context;
    if (command->left_out_count < LEFT_OUT_MAX) {
        command->left_out[command->left_out_count++] = what;
    }
}

static const char *verify_command_check(void *context, uint32_t destination, struct span identity,
                                        struct span address)
{
    (void)context;
    (void)destination;
    if (secrets_are_in(identity)) {
        return "its identity shows a secret";
    }
    return secrets_are_in(address) ? "its address shows a secret" : NULL;
}

static bool verify_command_go_on(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct verify_command *command = context;
    progress_tell(&command->progress, "verify", done_bytes, all_bytes);
    return true;
}

/* An owner that cannot be asked for is taken for one: then slices are short. */
static bool verify_command_is_owned(void *context)
{
    const struct verify_command *command = context;
    char owner[OWNER_TEXT_BYTES];
    return owner_lock_probe(command->dir_fd, owner) != 0;
}

/* --- The answer ------------------------------------------------------------------------------- */

static json_t *verify_command_json_finding(const struct verify_listed *listed)
{
    const struct verify_finding *finding = &listed->finding;
    json_t *object = json_object();
    (void)json_object_set_new(object, "rule", json_string(finding->rule));
    (void)json_object_set_new(object, "database", json_string(listed->database));
    if (finding->sequence != VERIFY_NOTHING) {
        output_json_number(object, "sequence", finding->sequence);
    }
    if (finding->page != VERIFY_NOTHING) {
        output_json_number(object, "page", finding->page);
    }
    (void)json_object_set_new(object, "text", json_string(finding->text));
    return object;
}

static void verify_command_print_json(const struct verify_command *command)
{
    const struct verify_result *result = &command->result;
    json_t *object = json_object();
    json_t *findings = json_array();
    json_t *left_out = json_array();
    (void)json_object_set_new(object, "format", json_string("spool-inspect/verify/1"));
    (void)json_object_set_new(object, "sound", json_boolean(result->findings_count == 0));
    (void)json_object_set_new(object, "whole", json_boolean(result->is_whole));
    output_json_number(object, "waiting", result->waiting_count);
    output_json_number(object, "dead", result->dead_count);
    output_json_number(object, "reports", result->reports_count);
    output_json_number(object, "pages", result->pages_count);
    output_json_number(object, "findings_count", result->findings_count);
    for (size_t i = 0; i < command->findings_count; i++) {
        (void)json_array_append_new(findings, verify_command_json_finding(&command->findings[i]));
    }
    for (size_t i = 0; i < command->left_out_count; i++) {
        (void)json_array_append_new(left_out, json_string(command->left_out[i]));
    }
    (void)json_object_set_new(object, "findings", findings);
    (void)json_object_set_new(object, "not_looked_at", left_out);
    output_json(object);
}

static void verify_command_print_finding(const struct verify_listed *listed)
{
    const struct verify_finding *finding = &listed->finding;
    printf("%-6s %s", finding->rule, listed->database);
    if (finding->sequence != VERIFY_NOTHING) {
        printf(", sequence %" PRIu64, finding->sequence);
    }
    if (finding->page != VERIFY_NOTHING) {
        printf(", page %" PRIu64, finding->page);
    }
    printf(": %s\n", finding->text);
}

static void verify_command_print_text(const struct verify_command *command)
{
    const struct verify_result *result = &command->result;
    for (size_t i = 0; i < command->findings_count; i++) {
        verify_command_print_finding(&command->findings[i]);
    }
    for (size_t i = 0; i < command->left_out_count; i++) {
        printf("not looked at: %s\n", command->left_out[i]);
    }
    if (result->findings_count > command->findings_count) {
        printf("... and %" PRIu64 " more\n", result->findings_count - command->findings_count);
    }
    if (result->findings_count == 0) {
        printf("sound: ");
    } else {
        printf("%" PRIu64 " found wrong: ", result->findings_count);
    }
    printf("%" PRIu64 " waiting, %" PRIu64 " dead letters, %" PRIu64 " reports, %" PRIu64
           " pages%s\n",
           result->waiting_count, result->dead_count, result->reports_count, result->pages_count,
           result->is_whole ? "" : "; looked at in slices, while the spool is used");
}

/* --- The command ------------------------------------------------------------------------------ */

static enum inspect_exit verify_command_verify(struct verify_command *command)
{
    const char *dir = command->inspect->spool_dir;
    struct message message;
    struct verify_host host = {
        .context = command,
        .find = verify_command_find,
        .leave_out = verify_command_leave_out,
        .check_destination = verify_command_check,
        .go_on = verify_command_go_on,
        .is_owned = verify_command_is_owned,
    };
    progress_init(&command->progress);
    int r = verify_spool(command->dir_fd, dir, &host, &command->result, &message);
    progress_end(&command->progress);
    if (r != 0) {
        inspect_say("%s", message.text);
        return INSPECT_EXIT_SPOOL;
    }
    if (command->inspect->prints_json) {
        verify_command_print_json(command);
    } else {
        verify_command_print_text(command);
    }
    return inspect_finish_output(command->result.findings_count == 0 ? INSPECT_EXIT_DONE
                                                                     : INSPECT_EXIT_ATTENTION);
}

static error_t verify_command_parse(int key, char *argument, struct argp_state *state)
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

static const struct argp_child verify_command_children[] = {{&inspect_argp, 0, NULL, 0}, {0}};

static const struct argp verify_command_argp = {
    .parser = verify_command_parse,
    .children = verify_command_children,
    .doc = "Look at every page and every record of the spool, and whether what spool/README.md "
           "promises (S2, S4, ...) holds. Changes nothing; a pipeline may run meanwhile.\v"
           "While a pipeline runs the spool is looked at in slices of a few milliseconds, so it "
           "takes longer, and what only a view of the whole can show is left out and said.\n\n"
           "Exit codes: 0 all is as it is to be; 1 something is wrong, and listed; 3 the spool "
           "cannot be read at all.\n\n"
           "Examples:\n"
           "  spool-inspect verify\n"
           "  spool-inspect --spool DIR verify --json",
};

enum inspect_exit verify_run(struct inspect *inspect, int argc, char **argv)
{
    struct message message;
    inspect_parse(&verify_command_argp, argc, argv, inspect);
    if (inspect_become_owner(inspect->spool_dir, &message) != 0) {
        inspect_say("%s", message.text);
        return INSPECT_EXIT_SPOOL;
    }
    SPOOL_CLEANUP(spool_free) struct verify_command *command = calloc(1, sizeof(*command));
    SPOOL_CLEANUP(spool_close_fd)
    int dir_fd = open(inspect->spool_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (command == NULL || dir_fd < 0) {
        inspect_say("%s: cannot open the spool's folder: %s", inspect->spool_dir,
                    strerror(dir_fd < 0 ? errno : ENOMEM));
        return INSPECT_EXIT_SPOOL;
    }
    command->inspect = inspect;
    command->dir_fd = dir_fd;
    return verify_command_verify(command);
}
