/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/command.h"

#include <string.h>

const struct command command_table[] = {
    {NULL, "status", "How the spool is: verdict, destinations, fill (the default)", status_run},
    {NULL, "ls", "List waiting records", ls_run},
    {NULL, "show", "Show waiting records in full", show_run},
    {"dead", "ls", "List dead letters", dead_ls_run},
    {"dead", "show", "Show dead letters in full", dead_show_run},
    {NULL, "watch", "Watch destinations live", watch_run},
    {NULL, "metrics", "Print figures for Prometheus", metrics_run},
    {"dead", "requeue", "Put dead letters back into a queue", dead_requeue_run},
    {"dead", "drop", "Delete dead letters", dead_drop_run},
    {NULL, "pause", "Forward nothing of a destination for now", pause_run},
    {NULL, "resume", "Let a paused destination go on", resume_run},
    {NULL, "drop", "Delete waiting records", drop_run},
    {NULL, "expire", "Make waiting records dead letters", expire_run},
    {NULL, "move", "Move waiting records into another destination's queue", move_run},
    {NULL, "export", "Print records as lines of JSON that import reads", export_run},
    {NULL, "import", "Put exported records into the spool", import_run},
    {NULL, "audit", "List what was done with records by hand", audit_run},
    {NULL, "verify", "Check every page, every record and what must always hold", verify_run},
    {NULL, "compact", "Give the disk what the spool no longer uses", compact_run},
    {NULL, "salvage", "Read what can be read of a damaged spool into a new one", salvage_run},
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
