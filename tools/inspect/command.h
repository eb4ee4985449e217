/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of spool-inspect: one file each, one line in the table of command.c each.
 *
 * To add one: write NAME.c with `enum inspect_exit NAME_run(struct inspect *, int, char **)`,
 * declare it here, add its line to the table, its section to docs/man/spool-inspect.1.scd, and its
 * format to docs/spool-inspect-json.md.
 */
#ifndef TOOLS_INSPECT_COMMAND_H
#define TOOLS_INSPECT_COMMAND_H

#include "tools/inspect/inspect.h"

struct command {
    const char *group; /* "dead" in "dead ls", or NULL */
    const char *name;
    const char *summary; /* one line, for the list of commands */
    /* Reads the rest of the command line (argv[0] is "spool-inspect NAME", for usage messages),
     * opens what it needs, and does it. */
    enum inspect_exit (*run)(struct inspect *inspect, int argc, char **argv);
    bool only_looks; /* changes nothing, so it may wait while others need the processor */
};

/* All commands in the order of the list; the last one has no name. */
extern const struct command command_table[];

/* Finds the command that words name, "dead" "ls" for instance; *ret_used is how many of them belong
 * to its name. NULL: there is none. */
const struct command *command_find(int words_count, char **words, int *ret_used);

enum inspect_exit status_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit ls_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit show_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit watch_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit metrics_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit dead_ls_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit dead_show_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit dead_requeue_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit dead_drop_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit pause_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit resume_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit drop_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit expire_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit move_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit export_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit import_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit audit_run(struct inspect *inspect, int argc, char **argv);

enum inspect_exit verify_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit salvage_run(struct inspect *inspect, int argc, char **argv);
enum inspect_exit compact_run(struct inspect *inspect, int argc, char **argv);

#endif
