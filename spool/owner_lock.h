/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who owns a spool (S6): an exclusive lock on a file in its folder, held for as long as the owner
 * lives and dropped by the kernel when it dies. The file's text says who, for people, and how many
 * owners crashed in a row; the lock decides.
 */
#ifndef SPOOL_OWNER_LOCK_H
#define SPOOL_OWNER_LOCK_H

#include "spool/base.h"

#define OWNER_LOCK_FILE "owner.lock"
#define OWNER_TEXT_BYTES 160

#define OWNER_LOCK_E_OWNED 1
#define OWNER_LOCK_E_DISK_FULL 2

/* Takes the lock in the folder. owner_lock_end() gives it back; closing *ret_fd does too, and looks
 * like a crash. On OWNER_LOCK_E_OWNED, owner says who has it ("spool-forward, pid 123").
 * *ret_crashes_count: so many owners before this one, in a row, did not end in order, as far as the
 * file says. 0, OWNER_LOCK_E_OWNED, OWNER_LOCK_E_DISK_FULL, -errno. */
SPOOL_MUST_CHECK int owner_lock_take(int dir_fd, const char *name, char owner[OWNER_TEXT_BYTES],
                                     int *ret_fd, uint32_t *ret_crashes_count);

/* Says that what the owners before this one may have died of has been looked for: counting begins
 * again with this one. */
void owner_lock_absolve(int fd, const char *name);

/* Ends in order, and closes *fd. -1 is fine. */
void owner_lock_end(int *fd);

/* Asks who has the lock, without taking it or changing anything. 0, OWNER_LOCK_E_OWNED (owner says
 * by whom), -errno. */
SPOOL_MUST_CHECK int owner_lock_probe(int dir_fd, char owner[OWNER_TEXT_BYTES]);

#endif
