/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a spool holds a secret that it should not (S11). */
#ifndef TOOLS_INSPECT_SECRETS_H
#define TOOLS_INSPECT_SECRETS_H

#include "spool/base.h"

/* Whether an address or an identity, as stored, shows the value of a property that is secret. What
 * stands for a hidden value ("***") and the path of a secret's file are none. */
SPOOL_MUST_CHECK bool secrets_are_in(struct span text);

#endif
