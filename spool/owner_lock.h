/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who owns a spool (S6): an exclusive lock on a file in its folder, held for as long as the owner
 * lives and dropped by the kernel when it dies. The file's text says who, for people; the lock
 * decides.
 */
#ifndef SPOOL_OWNER_LOCK_H
#define SPOOL_OWNER_LOCK_H

#include "spool/base.h"

#define OWNER_LOCK_FILE "owner.lock"
#define OWNER_TEXT_BYTES 128

#define OWNER_LOCK_E_OWNED 1
#define OWNER_LOCK_E_DISK_FULL 2

/* Takes the lock in the folder. The caller closes *ret_fd to give it back. On OWNER_LOCK_E_OWNED,
 * owner says who has it ("spool-forward, pid 123"). 0, OWNER_LOCK_E_OWNED, OWNER_LOCK_E_DISK_FULL,
 * -errno. */
SPOOL_MUST_CHECK int owner_lock_take(int dir_fd, const char *name, char owner[OWNER_TEXT_BYTES],
                                     int *ret_fd);

/* Asks who has the lock, without taking it or changing anything. 0, OWNER_LOCK_E_OWNED (owner says
 * by whom), -errno. */
SPOOL_MUST_CHECK int owner_lock_probe(int dir_fd, char owner[OWNER_TEXT_BYTES]);

#endif
