/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/data_file.h"

#include "spool/point.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the fields of LMDB 0.9's meta page are (mdb.c: MDB_page, MDB_meta, MDB_db), in the byte
 * order of the machine. */
#define AT_PAGE_FLAGS 10
#define AT_MAGIC 16
#define AT_VERSION 20
#define AT_FREE_LIST 40 /* a struct MDB_db; its first word is the page size */
#define AT_MAIN 88      /* a struct MDB_db */
#define AT_LAST_PAGE 136
#define AT_TXN 144
#define META_BYTES 152

#define IN_DB_FLAGS 4
#define IN_DB_DEPTH 6
#define IN_DB_ROOT 40

#define PAGE_IS_META 0x08
#define META_MAGIC 0xBEEFC0DEU
#define META_VERSION 1U
#define DB_DEPTH_MAX 32 /* mdb.c: CURSOR_STACK */
#define NO_PAGE UINT64_MAX

/* More than the free pages that one transaction can have left unwritten at the end of the file. */
#define UNWRITTEN_BYTES_MAX (256ULL << 20)

#define PAGE_BYTES_MIN 512U
#define PAGE_BYTES_MAX 65536U

static_assert(sizeof(size_t) == 8, "the meta page's layout is that of 64-bit machines");

/* --- Meta pages ------------------------------------------------------------------------------- */

static uint16_t data_file_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static uint32_t data_file_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static uint64_t data_file_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static bool data_file_is_root(const uint8_t *db, uint64_t last_page)
{
    uint64_t root = data_file_u64(db + IN_DB_ROOT);
    uint16_t depth = data_file_u16(db + IN_DB_DEPTH);
    return root == NO_PAGE || (root > 1 && root <= last_page && depth >= 1 && depth < DB_DEPTH_MAX);
}

/* What LMDB itself refuses the page for; it would have made lock.mdb by then. */
static int data_file_check_head(const uint8_t *meta)
{
    if ((data_file_u16(meta + AT_PAGE_FLAGS) & PAGE_IS_META) == 0 ||
        data_file_u32(meta + AT_MAGIC) != META_MAGIC) {
        return MDB_INVALID;
    }
    return data_file_u32(meta + AT_VERSION) == META_VERSION ? 0 : MDB_VERSION_MISMATCH;
}

/* Checks the meta page that LMDB will use: the one of the later transaction. */
static int data_file_check_meta(const uint8_t *meta, uint64_t page_bytes, uint64_t file_bytes)
{
    uint64_t last_page = data_file_u64(meta + AT_LAST_PAGE);
    if (last_page < 1 || last_page > (file_bytes + UNWRITTEN_BYTES_MAX) / page_bytes ||
        data_file_u16(meta + AT_FREE_LIST + IN_DB_FLAGS) != MDB_INTEGERKEY ||
        !data_file_is_root(meta + AT_FREE_LIST, last_page) ||
        !data_file_is_root(meta + AT_MAIN, last_page)) {
        return MDB_CORRUPTED;
    }
    /* A spool's main database has no flags; other programs' may. */
    return data_file_u16(meta + AT_MAIN + IN_DB_FLAGS) == 0 ? 0 : MDB_NOTFOUND;
}

int data_file_check(int fd)
{
    uint8_t metas[2][META_BYTES];
    struct stat status;
    uint32_t page_bytes = 0;
    if (fstat(fd, &status) < 0) {
        return errno;
    }
    if (status.st_size == 0) {
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        ssize_t size = pread(fd, metas[i], META_BYTES, i * (off_t)page_bytes);
        if (size < 0) {
            return errno;
        }
        if (size < META_BYTES) {
            return MDB_CORRUPTED;
        }
        int code = data_file_check_head(metas[i]);
        if (code != 0) {
            return code;
        }
        page_bytes = data_file_u32(metas[i] + AT_FREE_LIST);
        if (page_bytes < PAGE_BYTES_MIN || page_bytes > PAGE_BYTES_MAX ||
            (page_bytes & (page_bytes - 1)) != 0) {
            return MDB_CORRUPTED;
        }
    }
    if (data_file_u32(metas[0] + AT_FREE_LIST) != page_bytes) {
        return MDB_CORRUPTED;
    }
    int later = data_file_u64(metas[1] + AT_TXN) > data_file_u64(metas[0] + AT_TXN) ? 1 : 0;
    return data_file_check_meta(metas[later], page_bytes, (uint64_t)status.st_size);
}

/* --- The end of the file ---------------------------------------------------------------------- */

/* Counts the free pages at or behind a page. LMDB's code. */
static int data_file_count_free(MDB_env *env, uint64_t from_page, uint64_t *ret_count)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return code;
    }
    code = mdb_cursor_open(txn, 0, &cursor);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    MDB_val key;
    MDB_val data;
    uint64_t count = 0;
    while ((code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0) {
        /* How many pages, then their numbers. */
        const uint8_t *list = data.mv_data;
        uint64_t pages = data.mv_size / sizeof(uint64_t);
        if (pages == 0 || data_file_u64(list) > pages - 1) {
            code = MDB_CORRUPTED;
            break;
        }
        pages = data_file_u64(list);
        for (uint64_t i = 1; i <= pages; i++) {
            count += data_file_u64(list + i * sizeof(uint64_t)) >= from_page;
        }
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    if (code == MDB_NOTFOUND) {
        *ret_count = count;
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

int data_file_fill_up(int fd, MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat status;
    mdb_env_info(env, &info);
    mdb_env_stat(env, &stat);
    uint64_t pages = (uint64_t)info.me_last_pgno + 1;
    if (fstat(fd, &status) < 0) {
        return errno;
    }
    uint64_t has_pages = (uint64_t)status.st_size / stat.ms_psize;
    if (has_pages >= pages) {
        return 0;
    }
    /* Zeros first: looking for what is free must not touch a page that is not there. */
    if (ftruncate(fd, (off_t)(pages * stat.ms_psize)) < 0) {
        return errno;
    }
    SPOOL_POINT("data_file.filled_up");
    uint64_t free_pages = 0;
    int code = data_file_count_free(env, has_pages, &free_pages);
    if (code == 0 && free_pages != pages - has_pages) {
        code = MDB_CORRUPTED;
    }
    if (code != 0) {
        /* S8: what is set aside is as it was found. */
        (void)!ftruncate(fd, status.st_size);
    }
    return code;
}
