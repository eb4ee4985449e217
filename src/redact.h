/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes an address's secrets out of texts that somebody else wrote, before anybody sees them. */
#ifndef SRC_REDACT_H
#define SRC_REDACT_H

#include "spool/base.h"

struct address;

struct redact;

/* Remembers the values of the address's secret properties, and the parts of those that are more
 * than a word: librdkafka quotes parts of sasl.oauthbearer.config. 0, -ENOMEM. */
SPOOL_MUST_CHECK int redact_new(const struct address *address, struct redact **ret_redact);

/* Wipes and frees *redact, sets it to NULL; NULL is fine. */
void redact_free(struct redact **redact);

/* Copies text to buffer with "***" for each secret in it, also for one of which text has only the
 * beginning at its end, since whoever wrote it ran out of room; the copy is cut where buffer ends,
 * and ends in NUL. */
void redact_text(const struct redact *redact, const char *text, char *buffer,
                 size_t buffer_size_bytes);

#endif
