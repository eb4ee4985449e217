/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * drop, expire, move, dead requeue, dead drop: what a person does with records. Without --yes they
 * count and change nothing. With --export what is to be touched is on disk in a file before the
 * first record is touched, and only what is in the file is.
 */
#include "tools/inspect/act.h"
#include "tools/inspect/act_answer.h"
#include "tools/inspect/command.h"
#include "tools/inspect/export_file.h"
#include "tools/inspect/filter_words.h"
#include "tools/inspect/walk.h"
#include "tools/inspect/who.h"

#include <errno.h>
#include <string.h>

enum {
    OPTION_YES = 0x3000,
    OPTION_ALL,
    OPTION_EXPORT,
    OPTION_INTO,
};

struct act_command {
    struct inspect *inspect;
    const struct act_kind *kind;
    struct filter filter;
    char *into_text;
    const char *export_path;
    bool is_all;
    bool is_yes;

    char who[WHO_BYTES];
    char words[FILTER_WORDS_BYTES];
    uint32_t into; /* 0: where it is, or nowhere */
    struct export_file *export_file;
    struct act_answer answer;
    struct act act;
    struct message message;
    enum inspect_exit code; /* of the first failure */
};

/* --- The command line ------------------------------------------------------------------------- */

static const struct argp_option act_options[] = {
    {"yes", OPTION_YES, NULL, 0, "Do it; without it nothing is changed", 1},
    {"all", OPTION_ALL, NULL, 0, "Of all records, when no filter says which", 1},
    {"export", OPTION_EXPORT, "FILE", 0,
     "Before anything is changed, write what will be to FILE, which must not exist; see 'export'",
     1},
    {0},
};

static const struct argp_option act_into_options[] = {
    {"into", OPTION_INTO, "D", 0, "The destination whose queue they go into", 1},
    {0},
};

/* "17" or "17-20". */
static void act_read_sequences(struct argp_state *state, struct filter *filter, char *text)
{
    char *dash = strchr(text, '-');
    uint64_t from = 0;
    uint64_t to = 0;
    if (dash != NULL) {
        *dash = '\0';
    }
    bool is_good = filter_read_number(text, &from) && from > 0;
    to = from;
    if (is_good && dash != NULL) {
        is_good = filter_read_number(dash + 1, &to) && to >= from;
    }
    if (!is_good || filter->from_sequence != 0 || filter->to_sequence != 0) {
        argp_error(state, "one SEQUENCE, or FIRST-LAST");
        return;
    }
    filter->from_sequence = from;
    filter->to_sequence = to;
}

