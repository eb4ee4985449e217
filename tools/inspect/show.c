/* SPDX-License-Identifier: GPL-2.0-or-later */
/* show, dead show: records in full. */
#include "tools/inspect/command.h"
#include "tools/inspect/entry.h"
#include "tools/inspect/indent.h"
#include "tools/inspect/output.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOW_HEX_BYTES 16

enum {
    OPTION_AS = 0x3000,
};

enum show_form {
    SHOW_AUTO, /* JSON if it is JSON, text if it is UTF-8, else hex */
    SHOW_TEXT,
    SHOW_HEX,
    SHOW_JSON,
    SHOW_RAW, /* the payload's bytes and nothing else */
};

struct show {
    struct inspect *inspect;
    enum walk_place place;
    enum show_form form;
    uint64_t *sequences;
    size_t sequences_count;
    size_t shown_count;
    uint64_t now_ms;
};

static const struct argp_option show_options[] = {
    {"as", OPTION_AS, "FORM", 0,
     "The payload as text, hex, json (indented) or raw (its bytes and nothing else); by default json "
     "if it is that, else text, else hex",
     1},
    {0},
};

static enum show_form show_read_form(struct argp_state *state, const char *text)
{
    static const char *const names[] = {"auto", "text", "hex", "json", "raw"};
    for (size_t i = 0; i < SPOOL_COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum show_form)i;
        }
    }
    argp_error(state, "--as: 'text', 'hex', 'json' or 'raw', not '%.40s'", text);
    return SHOW_AUTO;
}

