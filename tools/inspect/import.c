/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * import: the lines of an export into a spool. Each record gets a sequence of this spool, and its
 * old spool-id as its origin, so the header that Kafka's consumers see stays the same. The lines go
 * in by batches, in their order; each batch notes in the audit log how far it came, in the same
 * transaction: so an import that was broken off, however, is repeated without a record twice.
 */
#include "spool/audit.h"
#include "spool/batch.h"
#include "spool/outcome.h"
#include "spool/point.h"
#include "tools/inspect/command.h"
#include "tools/inspect/filter.h"
#include "tools/inspect/import_source.h"
#include "tools/inspect/item.h"
#include "tools/inspect/output.h"
#include "tools/inspect/who.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define IMPORT_BATCH_RECORDS 1000
#define IMPORT_BATCH_BYTES (4U << 20)

enum {
    OPTION_INTO = 0x3000,
    OPTION_AGAIN,
};

/* A line that waits for its batch. */
struct import_record {
    enum item_place place;
    uint32_t destination;
    struct dead_letter dead;
    struct report report;
    uint8_t *encoded; /* owned */
    size_t size_bytes;
    uint64_t line;
    uint64_t checksum; /* of the lines up to this one */
};

struct import {
    struct inspect *inspect;
    char *path;
    char *into_text;
    bool is_again;
    uint32_t into; /* 0: each record's own destination */
    char who[WHO_BYTES];
    struct import_source source;
    struct batch *batch;
    struct message message;

    uint64_t before_count; /* lines that an earlier import took */
    uint64_t done_count;   /* lines that are in the spool now */
    uint64_t places_count[ITEM_REPORTS + 1];
    uint64_t begun_wall_ms;
    uint64_t records_count;
    uint64_t bytes;
    uint64_t audit_number;

    struct import_record waiting[IMPORT_BATCH_RECORDS];
    size_t waiting_count;
    size_t waiting_bytes;
};

#define IMPORT_E_END 1
#define IMPORT_E_FAILED 2 /* message says why */

/* --- Batches ---------------------------------------------------------------------------------- */

static void import_forget(struct import *import)
{
    for (size_t i = 0; i < import->waiting_count; i++) {
        free(import->waiting[i].encoded);
    }
    import->waiting_count = 0;
    import->waiting_bytes = 0;
}

static int import_append(struct import *import, const struct import_record *record,
                         int *ret_refusal)
{
    uint64_t sequence;
    struct span encoded = {record->encoded, record->size_bytes};
    switch (record->place) {
    case ITEM_DEAD:
        return batch_append_dead(import->batch, record->destination, &record->dead, encoded,
                                 &sequence, ret_refusal);
    case ITEM_REPORTS:
        return batch_append_report(import->batch, &record->report, encoded, &sequence, ret_refusal);
    default:
        return batch_append(import->batch, record->destination, encoded, &sequence, ret_refusal);
    }
}

/* Notes how far the import came, and commits. */
static int import_commit(struct import *import, size_t from, size_t count)
{
    const struct import_record *last = &import->waiting[from + count - 1];
    char what[IMPORT_MARK_BYTES];
    uint64_t bytes = 0;
    uint64_t number = import->audit_number;
    import_mark_print(&import->source, last->line, last->checksum, what);
    for (size_t i = from; i < from + count; i++) {
        bytes += import->waiting[i].size_bytes;
    }
    struct audit_entry entry = {
        .act = AUDIT_IMPORT,
        .destination = import->into,
        .begun_wall_ms = import->begun_wall_ms,
        .ended_wall_ms = inspect_now_ms(),
        .records_count = import->records_count + count,
        .bytes = import->bytes + bytes,
        .who = {import->who, strlen(import->who)},
        .what = {what, strlen(what)},
    };
    SPOOL_POINT("import.filled");
    int r = batch_audit(import->batch, &entry, &number);
    if (r == 0) {
        r = batch_commit(import->batch);
        SPOOL_POINT("import.committed");
    }
    if (r != 0) {
        return r;
    }
    for (size_t i = from; i < from + count; i++) {
        import->places_count[import->waiting[i].place]++;
    }
    import->audit_number = number;
    import->records_count += count;
    import->bytes += bytes;
    import->done_count = last->line;
    return 0;
}