static error_t act_parse(int key, char *argument, struct argp_state *state)
{
    struct act_command *command = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &command->filter;
        state->child_inputs[1] = command->inspect;
        state->child_inputs[2] = command;
        return 0;
    case OPTION_YES:
        command->is_yes = true;
        return 0;
    case OPTION_ALL:
        command->is_all = true;
        return 0;
    case OPTION_EXPORT:
        command->export_path = argument;
        return 0;
    case ARGP_KEY_ARG:
        act_read_sequences(state, &command->filter, argument);
        return 0;
    case ARGP_KEY_END:
        if (filter_is_empty(&command->filter) != command->is_all) {
            argp_error(state, "say which: a SEQUENCE, a filter, or --all (and not two of them)");
        } else if (command->kind->act == AUDIT_MOVE && command->into_text == NULL) {
            argp_error(state, "--into says which destination they go to");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t act_parse_into(int key, char *argument, struct argp_state *state)
{
    struct act_command *command = state->input;
    if (key != OPTION_INTO) {
        return ARGP_ERR_UNKNOWN;
    }
    command->into_text = argument;
    return 0;
}

static void act_read_arguments(struct act_command *command, int argc, char **argv)
{
    static const struct argp into_argp = {.options = act_into_options, .parser = act_parse_into};
    static const struct argp_child children[] = {
        {&filter_argp, 0, NULL, 0}, {&inspect_argp, 0, NULL, 0}, {0}};
    static const struct argp_child into_children[] = {
        {&filter_argp, 0, NULL, 0}, {&inspect_argp, 0, NULL, 0}, {&into_argp, 0, NULL, 0}, {0}};
    struct argp argp = {
        .options = act_options,
        .parser = act_parse,
        .args_doc = "[SEQUENCE|FIRST-LAST]",
        .doc = command->kind->help,
        .children = command->kind->takes_into ? into_children : children,
    };
    inspect_parse(&argp, argc, argv, command);
}

/* --- Finding ---------------------------------------------------------------------------------- */

/* Opens what the command needs: the file as whoever runs it, the spool as its owner. */
static enum inspect_exit act_open(struct act_command *command)
{
    struct inspect *inspect = command->inspect;
    who_print(command->who);
    if (command->is_yes && command->export_path != NULL) {
        int r = export_file_create(command->export_path, inspect->spool_dir, &command->export_file,
                                   &command->message);
        if (r != 0) {
            inspect_say("%s", command->message.text);
            return r == EXPORT_FILE_E_REFUSED ? INSPECT_EXIT_USAGE : INSPECT_EXIT_ATTENTION;
        }
    }
    enum inspect_exit code = inspect_open(inspect);
    if (code != INSPECT_EXIT_DONE) {
        return code;
    }
    int r = filter_resolve(&command->filter, inspect->spool, &command->message);
    if (r == 0 && command->into_text != NULL) {
        r = filter_find_destination(inspect->spool, command->into_text, &command->into,
                                    &command->message);
    }
    if (r != 0) {
        inspect_say("%s", command->message.text);
        return INSPECT_EXIT_USAGE;
    }
    filter_print_words(&command->filter, command->words);
    return INSPECT_EXIT_DONE;
}

/* Whether the act can be done with the entry. */
static bool act_is_possible(const struct act_command *command, const struct walk_entry *entry)
{
    switch (command->kind->act) {
    case AUDIT_MOVE:
        return entry->destination != command->into;
    case AUDIT_DEAD_REQUEUE:
        /* What nobody can decode would be a dead letter again at once. */
        return entry->has_dead && entry->is_readable;
    case AUDIT_DEAD_DROP:
        /* A head that nobody can read cannot be exported. */
        return entry->has_dead || command->export_file == NULL;
    default:
        return true;
    }
}

static int act_find_entry(void *context, const struct walk_entry *entry)
{
    struct act_command *command = context;
    if (!act_is_possible(command, entry)) {
        command->answer.skipped_count++;
        return 0;
    }
    act_answer_count(&command->answer, entry);
    return command->export_file == NULL
               ? 0
               : export_file_write(command->export_file, command->inspect->spool, entry);
}

static int act_walk(struct act_command *command,
                    int (*on_entry)(void *context, const struct walk_entry *entry))
{
    struct walk_config config = {
        .spool = command->inspect->spool,
        .place = command->kind->place,
        .filter = &command->filter,
        .on_entry = on_entry,
        .context = command,
    };
    return walk(&config);
}

/* --- Doing ------------------------------------------------------------------------------------ */

static enum inspect_exit act_exit_code(int r)
{
    return r == ACT_E_FULL ? INSPECT_EXIT_ATTENTION : INSPECT_EXIT_SPOOL;
}

static int act_do(struct act_command *command, uint32_t destination, uint64_t sequence)
{
    struct settlement settlement = {
        .action = command->kind->action,
        .destination = destination,
        .to_destination = command->into != 0 ? command->into : destination,
        .sequence = sequence,
        .partition = -1,
        .offset = -1,
    };
    int r = act_settle(&command->act, &settlement, &command->message);
    if (r != 0) {
        /* walk() must tell it from its own results. */
        command->code = act_exit_code(r);
        return -ECANCELED;
    }
    return 0;
}

static int act_do_entry(void *context, const struct walk_entry *entry)
{
    struct act_command *command = context;
    return act_is_possible(command, entry) ? act_do(command, entry->destination, entry->sequence)
                                           : 0;
}

static int act_do_exported(void *context, uint32_t destination, uint64_t sequence)
{
    return act_do(context, destination, sequence);
}

/* With --export the file says what is touched: nothing that is not in it. */
static int act_do_all(struct act_command *command)
{
    uint32_t only = act_answer_only_destination(&command->answer);
    struct audit_entry entry = {
        .act = command->kind->act,
        .destination = only,
        .to_destination = command->into,
        .who = {command->who, strlen(command->who)},
        .what = {command->words, strlen(command->words)},
    };
    int r = act_init(&command->act, command->inspect->spool, &entry);
    if (r == 0) {
        r = command->export_file != NULL
                ? export_file_read(command->export_file, command->inspect->spool, act_do_exported,
                                   command)
                : act_walk(command, act_do_entry);
    }
    if (r >= 0) {
        int flushed = act_flush(&command->act, &command->message);
        if (flushed != 0) {
            command->code = flushed == ACT_E_LATCHED ? INSPECT_EXIT_SPOOL : INSPECT_EXIT_ATTENTION;
            r = -ECANCELED;
        }
    }
    command->answer.done_count = command->act.entry.records_count;
    command->answer.done_bytes = command->act.entry.bytes;
    act_deinit(&command->act);
    return r;
}

/* --- All of it -------------------------------------------------------------------------------- */

static void act_note_failure(struct act_command *command, int r)
{
    if (r == WALK_E_DAMAGED) {
        inspect_say("%s: damaged pages: what is behind them was left alone; 'spool-inspect verify' "
                    "says more",
                    spool_dir(command->inspect->spool));
        command->code = INSPECT_EXIT_SPOOL;
    } else if (command->code != INSPECT_EXIT_DONE) {
        inspect_say("%s", command->message.text);
    } else if (r != 0) {
        inspect_say("cannot go on: %s", strerror(-r));
        command->code = INSPECT_EXIT_SPOOL;
    }
}

/* Counts, and writes the file. Whether everything went well; if not, nothing is to be changed. */
static bool act_find(struct act_command *command)
{
    int r = filter_end_now(&command->filter, command->inspect->spool);
    if (r == 0) {
        r = act_walk(command, act_find_entry);
    }
    if (command->export_file != NULL && (r == 0 || r == WALK_E_DAMAGED)) {
        int flushed = export_file_flush(command->export_file);
        r = flushed != 0 ? flushed : r;
    }
    if (r < 0 && command->export_file != NULL) {
        inspect_say("%s: %s: nothing was changed", command->export_path, strerror(-r));
        command->code = INSPECT_EXIT_ATTENTION;
        return false;
    }
    if (r != 0) {
        act_note_failure(command, r);
    }
    return r == 0 || r == WALK_E_DAMAGED;
}

static enum inspect_exit act_run_open(struct act_command *command)
{
    struct act_answer *answer = &command->answer;
    *answer = (struct act_answer){
        .kind = command->kind,
        .spool = command->inspect->spool,
        .into = command->into,
        .words = command->words,
        .export_path = command->export_file != NULL ? command->export_path : NULL,
    };
    if (!act_find(command)) {
        return command->code;
    }
    act_answer_ask_forwarder(answer);
    if (command->is_yes && answer->found_count > 0) {
        enum inspect_exit found = command->code;
        command->code = INSPECT_EXIT_DONE;
        int r = act_do_all(command);
        if (r != 0) {
            act_note_failure(command, r);
        }
        command->code = command->code != INSPECT_EXIT_DONE ? command->code : found;
    }
    answer->is_done = command->is_yes;
    if (command->inspect->prints_json) {
        act_answer_print_json(answer);
    } else {
        act_answer_print(answer);
    }
    return command->code;
}

static enum inspect_exit act_run(struct inspect *inspect, int argc, char **argv,
                                 const struct act_kind *kind)
{
    SPOOL_CLEANUP(spool_free) struct act_command *command = calloc(1, sizeof(*command));
    if (command == NULL) {
        inspect_say("out of memory");
        return INSPECT_EXIT_SPOOL;
    }
    command->inspect = inspect;
    command->kind = kind;
    act_read_arguments(command, argc, argv);
    enum inspect_exit code = act_open(command);
    if (code == INSPECT_EXIT_DONE) {
        code = act_run_open(command);
    }
    export_file_close(&command->export_file);
    return code;
}

#define ACT_FOOT                                                                                    \
    "Without --yes nothing is changed: the answer says what would be. Only records that are there " \
    "when the command starts are meant. Records that are in-flight are meant too: Kafka may still " \
    "get them; 'pause' first, to be sure of the rest. What was done is in 'audit'.\n"

enum inspect_exit drop_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct act_kind kind = {
        .act = AUDIT_DROP,
        .place = WALK_QUEUE,
        .action = SETTLE_DROP,
        .verb = "drop",
        .done = "dropped",
        .help = "Delete waiting records for good. Who waits for a report gets status -1.\v" ACT_FOOT
                "\nExamples:\n"
                "  spool-inspect drop 4711\n"
                "  spool-inspect drop --destination k1 --older-than 2d --export old.jsonl --yes\n",
    };
    return act_run(inspect, argc, argv, &kind);
}

enum inspect_exit expire_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct act_kind kind = {
        .act = AUDIT_EXPIRE,
        .place = WALK_QUEUE,
        .action = SETTLE_EXPIRED,
        .verb = "expire",
        .done = "expired",
        .help = "Let waiting records expire now, as if their time-to-live had passed: they become "
                "dead letters, which 'dead requeue' can bring back. Who waits for a report gets "
                "status -1.\v" ACT_FOOT "\nExample:\n"
                "  spool-inspect expire --destination k1 --older-than 1h --yes\n",
    };
    return act_run(inspect, argc, argv, &kind);
}

