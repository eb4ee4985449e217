/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/line_keeper.h"

#include "spool/limits.h"
#include "tools/kept_pipe.h"

#include <errno.h>
#include <string.h>

#define LINES_MAX 1024

/* A line that was looked at and is not taken out of the pipe yet. */
struct kept_line {
    size_t begin; /* in the buffer */
    size_t size_bytes;
    size_t end; /* behind its line feed */
    struct ring_ticket ticket;
    bool is_under_way;
    bool is_done; /* accepted, or dropped */
};

struct line_keeper {
    struct line_keeper_config config;
    struct line_keeper_progress progress;
    struct kept_pipe *pipe;

    /* The begin of a long line, which was taken out already; then what is in the pipe. */
    char *buffer;
    size_t buffer_bytes;
    size_t taken_bytes;
    bool skips_line; /* too long: all is dropped up to the next line feed */

    struct kept_line lines[LINES_MAX];
    size_t first; /* the first that is not taken out */
    size_t lines_count;
};

int line_keeper_new(const struct line_keeper_config *config, struct line_keeper **ret_keeper)
{
    struct line_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) {
        return -ENOMEM;
    }
    keeper->config = *config;
    int r = kept_pipe_new(config->fd, &keeper->pipe);
    if (r != 0) {
        line_keeper_free(&keeper);
        return r;
    }
    *ret_keeper = keeper;
    return 0;
}

void line_keeper_free(struct line_keeper **keeper_at)
{
    struct line_keeper *keeper = SPOOL_TAKE(*keeper_at);
    if (keeper != NULL) {
        kept_pipe_free(&keeper->pipe);
        free(keeper->buffer);
        free(keeper);
    }
}

void line_keeper_progress(const struct line_keeper *keeper,
                          struct line_keeper_progress *ret_progress)
{
    *ret_progress = keeper->progress;
}

/* --- What is in the pipe ---------------------------------------------------------------------- */

static int line_keeper_make_room(struct line_keeper *keeper)
{
    size_t wanted_bytes = keeper->taken_bytes + kept_pipe_capacity(keeper->pipe);
    if (wanted_bytes <= keeper->buffer_bytes) {
        return 0;
    }
    char *buffer = realloc(keeper->buffer, 2 * wanted_bytes);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    keeper->buffer = buffer;
    keeper->buffer_bytes = 2 * wanted_bytes;
    return 0;
}

/* Notes the whole lines in the buffer's first end_bytes; at the end of the input also the last one
 * without a line feed. */
static void line_keeper_split(struct line_keeper *keeper, size_t end_bytes, bool is_end)
{
    size_t begin = 0;
    keeper->first = 0;
    keeper->lines_count = 0;
    while (begin < end_bytes && keeper->lines_count < LINES_MAX) {
        const char *feed = memchr(keeper->buffer + begin, '\n', end_bytes - begin);
        if (feed == NULL && !is_end) {
            return;
        }
        size_t line_end = feed != NULL ? (size_t)(feed - keeper->buffer) : end_bytes;
        keeper->lines[keeper->lines_count++] = (struct kept_line){
            .begin = begin,
            .size_bytes = line_end - begin,
            .end = line_end + (feed != NULL),
        };
        begin = line_end + (feed != NULL);
    }
}

/* Takes out what there is of a line that may not fit into the pipe; its size tells how much of it
 * is in the buffer. */
static int line_keeper_take_part(struct line_keeper *keeper, size_t size_bytes)
{
    keeper->taken_bytes += size_bytes;
    if (keeper->taken_bytes > RECORD_BYTES_MAX) {
        keeper->skips_line = true;
        keeper->taken_bytes = 0;
    }
    return kept_pipe_take(keeper->pipe, size_bytes);
}

/* Drops what there is of a line that is too long. */
static int line_keeper_skip(struct line_keeper *keeper, size_t size_bytes)
{
    const char *feed = memchr(keeper->buffer, '\n', size_bytes);
    if (feed != NULL) {
        keeper->skips_line = false;
        keeper->progress.dropped_count++;
        size_bytes = (size_t)(feed - keeper->buffer) + 1;
    }
    return kept_pipe_take(keeper->pipe, size_bytes);
}

