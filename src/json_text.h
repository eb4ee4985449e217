/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a JSON string, which can hold UTF-8 only. */
#ifndef SRC_JSON_TEXT_H
#define SRC_JSON_TEXT_H

#include "spool/base.h"

struct json_t;

/* Makes a jansson string of the bytes. One that is not UTF-8 is carried as the character of that
 * code (U+0080 to U+00FF). The caller owns it (json_decref()). NULL: out of memory. */
SPOOL_MUST_CHECK struct json_t *json_text_new(struct span bytes);

#endif
