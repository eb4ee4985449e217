/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/outcome.h"

#include <assert.h>

static const struct {
    const char *name;
    const char *text;
} outcomes[OUTCOME_COUNT] = {
    [OUTCOME_ACCEPTED] = {"accepted", "accepted"},
    [OUTCOME_FULL_BYTES] = {"full_bytes", "not accepted: the spool is at its limit of bytes"},
    [OUTCOME_FULL_RECORDS] = {"full_records", "not accepted: the spool is at its limit of records"},
    [OUTCOME_FULL_DESTINATION_BYTES] = {"full_destination_bytes",
                                        "not accepted: the destination is at its s.max.bytes"},
    [OUTCOME_FULL_DESTINATION_RECORDS] = {"full_destination_records",
                                          "not accepted: the destination is at its s.max.records"},
    [OUTCOME_FULL_DISK] = {"full_disk", "not accepted: the disk is full"},
    [OUTCOME_OVERSIZED] = {"oversized",
                           "not accepted: the record is larger than its destination takes"},
    [OUTCOME_NO_DESTINATION] = {"no_destination", "not accepted: no such destination"},
    [OUTCOME_BROKEN] = {"broken", "not accepted: the spool cannot be written"},
    [OUTCOME_CLOSED] = {"closed", "not accepted: shutting down"},
    [OUTCOME_TIMEOUT] = {"timeout", "not accepted: no commit within the commit timeout"},
    [OUTCOME_UNKNOWN] = {"unknown",
                         "perhaps accepted: its commit was still under way at the commit "
                         "timeout"},
};

const char *outcome_name(enum outcome outcome)
{
    assert(outcome < OUTCOME_COUNT);
    return outcomes[outcome].name;
}

const char *outcome_text(enum outcome outcome)
{
    assert(outcome < OUTCOME_COUNT);
    return outcomes[outcome].text;
}
