/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/forward_options.h"

#include "src/sink_rdkafka.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMIT_TIMEOUT_MS_DEFAULT 5000
#define FLUSH_MS_DEFAULT 4000

enum {
    OPTION_SPOOL = 0x100,
    OPTION_BROKER,
    OPTION_PUBLISH,
    OPTION_ACK,
    OPTION_KEEP,
    OPTION_DRAIN,
    OPTION_TIMEOUT,
    OPTION_DURABILITY,
    OPTION_MAX_BYTES,
    OPTION_MAX_RECORDS,
    OPTION_COMMIT_TIMEOUT,
    OPTION_FLUSH,
    OPTION_JSON,
};

static const struct argp_option options_table[] = {
    {"spool", OPTION_SPOOL, "DIR", 0, "The spool's folder; made if it is missing", 1},
    {"broker", OPTION_BROKER, "[ID]ADDRESS", 0,
     "A destination: [ID]host:port,.../topic?g.name=value&t.name=value; can be given again", 1},
    {"publish", OPTION_PUBLISH, "ID", 0,
     "Publish standard input to that destination, one record a line", 2},
    {NULL, 'K', "DELIM", 0, "Lines are KEY DELIM PAYLOAD; one without DELIM has no key", 2},
    {NULL, 'H', "NAME=VALUE", 0, "Add a header to each record; can be given again", 2},
    {"ack", OPTION_ACK, NULL, 0,
     "Print each line's sequence once it is committed, the n-th for the n-th line; none after a line "
     "that was refused",
     2},
    {"keep", OPTION_KEEP, NULL, 0,
     "Leave each line in the pipe on standard input until it is accepted; one that is not (the spool is "
     "full) is tried again, and does not end the program",
     2},
    {"drain", OPTION_DRAIN, NULL, 0, "End with 0 when the spool is empty", 3},
    {"timeout", OPTION_TIMEOUT, "SECONDS", 0, "End with 4 if --drain takes longer", 3},
    {"durability", OPTION_DURABILITY, "MODE", 0,
     "sync (default): a power loss costs nothing that was accepted; nometasync: one flush a commit "
     "instead of two, a power loss may cost the last commit",
     4},
    {"max-bytes", OPTION_MAX_BYTES, "N", 0, "Limit of the spool's file; K, M, G, T may follow (4G)",
     4},
    {"max-records", OPTION_MAX_RECORDS, "N", 0, "Limit of records that wait (none)", 4},
    {"commit-timeout", OPTION_COMMIT_TIMEOUT, "MS", 0,
     "How long a publish waits for its commit (5000)", 4},
    {"flush", OPTION_FLUSH, "MS", 0,
     "How long to wait for delivery reports at the end; what is not delivered stays (4000)", 4},
    {"json", OPTION_JSON, NULL, 0, "Print statistics as JSON at the end", 5},
    {0},
};

static const char options_help[] =
    "Forward a spool to Kafka; publish standard input durably.\v"
    "Examples:\n"
    "  spool-forward --spool /var/spool/kafka --broker '[k1]kafka1:9092/cdrs' --drain\n"
    "  generate | spool-forward --spool DIR --broker '[k1]kafka1:9092/cdrs' --publish k1 -K '|'\n"
    "\n"
    "Exit codes: 0 done or ended by a signal; 2 wrong option or address; 3 the spool cannot be opened; "
    "4 --timeout passed; 5 a record was not accepted (the message says which line; those before "
    "it are safe); 6 --drain left records that have no --broker; 7 unexpected failure.\n"
    "\n"
    "Secrets: write g.sasl.password.file=/path instead of g.sasl.password=..., since a command line is "
    "seen by every user of the host.";

/* --- Values ----------------------------------------------------------------------------------- */

static uint64_t options_number(struct argp_state *state, const char *option, const char *text,
                               uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number > max) {
        argp_error(state, "%s: '%.40s' is not a number from 0 to %llu", option, text,
                   (unsigned long long)max);
    }
    return number;
}