/* Looks at what is in the pipe, and finds the lines in it. */
static int line_keeper_look(struct line_keeper *keeper)
{
    size_t size_bytes;
    bool is_end;
    int r = line_keeper_make_room(keeper);
    if (r == 0) {
        r = kept_pipe_look(keeper->pipe, keeper->buffer + keeper->taken_bytes, &size_bytes,
                           &is_end);
    }
    if (r != 0) {
        return r;
    }
    keeper->progress.is_waiting = false;
    if (keeper->skips_line && size_bytes > 0) {
        return line_keeper_skip(keeper, size_bytes);
    }
    line_keeper_split(keeper, keeper->taken_bytes + size_bytes, is_end);
    if (keeper->lines_count > 0) {
        return 0;
    }
    if (size_bytes > kept_pipe_capacity(keeper->pipe) / 2) {
        return line_keeper_take_part(keeper, size_bytes);
    }
    if (is_end && size_bytes == 0) {
        keeper->progress.is_at_end = true;
        keeper->progress.dropped_count += keeper->skips_line;
        return 0;
    }
    /* The rest of a line is to come: the pipe is readable all the time until then. */
    keeper->progress.is_waiting = size_bytes > 0;
    return 0;
}

/* --- What becomes of the lines ---------------------------------------------------------------- */

/* Notes a line's outcome. */
static void line_keeper_note(struct line_keeper *keeper, struct kept_line *line,
                             enum outcome outcome)
{
    struct line_keeper_progress *progress = &keeper->progress;
    if (outcome == OUTCOME_ACCEPTED) {
        progress->accepted_count++;
        line->is_done = true;
    } else if (outcome == OUTCOME_OVERSIZED) {
        progress->dropped_count++;
        line->is_done = true;
    } else if (progress->obstacle == OUTCOME_ACCEPTED) {
        progress->obstacle = outcome;
    }
}

/* Hands over the lines that are not done, in their order. The first that is not taken is enough:
 * the others would have to wait as long, each. */
static void line_keeper_begin(struct line_keeper *keeper)
{
    for (size_t i = keeper->first; i < keeper->lines_count; i++) {
        struct kept_line *line = &keeper->lines[i];
        if (line->is_done) {
            continue;
        }
        struct span text = {keeper->buffer + line->begin, line->size_bytes};
        struct record record = line_form_record(&keeper->config.form, text);
        enum outcome refusal;
        int r = publish_begin(&keeper->config.publisher, &keeper->config.target, &record, false,
                              &line->ticket, &refusal);
        line->is_under_way = r == 0;
        if (r != 0) {
            line_keeper_note(keeper, line, refusal);
        }
        if (!line->is_under_way && !line->is_done) {
            return;
        }
    }
}

/* Waits for the outcomes. Once one came too late, the others had their time too. */
static void line_keeper_end(struct line_keeper *keeper)
{
    struct publisher patient = keeper->config.publisher;
    for (size_t i = keeper->first; i < keeper->lines_count; i++) {
        struct kept_line *line = &keeper->lines[i];
        if (!line->is_under_way) {
            continue;
        }
        uint64_t sequence;
        enum outcome outcome = publish_end(&patient, line->ticket, &sequence);
        line->is_under_way = false;
        line_keeper_note(keeper, line, outcome);
        if (outcome == OUTCOME_TIMEOUT || outcome == OUTCOME_UNKNOWN) {
            patient.commit_timeout_ms = 0;
        }
    }
}

/* Takes the lines out that are done, up to the first that is not. */
static int line_keeper_take_done(struct line_keeper *keeper)
{
    size_t first = keeper->first;
    size_t from = first > 0 ? keeper->lines[first - 1].end : keeper->taken_bytes;
    while (keeper->first < keeper->lines_count && keeper->lines[keeper->first].is_done) {
        keeper->first++;
    }
    keeper->progress.is_waiting = keeper->first < keeper->lines_count;
    if (keeper->first == first) {
        return 0;
    }
    return kept_pipe_take(keeper->pipe, keeper->lines[keeper->first - 1].end - from);
}

int line_keeper_step(struct line_keeper *keeper)
{
    if (keeper->first == keeper->lines_count) {
        int r = line_keeper_look(keeper);
        if (r != 0 || keeper->lines_count == 0 || keeper->first == keeper->lines_count) {
            return r;
        }
    }
    keeper->progress.obstacle = OUTCOME_ACCEPTED;
    line_keeper_begin(keeper);
    line_keeper_end(keeper);
    int r = line_keeper_take_done(keeper);
    if (keeper->first == keeper->lines_count) {
        keeper->taken_bytes = 0;
    }
    return r;
}
