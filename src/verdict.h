/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a delivery report means for a record: a pure table over the client's whole list of errors.
 * It is the same for every destination and has no state.
 */
#ifndef SRC_VERDICT_H
#define SRC_VERDICT_H

#include "spool/base.h"

enum verdict {
    VERDICT_DELIVERED, /* persisted: the record leaves the spool */
    VERDICT_RETRY,     /* a passing fault: kept, tried again after a backoff */
    VERDICT_HOLD,      /* the destination needs an operator: kept, tried again slowly */
    VERDICT_DEAD,      /* never deliverable: a dead letter. Brokers refuse batches as a whole, so
                          in a delivery report this is certain only of a record that had its
                          batch for itself; one that had not is to be produced again, with fewer */
    VERDICT_FATAL,     /* kept; the producer must be re-created */
    VERDICT_RETURNED,  /* kept; given back on our own request (purge): no fault, no backoff */
    VERDICT_COUNT,
};

/* The verdict on a client's error code (rd_kafka_resp_err_t; 0 is success). A code that the table
 * does not know (from a newer client) is VERDICT_RETRY: keeping is always safe. */
SPOOL_MUST_CHECK enum verdict verdict_of_error(int error);

/* The code's name as the client spells it ("MSG_SIZE_TOO_LARGE"), or "unknown". Static. */
SPOOL_MUST_CHECK const char *verdict_error_name(int error);

/* A verdict's name ("delivered", "retry", ...). Static. */
SPOOL_MUST_CHECK const char *verdict_name(enum verdict verdict);

#endif
