/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a line means: the record that is made of it. */
#ifndef TOOLS_LINE_FORM_H
#define TOOLS_LINE_FORM_H

#include "spool/base.h"
#include "spool/record.h"

struct line_form {
    const char *key_delimiter; /* between key and payload; NULL: lines have no key */
    const struct record_header *headers;
    uint16_t headers_count;
};

/* The record of a line (without its line feed), of which key and payload are parts. A line without
 * the delimiter has no key. */
struct record line_form_record(const struct line_form *form, struct span line);

#endif
