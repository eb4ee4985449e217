/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/console_host.h"

#include "spool/clock.h"

#include <stdio.h>
#include <syslog.h>

#define CLIENT_LINES_WINDOW_MS 60000
#define CLIENT_LINES_MAX 6

static void console_host_tell(struct host *host, enum host_event event, const char *destination,
                              const char *text)
{
    struct console_host *console = (struct console_host *)host;
    pthread_mutex_lock(&console->lock);
    fprintf(stderr, "%s: %s%s%s: %s\n", console->program, host_event_name(event),
            destination != NULL ? " " : "", destination != NULL ? destination : "", text);
    pthread_mutex_unlock(&console->lock);
}

static int console_host_run_report(struct host *host, const struct host_report *report)
{
    (void)host;
    (void)report;
    return HOST_E_UNABLE;
}

void console_host_init(struct console_host *host, const char *program)
{
    *host = (struct console_host){
        .host = {.tell = console_host_tell, .run_report = console_host_run_report},
        .program = program,
    };
    pthread_mutex_init(&host->lock, NULL);
}

void console_host_say(struct console_host *host, const char *text)
{
    pthread_mutex_lock(&host->lock);
    fprintf(stderr, "%s: %s\n", host->program, text);
    pthread_mutex_unlock(&host->lock);
}

void console_host_log(void *context, int level, const char *text)
{
    struct console_host *host = context;
    if (level > LOG_WARNING) {
        return;
    }
    uint64_t now_ms = clock_system()->monotonic_ms(clock_system());
    pthread_mutex_lock(&host->lock);
    if (now_ms - host->window_started_ms >= CLIENT_LINES_WINDOW_MS) {
        if (host->suppressed_count > 0) {
            fprintf(stderr, "%s: client_log: %llu more lines in the last minute\n", host->program,
                    (unsigned long long)host->suppressed_count);
        }
        host->window_started_ms = now_ms;
        host->window_lines_count = 0;
        host->suppressed_count = 0;
    }
    if (host->window_lines_count < CLIENT_LINES_MAX) {
        host->window_lines_count++;
        fprintf(stderr, "%s: client_log: %s\n", host->program, text);
    } else {
        host->suppressed_count++;
    }
    pthread_mutex_unlock(&host->lock);
}
