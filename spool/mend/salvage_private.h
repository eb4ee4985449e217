/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to spool/: what the parts of salvage share. */
#ifndef SPOOL_SALVAGE_PRIVATE_H
#define SPOOL_SALVAGE_PRIVATE_H

#include "spool/batch.h"
#include "spool/limits.h"
#include "spool/mend/salvage.h"
#include "spool/page/page_view.h"
#include "spool/record.h"
#include "spool/settlement.h"

enum salvage_kind {
    SALVAGE_QUEUE,
    SALVAGE_DEAD,
    SALVAGE_REPORTS,
};

/* Keys from .from on and below .to, whose entries hang below a damaged page. */
struct salvage_lost {
    uint64_t from;
    uint64_t to;
};

#define SALVAGE_LOST_MAX 4096

/* A database of records, in the latest state and in the one before it. */
struct salvage_tree {
    enum salvage_kind kind;
    uint32_t destination; /* 0: the reports */
    struct page_tree newest;
    struct page_tree other;
    bool has_newest;
    bool has_other;
    struct salvage_lost *lost; /* in the order of the keys */
    uint32_t lost_count;
};

#define SALVAGE_TREES_MAX (2U * DESTINATIONS_MAX + 1U)

/* A leaf page that no tree leads to, or that is damaged. */
struct salvage_leaf {
    uint64_t first_key;
    uint64_t page;
    uint16_t tree; /* + 1; 0: nobody knows */
    uint8_t kind;
    bool is_stale; /* the page is free */
};

struct salvage_destination {
    char *identity; /* NULL: not known */
    char *address;
    bool is_paused;
    uint32_t to; /* its number in the new spool; 0: not yet there */
};

struct salvage {
    const struct salvage_config *config;
    struct salvage_result result;
    struct message *message;

    /* The damaged file. */
    int dir_fd;
    struct page_view view;
    uint64_t last_page;     /* of the file */
    uint64_t last_pages[2]; /* of the latest state, and of the one before it */
    int newest;             /* the index of its meta page; -1: none */
    uint8_t uuid[16];
    struct salvage_destination destinations[DESTINATIONS_MAX + 1];
    uint32_t destinations_count;
    struct salvage_tree trees[SALVAGE_TREES_MAX];
    uint32_t trees_count;
    struct page_use reached; /* by the trees of the latest state */
    struct page_use values;  /* have bytes of values, by these trees */
    struct page_use free;    /* by its free list */
    bool is_free_whole;      /* all of the free list could be read */
    /* When only one meta page can be used, there may have been a later state: what has these
     * numbers, or higher ones, is of it (S3). UINT64_MAX: not so. */
    uint64_t newer_sequence;
    uint64_t newer_report;
    uint64_t next_sequence; /* of the latest state that is known; UINT64_MAX: not known */
    uint64_t next_report;
    uint64_t highest_sequence; /* that was met in it */
    uint64_t highest_report;
    bool is_list_whole;          /* one of the states shows all databases */
    bool has_lost;               /* some tree has */
    struct salvage_leaf *leaves; /* by their first key */
    size_t leaves_count;
    size_t leaves_capacity;

    /* The new spool. */
    struct spool *into;
    struct batch *batch;
    bool is_batch_open;
    uint64_t batch_count;
    uint64_t batch_bytes;
    uint32_t homeless; /* its number in the new spool; 0: not yet there */
    uint8_t *encoded;  /* room for the largest record */
};

/* What was found: a record, where it is from. */
struct salvage_found {
    enum salvage_kind kind;
    uint32_t destination; /* 0: nobody knows */
    uint64_t sequence;
    struct span value; /* as stored */
    bool is_doubtful;
};

/* The tree's lost keys include it. */
SPOOL_MUST_CHECK bool salvage_is_lost(const struct salvage_tree *tree, uint64_t key);

void salvage_tell(const struct salvage *salvage, uint64_t done, uint64_t all);

/* Whether stored bytes are of that kind, checksum and all. */
SPOOL_MUST_CHECK bool salvage_is_whole(enum salvage_kind kind, struct span value);

/* --- salvage_map.c ---------------------------------------------------------------------------- */

/* Reads both states: destinations, trees, and what is damaged of them. 0, -errno. */
SPOOL_MUST_CHECK int salvage_map(struct salvage *salvage);

/* Take what a row of meta, or of destinations, says; what was known before stays. */
void salvage_see_meta(struct salvage *salvage, const struct page_entry *entry, struct span value);
void salvage_see_destination(struct salvage *salvage, const struct page_entry *entry,
                             struct span value);

/* --- salvage_scan.c --------------------------------------------------------------------------- */

/* Looks through all pages of the file for leaves with records that no tree leads to. 0, -errno. */
SPOOL_MUST_CHECK int salvage_scan(struct salvage *salvage);

/* Looks through all pages for rows of meta and destinations. 0, -errno. */
SPOOL_MUST_CHECK int salvage_scan_rows(struct salvage *salvage);

/* Notes a leaf. 0, -ENOMEM. */
SPOOL_MUST_CHECK int salvage_note_leaf(struct salvage *salvage, const struct salvage_leaf *leaf);

/* The bytes of a leaf's value. 0, PAGE_E_DAMAGED, -ENOMEM. */
SPOOL_MUST_CHECK int salvage_value(struct page_window *values, const struct page_rules *rules,
                                   const struct page_node *node, struct span *ret_value);

/* --- salvage_merge.c -------------------------------------------------------------------------- */

/* Goes through all that was found in the order of its sequences, and saves each once. 0,
 * SALVAGE_E_PARTIAL, -errno. */
SPOOL_MUST_CHECK int salvage_merge(struct salvage *salvage);

/* --- salvage_save.c --------------------------------------------------------------------------- */

/* Makes the new spool and its destinations. 0, SALVAGE_E_REFUSED, -errno. */
SPOOL_MUST_CHECK int salvage_save_begin(struct salvage *salvage);

/* Puts what was found into the new spool; committed some at a time. 0, SALVAGE_E_PARTIAL, -errno.
 */
SPOOL_MUST_CHECK int salvage_save(struct salvage *salvage, const struct salvage_found *found);

/* Commits what was put so far. 0, SALVAGE_E_PARTIAL, -errno. */
SPOOL_MUST_CHECK int salvage_save_turn(struct salvage *salvage);

/* Commits the rest, and closes the new spool. 0, SALVAGE_E_PARTIAL, -errno. */
SPOOL_MUST_CHECK int salvage_save_end(struct salvage *salvage);

#endif