/* One transaction with the first of the count records; *ret_taken of them are in it. A refusal by
 * the spool's limits ends it: 0 and *ret_refusal then. */
static int import_try(struct import *import, size_t from, size_t count, size_t *ret_taken,
                      int *ret_refusal)
{
    uint64_t bytes = 0;
    size_t taken = 0;
    for (size_t i = from; i < from + count; i++) {
        bytes += import->waiting[i].size_bytes + REPORT_BYTES;
    }
    int r = batch_begin(import->batch, bytes, count);
    while (r == 0 && taken < count) {
        r = import_append(import, &import->waiting[from + taken], ret_refusal);
        taken += r == 0 ? 1 : 0;
    }
    if (r != 0 && r != BATCH_E_REFUSED) {
        return r;
    }
    *ret_taken = taken;
    if (taken == 0) {
        batch_abort(import->batch);
        return 0;
    }
    return import_commit(import, from, taken);
}

static int import_say_full(struct import *import, const char *why)
{
    message_set(&import->message,
                "%s: full (%s): when there is room, %s goes on where this one ended",
                spool_dir(import->inspect->spool), why,
                import->source.is_file ? "the same command" : "an import of a file of these lines");
    return IMPORT_E_FAILED;
}

/* 0, IMPORT_E_FAILED, -errno. */
static int import_commit_waiting(struct import *import)
{
    size_t done = 0;
    size_t count_max = IMPORT_BATCH_RECORDS;
    while (done < import->waiting_count) {
        size_t left = import->waiting_count - done;
        size_t count = left < count_max ? left : count_max;
        size_t taken = 0;
        int refusal = OUTCOME_ACCEPTED;
        int r = import_try(import, done, count, &taken, &refusal);
        if (r == BATCH_E_NO_SPACE && count > 1) {
            count_max = count / 2;
            continue;
        }
        if (r == BATCH_E_NO_SPACE) {
            return import_say_full(import, "no room");
        }
        if (r == BATCH_E_LATCHED) {
            message_set(&import->message,
                        "%s: a write failed: look at the disk and the kernel's log; the same "
                        "command goes on where it ended",
                        spool_dir(import->inspect->spool));
            return IMPORT_E_FAILED;
        }
        if (r != 0) {
            return r < 0 ? r : -EPROTO;
        }
        done += taken;
        if (refusal != OUTCOME_ACCEPTED) {
            return import_say_full(import, outcome_name((enum outcome)refusal));
        }
    }
    return 0;
}

/* Commits what waits; whatever comes of it, nothing waits then. 0, IMPORT_E_FAILED, -errno. */
static int import_flush(struct import *import)
{
    int r = import_commit_waiting(import);
    import_forget(import);
    return r;
}

/* --- Lines ------------------------------------------------------------------------------------ */

static int import_refuse_line(struct import *import, const char *why)
{
    struct message reason;
    message_set(&reason, "%s", why);
    message_set(&import->message, "%s: line %" PRIu64 ": %.600s", import->source.name,
                import->source.lines_count, reason.text);
    return IMPORT_E_FAILED;
}

/* Finds the record's destination, or makes it: its records wait until somebody configures it. */
static int import_find_destination(struct import *import, const struct item *item,
                                   uint32_t *ret_destination)
{
    if (import->into != 0) {
        *ret_destination = import->into;
        return 0;
    }
    struct spool *spool = import->inspect->spool;
    for (uint32_t i = 1; i <= spool_destinations_count(spool); i++) {
        if (strcmp(spool_destination_identity(spool, i), item->identity) == 0) {
            *ret_destination = i;
            return 0;
        }
    }
    int r = spool_destination_open(spool, item->identity, item->address, ret_destination,
                                   &import->message);
    return r <= 0 ? r : IMPORT_E_FAILED;
}

