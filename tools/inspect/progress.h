/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A progress bar in one line of a terminal, on standard error. Nothing where that is no terminal.
 */
#ifndef TOOLS_INSPECT_PROGRESS_H
#define TOOLS_INSPECT_PROGRESS_H

#include "spool/base.h"

struct progress {
    bool is_shown;    /* standard error is a terminal */
    bool is_on_line;  /* something stands in the line */
    uint64_t told_ms; /* when it was last drawn */
};

void progress_init(struct progress *progress);

/* Draws it anew, at most ten times a second. */
void progress_tell(struct progress *progress, const char *doing, uint64_t done, uint64_t all);

/* Takes it away. */
void progress_end(struct progress *progress);

#endif
