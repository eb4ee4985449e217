/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An item: a record with all that its spool keeps of it, as one line of JSON. It is what export
 * writes and import reads; docs/spool-inspect-json.md has each field.
 */
#ifndef TOOLS_INSPECT_ITEM_H
#define TOOLS_INSPECT_ITEM_H

#include "spool/base.h"
#include "spool/limits.h"
#include "spool/message.h"
#include "spool/record.h"
#include "spool/settlement.h"
#include "spool/spool.h"

#include <jansson.h>

/* What each line begins with. */
#define ITEM_FORMAT "spool-inspect/export/1"

/* A line with the largest record: mostly base64, and escapes. */
#define ITEM_LINE_BYTES_MAX (8UL * RECORD_BYTES_MAX)

enum item_place {
    ITEM_QUEUE,
    ITEM_DEAD,
    ITEM_REPORTS,
};

struct item {
    enum item_place place;
    const char *identity; /* of the destination */
    const char *address;  /* redacted */
    uint64_t sequence;    /* in the spool that it was exported from */
    char spool_id[SPOOL_ID_BYTES];
    struct dead_letter dead; /* ITEM_DEAD */
    struct report report;    /* ITEM_REPORTS */
    struct span encoded;     /* the record as it is stored */
};

/* Sets what the stored bytes of a queue, the dead letters or the reports say; identity and address
 * are the destination's. The item points into stored. A head that cannot be read gives
 * SETTLEMENT_E_MALFORMED. 0, SETTLEMENT_E_MALFORMED. */
SPOOL_MUST_CHECK int item_of_stored(const struct spool *spool, enum item_place place,
                                    uint32_t destination, uint64_t sequence, struct span stored,
                                    struct item *ret_item);

/* The item as JSON; the caller's. NULL: out of memory. */
json_t *item_json(const struct item *item);

/* What was read from a line. It owns what its item points to. */
struct item_line {
    struct item item;
    json_t *root;
    uint8_t *encoded;
};

#define ITEM_E_MALFORMED 1 /* message says what is wrong with the line */

/* Reads a line (without its end). The record in it gets the line's spool-id as its origin. The
 * caller frees it with item_line_free(). 0, ITEM_E_MALFORMED, -ENOMEM. */
SPOOL_MUST_CHECK int item_parse(struct span line, struct item_line *ret_line,
                                struct message *message);

/* Frees what the line owns; zeros are fine. */
void item_line_free(struct item_line *line);

/* A place's name ("queue"). Static. */
const char *item_place_name(enum item_place place);

#endif
