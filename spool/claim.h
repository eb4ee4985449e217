/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk that is claimed before it is needed. LMDB never preallocates, and needs free pages even to
 * delete; so the data file always owns some more of the disk than LMDB has used, and a disk that
 * fills up stops appends, never settling. lock.mdb is claimed whole before LMDB maps it, since
 * writing a hole of a mapped file on a full disk is a SIGBUS.
 */
#ifndef SPOOL_CLAIM_H
#define SPOOL_CLAIM_H

#include "spool/base.h"

#include <stdatomic.h>

struct claim {
    int fd;                         /* of the data file; -1: none */
    uint64_t limit_bytes;           /* the file never becomes larger */
    _Atomic uint64_t claimed_bytes; /* the file's first bytes that have disk behind them */
    uint64_t filled_bytes;          /* the first of these that need not be claimed again */
    atomic_bool is_disk_full;       /* the last try to get more failed for want of disk */
    bool is_possible;               /* the file system can preallocate */
};

#define CLAIM_E_DISK_FULL 1

/* Opens the data file (making it if it is missing) and claims what it has. A file that is larger
 * than the limit already, since the limit was lowered, may grow by a little, so that it can be
 * drained. One thread writes the claim; the atomic members may be read by any. 0,
 * CLAIM_E_DISK_FULL, -errno. */
SPOOL_MUST_CHECK int claim_open(struct claim *claim, int dir_fd, const char *file,
                                uint64_t limit_bytes);

/* Opens the data file of a spool that somebody else may own: makes and claims nothing. limit_bytes
 * stays 0. 0, -errno. */
SPOOL_MUST_CHECK int claim_look(struct claim *claim, int dir_fd, const char *file);

void claim_close(struct claim *claim);

/* Makes sure that the file's first end_bytes are claimed, and a good step more if there is room.
 * 0, CLAIM_E_DISK_FULL (claimed_bytes says what there is), -errno. */
SPOOL_MUST_CHECK int claim_up_to(struct claim *claim, uint64_t end_bytes);

/* Makes sure that the lock file exists in full. 0, CLAIM_E_DISK_FULL, -errno. */
SPOOL_MUST_CHECK int claim_lock_file(int dir_fd, const char *file);

#endif
