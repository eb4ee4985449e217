/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A message for a person: what went wrong, where, and what to do. Filled by the function that
 * found it, shown by the program's edge; fixed in size, so that reporting a failure cannot fail.
 */
#ifndef SPOOL_MESSAGE_H
#define SPOOL_MESSAGE_H

#include "spool/base.h"

#define MESSAGE_BYTES_MAX 1024

struct message {
    char text[MESSAGE_BYTES_MAX];
};

/* Sets the text; one that is too long is cut and ends in "...". Control characters in it become
 * '?', so that it can be shown on a terminal or in a log line as it is. */
void message_set(struct message *message, const char *format, ...) SPOOL_PRINTF(2, 3);

#endif
