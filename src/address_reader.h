/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the functions that read an address share: the text, how far they are, and what to do with
 * a mistake. Only the files src/address*.c include this.
 */
#ifndef SRC_ADDRESS_READER_H
#define SRC_ADDRESS_READER_H

#include "spool/base.h"
#include "spool/message.h"

struct address;

struct address_reader {
    const char *text;
    size_t size_bytes;
    size_t at;               /* the next byte to read */
    struct address *address; /* what was read so far; its text and brokers have room for all */
    size_t text_bytes;       /* written to address->text */
    unsigned int spool_seen; /* which s. properties were read: a bit for each */
    struct message *message;
};

/* Sets the message, with the position as people count, and is the result to return. Messages hold
 * positions, rules, and names of known form, and quote no other text: what follows a mistake may be
 * the rest of a secret (a '&' in a password, say, that was not written as %26). */
#define ADDRESS_MALFORMED(reader, position, format, ...)                                           \
    (message_set((reader)->message, "byte %zu: " format, (size_t)(position) + 1, ##__VA_ARGS__),   \
     ADDRESS_E_MALFORMED)

bool address_is_printable(char byte);
bool address_is_digit(char byte);

/* What hosts, topics and property names are made of. */
bool address_is_word(char byte);

/* The byte at a position; NUL, which no part of an address accepts, at and after the end. */
char address_reader_at(const struct address_reader *reader, size_t position);

/* Where the run of bytes that is_member accepts ends, from start on. */
size_t address_reader_end_of(const struct address_reader *reader, size_t start,
                             bool (*is_member)(char byte));

/* Where byte stands first in [start, end), or end. */
size_t address_reader_find(const struct address_reader *reader, size_t start, size_t end,
                           char byte);

/* Adds [start, end) of the input to the text to show. */
void address_reader_show(struct address_reader *reader, size_t start, size_t end);

/* Reads the properties, from the '?' on, if there are any (src/address_property.c). 0,
 * ADDRESS_E_MALFORMED, ADDRESS_E_SECRET, -ENOMEM. */
SPOOL_MUST_CHECK int address_read_properties(struct address_reader *reader);

#endif
