/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settlements: what becomes of a record that leaves its queue, or of a report that was run. */
#ifndef SPOOL_SETTLEMENT_H
#define SPOOL_SETTLEMENT_H

#include "spool/base.h"

/* As stored: new ones go to the end. */
enum settle_action {
    SETTLE_DELIVERED, /* persisted by Kafka: deleted; report 0 */
    SETTLE_DEAD,      /* can never be delivered: to the dead letters; report -1 */
    SETTLE_CORRUPT,   /* failed its checksum: to the dead letters as it is; no report is possible */
    SETTLE_EXPIRED,   /* its time-to-live passed: to the dead letters; report -1 */
    SETTLE_EXPIRED_DROP, /* the same, deleted; report -1 */
    SETTLE_DROP,         /* deleted by drop-oldest or by an operator; report -1 */
    SETTLE_REQUEUE,      /* a dead letter back to a queue, with its sequence; if it had expired, it
                            expires no more */
    SETTLE_DEAD_DROP,    /* a dead letter deleted by an operator */
    SETTLE_REPORT_RUN,   /* a report's route was run: the report is deleted */
    SETTLE_MOVE, /* by an operator to another queue, with its sequence and its report route */
    SETTLE_ACTION_COUNT,
};

struct settlement {
    enum settle_action action;
    uint32_t destination;
    uint32_t to_destination;        /* SETTLE_REQUEUE, SETTLE_MOVE: the queue to put it into */
    uint64_t sequence;              /* SETTLE_REPORT_RUN: the report's number */
    int32_t error;                  /* the client's code, 0: none */
    int32_t partition;              /* -1: unknown */
    int64_t offset;                 /* -1: unknown */
    uint32_t attempts;              /* as far as known since the last start */
    uint64_t first_attempt_wall_ms; /* 0: none was made */
    bool leaves_payload_out;        /* of its report: there is no room for it */
};

/* An action's name ("delivered", "dead", ...). Static. */
const char *settle_action_name(enum settle_action action);

/* --- As stored in front of the record --------------------------------------------------------- */

/* A dead letter's head. */
struct dead_letter {
    enum settle_action reason; /* SETTLE_DEAD, SETTLE_CORRUPT or SETTLE_EXPIRED */
    int32_t error;
    uint32_t attempts;
    uint64_t first_attempt_wall_ms;
    uint64_t settled_wall_ms;
};

#define DEAD_LETTER_BYTES 32

/* A report's head. */
struct report {
    enum settle_action reason; /* SETTLE_DELIVERED: status 0; anything else: status -1 */
    bool is_payload_left_out;  /* dropped to make room: its report must not take it again */
    int32_t error;
    int32_t partition;
    uint32_t attempts;
    int64_t offset;
    uint64_t settled_wall_ms;
    uint32_t destination;
    uint64_t sequence;
};

#define REPORT_BYTES 48

#define SETTLEMENT_E_MALFORMED 1

void dead_letter_encode(const struct dead_letter *dead, void *buffer);
void report_encode(const struct report *report, void *buffer);

/* Reads a head; *ret_record is the encoded record behind it. 0, SETTLEMENT_E_MALFORMED. */
SPOOL_MUST_CHECK int dead_letter_decode(struct span stored, struct dead_letter *ret_dead,
                                        struct span *ret_record);
SPOOL_MUST_CHECK int report_decode(struct span stored, struct report *ret_report,
                                   struct span *ret_record);

#endif
