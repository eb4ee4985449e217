/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Publish: step 1 of the flow, the caller's side. A publish is accepted when it is on disk, and
 * only then. Works in any process that inherited the ring; allocates nothing.
 */
#ifndef SRC_PUBLISH_H
#define SRC_PUBLISH_H

#include "spool/base.h"
#include "spool/clock.h"
#include "spool/outcome.h"
#include "spool/record.h"
#include "spool/ring.h"

/* What publishing to a destination needs to know. */
struct publish_target {
    uint32_t destination;    /* spool_destination_open()'s */
    uint64_t ttl_ms;         /* 0: the records never expire */
    size_t record_bytes_max; /* sink_rdkafka_record_bytes_max(): larger ones are refused */
};

/* Where a process publishes: what is the same for each of its publishes. */
struct publisher {
    struct ring *ring;
    struct clock *clock;
    uint64_t commit_timeout_ms; /* to wait for room in the ring, and for the commit */
};

#define PUBLISH_E_REFUSED 1

/* Hands a record over: key, payload, headers and report route are the caller's, the times are set
 * here. Waits for room in the ring within the commit timeout. With wants_fd, ring_ticket_fd() tells
 * when publish_end() will not wait. 0: under way, end it with publish_end(). PUBLISH_E_REFUSED:
 * *ret_refusal says why. */
SPOOL_MUST_CHECK int publish_begin(const struct publisher *publisher,
                                   const struct publish_target *target, struct record *record,
                                   bool wants_fd, struct ring_ticket *ret_ticket,
                                   enum outcome *ret_refusal);

/* Waits for the commit within the commit timeout, and gives the ticket back. *ret_sequence is set
 * for OUTCOME_ACCEPTED. */
SPOOL_MUST_CHECK enum outcome publish_end(const struct publisher *publisher,
                                          struct ring_ticket ticket, uint64_t *ret_sequence);

/* Both in one: the whole publish, within one commit timeout. */
SPOOL_MUST_CHECK enum outcome publish(const struct publisher *publisher,
                                      const struct publish_target *target, struct record *record,
                                      uint64_t *ret_sequence);

#endif
