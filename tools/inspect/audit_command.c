/* SPDX-License-Identifier: GPL-2.0-or-later */
/* audit: who removed, moved or added records by hand. */
#include "spool/audit.h"
#include "spool/cursor.h"
#include "tools/inspect/command.h"
#include "tools/inspect/output.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

/* The whole log in one copy: it is small, and the read transaction is over before any is printed.
 */
struct audit_copy {
    uint64_t number;
    struct span stored;
};

struct audit_log {
    struct audit_copy entries[AUDIT_ENTRIES_MAX];
    size_t count;
};

static void audit_log_free(struct audit_log **log)
{
    for (size_t i = 0; *log != NULL && i < (*log)->count; i++) {
        free((void *)(uintptr_t)(*log)->entries[i].stored.data);
    }
    free(SPOOL_TAKE(*log));
}

static int audit_read(struct spool *spool, struct audit_log *log)
{
    struct cursor cursor;
    struct span stored;
    uint64_t number;
    int r = cursor_begin_audit(&cursor, spool, 0);
    if (r != 0) {
        return r == CURSOR_E_END ? 0 : r;
    }
    while (log->count < AUDIT_ENTRIES_MAX && (r = cursor_next(&cursor, &number, &stored)) == 0) {
        void *copy = malloc(stored.size_bytes + 1);
        if (copy == NULL) {
            r = -ENOMEM;
            break;
        }
        memcpy(copy, stored.data, stored.size_bytes);
        log->entries[log->count++] = (struct audit_copy){number, {copy, stored.size_bytes}};
    }
    cursor_end(&cursor);
    return r == CURSOR_E_END ? 0 : r;
}

/* A destination's identity; NULL for none. */
static const char *audit_destination(const struct spool *spool, uint32_t destination)
{
    return destination >= 1 && destination <= spool_destinations_count(spool)
               ? spool_destination_identity(spool, destination)
               : NULL;
}

/* --- For people ------------------------------------------------------------------------------- */

static const struct output_column audit_columns[] = {
    {"NUMBER", true, false},  {"BEGUN", false, false}, {"ACT", false, false},
    {"RECORDS", true, false}, {"BYTES", true, false},  {"DESTINATION", false, false},
    {"INTO", false, false},   {"FILTER", false, true}, {"WHO", false, true},
};

static void audit_set_text(struct libscols_line *line, size_t column, struct span text)
{
    SPOOL_CLEANUP(spool_free) char *shown = output_text_new(text, 200);
    (void)scols_line_set_data(line, column, shown != NULL ? shown : "-");
}

static void audit_set_word(struct libscols_line *line, size_t column, const char *word)
{
    audit_set_text(line, column, (struct span){word, strlen(word)});
}

static void audit_add_line(const struct spool *spool, struct libscols_line *line, uint64_t number,
                           const struct audit_entry *entry)
{
    const char *destination = audit_destination(spool, entry->destination);
    const char *into = audit_destination(spool, entry->to_destination);
    char word[OUTPUT_WORD_BYTES];
    (void)snprintf(word, sizeof(word), "%" PRIu64, number);
    audit_set_word(line, 0, word);
    output_time(entry->begun_wall_ms, word);
    audit_set_word(line, 1, word);
    audit_set_word(line, 2, audit_act_name(entry->act));
    (void)snprintf(word, sizeof(word), "%" PRIu64, entry->records_count);
    audit_set_word(line, 3, word);
    output_bytes(entry->bytes, word);
    audit_set_word(line, 4, word);
    audit_set_word(line, 5, destination != NULL ? destination : "(several)");
    audit_set_word(line, 6, into != NULL ? into : "-");
    audit_set_text(line, 7, entry->what.size_bytes > 0 ? entry->what : (struct span){"-", 1});
    audit_set_text(line, 8, entry->who);
}

/* --- For programs ----------------------------------------------------------------------------- */

static void audit_set_name(json_t *object, const char *name, const char *text)
{
    output_json_bytes(object, name, (struct span){text, text == NULL ? 0 : strlen(text)});
}

static void audit_print_json(const struct spool *spool, uint64_t number,
                             const struct audit_entry *entry)
{
    json_t *object = json_object();
    audit_set_name(object, "format", "spool-inspect/audit/1");
    output_json_number(object, "number", number);
    audit_set_name(object, "act", audit_act_name(entry->act));
    output_json_time(object, "begun_ms", entry->begun_wall_ms);
    output_json_time(object, "ended_ms", entry->ended_wall_ms);
    audit_set_name(object, "destination", audit_destination(spool, entry->destination));
    audit_set_name(object, "into", audit_destination(spool, entry->to_destination));
    output_json_number(object, "records", entry->records_count);
    output_json_number(object, "bytes", entry->bytes);
    output_json_bytes(object, "filter", entry->what);
    output_json_bytes(object, "who", entry->who);
    output_json(object);
}

/* --- All of it -------------------------------------------------------------------------------- */

static enum inspect_exit audit_print(const struct inspect *inspect, const struct audit_log *log)
{
    enum inspect_exit code = INSPECT_EXIT_DONE;
    struct libscols_table *table = output_table_new(audit_columns, SPOOL_COUNT_OF(audit_columns));
    for (size_t i = 0; i < log->count; i++) {
        struct audit_entry entry;
        uint64_t number = log->entries[i].number;
        struct libscols_line *line;
        if (audit_decode(log->entries[i].stored, &entry) != 0) {
            inspect_say("entry %" PRIu64 " of the audit log is damaged, or of a newer version",
                        number);
            code = INSPECT_EXIT_ATTENTION;
        } else if (inspect->prints_json) {
            audit_print_json(inspect->spool, number, &entry);
        } else if (table != NULL && (line = scols_table_new_line(table, NULL)) != NULL) {
            audit_add_line(inspect->spool, line, number, &entry);
        }
    }
    if (!inspect->prints_json && log->count == 0) {
        printf("The audit log is empty.\n");
    } else if (!inspect->prints_json && table != NULL) {
        (void)scols_print_table(table);
    }
    output_table_free(&table);
    return code;
}

static error_t audit_parse(int key, char *argument, struct argp_state *state)
{
    struct inspect *inspect = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = inspect;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%.40s' belongs to no option", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

enum inspect_exit audit_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct argp_child children[] = {{&inspect_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = audit_parse,
        .doc =
            "List what was done with records by hand: who, when, what, and how many.\v"
            "The last 1,000 acts are kept. An act that was broken off has an entry too, with the "
            "number of records that it came to.\n\nExample:\n"
            "  spool-inspect audit --json | jq 'select(.act == \"drop\")'\n",
        .children = children,
    };
    inspect_parse(&argp, argc, argv, inspect);
    enum inspect_exit code = inspect_open(inspect);
    if (code != INSPECT_EXIT_DONE) {
        return code;
    }
    SPOOL_CLEANUP(audit_log_free) struct audit_log *log = calloc(1, sizeof(*log));
    int r = log == NULL ? -ENOMEM : audit_read(inspect->spool, log);
    if (r != 0) {
        inspect_say("%s: the audit log cannot be read: %s", spool_dir(inspect->spool),
                    r < 0 ? strerror(-r) : "its pages are damaged");
        return INSPECT_EXIT_SPOOL;
    }
    return audit_print(inspect, log);
}
