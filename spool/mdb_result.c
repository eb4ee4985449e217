/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/mdb_result.h"

#include <errno.h>
#include <lmdb.h>

int mdb_result(int code)
{
    switch (code) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
        return MDB_RESULT_NOT_FOUND;
    case MDB_KEYEXIST:
        return MDB_RESULT_EXISTS;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* RLIMIT_FSIZE */
        return MDB_RESULT_NO_SPACE;
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
    case MDB_PAGE_FULL:
    case MDB_CURSOR_FULL:
        return MDB_RESULT_DAMAGED;
    case MDB_VERSION_MISMATCH:
        return MDB_RESULT_NEWER;
    case MDB_PANIC:
        return MDB_RESULT_PANIC;
    default:
        return code > 0 ? -code : -EPROTO;
    }
}

const char *mdb_result_text(int code)
{
    return mdb_strerror(code);
}
