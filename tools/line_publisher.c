/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/line_publisher.h"

#include "spool/limits.h"
#include "spool/point.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#define UNDER_WAY_MAX 1024
#define READ_BYTES (256U << 10)

struct line_publisher {
    struct line_publisher_config config;
    struct line_publisher_progress progress;

    /* Input that is not published yet: [begin, end) of the buffer. */
    char *buffer;
    size_t buffer_bytes;
    size_t begin;
    size_t end;

    /* Publishes under way, oldest first: a circular queue. */
    struct ring_ticket tickets[UNDER_WAY_MAX];
    size_t tickets_first;
    size_t tickets_count;
    uint64_t finished_lines; /* whose outcome is known */
};

int line_publisher_new(const struct line_publisher_config *config,
                       struct line_publisher **ret_publisher)
{
    struct line_publisher *publisher = calloc(1, sizeof(*publisher));
    if (publisher == NULL) {
        return -ENOMEM;
    }
    publisher->config = *config;
    publisher->buffer_bytes = READ_BYTES;
    publisher->buffer = malloc(publisher->buffer_bytes);
    if (publisher->buffer == NULL) {
        line_publisher_free(&publisher);
        return -ENOMEM;
    }
    *ret_publisher = publisher;
    return 0;
}

void line_publisher_free(struct line_publisher **publisher_at)
{
    struct line_publisher *publisher = SPOOL_TAKE(*publisher_at);
    if (publisher != NULL) {
        free(publisher->buffer);
        free(publisher);
    }
}

void line_publisher_progress(const struct line_publisher *publisher,
                             struct line_publisher_progress *ret_progress)
{
    *ret_progress = publisher->progress;
}

/* --- Outcomes --------------------------------------------------------------------------------- */

static void line_publisher_note(struct line_publisher *publisher, enum outcome outcome,
                                uint64_t sequence)
{
    struct line_publisher_progress *progress = &publisher->progress;
    publisher->finished_lines++;
    if (outcome == OUTCOME_ACCEPTED) {
        progress->accepted_count++;
        if (progress->refusal == OUTCOME_ACCEPTED) {
            SPOOL_POINT("line.accepted");
            publisher->config.on_accepted(publisher->config.context, sequence);
        }
    } else if (progress->refusal == OUTCOME_ACCEPTED) {
        progress->refusal = outcome;
        progress->refused_line = publisher->finished_lines;
        progress->is_at_end = true;
    }
}

/* Waits for the oldest publish's outcome. Once one came too late, the others had their time too. */
static void line_publisher_finish_one(struct line_publisher *publisher)
{
    assert(publisher->tickets_count > 0);
    uint64_t sequence = 0;
    struct publisher patient = publisher->config.publisher;
    enum outcome refusal = publisher->progress.refusal;
    if (refusal == OUTCOME_TIMEOUT || refusal == OUTCOME_UNKNOWN) {
        patient.commit_timeout_ms = 0;
    }
    enum outcome outcome =
        publish_end(&patient, publisher->tickets[publisher->tickets_first], &sequence);
    publisher->tickets_first = (publisher->tickets_first + 1) % UNDER_WAY_MAX;
    publisher->tickets_count--;
    line_publisher_note(publisher, outcome, sequence);
}

void line_publisher_finish(struct line_publisher *publisher)
{
    while (publisher->tickets_count > 0) {
        line_publisher_finish_one(publisher);
    }
}

/* --- Lines ------------------------------------------------------------------------------------ */

static void line_publisher_publish(struct line_publisher *publisher, struct span line)
{
    if (publisher->tickets_count == UNDER_WAY_MAX) {
        line_publisher_finish_one(publisher);
        if (publisher->progress.is_at_end) {
            return; /* refused: this line is not published */
        }
    }
    struct record record = line_form_record(&publisher->config.form, line);
    struct ring_ticket ticket;
    enum outcome refusal;
    publisher->progress.lines_count++;
    int r = publish_begin(&publisher->config.publisher, &publisher->config.target, &record, false,
                          &ticket, &refusal);
    if (r == 0) {
        size_t at = (publisher->tickets_first + publisher->tickets_count) % UNDER_WAY_MAX;
        publisher->tickets[at] = ticket;
        publisher->tickets_count++;
    } else {
        /* Those before it first, so that outcomes stay in the order of the lines. */
        line_publisher_finish(publisher);
        line_publisher_note(publisher, refusal, 0);
    }
}

/* Publishes the whole lines in the buffer; at the end of the input also one without a line feed. */
static void line_publisher_split(struct line_publisher *publisher, bool is_end)
{
    while (!publisher->progress.is_at_end && publisher->begin < publisher->end) {
        char *line = publisher->buffer + publisher->begin;
        size_t rest = publisher->end - publisher->begin;
        char *feed = memchr(line, '\n', rest);
        if (feed == NULL && !is_end) {
            return;
        }
        size_t size_bytes = feed != NULL ? (size_t)(feed - line) : rest;
        line_publisher_publish(publisher, (struct span){line, size_bytes});
        publisher->begin += size_bytes + (feed != NULL);
    }
}

/* Refuses a line that is in no buffer's reach. */
static void line_publisher_refuse_long(struct line_publisher *publisher)
{
    line_publisher_finish(publisher);
    if (!publisher->progress.is_at_end) {
        publisher->progress.lines_count++;
        line_publisher_note(publisher, OUTCOME_OVERSIZED, 0);
    }
}

/* Makes room for a read: moves what is left to the front, or grows for a long line. The room may be
 * none when the line is longer than any record. */
static int line_publisher_make_room(struct line_publisher *publisher)
{
    if (publisher->begin > 0) {
        memmove(publisher->buffer, publisher->buffer + publisher->begin,
                publisher->end - publisher->begin);
        publisher->end -= publisher->begin;
        publisher->begin = 0;
    }
    if (publisher->end < publisher->buffer_bytes || publisher->buffer_bytes > RECORD_BYTES_MAX) {
        return 0;
    }
    char *buffer = realloc(publisher->buffer, 2 * publisher->buffer_bytes);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    publisher->buffer = buffer;
    publisher->buffer_bytes *= 2;
    return 0;
}

static bool line_publisher_has_input(const struct line_publisher *publisher)
{
    struct pollfd polled = {.fd = publisher->config.fd, .events = POLLIN};
    return poll(&polled, 1, 0) > 0;
}

int line_publisher_step(struct line_publisher *publisher)
{
    int r = line_publisher_make_room(publisher);
    if (r < 0) {
        return r;
    }
    if (publisher->end == publisher->buffer_bytes) {
        line_publisher_refuse_long(publisher);
        return 0;
    }
    ssize_t size = read(publisher->config.fd, publisher->buffer + publisher->end,
                        publisher->buffer_bytes - publisher->end);
    if (size < 0) {
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    }
    publisher->end += (size_t)size;
    line_publisher_split(publisher, size == 0);
    if (size == 0) {
        publisher->progress.is_at_end = true;
    }
    if (publisher->progress.is_at_end || !line_publisher_has_input(publisher)) {
        line_publisher_finish(publisher);
    }
    return 0;
}
