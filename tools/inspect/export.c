/* SPDX-License-Identifier: GPL-2.0-or-later */
/* export: waiting records, dead letters and reports as lines of JSON. */
#include "tools/inspect/command.h"
#include "tools/inspect/export_file.h"
#include "tools/inspect/filter.h"
#include "tools/inspect/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    OPTION_PLACE = 0x3000,
};

#define EXPORT_PLACES_COUNT (WALK_REPORTS + 1)

static const char *const export_places[EXPORT_PLACES_COUNT] = {
    [WALK_QUEUE] = "queue",
    [WALK_DEAD] = "dead",
    [WALK_REPORTS] = "reports",
};

struct export
{
    struct inspect *inspect;
    struct filter filter;
    bool has_place[EXPORT_PLACES_COUNT]; /* none: all */
    uint64_t written_count;
    uint64_t unreadable_count;
};

static const struct argp_option export_options[] = {
    {"place", OPTION_PLACE, "PLACE", 0,
     "Only what is in the queue, the dead letters (dead) or the reports; can be given again", 1},
    {0},
};

static void export_read_place(struct export *export, struct argp_state *state, const char *text)
{
    for (size_t i = 0; i < EXPORT_PLACES_COUNT; i++) {
        if (strcmp(text, export_places[i]) == 0) {
            export->has_place[i] = true;
            return;
        }
    }
    argp_error(state, "--place: 'queue', 'dead' or 'reports', not '%.40s'", text);
}

static error_t export_parse(int key, char *argument, struct argp_state *state)
{
    struct export *export = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &export->filter;
        state->child_inputs[1] = export->inspect;
        return 0;
    case OPTION_PLACE:
        export_read_place(export, state, argument);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%.40s' belongs to no option; the lines go to standard output",
                   argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int export_entry(void *context, const struct walk_entry *entry)
{
    struct export *export = context;
    errno = 0;
    int r = export_line_write(stdout, export->inspect->spool, entry);
    if (r == -EBADMSG) {
        export->unreadable_count++;
        return 0;
    }
    export->written_count++;
    return r;
}

/* What is in a file is on disk when the program says that it is done. */
static int export_flush(void)
{
    if (fflush(stdout) != 0) {
        return -errno;
    }
    /* A pipe or a terminal cannot be flushed. */
    return fsync(STDOUT_FILENO) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
}

static enum inspect_exit export_all(struct export *export)
{
    bool has_any = export->has_place[WALK_QUEUE] || export->has_place[WALK_DEAD] ||
                   export->has_place[WALK_REPORTS];
    enum inspect_exit code = INSPECT_EXIT_DONE;
    for (int place = WALK_QUEUE; place < (int)EXPORT_PLACES_COUNT; place++) {
        struct walk_config config = {
            .spool = export->inspect->spool,
            .place = (enum walk_place)place,
            .filter = &export->filter,
            .on_entry = export_entry,
            .context = export,
        };
        int r = has_any && !export->has_place[place] ? 0 : walk(&config);
        if (r == WALK_E_DAMAGED) {
            inspect_say("%s: damaged pages: what is behind them is missing in the export; "
                        "'spool-inspect salvage' may find more",
                        spool_dir(export->inspect->spool));
            code = INSPECT_EXIT_SPOOL;
        } else if (r != 0) {
            inspect_say("the export is not whole: %s", strerror(-r));
            return INSPECT_EXIT_ATTENTION;
        }
    }
    return code;
}

static enum inspect_exit export_finish(struct export *export, enum inspect_exit code)
{
    int r = export_flush();
    if (r != 0) {
        inspect_say("the export is not whole: standard output: %s", strerror(-r));
        return INSPECT_EXIT_ATTENTION;
    }
    if (export->unreadable_count > 0) {
        inspect_say("%" PRIu64 " entries are missing in the export: the head of a dead letter or "
                    "report is damaged",
                    export->unreadable_count);
        code = code == INSPECT_EXIT_DONE ? INSPECT_EXIT_ATTENTION : code;
    }
    return code;
}

enum inspect_exit export_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct argp_child children[] = {
        {&filter_argp, 0, NULL, 0}, {&inspect_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = export_options,
        .parser = export_parse,
        .doc =
            "Print records with all that the spool keeps of them, as lines of JSON that 'import' "
            "reads.\v"
            "Nothing is lost on the way: bytes that are no UTF-8 are base64. What is published "
            "meanwhile is not in it.\n\n"
            "Examples:\n"
            "  spool-inspect export > spool.jsonl\n"
            "  spool-inspect export --place dead --destination k1 > dead.jsonl\n"
            "  spool-inspect --spool OLD export | spool-inspect --spool NEW import -\n",
        .children = children,
    };
    SPOOL_CLEANUP(spool_free) struct export *export = calloc(1, sizeof(*export));
    struct message message;
    if (export == NULL) {
        inspect_say("out of memory");
        return INSPECT_EXIT_SPOOL;
    }
    export->inspect = inspect;
    inspect_parse(&argp, argc, argv, export);
    enum inspect_exit code = inspect_open(inspect);
    if (code != INSPECT_EXIT_DONE) {
        return code;
    }
    if (filter_resolve(&export->filter, inspect->spool, &message) != 0) {
        inspect_say("%s", message.text);
        return INSPECT_EXIT_USAGE;
    }
    if (filter_end_now(&export->filter, inspect->spool) != 0) {
        inspect_say("%s: cannot be read", spool_dir(inspect->spool));
        return INSPECT_EXIT_SPOOL;
    }
    code = export_all(export);
    return code == INSPECT_EXIT_ATTENTION ? code : export_finish(export, code);
}
