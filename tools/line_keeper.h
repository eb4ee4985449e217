/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Publishes the lines of a pipe, and leaves each in it until it is accepted. A line that is not
 * accepted is tried again, and what is behind it waits in the pipe, so that its writers wait too.
 * For a service: whatever ends it, what was not accepted is there for its next start. (A line
 * longer than half the pipe must be taken out piece by piece: it is lost when the program ends
 * meanwhile.)
 */
#ifndef TOOLS_LINE_KEEPER_H
#define TOOLS_LINE_KEEPER_H

#include "spool/base.h"
#include "src/publish.h"
#include "tools/line_form.h"

struct line_keeper;

struct line_keeper_config {
    struct publisher publisher;
    struct publish_target target;
    int fd; /* the pipe; borrowed */
    struct line_form form;
};

struct line_keeper_progress {
    uint64_t accepted_count;
    uint64_t dropped_count; /* lines larger than any record may be */
    bool is_at_end;         /* all lines were accepted, and nobody writes more */
    bool is_waiting;        /* step again soon, whether the pipe is readable or not */
    enum outcome obstacle;  /* why the first line is not accepted, or OUTCOME_ACCEPTED */
};

/* 0, -errno (-EBADF: config->fd is no pipe). */
SPOOL_MUST_CHECK int line_keeper_new(const struct line_keeper_config *config,
                                     struct line_keeper **ret_keeper);

/* Frees *keeper and sets it to NULL; NULL is fine. */
void line_keeper_free(struct line_keeper **keeper);

/* Publishes whole lines that are in the pipe, waits for their outcomes, and takes those out that
 * are accepted, up to the first that is not. 0, -errno (the pipe cannot be read). */
SPOOL_MUST_CHECK int line_keeper_step(struct line_keeper *keeper);

void line_keeper_progress(const struct line_keeper *keeper,
                          struct line_keeper_progress *ret_progress);

#endif
