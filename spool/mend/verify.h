/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verifies a spool: every page that its newest meta page leads to, every record's checksum, and
 * those of the invariants of spool/README.md that the files can show. Reads pages itself
 * (spool/page/page_view.h), so no damage can end the program; writes nothing.
 *
 * While nobody owns the spool it is looked at as one state. While somebody does, it is looked at in
 * slices of a few milliseconds, each a state of its own, with long rests between them; what only
 * one state can show is then left out, and said.
 */
#ifndef SPOOL_VERIFY_H
#define SPOOL_VERIFY_H

#include "spool/message.h"
#include "spool/page/page_walk.h"

/* What is wrong, or what was not looked at. */
struct verify_finding {
    const char *rule; /* "S4", "pages", "format", "record": see spool/README.md. Static */
    const char *database;
    uint64_t sequence; /* or a report's number; VERIFY_NOTHING: not about one */
    uint64_t page;     /* VERIFY_NOTHING: not about one */
    char text[192];
};

#define VERIFY_NOTHING UINT64_MAX

/* Whoever wants to know. context is given back; any function may be NULL. */
struct verify_host {
    void *context;
    /* Something is wrong. The finding lives as long as the call. */
    void (*find)(void *context, const struct verify_finding *finding);
    /* Something cannot be looked at, and why. */
    void (*leave_out)(void *context, const char *what);
    /* A destination's texts: what is wrong with them (S11), or NULL. */
    const char *(*check_destination)(void *context, uint32_t destination, struct span identity,
                                     struct span address);
    /* How far it is, several times a second. false: stop. */
    bool (*go_on)(void *context, uint64_t done_bytes, uint64_t all_bytes);
    /* Whether the spool has an owner now. */
    bool (*is_owned)(void *context);
};

struct verify_result {
    bool is_whole; /* one state was looked at, from end to end */
    uint64_t findings_count;
    uint64_t pages_count; /* of trees and free lists, looked at */
    uint64_t read_bytes;
    uint64_t waiting_count;
    uint64_t dead_count;
    uint64_t reports_count;
    uint64_t txn; /* of the state, or of the last slice's */
};

#define VERIFY_E_REFUSED 1 /* no spool, or not to be read; message says why */
#define VERIFY_E_STOPPED 2 /* go_on() said so */

/* Verifies the spool in a folder; dir_fd and dir are borrowed. That something is wrong is no
 * failure: ret_result->findings_count says so. 0, VERIFY_E_REFUSED, VERIFY_E_STOPPED, -errno;
 * message is set for each but 0. */
SPOOL_MUST_CHECK int verify_spool(int dir_fd, const char *dir, const struct verify_host *host,
                                  struct verify_result *ret_result, struct message *message);

#endif
