/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translates LMDB's return codes, the only place that does: LMDB gives its own errors as negative
 * and errno as positive numbers, the mirror of ours.
 */
#ifndef SPOOL_MDB_RESULT_H
#define SPOOL_MDB_RESULT_H

#include "spool/base.h"

#define MDB_RESULT_NOT_FOUND 1
#define MDB_RESULT_NO_SPACE 2 /* map or disk full; the transaction can only be aborted */
#define MDB_RESULT_DAMAGED 3  /* what is in the file cannot be right */
#define MDB_RESULT_NEWER 4    /* another version of LMDB's file format */
#define MDB_RESULT_PANIC 5    /* the environment must be reopened */
#define MDB_RESULT_EXISTS 6   /* the key is there already */

/* 0, one of MDB_RESULT_, or -errno (-EPROTO for what should not happen). */
SPOOL_MUST_CHECK int mdb_result(int code);

/* The code in words, for messages. Static. */
const char *mdb_result_text(int code);

#endif
