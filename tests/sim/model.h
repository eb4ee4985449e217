/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: what is known of every record that was ever published, and what may become of it. It
 * is told what the world around the spool does (publishes, delivery reports, operators' acts),
 * looks at all that is stored, and says what does not follow from it.
 *
 * It takes nothing from the store's word: that a record left its queue must have a reason that the
 * model knows, and every counter must have moved by just what the model saw.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "spool/counters.h"
#include "spool/outcome.h"
#include "spool/record.h"
#include "spool/ring.h"
#include "spool/settlement.h"
#include "spool/spool.h"

#define MODEL_DESTINATIONS 4
#define MODEL_KNOWN_MAX 4096
#define MODEL_SEQUENCES_MAX 8192
#define MODEL_REPORTS_MAX 8192

enum known_answer {
    KNOWN_WAITS,   /* its publisher has not heard yet */
    KNOWN_YES,     /* accepted */
    KNOWN_NO,      /* refused, for certain */
    KNOWN_UNKNOWN, /* nobody can say: a failed commit, a crash */
};

enum known_place {
    KNOWN_NOWHERE, /* not stored so far */
    KNOWN_WAITING, /* in a queue */
    KNOWN_DEAD,    /* a dead letter */
    KNOWN_GONE,
};

/* One record. */
struct known {
    /* As published. */
    uint32_t number;      /* from 1; its payload begins with it */
    uint32_t destination; /* where it is or was last */
    uint32_t size_bytes;  /* encoded */
    uint32_t checksum;    /* the record's own, its first bytes */
    uint64_t published_wall_ms;
    uint64_t expires_wall_ms;
    size_t payload_bytes;
    int key; /* < 0: none */
    bool has_route;
    bool is_import;
    bool is_import_report; /* it comes as a report */
    uint64_t origin_sequence;

    enum known_answer answer;
    struct ring_ticket ticket; /* when KNOWN_WAITS */

    /* As stored. */
    enum known_place place;
    uint64_t sequence; /* 0: not known */
    unsigned seen_at;  /* the look that found it last */
    bool is_damaged;

    /* What the world has done to it, so what may become of it. */
    bool has_expired; /* as the forwarder saw it: the clock may be set back */
    /* As known_bit(): reports of these destinations said so and were taken, and their settlements
     * may not be committed: nor when an operator has moved it meanwhile, perhaps back again. */
    unsigned delivered_in;
    unsigned expired_in;   /* the same, of one that was requeued, and expires no more */
    bool must_not_produce; /* ... and must not be produced again in this life */
    int dead_error;        /* by a report or a refusal that makes it a dead letter; 0: none */
    unsigned inflight_count;
    unsigned inflight_to[MODEL_DESTINATIONS + 1]; /* of these, by destination: it may be moved */
    unsigned writings_count;                      /* on a partition */
    bool may_repeat;      /* since the last writing there was a reason for another one */
    bool is_out_of_order; /* an operator put it back */
    int act;              /* an operator's settlement that may have been done; -1: none */
    uint32_t act_to;
    uint64_t act_wall_ms; /* when */
};

/* A final status whose route has not run. */
struct kept_report {
    bool is_there;
    bool is_run; /* the host had it in this life */
    bool is_done;
    uint32_t known; /* number; 0: of a record that was never seen */
    unsigned runs_count;
};

struct model {
    struct known known[MODEL_KNOWN_MAX + 1]; /* by number */
    uint32_t known_count;
    uint32_t by_sequence[MODEL_SEQUENCES_MAX];
    struct kept_report reports[MODEL_REPORTS_MAX];
    uint64_t next_sequence;
    uint64_t next_report;
    uint32_t last_number[MODEL_DESTINATIONS + 1]; /* the last that arrived in the queue */
    struct counters counters[MODEL_DESTINATIONS + 1];
    unsigned looks_count;
};

/* A destination as a bit; 0 of one that there is not. */
static inline unsigned known_bit(uint32_t destination)
{
    return destination <= MODEL_DESTINATIONS ? 1U << destination : 0;
}

/* Fills in a known record's parts: key, payload and so on are made of its number. The spans live
 * until the next call. */
void known_record(const struct known *known, struct record *ret_record);

/* A new known record; its payload so large, the rest is the caller's. Asserts that there is room.
 */
struct known *model_add(struct model *model, uint32_t destination, size_t payload_bytes);

/* Computes size and checksum, once all else is set. */
void known_seal(struct known *known);

/* The known record that these bytes are, by what they hold; NULL: none. */
struct known *model_find_encoded(struct model *model, struct span encoded);
/* The same of a decoded one, whose parts are compared. */
struct known *model_find_record(struct model *model, const struct record *record);

struct known *model_find_sequence(struct model *model, uint64_t sequence);

#endif