static uint64_t options_bytes(struct argp_state *state, const char *text)
{
    static const char units[] = "KMGT";
    size_t length = strlen(text);
    const char *unit = length > 0 ? strchr(units, text[length - 1]) : NULL;
    unsigned shift = unit != NULL && *unit != '\0' ? 10U * (unsigned)(unit - units + 1) : 0;
    char number[32];
    snprintf(number, sizeof(number), "%.*s", (int)(shift != 0 ? length - 1 : length), text);
    uint64_t bytes = options_number(state, "--max-bytes", number, SPOOL_BYTES_MAX >> shift)
                     << shift;
    if (bytes < SPOOL_BYTES_MIN) {
        argp_error(state, "--max-bytes: at least 1M is needed, '%.40s' is less", text);
    }
    return bytes;
}

static enum spool_durability options_durability(struct argp_state *state, const char *text)
{
    if (strcmp(text, "sync") != 0 && strcmp(text, "nometasync") != 0) {
        argp_error(state, "--durability: 'sync' or 'nometasync', not '%.40s'", text);
    }
    return strcmp(text, "sync") == 0 ? SPOOL_SYNC : SPOOL_NOMETASYNC;
}

static void options_header(struct argp_state *state, const char *text)
{
    struct forward_options *options = state->input;
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        argp_error(state, "-H: '%.40s' is not NAME=VALUE", text);
        return;
    }
    if (strncmp(text, "spool-id=", strlen("spool-id=")) == 0) {
        argp_error(state, "-H: 'spool-id' is the spool's own header");
        return;
    }
    if (options->headers_count == RECORD_HEADERS_MAX) {
        argp_error(state, "-H: more than %d headers", RECORD_HEADERS_MAX);
        return;
    }
    options->headers[options->headers_count++] = (struct record_header){
        .name = {text, (size_t)(equals - text)},
        .value = {equals + 1, strlen(equals + 1)},
    };
}

static void options_broker(struct argp_state *state, const char *text)
{
    struct forward_options *options = state->input;
    struct message message;
    if (options->addresses_count == DESTINATIONS_MAX) {
        argp_error(state, "--broker: more than %d destinations", DESTINATIONS_MAX);
        return;
    }
    SPOOL_CLEANUP(address_free) struct address *address = NULL;
    int r = address_parse(text, strlen(text), &address, &message);
    if (r == 0) {
        r = sink_rdkafka_check(address, &message);
    }
    if (r != 0) {
        argp_error(state, "--broker: %s", message.text);
        return;
    }
    for (size_t i = 0; i < options->addresses_count; i++) {
        const struct address *other = options->addresses[i];
        if (strcmp(other->identity, address->identity) == 0 ||
            (other->id != NULL && address->id != NULL && strcmp(other->id, address->id) == 0)) {
            argp_error(state, "--broker: '%.200s' is given twice", address->identity);
        }
    }
    options->addresses[options->addresses_count++] = SPOOL_TAKE(address);
}

/* --- The whole -------------------------------------------------------------------------------- */

/* What options need of each other. */
static void options_check(struct argp_state *state)
{
    struct forward_options *options = state->input;
    if (options->spool_dir == NULL) {
        argp_error(state, "--spool DIR is needed");
    }
    if (options->addresses_count == 0) {
        argp_error(state, "--broker '[ID]ADDRESS' is needed, at least once");
    }
    if (options->timeout_ms != 0 && !options->drains) {
        argp_error(state, "--timeout goes with --drain");
    }
    if (options->publish_id == NULL) {
        if (options->acks || options->keeps_lines || options->key_delimiter != NULL ||
            options->headers_count > 0) {
            argp_error(state, "-K, -H, --ack and --keep go with --publish ID");
        }
        return;
    }
    if (options->acks && options->keeps_lines) {
        argp_error(state, "--ack and --keep exclude each other");
    }
    struct stat input;
    if (options->keeps_lines && (fstat(STDIN_FILENO, &input) < 0 || !S_ISFIFO(input.st_mode))) {
        argp_error(state, "--keep: standard input is no pipe");
    }
    for (size_t i = 0; i < options->addresses_count; i++) {
        const char *id = options->addresses[i]->id;
        if (id != NULL && strcmp(id, options->publish_id) == 0) {
            options->publish_address = options->addresses[i];
        }
    }
    if (options->publish_address == NULL) {
        argp_error(state, "--publish: no --broker has the ID '%.64s'", options->publish_id);
    }
}

