/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/console_host.h"

#include "spool/clock.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <syslog.h>
#include <unistd.h>

#define CLIENT_LINES_WINDOW_MS 60000
#define CLIENT_LINES_MAX 6

/* Of a terminal that does not say how wide it is. */
#define TERMINAL_COLUMNS 80

/* With the lock: takes the line of progress away, so that what comes next stands alone. */
static void console_host_clear(struct console_host *host)
{
    if (host->has_progress) {
        fputs("\r\033[K", stderr);
        host->has_progress = false;
    }
}

static void console_host_tell(struct host *host, enum host_event event, const char *destination,
                              const char *text)
{
    struct console_host *console = (struct console_host *)host;
    pthread_mutex_lock(&console->lock);
    console_host_clear(console);
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
    console_host_clear(host);
    fprintf(stderr, "%s: %s\n", host->program, text);
    pthread_mutex_unlock(&host->lock);
}

void console_host_progress(struct console_host *host, const char *text)
{
    struct winsize size;
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0) {
        size.ws_col = TERMINAL_COLUMNS;
    }
    pthread_mutex_lock(&host->lock);
    console_host_clear(host);
    if (text != NULL) {
        /* The last column stays empty: a full line would make some terminals begin another. */
        fprintf(stderr, "%.*s", size.ws_col - 1, text);
        host->has_progress = true;
    }
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
    console_host_clear(host);
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
