/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which records a command is about: the options that ls, drop, move, expire, requeue and export
 * share. */
#ifndef TOOLS_INSPECT_FILTER_H
#define TOOLS_INSPECT_FILTER_H

#include "spool/base.h"
#include "spool/limits.h"
#include "spool/message.h"
#include "spool/record.h"
#include "spool/spool.h"

#include <argp.h>

struct filter {
    const char *destination_texts[DESTINATIONS_MAX]; /* as typed; none: all destinations */
    size_t destination_texts_count;
    const char *key; /* NULL: any, or none */
    const char *contains;
    uint64_t older_than_ms; /* 0: any age */
    uint64_t newer_than_ms;
    uint64_t larger_than_bytes;  /* of the record as stored; 0: any size */
    uint64_t smaller_than_bytes; /* 0: any size */
    uint64_t from_sequence;
    uint64_t to_sequence; /* inclusive; 0: no end */

    bool has_destination[DESTINATIONS_MAX + 1]; /* after filter_resolve() */
};

/* --destination, --key, --older-than ...: a child of a command's struct argp, whose input is the
 * struct filter, all zero. */
extern const struct argp filter_argp;

/* Whether any option was given at all. */
SPOOL_MUST_CHECK bool filter_is_empty(const struct filter *filter);

/* Finds the destinations that the texts name, in that spool. 0, FILTER_E_NO_DESTINATION. */
#define FILTER_E_NO_DESTINATION 1
SPOOL_MUST_CHECK int filter_resolve(struct filter *filter, const struct spool *spool,
                                    struct message *message);

/* Leaves out what is appended from now on. 0, -errno. */
SPOOL_MUST_CHECK int filter_end_now(struct filter *filter, struct spool *spool);

/* Finds a destination by a text: its identity ("[k1]cdrs"), its ID ("k1") when only one has it, or
 * its number ("3"). 0, FILTER_E_NO_DESTINATION. */
SPOOL_MUST_CHECK int filter_find_destination(const struct spool *spool, const char *text,
                                             uint32_t *ret_destination, struct message *message);

/* Whether the record matches everything but destination and sequence, which the walk has looked at.
 * record NULL: it cannot be decoded, and matches only by its size. */
SPOOL_MUST_CHECK bool filter_matches(const struct filter *filter, const struct record *record,
                                     size_t size_bytes, uint64_t now_ms);

/* Reads "90", "5m", "2h", "3d" (s, m, h, d, w; seconds without a unit). false: it is none. */
SPOOL_MUST_CHECK bool filter_read_duration(const char *text, uint64_t *ret_ms);

/* Reads "4096", "10K", "2M", "1G". false: it is none. */
SPOOL_MUST_CHECK bool filter_read_bytes(const char *text, uint64_t *ret_bytes);

/* Reads a number of decimal digits. false: it is none. */
SPOOL_MUST_CHECK bool filter_read_number(const char *text, uint64_t *ret_number);

#endif
