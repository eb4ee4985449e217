/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One record or dead letter as it is shown: the same members wherever it appears in JSON. */
#ifndef TOOLS_INSPECT_ENTRY_H
#define TOOLS_INSPECT_ENTRY_H

#include "tools/inspect/walk.h"

#include <jansson.h>

/* The entry as a JSON object with "format" first; has_body: with payload and headers too, as show
 * and export print it. NULL: out of memory. */
json_t *entry_json(const struct spool *spool, const struct walk_entry *entry, const char *format,
                   bool has_body);

/* The name of the client's error ("MSG_SIZE_TOO_LARGE"); "-" for none. Static. */
const char *entry_error_name(int32_t error);

#endif
