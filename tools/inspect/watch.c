/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watch: a snapshot again and again, on a screen of which curses sends only what has changed.
 * Between two of them nothing of the spool is held. */
#include "tools/inspect/command.h"
#include "tools/inspect/filter.h"
#include "tools/inspect/output.h"
#include "tools/inspect/snapshot.h"
#include "tools/inspect/snapshot_json.h"
#include "tools/inspect/watch_screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define WATCH_INTERVAL_MS_DEFAULT 1000
#define WATCH_INTERVAL_MS_MIN 1000
#define WATCH_INTERVAL_MS_MAX 3600000

enum {
    OPTION_INTERVAL = 0x3000,
};

struct watch {
    struct inspect *inspect;
    uint64_t interval_ms;
    struct snapshot *snapshot;
    struct watch_screen *screen;
};

static volatile sig_atomic_t watch_is_ended;

static void watch_end(int number)
{
    (void)number;
    watch_is_ended = 1;
}

static const struct argp_option watch_options[] = {
    {"interval", OPTION_INTERVAL, "TIME", 0, "Look so often (1s)", 1},
    {0},
};

static error_t watch_parse(int key, char *argument, struct argp_state *state)
{
    struct watch *watch = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = watch->inspect;
        return 0;
    case OPTION_INTERVAL:
        if (!filter_read_duration(argument, &watch->interval_ms) ||
            watch->interval_ms < WATCH_INTERVAL_MS_MIN ||
            watch->interval_ms > WATCH_INTERVAL_MS_MAX) {
            argp_error(state, "--interval: from 1s to 1h, not '%.40s'", argument);
        }
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%.40s' belongs to no option", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Takes a snapshot; opens the spool anew when it is another file now (set aside, compacted), or was
 * not readable the last time. 0; else message says why there is none. */
static int watch_look(struct watch *watch, struct message *message)
{
    struct inspect *inspect = watch->inspect;
    int r = inspect->spool != NULL ? spool_refresh(inspect->spool) : VISIT_E_REPLACED;
    if (r == VISIT_E_REPLACED) {
        spool_close(&inspect->spool);
        r = spool_visit(inspect->spool_dir, clock_system(), &inspect->spool, message);
        if (r != 0) {
            return r;
        }
    }
    if (r == 0) {
        r = snapshot_take(inspect->spool, watch->snapshot);
    }
    if (r != 0) {
        message_set(message, "%s: cannot be read now: %s", inspect->spool_dir, strerror(-r));
        spool_close(&inspect->spool);
        return r;
    }
    snapshot_judge(watch->snapshot, &(struct snapshot_limits){0});
    return 0;
}

/* --- As JSON ---------------------------------------------------------------------------------- */

static enum inspect_exit watch_run_json(struct watch *watch)
{
    struct message message;
    while (watch_is_ended == 0) {
        if (watch_look(watch, &message) != 0) {
            inspect_say("%s", message.text);
        } else {
            output_json(snapshot_json(watch->inspect->spool, watch->snapshot));
        }
        if (fflush(stdout) != 0) {
            break;
        }
        (void)poll(NULL, 0, (int)watch->interval_ms);
    }
    return INSPECT_EXIT_DONE;
}

/* --- On a screen ------------------------------------------------------------------------------ */

static enum inspect_exit watch_run_screen(struct watch *watch)
{
    struct clock *clock = clock_system();
    uint64_t next_ms = 0;
    bool is_frozen = false;
    if (watch_screen_open(&watch->screen) != 0) {
        inspect_say("watch: this terminal cannot be used (TERM is '%s')",
                    getenv("TERM") != NULL ? getenv("TERM") : "");
        return INSPECT_EXIT_USAGE;
    }
    while (watch_is_ended == 0) {
        uint64_t now_ms = clock->monotonic_ms(clock);
        if (now_ms >= next_ms && !is_frozen) {
            struct message message;
            int r = watch_look(watch, &message);
            watch_screen_update(watch->screen, watch->inspect->spool_dir,
                                r == 0 ? watch->snapshot : NULL, message.text);
            next_ms = now_ms + watch->interval_ms;
        }
        now_ms = clock->monotonic_ms(clock);
        enum watch_key key = watch_screen_wait(
            watch->screen, is_frozen || next_ms <= now_ms ? watch->interval_ms : next_ms - now_ms);
        if (key == WATCH_KEY_QUIT) {
            break;
        }
        if (key == WATCH_KEY_FREEZE) {
            is_frozen = !is_frozen;
            watch_screen_freeze(watch->screen, is_frozen);
        }
    }
    watch_screen_close(&watch->screen);
    return INSPECT_EXIT_DONE;
}

enum inspect_exit watch_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct argp_child children[] = {{&inspect_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = watch_options,
        .parser = watch_parse,
        .doc =
            "Watch the spool's destinations: how much waits, how old it is, how fast it comes and "
            "goes. With --json, print what 'status --json' prints, again and again.\v"
            "Keys: q ends it, p freezes it and lets it go on, up and down scroll.\n"
            "\n"
            "Examples:\n"
            "  spool-inspect watch\n"
            "  spool-inspect watch --interval 5s\n",
        .children = children,
    };
    struct watch watch = {.inspect = inspect, .interval_ms = WATCH_INTERVAL_MS_DEFAULT};
    struct sigaction action = {.sa_handler = watch_end};
    inspect_parse(&argp, argc, argv, &watch);
    if (!inspect->prints_json && !isatty(STDOUT_FILENO)) {
        inspect_say("watch needs a terminal; --json prints lines instead");
        return INSPECT_EXIT_USAGE;
    }
    enum inspect_exit code = inspect_open(inspect);
    SPOOL_CLEANUP(snapshot_free) struct snapshot *snapshot = malloc(sizeof(*snapshot));
    if (code != INSPECT_EXIT_DONE || snapshot == NULL) {
        return INSPECT_EXIT_SPOOL;
    }
    watch.snapshot = snapshot;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return inspect->prints_json ? watch_run_json(&watch) : watch_run_screen(&watch);
}
