/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walking over the records of a spool that match a filter, destination by destination, in the order
 * of their sequences. What is found is copied, some at a time, and the read transaction is over
 * before anybody sees it: so whoever prints to a slow terminal, or asks a question, holds back
 * nothing. Memory does not grow with the depth.
 */
#ifndef TOOLS_INSPECT_WALK_H
#define TOOLS_INSPECT_WALK_H

#include "spool/base.h"
#include "spool/record.h"
#include "spool/settlement.h"
#include "spool/spool.h"
#include "tools/inspect/filter.h"

enum walk_place {
    WALK_QUEUE,
    WALK_DEAD,
    WALK_REPORTS, /* in the order of their numbers, of all destinations that are meant together */
};

struct walk_entry {
    enum walk_place place;
    uint32_t destination;
    uint64_t sequence;
    struct span stored;      /* as in the database */
    struct span encoded;     /* the record as stored: without a dead letter's head */
    bool is_readable;        /* record is set: it was decoded, checksum and all */
    struct record record;    /* its spans point into encoded */
    bool has_dead;           /* dead is set */
    struct dead_letter dead; /* in WALK_DEAD */
    bool has_report;         /* report is set, and sequence and destination are what it says */
    struct report report;    /* in WALK_REPORTS */
};

struct walk_config {
    struct spool *spool;
    enum walk_place place;
    const struct filter *filter; /* resolved */
    /* Called for each entry that matches, without a transaction; what it shows is valid until it
     * returns. 0: go on; WALK_SKIP: with the next destination; anything else ends the walk and is
     * its result. */
    int (*on_entry)(void *context, const struct walk_entry *entry);
    /* Called between two transactions, at least 20 times a second, with what was read and matched
     * so far; NULL: nobody asks. Results as on_entry's. */
    int (*on_progress)(void *context, uint64_t read_count, uint64_t matched_count);
    void *context;
};

#define WALK_SKIP 100
#define WALK_E_DAMAGED 1 /* pages are damaged: nothing further can be read there */

/* Walks. What is damaged is passed over; the result is then WALK_E_DAMAGED in the end. 0,
 * WALK_E_DAMAGED, -errno, what on_entry or on_progress gave. */
SPOOL_MUST_CHECK int walk(const struct walk_config *config);

/* Reads one entry; *ret_copy owns what the entry shows, and is to be freed. 0, WALK_E_NOT_FOUND,
 * WALK_E_DAMAGED, -errno. */
#define WALK_E_NOT_FOUND 2
SPOOL_MUST_CHECK int walk_one(struct spool *spool, enum walk_place place, uint32_t destination,
                              uint64_t sequence, void **ret_copy, struct walk_entry *ret_entry);

#endif
