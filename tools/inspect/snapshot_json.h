/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot as JSON: docs/schema/status.json. */
#ifndef TOOLS_INSPECT_SNAPSHOT_JSON_H
#define TOOLS_INSPECT_SNAPSHOT_JSON_H

#include "tools/inspect/snapshot.h"

#include <jansson.h>

/* NULL: out of memory. */
json_t *snapshot_json(const struct spool *spool, const struct snapshot *snapshot);

#endif
