/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ls, dead ls: one line a record, written as it is found. */
#include "tools/inspect/command.h"
#include "tools/inspect/entry.h"
#include "tools/inspect/output.h"

#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

#define LS_LIMIT_DEFAULT 1000
#define LS_KEY_BYTES 24
#define LS_PAYLOAD_BYTES 60
/* A piece of the table has widths of its own, so that it can be printed before all is read: so many
 * lines, or what was found in so long. */
#define LS_PIECE_LINES 200
#define LS_PIECE_MS 200

enum {
    OPTION_LIMIT = 0x3000,
};

struct ls {
    struct inspect *inspect;
    struct filter filter;
    enum walk_place place;
    uint64_t limit; /* for each destination; 0: none */
    uint64_t now_ms;
    struct libscols_table *table; /* the piece that is being filled */
    size_t lines_count;
    uint64_t piece_started_ms;
    bool has_head;
    uint32_t destination; /* the last entry's */
    uint64_t shown_count; /* of this destination */
    uint64_t next_sequence;
};

static const struct argp_option ls_options[] = {
    {"limit", OPTION_LIMIT, "N", 0, "At most so many of each destination (1000; 0: all)", 1},
    {0},
};

static error_t ls_parse(int key, char *argument, struct argp_state *state)
{
    struct ls *ls = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &ls->filter;
        state->child_inputs[1] = ls->inspect;
        return 0;
    case OPTION_LIMIT:
        if (!filter_read_number(argument, &ls->limit)) {
            argp_error(state, "--limit: '%.40s' is no number", argument);
        }
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%.40s' belongs to no option", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- The table -------------------------------------------------------------------------------- */

enum {
    COLUMN_SEQUENCE,
    COLUMN_DESTINATION,
    COLUMN_AGE,
    COLUMN_BYTES,
    COLUMN_KEY,
    COLUMN_PAYLOAD,
    COLUMN_REASON,
    COLUMN_ERROR,
    COLUMN_ATTEMPTS,
};

static const struct output_column ls_columns[] = {
    [COLUMN_SEQUENCE] = {"SEQUENCE", true, false},
    [COLUMN_DESTINATION] = {"DESTINATION", false, false},
    [COLUMN_AGE] = {"AGE", true, false},
    [COLUMN_BYTES] = {"BYTES", true, false},
    [COLUMN_KEY] = {"KEY", false, false},
    [COLUMN_PAYLOAD] = {"PAYLOAD", false, true},
    [COLUMN_REASON] = {"REASON", false, false},
    [COLUMN_ERROR] = {"ERROR", false, false},
    [COLUMN_ATTEMPTS] = {"ATTEMPTS", true, false},
};

static void ls_set_text(struct libscols_line *line, size_t column, struct span text, size_t max)
{
    SPOOL_CLEANUP(spool_free) char *shown = text.data == NULL ? NULL : output_text_new(text, max);
    (void)scols_line_set_data(line, column, shown != NULL ? shown : "-");
}

static void ls_set_number(struct libscols_line *line, size_t column, uint64_t number)
{
    char word[OUTPUT_WORD_BYTES];
    (void)snprintf(word, sizeof(word), "%" PRIu64, number);
    (void)scols_line_set_data(line, column, word);
}

static void ls_print_piece(struct ls *ls)
{
    if (ls->table != NULL && ls->lines_count > 0) {
        scols_table_enable_noheadings(ls->table, ls->has_head ? 1 : 0);
        (void)scols_print_table(ls->table);
        (void)fflush(stdout);
        ls->has_head = true;
    }
    output_table_free(&ls->table);
    ls->lines_count = 0;
}

static void ls_set_record(struct ls *ls, struct libscols_line *line, const struct walk_entry *entry)
{
    char word[OUTPUT_WORD_BYTES];
    if (!entry->is_readable) {
        (void)scols_line_set_data(line, COLUMN_AGE, "-");
        (void)scols_line_set_data(line, COLUMN_PAYLOAD, "(cannot be decoded)");
        return;
    }
    const struct record *record = &entry->record;
    output_duration(
        ls->now_ms > record->published_wall_ms ? ls->now_ms - record->published_wall_ms : 0, word);
    (void)scols_line_set_data(line, COLUMN_AGE, word);
    ls_set_text(line, COLUMN_KEY, record->key, LS_KEY_BYTES);
    ls_set_text(line, COLUMN_PAYLOAD, record->payload, LS_PAYLOAD_BYTES);
}

static int ls_add_line(struct ls *ls, const struct walk_entry *entry)
{
    if (ls->table == NULL) {
        ls->table = output_table_new(ls_columns, ls->place == WALK_DEAD ? SPOOL_COUNT_OF(ls_columns)
                                                                        : COLUMN_REASON);
    }
    struct libscols_line *line = ls->table != NULL ? scols_table_new_line(ls->table, NULL) : NULL;
    if (line == NULL) {
        return -ENOMEM;
    }
    const char *identity = spool_destination_identity(ls->inspect->spool, entry->destination);
    ls_set_number(line, COLUMN_SEQUENCE, entry->sequence);
    ls_set_text(line, COLUMN_DESTINATION, (struct span){identity, strlen(identity)}, 40);
    ls_set_number(line, COLUMN_BYTES, entry->encoded.size_bytes);
    ls_set_record(ls, line, entry);
    if (entry->has_dead) {
        (void)scols_line_set_data(line, COLUMN_REASON, settle_action_name(entry->dead.reason));
        (void)scols_line_set_data(line, COLUMN_ERROR, entry_error_name(entry->dead.error));
        ls_set_number(line, COLUMN_ATTEMPTS, entry->dead.attempts);
    }
    if (ls->lines_count++ == 0) {
        ls->piece_started_ms = clock_system()->monotonic_ms(clock_system());
    }
    if (ls->lines_count == LS_PIECE_LINES) {
        ls_print_piece(ls);
    }
    return 0;
}

/* --- The walk --------------------------------------------------------------------------------- */

static int ls_show_entry(void *context, const struct walk_entry *entry)
{
    struct ls *ls = context;
    if (entry->destination != ls->destination) {
        ls->destination = entry->destination;
        ls->shown_count = 0;
    }
    if (ls->limit != 0 && ls->shown_count == ls->limit) {
        ls_print_piece(ls);
        inspect_say("there are more for %s: --destination '%s' --from %" PRIu64 ", or --limit 0",
                    spool_destination_identity(ls->inspect->spool, entry->destination),
                    spool_destination_identity(ls->inspect->spool, entry->destination),
                    entry->sequence);
        return WALK_SKIP;
    }
    ls->shown_count++;
    if (!ls->inspect->prints_json) {
        return ls_add_line(ls, entry);
    }
    output_json(entry_json(ls->inspect->spool, entry, "spool-inspect/record/1", false));
    return ferror(stdout) ? -EIO : 0;
}

/* What was found is shown before more is looked for. */
static int ls_show_found(void *context, uint64_t read_count, uint64_t matched_count)
{
    struct ls *ls = context;
    (void)read_count;
    (void)matched_count;
    uint64_t now_ms = clock_system()->monotonic_ms(clock_system());
    if (ls->lines_count > 0 && now_ms - ls->piece_started_ms >= LS_PIECE_MS) {
        ls_print_piece(ls);
    }
    return fflush(stdout) != 0 ? -EIO : 0;
}

static enum inspect_exit ls_list(struct ls *ls)
{
    struct message message;
    if (filter_resolve(&ls->filter, ls->inspect->spool, &message) != 0) {
        inspect_say("%s", message.text);
        return INSPECT_EXIT_USAGE;
    }
    struct walk_config config = {
        .spool = ls->inspect->spool,
        .place = ls->place,
        .filter = &ls->filter,
        .on_entry = ls_show_entry,
        .on_progress = ls_show_found,
        .context = ls,
    };
    int r = walk(&config);
    ls_print_piece(ls);
    if (r == WALK_E_DAMAGED) {
        inspect_say("%s: damaged pages: what is behind them is not listed; 'spool-inspect verify' "
                    "says more",
                    spool_dir(ls->inspect->spool));
        return INSPECT_EXIT_SPOOL;
    }
    if (r < 0 && !ferror(stdout)) {
        inspect_say("cannot list: %s", strerror(-r));
        return INSPECT_EXIT_SPOOL;
    }
    return INSPECT_EXIT_DONE;
}

static enum inspect_exit ls_run_place(struct inspect *inspect, int argc, char **argv,
                                      enum walk_place place, const char *help)
{
    static const struct argp_child children[] = {
        {&filter_argp, 0, NULL, 0}, {&inspect_argp, 0, NULL, 0}, {0}};
    struct ls ls = {.inspect = inspect, .place = place, .limit = LS_LIMIT_DEFAULT};
    struct argp argp = {
        .options = ls_options, .parser = ls_parse, .doc = help, .children = children};
    inspect_parse(&argp, argc, argv, &ls);
    enum inspect_exit code = inspect_open(inspect);
    if (code == INSPECT_EXIT_DONE) {
        ls.now_ms = inspect_now_ms();
        code = ls_list(&ls);
    }
    return code;
}

enum inspect_exit ls_run(struct inspect *inspect, int argc, char **argv)
{
    return ls_run_place(inspect, argc, argv, WALK_QUEUE,
                        "List waiting records, each destination's in the order in which they are "
                        "forwarded.\v"
                        "Examples:\n"
                        "  spool-inspect ls --destination k1 --limit 20\n"
                        "  spool-inspect ls --older-than 10m --contains '\"method\":\"INVITE\"'\n"
                        "  spool-inspect ls --json --limit 0 | jq -r .key | sort | uniq -c\n");
}

enum inspect_exit dead_ls_run(struct inspect *inspect, int argc, char **argv)
{
    return ls_run_place(
        inspect, argc, argv, WALK_DEAD,
        "List dead letters: records that can never be delivered, and expired ones.\v"
        "Examples:\n"
        "  spool-inspect dead ls\n"
        "  spool-inspect dead ls --destination k1 --newer-than 1d --json\n");
}
