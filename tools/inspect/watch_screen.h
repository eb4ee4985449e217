/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The screen of watch. curses is spoken here and nowhere else. */
#ifndef TOOLS_INSPECT_WATCH_SCREEN_H
#define TOOLS_INSPECT_WATCH_SCREEN_H

#include "tools/inspect/snapshot.h"

struct watch_screen;

enum watch_key {
    WATCH_KEY_NONE,
    WATCH_KEY_QUIT,
    WATCH_KEY_FREEZE,
};

/* Takes the terminal. 0, -ENOTTY (curses does not know it), -ENOMEM. */
SPOOL_MUST_CHECK int watch_screen_open(struct watch_screen **ret_screen);

/* Gives it back. NULL is fine. */
void watch_screen_close(struct watch_screen **screen);

/* Shows a snapshot, which is borrowed until the next call; NULL: why there is none. */
void watch_screen_update(struct watch_screen *screen, const char *spool_dir,
                         const struct snapshot *snapshot, const char *why);

/* Says on the screen that it stands still. */
void watch_screen_freeze(struct watch_screen *screen, bool is_frozen);

/* Waits for a key; scrolls, and follows the terminal's size. */
SPOOL_MUST_CHECK enum watch_key watch_screen_wait(struct watch_screen *screen, uint64_t timeout_ms);

#endif
