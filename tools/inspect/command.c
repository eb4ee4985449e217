/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/command.h"

#include <string.h>

const struct command command_table[] = {
    {NULL, "status", "How the spool is: verdict, destinations, fill (the default)", status_run},
    {NULL, "ls", "List waiting records", ls_run},
    {NULL, "show", "Show waiting records in full", show_run},
    {"dead", "ls", "List dead letters", dead_ls_run},
    {"dead", "show", "Show dead letters in full", dead_show_run},
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
