/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Base64 (RFC 4648, with padding): how bytes that are no text stand in JSON. */
#ifndef TOOLS_INSPECT_BASE64_H
#define TOOLS_INSPECT_BASE64_H

#include "spool/base.h"

/* The text of so many bytes, without the NUL. */
static inline size_t base64_size(size_t size_bytes)
{
    return (size_bytes + 2) / 3 * 4;
}

/* Writes base64_size() characters; no NUL. */
void base64_encode(struct span bytes, char *ret_text);

#define BASE64_E_MALFORMED 1

/* Reads a text into buffer, which has room for 3/4 of it. 0, BASE64_E_MALFORMED. */
SPOOL_MUST_CHECK int base64_decode(const char *text, size_t text_size, void *buffer,
                                   size_t *ret_size_bytes);

#endif
