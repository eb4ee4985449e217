/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One consumed record as one line of text, in eight columns between tabs:
 *
 *   topic  partition  offset  timestamp_ms  key  spool-id  headers  payload
 *
 *   key       base64; "-" for no key (an empty key is an empty column)
 *   spool-id  the value of the first header of that name; "-" for none
 *   headers   name=base64, separated by commas, in the record's order, all of them; a value that
 *             is absent is "-"; "-" alone when there are no headers
 *   payload   as chosen: base64, or LENGTH:CRC32 (decimal, hexadecimal; zlib's CRC), or LENGTH;
 *             "-" for no payload
 *
 * Topic, header names and the spool-id are text; bytes in them other than letters, digits and
 * ".:_-" are written as %XX.
 */
#ifndef TESTS_BROKER_RECORD_LINE_H
#define TESTS_BROKER_RECORD_LINE_H

#include "spool/base.h"

#include <librdkafka/rdkafka.h>

#include <stdio.h>

enum payload_form {
    PAYLOAD_BASE64,
    PAYLOAD_CRC32,
    PAYLOAD_LENGTH,
};

/* Reads "base64", "crc32" or "length". */
bool payload_form_parse(const char *text, enum payload_form *ret_form);

/* Writes the line. A failed write shows in ferror(out). The caller is out's only user. */
void record_line_write(FILE *out, const rd_kafka_message_t *record, enum payload_form form);

#endif
