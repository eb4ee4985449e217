/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A figure's last values, and the small picture of them. */
#ifndef TOOLS_INSPECT_SPARK_H
#define TOOLS_INSPECT_SPARK_H

#include "spool/base.h"

#define SPARK_VALUES_MAX 120
/* A character of a picture takes at most so many bytes. */
#define SPARK_CHARACTER_BYTES 3

struct spark {
    uint64_t values[SPARK_VALUES_MAX];
    size_t count;
    size_t next;
};

void spark_add(struct spark *spark, uint64_t value);

/* Draws the last width values, the newest at the right, each against the largest of them; in UTF-8,
 * or in ASCII. ret_text has room for width * SPARK_CHARACTER_BYTES + 1. */
void spark_draw(const struct spark *spark, size_t width, bool is_utf8, char *ret_text);

#endif
