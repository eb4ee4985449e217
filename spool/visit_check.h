/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private to spool/: what a visitor checks before LMDB reads it, since LMDB believes its pages, and
 * one that is damaged can end the program. docs/decisions/0011-a-page-reader-of-our-own.md.
 */
#ifndef SPOOL_VISIT_CHECK_H
#define SPOOL_VISIT_CHECK_H

#include "spool/environment.h"

/* Looks at the state of a transaction that this process holds, and checks every page of the small
 * databases: those that the visitor reads through LMDB. writes: the free list too, for LMDB takes
 * pages from it. Records are not looked at: they are read by spool/page/page_walk.h. LMDB's code;
 * MDB_CORRUPTED for damage; EAGAIN when the state's meta page was written over; ESTALE
 * when it is to write, and the folder's data file is another one by now. */
SPOOL_MUST_CHECK int visit_check(struct spool *spool, uint64_t txn, bool writes);

/* Whether pages are missing at the end of the file that are not free; visit_check() has succeeded.
 * LMDB's code; MDB_CORRUPTED. */
SPOOL_MUST_CHECK int visit_check_end(struct spool *spool);

#endif
