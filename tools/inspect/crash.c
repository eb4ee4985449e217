/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/crash.h"

#include "tools/inspect/inspect.h"

#include <signal.h>
#include <unistd.h>

static void crash_end(int number)
{
    static const char text[] =
        "spool-inspect: the spool cannot be read further: its data file is damaged in a way that "
        "ends the program that reads it; 'spool-inspect salvage' reads what can be read of it\n";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(INSPECT_EXIT_SPOOL);
}

void crash_catch(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
    struct sigaction action = {.sa_handler = crash_end};
    for (size_t i = 0; i < SPOOL_COUNT_OF(numbers); i++) {
        (void)sigaction(numbers[i], &action, NULL);
    }
}