static error_t show_parse(int key, char *argument, struct argp_state *state)
{
    struct show *show = state->input;
    uint64_t sequence;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = show->inspect;
        return 0;
    case OPTION_AS:
        show->form = show_read_form(state, argument);
        return 0;
    case ARGP_KEY_ARG:
        if (!filter_read_number(argument, &sequence)) {
            argp_error(state, "'%.40s' is no sequence", argument);
            return 0;
        }
        show->sequences[show->sequences_count++] = sequence;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which SEQUENCE? 'ls' lists them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- The payload ------------------------------------------------------------------------------ */

static void show_hex(struct span bytes)
{
    const uint8_t *at = bytes.data;
    for (size_t i = 0; i < bytes.size_bytes; i += SHOW_HEX_BYTES) {
        printf("%08zx ", i);
        for (size_t j = i; j < i + SHOW_HEX_BYTES; j++) {
            if (j < bytes.size_bytes) {
                printf(" %02x", at[j]);
            } else {
                printf("   ");
            }
        }
        printf("  ");
        for (size_t j = i; j < i + SHOW_HEX_BYTES && j < bytes.size_bytes; j++) {
            (void)putchar(isascii(at[j]) && isprint(at[j]) ? at[j] : '.');
        }
        (void)putchar('\n');
    }
}

/* Indented, when it is JSON. */
static bool show_json(struct span payload)
{
    SPOOL_CLEANUP(spool_free) char *text = NULL;
    size_t size = 0;
    json_t *document = json_loadb(payload.data, payload.size_bytes, JSON_DECODE_ANY, NULL);
    FILE *stream = document == NULL ? NULL : open_memstream(&text, &size);
    json_decref(document);
    if (stream == NULL) {
        return false;
    }
    indent_json(stream, payload);
    (void)fclose(stream);
    output_text(stdout, (struct span){text, size}, true);
    (void)putchar('\n');
    return true;
}

static bool show_is_text(struct span payload)
{
    json_t *text = json_stringn(payload.data, payload.size_bytes);
    json_decref(text);
    return text != NULL && memchr(payload.data, '\0', payload.size_bytes) == NULL;
}

static void show_payload(enum show_form form, struct span payload)
{
    if (payload.size_bytes == 0) {
        printf("(%s)\n", payload.data == NULL ? "null" : "empty");
        return;
    }
    if ((form == SHOW_AUTO || form == SHOW_JSON) && show_json(payload)) {
        return;
    }
    if (form == SHOW_JSON) {
        inspect_say("the payload is no JSON: shown as text");
    }
    if (form == SHOW_HEX || (form == SHOW_AUTO && !show_is_text(payload))) {
        show_hex(payload);
        return;
    }
    output_text(stdout, payload, true);
    (void)putchar('\n');
}

/* --- The rest --------------------------------------------------------------------------------- */

static void show_line(const char *name, struct span text)
{
    printf("%-14s ", name);
    output_text(stdout, text, false);
    (void)putchar('\n');
}

static void show_word(const char *name, const char *word)
{
    show_line(name, (struct span){word, strlen(word)});
}

/* A time, and how long ago it is. */
static void show_time(const struct show *show, const char *name, uint64_t wall_ms)
{
    char time[OUTPUT_WORD_BYTES];
    char distance[OUTPUT_WORD_BYTES];
    bool is_ahead = wall_ms > show->now_ms;
    output_time(wall_ms, time);
    output_duration(is_ahead ? wall_ms - show->now_ms : show->now_ms - wall_ms, distance);
    if (wall_ms == 0) {
        printf("%-14s -\n", name);
    } else {
        printf("%-14s %s (%s%s%s)\n", name, time, is_ahead ? "in " : "", distance,
               is_ahead ? "" : " ago");
    }
}

static void show_record(const struct show *show, const struct walk_entry *entry)
{
    const struct record *record = &entry->record;
    char id[SPOOL_ID_BYTES];
    struct record_header header;
    size_t position = 0;
    spool_id_print(show->inspect->spool, record->has_origin ? record->origin_uuid : NULL,
                   record->has_origin ? record->origin_sequence : entry->sequence, id);
    show_word("spool-id", id);
    show_time(show, "published", record->published_wall_ms);
    show_time(show, "expires", record->expires_wall_ms);
    if (record->key.data == NULL) {
        show_word("key", "(none)");
    } else {
        show_line("key", record->key);
    }
    if (record->report_route.size_bytes > 0) {
        show_line("report route", record->report_route);
    }
    while (record_header_next(record, &position, &header) == 0) {
        printf("%-14s ", "header");
        output_text(stdout, header.name, false);
        printf(": ");
        if (header.value.data == NULL) {
            printf("(null)");
        }
        output_text(stdout, header.value, false);
        (void)putchar('\n');
    }
    printf("%-14s %zu bytes\n", "payload", record->payload.size_bytes);
    show_payload(show->form, record->payload);
}

static void show_entry(const struct show *show, const struct walk_entry *entry)
{
    printf("%-14s %" PRIu64 "\n", "sequence", entry->sequence);
    show_word("destination", spool_destination_identity(show->inspect->spool, entry->destination));
    if (entry->has_dead) {
        show_word("reason", settle_action_name(entry->dead.reason));
        show_word("error", entry_error_name(entry->dead.error));
        printf("%-14s %u\n", "attempts", entry->dead.attempts);
        show_time(show, "first attempt", entry->dead.first_attempt_wall_ms);
        show_time(show, "settled", entry->dead.settled_wall_ms);
    }
    printf("%-14s %zu bytes\n", "stored", entry->encoded.size_bytes);
    if (entry->is_readable) {
        show_record(show, entry);
    } else {
        printf("The record cannot be decoded: it is damaged, or of a newer version. As stored:\n");
        show_hex(entry->encoded);
    }
}

static enum inspect_exit show_print(struct show *show, const struct walk_entry *entry)
{
    if (show->inspect->prints_json) {
        output_json(entry_json(show->inspect->spool, entry, "spool-inspect/record/1", true));
    } else if (show->form == SHOW_RAW && entry->is_readable) {
        (void)fwrite(entry->record.payload.data, 1, entry->record.payload.size_bytes, stdout);
    } else {
        printf("%s", show->shown_count > 0 ? "\n" : "");
        show_entry(show, entry);
    }
    show->shown_count++;
    return INSPECT_EXIT_DONE;
}

/* A sequence is given once in a spool, so the destination need not be said. */
static enum inspect_exit show_sequence(struct show *show, uint64_t sequence)
{
    struct spool *spool = show->inspect->spool;
    int r = WALK_E_NOT_FOUND;
    for (uint32_t i = 1; r == WALK_E_NOT_FOUND && i <= spool_destinations_count(spool); i++) {
        SPOOL_CLEANUP(spool_free) void *copy = NULL;
        struct walk_entry entry;
        r = walk_one(spool, show->place, i, sequence, &copy, &entry);
        if (r == 0) {
            return show_print(show, &entry);
        }
    }
    if (r == WALK_E_NOT_FOUND) {
        inspect_say("no %s has the sequence %" PRIu64 ": it may have been settled meanwhile",
                    show->place == WALK_DEAD ? "dead letter" : "waiting record", sequence);
        return INSPECT_EXIT_ATTENTION;
    }
    inspect_say("sequence %" PRIu64 " cannot be read: %s", sequence,
                r < 0 ? strerror(-r) : "damaged pages");
    return INSPECT_EXIT_SPOOL;
}

static enum inspect_exit show_all(struct show *show)
{
    enum inspect_exit code = INSPECT_EXIT_DONE;
    for (size_t i = 0; i < show->sequences_count && code != INSPECT_EXIT_SPOOL; i++) {
        enum inspect_exit one = show_sequence(show, show->sequences[i]);
        code = one > code ? one : code;
    }
    return code;
}

static enum inspect_exit show_run_place(struct inspect *inspect, int argc, char **argv,
                                        enum walk_place place, const char *help)
{
    static const struct argp_child children[] = {{&inspect_argp, 0, NULL, 0}, {0}};
    SPOOL_CLEANUP(spool_free) uint64_t *sequences = calloc((size_t)argc, sizeof(*sequences));
    struct show show = {.inspect = inspect, .place = place, .sequences = sequences};
    struct argp argp = {.options = show_options,
                        .parser = show_parse,
                        .args_doc = "SEQUENCE...",
                        .doc = help,
                        .children = children};
    if (sequences == NULL) {
        inspect_say("out of memory");
        return INSPECT_EXIT_SPOOL;
    }
    inspect_parse(&argp, argc, argv, &show);
    if (show.form == SHOW_RAW && isatty(STDOUT_FILENO)) {
        inspect_say("--as raw: not to a terminal, which would obey what is in the payload");
        return INSPECT_EXIT_USAGE;
    }
    enum inspect_exit code = inspect_open(inspect);
    if (code == INSPECT_EXIT_DONE) {
        show.now_ms = inspect_now_ms();
        code = show_all(&show);
    }
    return code;
}

enum inspect_exit show_run(struct inspect *inspect, int argc, char **argv)
{
    return show_run_place(inspect, argc, argv, WALK_QUEUE,
                          "Show waiting records in full.\v"
                          "Examples:\n"
                          "  spool-inspect show 4711\n"
                          "  spool-inspect show 4711 --as raw > payload.json\n");
}

enum inspect_exit dead_show_run(struct inspect *inspect, int argc, char **argv)
{
    return show_run_place(inspect, argc, argv, WALK_DEAD,
                          "Show dead letters in full: why, after how many attempts, and the "
                          "record.\v"
                          "Examples:\n"
                          "  spool-inspect dead show 4711\n"
                          "  spool-inspect dead show 4711 --as hex\n");
}
