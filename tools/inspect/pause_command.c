/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pause, resume: whether a destination is forwarded. */
#include "spool/audit.h"
#include "spool/pause.h"
#include "tools/inspect/command.h"
#include "tools/inspect/filter.h"
#include "tools/inspect/output.h"
#include "tools/inspect/who.h"

#include <stdio.h>
#include <string.h>

struct pause {
    struct inspect *inspect;
    bool pauses;
    char *texts[DESTINATIONS_MAX];
    size_t texts_count;
    char who[WHO_BYTES];
};

static error_t pause_parse(int key, char *argument, struct argp_state *state)
{
    struct pause *pause = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = pause->inspect;
        return 0;
    case ARGP_KEY_ARG:
        if (pause->texts_count == DESTINATIONS_MAX) {
            argp_error(state, "more than %d destinations", DESTINATIONS_MAX);
            return 0;
        }
        pause->texts[pause->texts_count++] = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which DESTINATION? 'status' lists them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void pause_print(const struct pause *pause, uint32_t destination, uint64_t before_wall_ms,
                        uint64_t since_wall_ms)
{
    const char *identity = spool_destination_identity(pause->inspect->spool, destination);
    bool is_changed = (before_wall_ms != 0) != (since_wall_ms != 0);
    if (pause->inspect->prints_json) {
        json_t *object = json_object();
        struct span name = {identity, strlen(identity)};
        (void)json_object_set_new(object, "format", json_string("spool-inspect/pause/1"));
        output_json_bytes(object, "destination", name);
        (void)json_object_set_new(object, "paused", json_boolean(since_wall_ms != 0));
        output_json_time(object, "since_ms", since_wall_ms);
        (void)json_object_set_new(object, "changed", json_boolean(is_changed));
        output_json(object);
        return;
    }
    char since[OUTPUT_WORD_BYTES];
    output_time(since_wall_ms, since);
    if (since_wall_ms == 0) {
        printf("%s: %s\n", identity, is_changed ? "goes on" : "was not paused");
    } else {
        printf("%s: %s since %s\n", identity, is_changed ? "paused" : "was paused already", since);
    }
}

/* 0, or what spool_pause() gives. */
static int pause_one(const struct pause *pause, uint32_t destination, struct message *message)
{
    struct spool *spool = pause->inspect->spool;
    uint64_t before_wall_ms = 0;
    uint64_t since_wall_ms = 0;
    uint64_t now_ms = inspect_now_ms();
    struct audit_entry entry = {
        .act = pause->pauses ? AUDIT_PAUSE : AUDIT_RESUME,
        .destination = destination,
        .begun_wall_ms = now_ms,
        .ended_wall_ms = now_ms,
        .who = {pause->who, strlen(pause->who)},
    };
    message_set(message, "%s: cannot be read", spool_dir(spool));
    int r = spool_paused_since(spool, destination, &before_wall_ms);
    if (r == 0 && (before_wall_ms != 0) != pause->pauses) {
        r = spool_pause_audited(spool, destination, pause->pauses, &entry, message);
    }
    if (r == 0) {
        r = spool_paused_since(spool, destination, &since_wall_ms);
    }
    if (r == 0) {
        pause_print(pause, destination, before_wall_ms, since_wall_ms);
    }
    return r;
}

static enum inspect_exit pause_all(const struct pause *pause)
{
    uint32_t destinations[DESTINATIONS_MAX];
    struct message message;
    /* All are found before the first is changed. */
    for (size_t i = 0; i < pause->texts_count; i++) {
        if (filter_find_destination(pause->inspect->spool, pause->texts[i], &destinations[i],
                                    &message) != 0) {
            inspect_say("%s", message.text);
            return INSPECT_EXIT_USAGE;
        }
    }
    for (size_t i = 0; i < pause->texts_count; i++) {
        if (pause_one(pause, destinations[i], &message) != 0) {
            inspect_say("%s", message.text);
            return INSPECT_EXIT_ATTENTION;
        }
    }
    return INSPECT_EXIT_DONE;
}

static enum inspect_exit pause_run_either(struct inspect *inspect, int argc, char **argv,
                                          bool pauses, const char *help)
{
    static const struct argp_child children[] = {{&inspect_argp, 0, NULL, 0}, {0}};
    struct pause pause = {.inspect = inspect, .pauses = pauses};
    struct argp argp = {
        .parser = pause_parse, .args_doc = "DESTINATION...", .doc = help, .children = children};
    inspect_parse(&argp, argc, argv, &pause);
    who_print(pause.who);
    enum inspect_exit code = inspect_open(inspect);
    return code == INSPECT_EXIT_DONE ? pause_all(&pause) : code;
}

enum inspect_exit pause_run(struct inspect *inspect, int argc, char **argv)
{
    return pause_run_either(
        inspect, argc, argv, true,
        "Forward nothing of these destinations until 'resume', also after a restart.\v"
        "A running forwarder sees it within a second. Records are still taken; what is in-flight "
        "is still delivered.\n\nExample:\n  spool-inspect pause k1\n");
}

enum inspect_exit resume_run(struct inspect *inspect, int argc, char **argv)
{
    return pause_run_either(inspect, argc, argv, false,
                            "Let paused destinations go on.\v"
                            "A running forwarder sees it within a second.\n\nExample:\n"
                            "  spool-inspect resume k1\n");
}
