/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spool-inspect: the operator's eyes and hands. Looks at a spool, and mends it, while a pipeline
 * owns it or nobody does.
 */
#include "tools/inspect/command.h"
#include "tools/inspect/crash.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_NICE 10

static const char program_help[] = "Look at a spool and mend it, also while its pipeline runs.\v"
                                   "Commands (--help behind one explains it):\n";

static const char program_help_end[] =
    "\n"
    "Examples:\n"
    "  spool-inspect\n"
    "  spool-inspect --spool DIR ls --destination k1 --older-than 5m\n"
    "  spool-inspect status --max-age 10m --max-depth 100000\n"
    "\n"
    "Exit codes: 0 healthy, or done; 1 it needs attention, or something was found wrong; 2 wrong "
    "command line; 3 the spool cannot be read.";

struct program {
    struct inspect inspect;
    const struct command *command;
    int argc; /* the command's */
    char **argv;
};

static void program_find_command(struct program *program, struct argp_state *state, char *word)
{
    /* The words from here on are the command's. */
    int first = state->next - 1;
    int used = 0;
    program->command = command_find(state->argc - first, state->argv + first, &used);
    if (program->command == NULL) {
        argp_error(state, "no command '%.40s'", word);
        return;
    }
    program->argc = state->argc - first - used + 1;
    program->argv = state->argv + first + used - 1;
    state->next = state->argc;
}

static error_t program_parse(int key, char *argument, struct argp_state *state)
{
    struct program *program = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &program->inspect;
        return 0;
    case ARGP_KEY_ARG:
        program_find_command(program, state, argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The list of commands goes into --help. argp frees the text. */
static char *program_filter_help(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC || text == NULL) {
        return (char *)(uintptr_t)text;
    }
    char *list = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&list, &size);
    if (stream == NULL) {
        return (char *)(uintptr_t)text;
    }
    (void)fputs(text, stream);
    for (const struct command *command = command_table; command->name != NULL; command++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%s%s%s", command->group != NULL ? command->group : "",
                       command->group != NULL ? " " : "", command->name);
        (void)fprintf(stream, "  %-14s %s\n", name, command->summary);
    }
    (void)fputs(program_help_end, stream);
    (void)fclose(stream);
    return list;
}

static void program_print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    (void)fprintf(stream, "spool-inspect %s\n", SPOOL_VERSION);
}

/* Reads what stands before the command, and finds the command. */
static void program_read_arguments(struct program *program, int argc, char **argv)
{
    static const struct argp_child children[] = {{&inspect_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = program_parse,
        .args_doc = "[COMMAND [ARGUMENTS]]",
        .doc = program_help,
        .children = children,
        .help_filter = program_filter_help,
    };
    argp_err_exit_status = INSPECT_EXIT_USAGE;
    argp_program_version_hook = program_print_version;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, program);
}

static enum inspect_exit program_run(struct program *program)
{
    char name[64];
    char *alone[] = {name, NULL};
    const struct command *command = program->command;
    if (command == NULL) {
        command = &command_table[0];
        program->argc = 1;
        program->argv = alone;
    }
    (void)snprintf(name, sizeof(name), "spool-inspect %s%s%s",
                   command->group != NULL ? command->group : "", command->group != NULL ? " " : "",
                   command->name);
    program->argv[0] = name;
    if (command->only_looks) {
        /* The pipeline comes first. Not so for what writes: others wait for its transactions. */
        (void)!nice(PROGRAM_NICE);
    }
    return command->run(&program->inspect, program->argc, program->argv);
}

int main(int argc, char **argv)
{
    struct program program = {.inspect = {.spool_dir = INSPECT_SPOOL_DEFAULT}};
    (void)setlocale(LC_ALL, "");
    crash_catch();
    program_read_arguments(&program, argc, argv);
    enum inspect_exit code = program_run(&program);
    spool_close(&program.inspect.spool);
    return (int)inspect_finish_output(code);
}
