/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/progress.h"

#include "spool/clock.h"

#include <stdio.h>
#include <string.h>

#define PROGRESS_INTERVAL_MS 100
#define PROGRESS_BAR_COUNT 40

void progress_init(struct progress *progress)
{
    const char *terminal = getenv("TERM");
    *progress = (struct progress){
        .is_shown = isatty(STDERR_FILENO) != 0 && terminal != NULL && strcmp(terminal, "dumb") != 0,
    };
}

void progress_tell(struct progress *progress, const char *doing, uint64_t done, uint64_t all)
{
    struct clock *clock = clock_system();
    uint64_t now_ms = clock->monotonic_ms(clock);
    if (!progress->is_shown ||
        (progress->is_on_line && now_ms < progress->told_ms + PROGRESS_INTERVAL_MS)) {
        return;
    }
    char bar[PROGRESS_BAR_COUNT + 1];
    double part = all == 0 ? 1 : (double)done / (double)all;
    size_t filled = (size_t)(part * PROGRESS_BAR_COUNT);
    memset(bar, '.', PROGRESS_BAR_COUNT);
    memset(bar, '#', filled < PROGRESS_BAR_COUNT ? filled : PROGRESS_BAR_COUNT);
    bar[PROGRESS_BAR_COUNT] = '\0';
    (void)fprintf(stderr, "\r%s [%s] %3d %%\x1b[K", doing, bar, (int)(part * 100));
    (void)fflush(stderr);
    progress->is_on_line = true;
    progress->told_ms = now_ms;
}

void progress_end(struct progress *progress)
{
    if (progress->is_on_line) {
        (void)fprintf(stderr, "\r\x1b[K");
        (void)fflush(stderr);
        progress->is_on_line = false;
    }
}
