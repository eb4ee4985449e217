/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a command that acts on records found and did, for people and for programs. */
#ifndef TOOLS_INSPECT_ACT_ANSWER_H
#define TOOLS_INSPECT_ACT_ANSWER_H

#include "spool/audit.h"
#include "spool/settlement.h"
#include "spool/visit.h"
#include "tools/inspect/walk.h"

struct act_kind {
    enum audit_act act;
    enum walk_place place;
    enum settle_action action;
    const char *verb; /* "drop" */
    const char *done; /* "dropped" */
    const char *help;
    bool takes_into;
};

struct act_answer {
    const struct act_kind *kind;
    struct spool *spool;
    uint32_t into; /* 0: the act has none */
    const char *words;
    const char *export_path; /* NULL: none was written */
    bool is_done;            /* with --yes */

    uint64_t found_count;
    uint64_t found_bytes;
    uint64_t skipped_count; /* match, but the act cannot be done with them */
    uint64_t done_count;
    uint64_t done_bytes;
    char forwarder[SPOOL_OWNER_BYTES]; /* who forwards; empty: nobody, so nothing is in-flight */
    uint64_t inflight_max;             /* at most so many of what was found are in-flight */

    struct {
        uint64_t records_count;
        uint64_t bytes;
        uint64_t oldest_wall_ms; /* of those that can be decoded; 0: none */
    } destinations[DESTINATIONS_MAX + 1];
};

/* Counts an entry that was found. */
void act_answer_count(struct act_answer *answer, const struct walk_entry *entry);

/* Asks who forwards, and how much of what was found may be in-flight with it. Before anything is
 * done. */
void act_answer_ask_forwarder(struct act_answer *answer);

/* The one destination that something was found of; DESTINATION_ALL: several, or none. */
SPOOL_MUST_CHECK uint32_t act_answer_only_destination(const struct act_answer *answer);

/* Prints it on standard output. */
void act_answer_print(const struct act_answer *answer);
void act_answer_print_json(const struct act_answer *answer);

#endif
