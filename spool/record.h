/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A record: what is spooled and produced. This is its codec; spool/README.md draws every byte.
 *
 * struct record never owns: its spans point into the caller's memory (to encode) or into the
 * encoded bytes (after decoding), and live as long as those.
 */
#ifndef SPOOL_RECORD_H
#define SPOOL_RECORD_H

#include "spool/base.h"

/* A Kafka record header. value.data NULL means a null value. */
struct record_header {
    struct span name;
    struct span value;
};

struct record {
    uint64_t published_wall_ms; /* becomes the Kafka record's timestamp */
    uint64_t expires_wall_ms;   /* 0: never */
    struct span key;            /* data NULL: no key */
    struct span payload;
    struct span report_route; /* a script route's name; empty: nobody waits for a report */
    const struct record_header *headers; /* to encode: headers_count of them */
    struct span headers_encoded;         /* after decoding: for record_header_next() */
    uint16_t headers_count;
    bool has_origin; /* imported or salvaged: the identity it had in its first spool */
    uint8_t origin_uuid[16];
    uint64_t origin_sequence;
};

#define RECORD_E_MALFORMED 1 /* not the bytes that record_encode() wrote: checksum or lengths */
#define RECORD_E_NEWER 2     /* a version that this code does not know */
#define RECORD_E_OVERSIZED 3 /* above a limit of spool/limits.h */
#define RECORD_E_END 4       /* no further header */

/* The encoded size. 0, or RECORD_E_OVERSIZED when a part is above its limit. */
SPOOL_MUST_CHECK int record_size(const struct record *record, size_t *ret_size_bytes);

/* Writes the record to buffer, which has the room that record_size() asked for. */
void record_encode(const struct record *record, void *buffer);

/* Whether the bytes are an encoded record: checksum, version, lengths. 0, RECORD_E_MALFORMED,
 * RECORD_E_NEWER. */
SPOOL_MUST_CHECK int record_check(struct span encoded);

/* Reads an encoded record; its spans point into it. Checks version, lengths and checksum.
 * 0, RECORD_E_MALFORMED, RECORD_E_NEWER. */
SPOOL_MUST_CHECK int record_decode(struct span encoded, struct record *ret_record);

/* The size of an encoded record's report route, 0 for none; a look at one field, for whom the
 * record was checked before. */
SPOOL_MUST_CHECK size_t record_report_route_size(struct span encoded);

/* Lets an encoded record, which was checked, never expire. */
void record_clear_expiry(void *encoded, size_t size_bytes);

/* The headers of a decoded record, one a call: start with *position 0. 0, or RECORD_E_END. */
SPOOL_MUST_CHECK int record_header_next(const struct record *record, size_t *position,
                                        struct record_header *ret_header);

#endif
