/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data file before LMDB believes it. LMDB 0.9 has no checksums of its own pages and trusts its
 * two meta pages blindly: a wrong page size is a division by zero, a missing page a SIGBUS. So they
 * are read here first.
 */
#ifndef SPOOL_DATA_FILE_H
#define SPOOL_DATA_FILE_H

#include "spool/base.h"

#include <lmdb.h>

/* Checks the meta pages of the file; an empty file is fine. 0, LMDB's code: MDB_INVALID (no LMDB
 * file), MDB_VERSION_MISMATCH, MDB_CORRUPTED, or MDB_NOTFOUND for a file that no spool can be. */
SPOOL_MUST_CHECK int data_file_check(int fd);

/* Makes sure that every page that LMDB may read is in the file. LMDB leaves the last pages of a
 * transaction unwritten when it freed them again, so a file that is short of free pages alone is
 * sound, and is filled up. LMDB's code: MDB_CORRUPTED for one that was cut off, which stays as it
 * is. */
SPOOL_MUST_CHECK int data_file_fill_up(int fd, MDB_env *env);

#endif
