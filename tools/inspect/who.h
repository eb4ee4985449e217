/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who runs this program, in words, for the audit log. */
#ifndef TOOLS_INSPECT_WHO_H
#define TOOLS_INSPECT_WHO_H

#include "spool/base.h"

#define WHO_BYTES 256

/* Prints "alice (uid 1000) with spool-inspect", and as whom somebody logged in who is root now. To
 * be asked before the program becomes the spool's owner. */
void who_print(char ret_text[WHO_BYTES]);

#endif
