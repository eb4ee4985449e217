/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host of a command-line program: what happens is said on standard error, in lines. */
#ifndef TOOLS_CONSOLE_HOST_H
#define TOOLS_CONSOLE_HOST_H

#include "src/host.h"

#include <pthread.h>

struct console_host {
    struct host host;
    const char *program;
    pthread_mutex_t lock;
    bool has_progress; /* the terminal's last line is one of progress */
    /* The Kafka client repeats itself in an outage: a few lines a minute are enough. */
    uint64_t window_started_ms;
    unsigned window_lines_count;
    uint64_t suppressed_count;
};

void console_host_init(struct console_host *host, const char *program);

/* Says a line, of the program itself. */
void console_host_say(struct console_host *host, const char *text);

/* Shows how far the program is, in one line that the next one takes the place of; cut to the
 * terminal's width. Nothing where standard error is no terminal. NULL takes the line away. */
void console_host_progress(struct console_host *host, const char *text);

/* A sink_rdkafka_log: context is the console host. */
void console_host_log(void *context, int level, const char *text);

#endif