static int import_take_line(struct import *import)
{
    struct import_source *source = &import->source;
    struct item_line line;
    struct message message;
    struct import_record record = {.line = source->lines_count, .checksum = source->checksum};
    int r = item_parse((struct span){source->line, source->line_bytes}, &line, &message);
    if (r != 0) {
        return r < 0 ? r : import_refuse_line(import, message.text);
    }
    r = import_find_destination(import, &line.item, &record.destination);
    if (r == 0) {
        record.place = line.item.place;
        record.dead = line.item.dead;
        record.report = line.item.report;
        record.report.destination = record.destination;
        record.size_bytes = line.item.encoded.size_bytes;
        record.encoded = SPOOL_TAKE(line.encoded);
        import->waiting[import->waiting_count++] = record;
        import->waiting_bytes += record.size_bytes;
    }
    item_line_free(&line);
    if (r == 0 && (import->waiting_count == IMPORT_BATCH_RECORDS ||
                   import->waiting_bytes >= IMPORT_BATCH_BYTES)) {
        r = import_flush(import);
    }
    return r;
}

/* 0, IMPORT_E_END, IMPORT_E_FAILED, -errno. */
static int import_read_line(struct import *import)
{
    int r = import_source_next(&import->source);
    if (r == IMPORT_SOURCE_E_TOO_LONG) {
        import->source.lines_count++;
        return import_refuse_line(import, "longer than the line of any record");
    }
    return r == IMPORT_SOURCE_E_END ? IMPORT_E_END : r;
}

/* Reads the whole file: is each line one that can be imported, and how many were before? 0,
 * IMPORT_E_FAILED, -errno. */
static int import_check(struct import *import)
{
    struct import_marks marks;
    struct item_line line;
    struct message message;
    int r = import_marks_read(&marks, import->inspect->spool);
    while (r == 0) {
        r = import_read_line(import);
        if (r != 0) {
            break;
        }
        r = item_parse((struct span){import->source.line, import->source.line_bytes}, &line,
                       &message);
        if (r > 0) {
            r = import_refuse_line(import, message.text);
        } else if (r == 0) {
            item_line_free(&line);
            if (import_marks_match(&marks, &import->source) && !import->is_again) {
                import->before_count = import->source.lines_count;
            }
        }
    }
    import_marks_free(&marks);
    import->done_count = import->before_count;
    return r == IMPORT_E_END ? 0 : r;
}

/* Takes all lines behind those that were imported before. 0, IMPORT_E_FAILED, -errno. */
static int import_take(struct import *import)
{
    int r = 0;
    while (r == 0) {
        r = import_read_line(import);
        if (r == 0 && import->source.lines_count > import->before_count) {
            r = import_take_line(import);
        }
    }
    /* The lines in front of a bad one are as good as ever. */
    int flushed = import_flush(import);
    return r == IMPORT_E_END || flushed != 0 ? flushed : r;
}

/* --- The answer ------------------------------------------------------------------------------- */

static void import_print_json(const struct import *import, bool is_whole)
{
    json_t *object = json_object();
    const char *name = import->source.name;
    (void)json_object_set_new(object, "format", json_string("spool-inspect/import/1"));
    output_json_bytes(object, "file", (struct span){name, strlen(name)});
    (void)json_object_set_new(object, "whole", json_boolean(is_whole));
    output_json_number(object, "lines_before", import->before_count);
    output_json_number(object, "lines_done", import->done_count);
    output_json_number(object, "records", import->records_count);
    output_json_number(object, "bytes", import->bytes);
    output_json_number(object, "queue", import->places_count[ITEM_QUEUE]);
    output_json_number(object, "dead", import->places_count[ITEM_DEAD]);
    output_json_number(object, "reports", import->places_count[ITEM_REPORTS]);
    output_json(object);
}

static void import_print(const struct import *import)
{
    char bytes[OUTPUT_WORD_BYTES];
    output_bytes(import->bytes, bytes);
    if (import->before_count > 0) {
        printf("Lines 1 to %" PRIu64 " were imported before: --again imports them once more.\n",
               import->before_count);
    }
    printf("%" PRIu64 " records (%s) were imported: %" PRIu64 " waiting, %" PRIu64
           " dead letters, %" PRIu64 " reports.\n",
           import->records_count, bytes, import->places_count[ITEM_QUEUE],
           import->places_count[ITEM_DEAD], import->places_count[ITEM_REPORTS]);
}

