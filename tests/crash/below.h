/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults from below: what is tried with each, and what must hold. */
#ifndef TESTS_CRASH_BELOW_H
#define TESTS_CRASH_BELOW_H

#include "spool/message.h"
#include "tests/crash/disk_fault.h"

/* A fault: of a call on the spool's files, or of memory. */
struct below_fault {
    bool is_memory;
    struct disk_fault disk; /* of memory: nth and count alone */
};

/* The next calls are counted, and fail as the fault says. */
void below_arm(const struct below_fault *fault);
void below_disarm(void);
bool below_has_hit(void);

/* Ends the process as a failure, and says why. */
void below_fail(const char *format, ...) SPOOL_PRINTF(1, 2) __attribute__((noreturn));

/* The life of a spool in the folder, with the fault: it is opened (made, when it is missing),
 * records come, are settled, and are read. Then the fault is gone: the spool works again as it is,
 * and when it is opened anew; what was accepted is there, what was refused is not; all can be
 * settled. Any other end is a failure. */
void below_engine(const char *dir, const struct below_fault *fault);

/* A spool to begin with. */
void below_make(const char *dir);

/* So many commands of spool-inspect are tried. */
size_t below_commands_count(void);
const char *below_command_name(size_t command);

/* Runs one of them on a spool that below_make() made, with the fault. It ends with a documented
 * exit code, and says why when that is not 0; the spool is sound afterwards, and no record is gone
 * but by the command. work is an empty folder for what it writes. */
void below_command(size_t command, const char *dir, const char *work,
                   const struct below_fault *fault);

#endif
