/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to item_json.c and item_parse.c. */
#ifndef TOOLS_INSPECT_ITEM_PRIVATE_H
#define TOOLS_INSPECT_ITEM_PRIVATE_H

#include "spool/settlement.h"

/* The reasons of dead letters and reports, by enum settle_action. */
#define ITEM_REASONS_COUNT (SETTLE_DROP + 1)
extern const char *const item_reasons[ITEM_REASONS_COUNT];

/* Behind the name of a field whose bytes are no UTF-8. */
#define ITEM_BASE64 "_base64"

#endif
