/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a publish can come to. 0 is the only "yes"; each other one is a reason that users see. */
#ifndef SPOOL_OUTCOME_H
#define SPOOL_OUTCOME_H

#include "spool/base.h"

enum outcome {
    OUTCOME_ACCEPTED = 0,
    OUTCOME_FULL_BYTES,               /* the spool's max_bytes */
    OUTCOME_FULL_RECORDS,             /* the spool's max_records */
    OUTCOME_FULL_DESTINATION_BYTES,   /* the destination's s.max.bytes */
    OUTCOME_FULL_DESTINATION_RECORDS, /* the destination's s.max.records */
    OUTCOME_FULL_DISK,                /* the file system */
    OUTCOME_OVERSIZED,                /* above the destination's message.max.bytes, or our limits */
    OUTCOME_NO_DESTINATION,           /* nobody configured it */
    OUTCOME_BROKEN,                   /* a write failed; not accepted */
    OUTCOME_CLOSED,                   /* shutting down; not accepted */
    OUTCOME_TIMEOUT,                  /* not committed in time; taken back: not accepted */
    OUTCOME_UNKNOWN,                  /* not committed in time, may yet be: treat as not accepted */
    OUTCOME_COUNT,
};

/* The reason as a word for programs ("full_bytes"). Static. */
const char *outcome_name(enum outcome outcome);

/* The reason in a sentence for people. Static. */
const char *outcome_text(enum outcome outcome);

#endif