static enum inspect_exit import_answer(const struct import *import, int r)
{
    if (r != 0) {
        inspect_say("%s", r < 0 ? strerror(-r) : import->message.text);
        if (import->done_count > 0) {
            inspect_say("lines 1 to %" PRIu64 " of %s are in the spool", import->done_count,
                        import->source.name);
        }
    }
    if (import->inspect->prints_json) {
        import_print_json(import, r == 0);
    } else {
        import_print(import);
    }
    return r == 0 ? INSPECT_EXIT_DONE : INSPECT_EXIT_ATTENTION;
}

/* --- All of it -------------------------------------------------------------------------------- */

static const struct argp_option import_options[] = {
    {"into", OPTION_INTO, "D", 0, "All into this destination, whatever the lines say", 1},
    {"again", OPTION_AGAIN, NULL, 0, "Also the lines that were imported before", 1},
    {0},
};

static error_t import_parse(int key, char *argument, struct argp_state *state)
{
    struct import *import = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = import->inspect;
        return 0;
    case OPTION_INTO:
        import->into_text = argument;
        return 0;
    case OPTION_AGAIN:
        import->is_again = true;
        return 0;
    case ARGP_KEY_ARG:
        if (import->path != NULL) {
            argp_error(state, "one FILE");
        }
        import->path = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which FILE? '-' is standard input");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Opens the file as whoever runs the program, the spool as its owner. */
static enum inspect_exit import_open(struct import *import)
{
    struct inspect *inspect = import->inspect;
    who_print(import->who);
    import->begun_wall_ms = inspect_now_ms();
    if (import_source_open(&import->source, import->path, &import->message) != 0) {
        inspect_say("%s", import->message.text);
        return INSPECT_EXIT_USAGE;
    }
    enum inspect_exit code = inspect_open(inspect);
    if (code != INSPECT_EXIT_DONE) {
        return code;
    }
    if (import->into_text != NULL &&
        filter_find_destination(inspect->spool, import->into_text, &import->into,
                                &import->message) != 0) {
        inspect_say("%s", import->message.text);
        return INSPECT_EXIT_USAGE;
    }
    if (batch_new(inspect->spool, &import->batch) != 0) {
        inspect_say("out of memory");
        return INSPECT_EXIT_SPOOL;
    }
    return INSPECT_EXIT_DONE;
}

static enum inspect_exit import_all(struct import *import)
{
    if (import->source.is_file) {
        int r = import_check(import);
        if (r != 0) {
            inspect_say("%s: nothing was imported", r < 0 ? strerror(-r) : import->message.text);
            return INSPECT_EXIT_ATTENTION;
        }
        import_source_rewind(&import->source);
    }
    return import_answer(import, import_take(import));
}

static void import_free(struct import **import_at)
{
    struct import *import = SPOOL_TAKE(*import_at);
    if (import != NULL) {
        import_forget(import);
        import_source_close(&import->source);
        batch_free(&import->batch);
        free(import);
    }
}

enum inspect_exit import_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct argp_child children[] = {{&inspect_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = import_options,
        .parser = import_parse,
        .args_doc = "FILE",
        .doc = "Put the records of an export into the spool.\v"
               "Each gets a sequence of this spool, and keeps its spool-id, times, headers and "
               "report route. Destinations that the spool does not have are made; their records "
               "wait until they are configured.\n\n"
               "A file is read in full before anything is changed: a line that is wrong is named, "
               "and nothing imported. An import that was broken off is repeated with the same "
               "command: it goes on behind the lines that are in the spool. Of standard input the "
               "lines in front of a wrong one are imported.\n\n"
               "Examples:\n"
               "  spool-inspect import dropped.jsonl\n"
               "  spool-inspect --spool OLD export | spool-inspect --spool NEW import -\n",
        .children = children,
    };
    SPOOL_CLEANUP(import_free) struct import *import = calloc(1, sizeof(*import));
    if (import == NULL) {
        inspect_say("out of memory");
        return INSPECT_EXIT_SPOOL;
    }
    import->inspect = inspect;
    inspect_parse(&argp, argc, argv, import);
    enum inspect_exit code = import_open(import);
    return code == INSPECT_EXIT_DONE ? import_all(import) : code;
}
