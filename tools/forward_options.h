/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of spool-forward. */
#ifndef TOOLS_FORWARD_OPTIONS_H
#define TOOLS_FORWARD_OPTIONS_H

#include "spool/base.h"
#include "spool/limits.h"
#include "spool/record.h"
#include "spool/spool.h"
#include "src/address.h"

/* Exit codes: documented in --help and docs/man/spool-forward.1.scd. */
enum forward_exit {
    FORWARD_EXIT_DONE = 0,
    FORWARD_EXIT_USAGE = 2,     /* an option or an address is wrong */
    FORWARD_EXIT_SPOOL = 3,     /* the spool cannot be opened */
    FORWARD_EXIT_TIMEOUT = 4,   /* --timeout passed before --drain was done */
    FORWARD_EXIT_REFUSED = 5,   /* a record from standard input was not accepted */
    FORWARD_EXIT_UNDRAINED = 6, /* --drain: what is left has no --broker */
    FORWARD_EXIT_FAILED = 7,    /* something unexpected: memory, threads, input errors */
};

struct forward_options {
    const char *spool_dir;
    struct address *addresses[DESTINATIONS_MAX];
    size_t addresses_count;
    const struct address *publish_address; /* --publish ID, NULL: none */
    const char *publish_id;
    const char *key_delimiter;
    struct record_header headers[RECORD_HEADERS_MAX];
    uint16_t headers_count;
    bool acks;
    bool keeps_lines; /* --keep */
    bool drains;
    bool prints_json;
    uint64_t timeout_ms; /* 0: none */
    uint64_t commit_timeout_ms;
    uint64_t flush_ms;
    uint64_t max_bytes;
    uint64_t max_records;
    enum spool_durability durability;
};

/* Reads the command line. On a wrong one it says what is wrong on standard error and ends the
 * program with FORWARD_EXIT_USAGE; --help and --version end it with 0. */
void forward_options_parse(int argc, char **argv, struct forward_options *ret_options);

/* Frees what parsing made. */
void forward_options_deinit(struct forward_options *options);

#endif