static error_t options_parse_publishing(int key, char *argument, struct argp_state *state)
{
    struct forward_options *options = state->input;
    switch (key) {
    case OPTION_PUBLISH:
        options->publish_id = argument;
        return 0;
    case 'K':
        if (argument[0] == '\0') {
            argp_error(state, "-K: the delimiter is empty");
        }
        options->key_delimiter = argument;
        return 0;
    case 'H':
        options_header(state, argument);
        return 0;
    case OPTION_ACK:
        options->acks = true;
        return 0;
    case OPTION_KEEP:
        options->keeps_lines = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t options_parse_spool(int key, char *argument, struct argp_state *state)
{
    struct forward_options *options = state->input;
    switch (key) {
    case OPTION_SPOOL:
        options->spool_dir = argument;
        return 0;
    case OPTION_DURABILITY:
        options->durability = options_durability(state, argument);
        return 0;
    case OPTION_MAX_BYTES:
        options->max_bytes = options_bytes(state, argument);
        return 0;
    case OPTION_MAX_RECORDS:
        options->max_records = options_number(state, "--max-records", argument, UINT64_MAX >> 1);
        return 0;
    case OPTION_COMMIT_TIMEOUT:
        options->commit_timeout_ms = options_number(state, "--commit-timeout", argument, 3600000);
        return 0;
    default:
        return options_parse_publishing(key, argument, state);
    }
}

static error_t options_parse(int key, char *argument, struct argp_state *state)
{
    struct forward_options *options = state->input;
    switch (key) {
    case OPTION_BROKER:
        options_broker(state, argument);
        return 0;
    case OPTION_DRAIN:
        options->drains = true;
        return 0;
    case OPTION_TIMEOUT:
        options->timeout_ms = 1000 * options_number(state, "--timeout", argument, 31536000);
        return 0;
    case OPTION_FLUSH:
        options->flush_ms = options_number(state, "--flush", argument, 3600000);
        return 0;
    case OPTION_JSON:
        options->prints_json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%.40s' belongs to no option", argument);
        return 0;
    case ARGP_KEY_END:
        options_check(state);
        return 0;
    default:
        return options_parse_spool(key, argument, state);
    }
}

static void options_print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    fprintf(stream, "spool-forward %s (librdkafka %s)\n", SPOOL_VERSION, sink_rdkafka_version());
}

void forward_options_parse(int argc, char **argv, struct forward_options *ret_options)
{
    static const struct argp argp = {
        .options = options_table,
        .parser = options_parse,
        .doc = options_help,
    };
    argp_err_exit_status = FORWARD_EXIT_USAGE;
    argp_program_version_hook = options_print_version;
    *ret_options = (struct forward_options){
        .commit_timeout_ms = COMMIT_TIMEOUT_MS_DEFAULT,
        .flush_ms = FLUSH_MS_DEFAULT,
        .max_bytes = SPOOL_BYTES_DEFAULT,
    };
    argp_parse(&argp, argc, argv, 0, NULL, ret_options);
}

void forward_options_deinit(struct forward_options *options)
{
    for (size_t i = 0; i < options->addresses_count; i++) {
        address_free(&options->addresses[i]);
    }
    options->addresses_count = 0;
}
