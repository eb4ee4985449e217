/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to spool/: what verify.c, verify_rows.c, verify_records.c and verify_pages.c share. */
#ifndef SPOOL_VERIFY_PRIVATE_H
#define SPOOL_VERIFY_PRIVATE_H

#include "spool/counters.h"
#include "spool/limits.h"
#include "spool/mend/verify.h"
#include "spool/page/page_view.h"

enum verify_kind {
    VERIFY_QUEUE,
    VERIFY_DEAD,
    VERIFY_REPORTS,
};

/* A database of records. */
struct verify_database {
    enum verify_kind kind;
    uint32_t destination; /* 0: the reports */
    char name[PAGE_NAME_BYTES_MAX + 1];
    struct page_tree tree;
    struct page_walk walk;
    struct page_entry head; /* the entry that the walk stands on */
    uint64_t sequence;      /* its key */
    bool has_head;
    bool is_walking; /* walk is in use */
    bool is_damaged; /* some of its entries cannot be reached */
};

/* What a destination was found to have. */
struct verify_counts {
    uint64_t queue_bytes;
    uint64_t dead_bytes;
    uint64_t report_records;
    uint64_t report_bytes;
};

/* How far the records were looked at: a slice that is looked at twice begins here twice. */
struct verify_position {
    bool is_at_reports; /* the queues and dead letters are done */
    uint64_t key;       /* that comes next */
    uint64_t last_sequence;
    uint64_t waiting_count;
    uint64_t dead_count;
    uint64_t reports_count;
};

#define VERIFY_DATABASES_MAX (2U * DESTINATIONS_MAX + 1U)

struct verify {
    const struct verify_host *host;
    struct verify_result result;
    struct page_view view;
    struct page_use use;
    bool has_use;    /* use has the pages of the one state that is looked at */
    bool is_one;     /* only one state was looked at so far */
    bool is_damaged; /* a part of the file cannot be reached */

    /* As the state has it. */
    uint32_t meta_seen; /* a bit for each key that must be there */
    uint32_t format;
    uint64_t next_sequence;
    uint64_t next_report;
    uint32_t destinations_count;
    struct counters rows[DESTINATIONS_MAX + 1];
    bool has_rows;
    struct verify_database databases[VERIFY_DATABASES_MAX];
    uint32_t databases_count;

    /* What was counted. */
    struct verify_counts counts[DESTINATIONS_MAX + 1];
    uint64_t largest_bytes;

    /* Where the look at the records is. */
    struct verify_position at;
    const struct verify_database *last_database; /* that last_sequence is of */
    uint32_t heap[VERIFY_DATABASES_MAX];         /* databases, the lowest sequence first */
    uint32_t heap_count;

    bool is_quiet;       /* what is read again is not told again */
    bool keeps_back;     /* findings are only counted: the slice is looked at a second time */
    uint64_t kept_count; /* those */
};

/* Tells a finding. sequence and page may be VERIFY_NOTHING. */
void verify_find(struct verify *verify, const char *rule, const char *database, uint64_t sequence,
                 uint64_t page, const char *format, ...) SPOOL_PRINTF(6, 7);

/* Tells the damage that a walk met. */
void verify_find_damage(struct verify *verify, const char *database,
                        const struct page_damage *damage);

/* --- verify_rows.c ---------------------------------------------------------------------------- */

/* Reads meta, destinations and counters as the view has them, and finds what is wrong with them;
 * lists the databases of records. 0, -ENOMEM. */
SPOOL_MUST_CHECK int verify_rows(struct verify *verify);

/* Compares the counters with what the trees say of themselves; with the counts too when those are
 * of the same state (S4). */
void verify_counters(struct verify *verify, bool has_counts);

/* --- verify_records.c ------------------------------------------------------------------------- */

/* Begins to look at the records from verify->at on: at the queues and dead letters in one order, or
 * at the reports. 0, -ENOMEM. */
SPOOL_MUST_CHECK int verify_records_begin(struct verify *verify);

/* Looks at records until the deadline. 0: there are more; VERIFY_RECORDS_END; VERIFY_E_STOPPED;
 * -ENOMEM. */
#define VERIFY_RECORDS_END 100
SPOOL_MUST_CHECK int verify_records_run(struct verify *verify, uint64_t deadline_ns);

/* Frees what verify_records_begin() made. */
void verify_records_end(struct verify *verify);

/* --- verify_pages.c --------------------------------------------------------------------------- */

/* Claims the pages of the trees that are not databases of records, and of the free list, and finds
 * what is wrong with them. 0, -ENOMEM. */
SPOOL_MUST_CHECK int verify_pages_begin(struct verify *verify);

/* When all trees were looked at: finds pages that nothing uses. */
void verify_pages_end(struct verify *verify);

/* When the records were looked at: finds databases that say other things of themselves than what
 * they have. */
void verify_records_compare(struct verify *verify);

/* Looks at a whole tree, and shows each entry; key_bytes as page_walk_init() has it.
 * *ret_is_whole: there was no damage. 0, -ENOMEM. */
SPOOL_MUST_CHECK int verify_tree(
    struct verify *verify, const char *name, const struct page_tree *tree, uint32_t key_bytes,
    void (*see)(struct verify *, const struct page_entry *, struct span), bool *ret_is_whole);

/* CLOCK_MONOTONIC. */
SPOOL_MUST_CHECK uint64_t verify_now_ns(void);

#endif
