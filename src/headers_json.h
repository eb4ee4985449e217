/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Record headers as users write them: a JSON object, its members in order. A string is a header's
 * value as it is, null is a null value; anything else is its JSON text.
 */
#ifndef SRC_HEADERS_JSON_H
#define SRC_HEADERS_JSON_H

#include "spool/base.h"
#include "spool/limits.h"
#include "spool/message.h"
#include "spool/record.h"

struct headers_json;

#define HEADERS_JSON_E_MALFORMED 1 /* the message says what, and where */

/* Reads headers. The caller frees them with headers_json_free(). No member may be named "spool-id"
 * (the spool's own header) or stand twice. 0, HEADERS_JSON_E_MALFORMED, -ENOMEM. */
SPOOL_MUST_CHECK int headers_json_parse(struct span text, struct headers_json **ret_headers,
                                        struct message *message);

/* Frees *headers and sets it to NULL; NULL is fine. */
void headers_json_free(struct headers_json **headers);

/* Puts the headers into a record, which borrows them; NULL: none. */
void headers_json_give(const struct headers_json *headers, struct record *record);

#endif
