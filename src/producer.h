/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A producer: one sink and its life. Destinations with the same brokers and the same global
 * properties share one. It is opened when it is first needed, and made again after a fatal error,
 * when everything that it had taken has been reported or given up.
 */
#ifndef SRC_PRODUCER_H
#define SRC_PRODUCER_H

#include "spool/base.h"
#include "spool/message.h"
#include "src/address.h"
#include "src/backoff.h"
#include "src/sink.h"

struct producer {
    const struct address *address; /* of its first destination: brokers and g. properties */
    struct sink *sink;             /* NULL: not open */
    uint64_t generation;           /* of the sink: topics of an older one are gone */
    bool is_lost;                  /* fatal: fed no more, to be closed when it is empty */
    uint64_t collect_at_ms;        /* when lost: what came back to the client is taken back then */
    uint64_t purge_at_ms;          /* ... what is on the wire is given up then */
    uint64_t abandon_at_ms;        /* ... and what has no report even so */
    uint64_t open_at_ms;           /* not before */
    bool is_down;                  /* it said so, and has delivered nothing since */
    int down_error;                /* what it said then; its text is in trouble */
    bool is_unopenable;            /* it could not be opened the last time */
    struct backoff backoff;
    size_t taken_count; /* records that it has no report for yet */
    uint64_t lost_count;
    struct message trouble; /* why it is lost, down, or cannot be opened */
};

/* Whether the producer has this address's brokers and global properties. */
SPOOL_MUST_CHECK bool producer_serves(const struct producer *producer,
                                      const struct address *address);

/* Whether two addresses cannot share a producer: a client knows a topic with one set of t.
 * properties only. */
SPOOL_MUST_CHECK bool producer_is_conflict(const struct address *one, const struct address *other);

#define PRODUCER_E_LATER 1 /* it is lost, and not made again yet */
#define PRODUCER_E_FAILED                                                                          \
    2 /* it cannot be opened: trouble says why; not before open_at_ms again                        \
       */

/* Opens the sink if it is not open and it is time. 0, PRODUCER_E_LATER, PRODUCER_E_FAILED. */
SPOOL_MUST_CHECK int producer_open(struct producer *producer, struct sink_maker *maker,
                                   uint64_t now_ms);

/* Notes a fatal error: no more records for this sink. What it has not sent comes back at once. */
void producer_lose(struct producer *producer, const struct message *reason, uint64_t now_ms);

/* Drives a lost producer to its end, which comes when it has a report for each of its records.
 * Returns true when it is to be ended without: give them up, then producer_end(). */
SPOOL_MUST_CHECK bool producer_wind_down(struct producer *producer, uint64_t now_ms);

/* Ends a lost producer: closes its sink, whose cookies nobody may know any more. It is opened again
 * after a backoff. */
void producer_end(struct producer *producer, uint64_t now_ms);

/* Closes the sink if it is open. */
void producer_close(struct producer *producer);

#endif
