/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The audit log: who removed, moved or added records by hand, when, by which filter, and how many.
 * It is in the spool, so it goes where the records go. The last AUDIT_ENTRIES_MAX acts are kept.
 *
 * An act of many batches has one entry, which each of its batches brings up to date: whatever ends
 * the program, the entry says what was done, no more and no less.
 */
#ifndef SPOOL_AUDIT_H
#define SPOOL_AUDIT_H

#include "spool/base.h"
#include "spool/batch.h"
#include "spool/spool.h"

/* As stored: new ones go to the end. */
enum audit_act {
    AUDIT_DROP,
    AUDIT_EXPIRE,
    AUDIT_MOVE,
    AUDIT_DEAD_REQUEUE,
    AUDIT_DEAD_DROP,
    AUDIT_IMPORT,
    AUDIT_PAUSE,
    AUDIT_RESUME,
    AUDIT_ACT_COUNT,
};

struct audit_entry {
    enum audit_act act;      /* AUDIT_ACT_COUNT and above: a newer version's */
    uint32_t destination;    /* DESTINATION_ALL: several */
    uint32_t to_destination; /* 0: the act has none, or it is the same */
    uint64_t begun_wall_ms;
    uint64_t ended_wall_ms; /* of its last batch so far */
    uint64_t records_count;
    uint64_t bytes;   /* of the records as stored */
    struct span who;  /* the user and the program, in words; never empty */
    struct span what; /* the filter in words; may be empty */
};

#define AUDIT_ENTRIES_MAX 1000
/* Longer texts are cut. */
#define AUDIT_TEXT_BYTES_MAX 1000

/* Writes the entry in the batch: as a new one when *number is 0, which is then set, else as what
 * has become of entry *number. Results as batch_settle()'s. */
SPOOL_MUST_CHECK int batch_audit(struct batch *batch, const struct audit_entry *entry,
                                 uint64_t *number);

/* Appends an entry in a short write transaction of its own, from any thread but a batch's. Results
 * as spool_pause()'s. */
SPOOL_MUST_CHECK int spool_audit_append(struct spool *spool, const struct audit_entry *entry,
                                        struct message *message);

#define AUDIT_E_MALFORMED 1 /* damaged, or of a newer version */

/* Reads an entry, as cursor_begin_audit() shows it; its texts point into what was stored. 0,
 * AUDIT_E_MALFORMED. */
SPOOL_MUST_CHECK int audit_decode(struct span stored, struct audit_entry *ret_entry);

/* An act's name ("drop", "dead requeue"); "unknown" for a newer version's. Static. */
const char *audit_act_name(enum audit_act act);

#endif
