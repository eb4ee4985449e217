/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON with a line for each member, otherwise as it was written: numbers, escapes and members that
 * come twice stay what they are. */
#ifndef TOOLS_INSPECT_INDENT_H
#define TOOLS_INSPECT_INDENT_H

#include "spool/base.h"

#include <stdio.h>

/* Writes the text, which is JSON, indented, without a line feed at the end. */
void indent_json(FILE *stream, struct span text);

#endif
