/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all commands of spool-inspect share: the spool that they look at, and how they speak. */
#ifndef TOOLS_INSPECT_INSPECT_H
#define TOOLS_INSPECT_INSPECT_H

#include "spool/base.h"
#include "spool/message.h"
#include "spool/spool.h"
#include "spool/visit.h"

#include <argp.h>

#define INSPECT_SPOOL_DEFAULT "/var/spool/opensips/kafka"

/* Exit codes of every command: documented in --help and docs/man/spool-inspect.1.scd. */
enum inspect_exit {
    INSPECT_EXIT_DONE = 0,      /* healthy, or done */
    INSPECT_EXIT_ATTENTION = 1, /* something is wrong with the spool, or was not done */
    INSPECT_EXIT_USAGE = 2,     /* the command line is wrong */
    INSPECT_EXIT_SPOOL = 3,     /* the spool cannot be read */
};

struct inspect {
    const char *spool_dir;
    bool prints_json;
    struct spool *spool; /* after inspect_open(); closed by main() */
};

/* --spool and --json, which every command takes behind its name too: a child of its struct argp,
 * whose input is the struct inspect. */
extern const struct argp inspect_argp;

/* Reads a command's arguments with argp (in-order options, exit code 2 for what is wrong). input is
 * what the command's own parser gets; the parser hands the struct inspect to inspect_argp. */
void inspect_parse(const struct argp *argp, int argc, char **argv, void *input);

/* Becomes the owner of the spool's folder when run by root, so that no file in it is root's, and
 * never was. Before any file of the spool is touched. 0, SPOOL_E_REFUSED, -errno; message is set
 * for each but 0. */
SPOOL_MUST_CHECK int inspect_become_owner(const char *spool_dir, struct message *message);

/* Opens inspect->spool as a visitor (after becoming the folder's owner). When that fails it says
 * why on standard error, and gives the command's exit code; else INSPECT_EXIT_DONE. */
SPOOL_MUST_CHECK enum inspect_exit inspect_open(struct inspect *inspect);

/* Says a line on standard error: "spool-inspect: ...". Control characters become '?'. */
void inspect_say(const char *format, ...) SPOOL_PRINTF(1, 2);

/* Wall clock, ms since the epoch. */
SPOOL_MUST_CHECK uint64_t inspect_now_ms(void);

/* Whether standard output was written in full so far; says so when not (a full disk, say). A
 * command ends with this. Returns code, or INSPECT_EXIT_ATTENTION. */
SPOOL_MUST_CHECK enum inspect_exit inspect_finish_output(enum inspect_exit code);

#endif
