/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LMDB trusts the pages of its file: one that is damaged can end the program with a signal or an
 * assertion. That then is an answer too: a message and an exit code.
 */
#ifndef TOOLS_INSPECT_CRASH_H
#define TOOLS_INSPECT_CRASH_H

/* From now on SIGSEGV, SIGBUS, SIGFPE and SIGABRT say on standard error that the spool is damaged,
 * and end the program with INSPECT_EXIT_SPOOL. */
void crash_catch(void);

#endif
