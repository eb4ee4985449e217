/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts the files of a damaged spool aside, under a dated name in the same folder: nothing is ever
 * deleted (S8). */
#ifndef SPOOL_SET_ASIDE_H
#define SPOOL_SET_ASIDE_H

#include "spool/base.h"

/* Moves data.mdb and lock.mdb from the folder to a new folder "damaged-<UTC time>" in it. *ret_name
 * is that folder's name; the caller frees it. 0, -errno. */
SPOOL_MUST_CHECK int set_aside(int dir_fd, uint64_t now_wall_ms, char **ret_name);

#endif