enum inspect_exit move_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct act_kind kind = {
        .act = AUDIT_MOVE,
        .place = WALK_QUEUE,
        .action = SETTLE_MOVE,
        .verb = "move",
        .done = "moved",
        .takes_into = true,
        .help = "Move waiting records into another destination's queue. Each keeps its sequence, "
                "its place in the order by it, and its spool-id.\v" ACT_FOOT "\nExample:\n"
                "  spool-inspect move --destination k1 --into k2 --yes\n",
    };
    return act_run(inspect, argc, argv, &kind);
}

enum inspect_exit dead_requeue_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct act_kind kind = {
        .act = AUDIT_DEAD_REQUEUE,
        .place = WALK_DEAD,
        .action = SETTLE_REQUEUE,
        .verb = "requeue",
        .done = "requeued",
        .takes_into = true,
        .help =
            "Put dead letters back into their queue, or another destination's. Each keeps its "
            "sequence, its place in the order by it, and its spool-id; what had expired expires "
            "no more. What cannot be decoded stays a dead letter.\v" ACT_FOOT "\nExamples:\n"
            "  spool-inspect dead requeue 4711 --yes\n"
            "  spool-inspect dead requeue --all --into k2 --yes\n",
    };
    return act_run(inspect, argc, argv, &kind);
}

enum inspect_exit dead_drop_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct act_kind kind = {
        .act = AUDIT_DEAD_DROP,
        .place = WALK_DEAD,
        .action = SETTLE_DEAD_DROP,
        .verb = "drop",
        .done = "dropped",
        .help = "Delete dead letters for good.\v" ACT_FOOT "\nExample:\n"
                "  spool-inspect dead drop --older-than 30d --export dead.jsonl --yes\n",
    };
    return act_run(inspect, argc, argv, &kind);
}
