/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Publishes the lines of a file descriptor: each line (any bytes but the line feed) is a record.
 * Keeps many publishes under way, so that a commit has many records, and tells their outcomes in
 * the order of the lines. After the first line that is refused it reads no more.
 */
#ifndef TOOLS_LINE_PUBLISHER_H
#define TOOLS_LINE_PUBLISHER_H

#include "spool/base.h"
#include "src/publish.h"
#include "tools/line_form.h"

struct line_publisher;

struct line_publisher_config {
    struct publisher publisher;
    struct publish_target target;
    int fd; /* of the lines; borrowed */
    struct line_form form;
    /* Called for each accepted line before the first that is refused: the n-th call is about the
     * n-th line. */
    void (*on_accepted)(void *context, uint64_t sequence);
    void *context;
};

struct line_publisher_progress {
    uint64_t lines_count; /* handed over so far */
    uint64_t accepted_count;
    bool is_at_end;       /* of the input, or stopped by a refusal */
    enum outcome refusal; /* the first, or OUTCOME_ACCEPTED */
    uint64_t refused_line;
};

SPOOL_MUST_CHECK int line_publisher_new(const struct line_publisher_config *config,
                                        struct line_publisher **ret_publisher);

/* Frees *publisher and sets it to NULL; NULL is fine. Gives up on what is under way. */
void line_publisher_free(struct line_publisher **publisher);

/* Reads once (the fd is readable) and publishes the lines that this completes. When no more input
 * is there at once, waits for the outcomes of all that is under way. 0, -errno (reading failed). */
SPOOL_MUST_CHECK int line_publisher_step(struct line_publisher *publisher);

/* Waits for the outcomes of all that is under way, each at most the commit timeout. */
void line_publisher_finish(struct line_publisher *publisher);

void line_publisher_progress(const struct line_publisher *publisher,
                             struct line_publisher_progress *ret_progress);

#endif
