/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Damage to a spool's file, where a cursor shows that something is. */
#ifndef TESTS_HARNESS_DAMAGE_H
#define TESTS_HARNESS_DAMAGE_H

#include "spool/base.h"

/* Changes the byte in the data file of the spool in dir that a cursor shows there. False: it could
 * not be done. */
bool damage_byte(const char *dir, const void *byte);

#endif
