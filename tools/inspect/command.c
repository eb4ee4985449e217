/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/command.h"

#include <string.h>

const struct command command_table[] = {
    {NULL, "status", "How the spool is: verdict, destinations, fill (the default)", status_run,
     true},
    {NULL, "ls", "List waiting records", ls_run, true},
    {NULL, "show", "Show waiting records in full", show_run, true},
    {"dead", "ls", "List dead letters", dead_ls_run, true},
    {"dead", "show", "Show dead letters in full", dead_show_run, true},
    {NULL, "watch", "Watch destinations live", watch_run, true},
    {NULL, "metrics", "Print figures for Prometheus", metrics_run, true},
    {"dead", "requeue", "Put dead letters back into a queue", dead_requeue_run, false},
    {"dead", "drop", "Delete dead letters", dead_drop_run, false},
    {NULL, "pause", "Forward nothing of a destination for now", pause_run, false},
    {NULL, "resume", "Let a paused destination go on", resume_run, false},
    {NULL, "drop", "Delete waiting records", drop_run, false},
    {NULL, "expire", "Make waiting records dead letters", expire_run, false},
    {NULL, "move", "Move waiting records into another destination's queue", move_run, false},
    {NULL, "export", "Print records as lines of JSON that import reads", export_run, true},
    {NULL, "import", "Put exported records into the spool", import_run, false},
    {NULL, "audit", "List what was done with records by hand", audit_run, true},
    {NULL, "verify", "Check every page, every record and what must always hold", verify_run, true},
    {NULL, "compact", "Give the disk what the spool no longer uses", compact_run, false},
    {NULL, "salvage", "Read what can be read of a damaged spool into a new one", salvage_run,
     false},
    {0},
};

const struct command *command_find(int words_count, char **words, int *ret_used)
{
    for (const struct command *command = command_table; command->name != NULL; command++) {
        int used = command->group != NULL ? 2 : 1;
        if (words_count >= used && strcmp(words[used - 1], command->name) == 0 &&
            (command->group == NULL || strcmp(words[0], command->group) == 0)) {
            *ret_used = used;
            return command;
        }
    }
    return NULL;
}
