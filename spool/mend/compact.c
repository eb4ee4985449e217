/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/mend/compact.h"

#include "spool/environment.h"
#include "spool/mdb_result.h"
#include "spool/mend/verify.h"
#include "spool/owner_lock.h"
#include "spool/page/page_file.h"
#include "spool/point.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* Room that must be left beside the new file. */
#define COMPACT_BYTES_SPARE (1ULL << 20)

struct compact {
    const char *dir;
    const struct compact_host *host;
    struct message *message;
    struct compact_sizes sizes;
    const char *verifying; /* for whom tells how far it is */
    int dir_fd;
    int owner_fd;
    int folder_fd; /* of COMPACT_FOLDER */
    MDB_env *env;
    MDB_txn *txn; /* a writing one: nobody else writes as long as it is open */
};

static int compact_errno(const struct compact *compact, const char *what)
{
    int r = -errno;
    message_set(compact->message, "%s: cannot %s: %s", compact->dir, what, strerror(errno));
    return r == -ENOSPC || r == -EDQUOT ? COMPACT_E_FULL : r;
}

/* --- Before ----------------------------------------------------------------------------------- */

static int compact_open(struct compact *compact)
{
    char owner[OWNER_TEXT_BYTES];
    uint32_t crashes_count; /* nothing is asked of them: every page is looked at below */
    struct page_file file;
    compact->dir_fd = open(compact->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (compact->dir_fd < 0) {
        (void)compact_errno(compact, "open the folder");
        return COMPACT_E_REFUSED;
    }
    int r = page_file_open(&file, compact->dir_fd, compact->dir, compact->message);
    page_file_close(&file);
    if (r != 0) {
        return r < 0 ? r : r == PAGE_FILE_E_DAMAGED ? COMPACT_E_DAMAGED : COMPACT_E_REFUSED;
    }
    r = owner_lock_take(compact->dir_fd, "spool-inspect compact", owner, &compact->owner_fd,
                        &crashes_count);
    if (r == OWNER_LOCK_E_OWNED) {
        message_set(compact->message, "%s: the spool is in use by %s: stop it first", compact->dir,
                    owner);
        return COMPACT_E_OWNED;
    }
    if (r != 0) {
        message_set(compact->message, "%s: cannot own the spool: %s", compact->dir,
                    r < 0 ? strerror(-r) : "the disk is full");
        return COMPACT_E_REFUSED;
    }
    return 0;
}

static bool compact_go_on(void *context, uint64_t done, uint64_t all)
{
    const struct compact *compact = context;
    if (compact->host->tell != NULL) {
        compact->host->tell(compact->host->context, compact->verifying, done, all);
    }
    return true;
}

/* What is damaged is salvaged, not compacted: LMDB would stumble over it, or copy it. */
static int compact_verify(struct compact *compact, int dir_fd, const char *verifying,
                          struct verify_result *ret_result)
{
    struct verify_host host = {.context = compact, .go_on = compact_go_on};
    compact->verifying = verifying;
    int r = verify_spool(dir_fd, compact->dir, &host, ret_result, compact->message);
    if (r != 0) {
        return r < 0 ? r : COMPACT_E_REFUSED;
    }
    if (ret_result->findings_count > 0) {
        message_set(compact->message,
                    "%s: %llu things are wrong with the %s: 'spool-inspect verify' lists them; "
                    "nothing was changed",
                    compact->dir, (unsigned long long)ret_result->findings_count, verifying);
        return COMPACT_E_DAMAGED;
    }
    return 0;
}

static int compact_measure(struct compact *compact, const struct verify_result *verified)
{
    struct page_file file;
    struct statvfs disk;
    int r = page_file_open(&file, compact->dir_fd, compact->dir, compact->message);
    if (r != 0) {
        return r < 0 ? r : COMPACT_E_REFUSED;
    }
    compact->sizes.file_bytes = file.file_bytes;
    compact->sizes.used_bytes = (verified->pages_count + 2) * file.page_bytes;
    page_file_close(&file);
    if (fstatvfs(compact->dir_fd, &disk) < 0) {
        return compact_errno(compact, "ask for the disk's room");
    }
    compact->sizes.free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (compact->host->tell_sizes != NULL) {
        compact->host->tell_sizes(compact->host->context, &compact->sizes);
    }
    if (disk.f_blocks != 0 &&
        compact->sizes.free_bytes < compact->sizes.used_bytes + COMPACT_BYTES_SPARE) {
        message_set(compact->message,
                    "%s: the new file needs %llu KiB of disk beside the old one, %llu KiB are "
                    "free: free some space",
                    compact->dir, (unsigned long long)(compact->sizes.used_bytes >> 10),
                    (unsigned long long)(compact->sizes.free_bytes >> 10));
        return COMPACT_E_FULL;
    }
    return 0;
}

/* --- The new file ----------------------------------------------------------------------------- */

static void compact_remove_folder(const struct compact *compact)
{
    (void)!unlinkat(compact->dir_fd, COMPACT_FOLDER "/" SPOOL_DATA_FILE, 0);
    (void)!unlinkat(compact->dir_fd, COMPACT_FOLDER, AT_REMOVEDIR);
}

static int compact_mdb(const struct compact *compact, int code, const char *what)
{
    int r = mdb_result(code);
    message_set(compact->message, "%s: cannot %s: %s", compact->dir, what, mdb_result_text(code));
    if (r == MDB_RESULT_NO_SPACE) {
        return COMPACT_E_FULL;
    }
    return r < 0 ? r : COMPACT_E_DAMAGED;
}

/* LMDB opens by path; the environment stays open, with a writing transaction, until the new file is
 * in its place. */
static int compact_begin(struct compact *compact)
{
    int code = mdb_env_create(&compact->env);
    if (code == 0) {
        code = mdb_env_open(compact->env, compact->dir, MDB_NOTLS, 0640);
    }
    if (code == 0) {
        code = mdb_txn_begin(compact->env, NULL, 0, &compact->txn);
    }
    return code == 0 ? 0 : compact_mdb(compact, code, "open the spool");
}

/* The number of the state that is copied. */
static uint64_t compact_state(const struct compact *compact)
{
    return mdb_txn_id(compact->txn) - 1;
}

/* LMDB gives the copy the number 1, in one meta page. Programs that look at the spool share a lock
 * file with the number that it has now, and find the meta page by it: so both meta pages of the
 * copy lead to the same, with this number and the one before. */
static int compact_number(const struct compact *compact, int fd)
{
    uint8_t bytes[2][PAGE_META_BYTES];
    uint64_t state = compact_state(compact);
    struct page_meta metas[2];
    ssize_t size = pread(fd, bytes[0], PAGE_META_BYTES, 0);
    if (size != (ssize_t)PAGE_META_BYTES || page_meta_decode(bytes[0], &metas[0]) != 0 ||
        pread(fd, bytes[1], PAGE_META_BYTES, metas[0].page_bytes) != (ssize_t)PAGE_META_BYTES ||
        page_meta_decode(bytes[1], &metas[1]) != 0) {
        message_set(compact->message, "%s: LMDB's copy has no meta pages", compact->dir);
        return COMPACT_E_DAMAGED;
    }
    int latest = metas[1].txn > metas[0].txn ? 1 : 0;
    for (uint64_t i = 0; i < 2; i++) {
        uint8_t meta[PAGE_META_BYTES];
        uint64_t txn = i == (state & 1) ? state : state - 1;
        memcpy(meta, bytes[latest], sizeof(meta));
        memcpy(meta + PAGE_AT_NUMBER, &i, sizeof(i));
        memcpy(meta + PAGE_AT_TXN, &txn, sizeof(txn));
        if (pwrite(fd, meta, sizeof(meta), (off_t)(i * metas[0].page_bytes)) !=
            (ssize_t)sizeof(meta)) {
            return compact_errno(compact, "write the new file");
        }
    }
    return 0;
}

static int compact_write(struct compact *compact, int fd)
{
    struct stat status;
    int code = mdb_env_copyfd2(compact->env, fd, MDB_CP_COMPACT);
    if (code != 0) {
        return compact_mdb(compact, code, "write the new file");
    }
    SPOOL_POINT("compact.copied");
    int r = compact_number(compact, fd);
    if (r != 0) {
        return r;
    }
    SPOOL_POINT("compact.numbered");
    if (fsync(fd) < 0 || fsync(compact->folder_fd) < 0 || fstat(fd, &status) < 0) {
        return compact_errno(compact, "flush the new file");
    }
    SPOOL_POINT("compact.flushed");
    compact->sizes.new_bytes = (uint64_t)status.st_size;
    return 0;
}

static int compact_make(struct compact *compact)
{
    if (mkdirat(compact->dir_fd, COMPACT_FOLDER, 0750) < 0) {
        return compact_errno(compact, "make the folder " COMPACT_FOLDER);
    }
    SPOOL_POINT("compact.folder_made");
    compact->folder_fd =
        openat(compact->dir_fd, COMPACT_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (compact->folder_fd < 0) {
        return compact_errno(compact, "open the folder " COMPACT_FOLDER);
    }
    SPOOL_CLEANUP(spool_close_fd)
    int fd = openat(compact->folder_fd, SPOOL_DATA_FILE,
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        return compact_errno(compact, "make the new file");
    }
    SPOOL_POINT("compact.file_made");
    return compact_write(compact, fd);
}

/* --- All -------------------------------------------------------------------------------------- */

static int compact_replace(struct compact *compact)
{
    SPOOL_POINT("compact.verified");
    if (renameat(compact->folder_fd, SPOOL_DATA_FILE, compact->dir_fd, SPOOL_DATA_FILE) < 0) {
        return compact_errno(compact, "put the new file in the old one's place");
    }
    SPOOL_POINT("compact.replaced");
    return fsync(compact->dir_fd) < 0 ? compact_errno(compact, "flush the folder") : 0;
}

static int compact_run(struct compact *compact)
{
    struct verify_result verified = {0};
    struct verify_result copied = {0};
    int r = compact_open(compact);
    if (r == 0) {
        compact_remove_folder(compact);
        r = compact_verify(compact, compact->dir_fd, "spool", &verified);
    }
    if (r == 0) {
        r = compact_measure(compact, &verified);
    }
    if (r == 0) {
        r = compact_begin(compact);
    }
    if (r == 0) {
        r = compact_make(compact);
    }
    if (r == 0) {
        r = compact_verify(compact, compact->folder_fd, "copy", &copied);
    }
    if (r == 0 && (copied.waiting_count != verified.waiting_count ||
                   copied.dead_count != verified.dead_count ||
                   copied.reports_count != verified.reports_count)) {
        message_set(compact->message, "%s: the spool changed while it was compacted: run it again",
                    compact->dir);
        r = COMPACT_E_REFUSED;
    }
    return r == 0 ? compact_replace(compact) : r;
}

static void compact_close(struct compact *compact)
{
    if (compact->owner_fd >= 0) {
        SPOOL_POINT("compact.closing");
        compact_remove_folder(compact);
        SPOOL_POINT("compact.folder_removed");
    }
    if (compact->txn != NULL) {
        mdb_txn_abort(compact->txn);
    }
    if (compact->env != NULL) {
        mdb_env_close(compact->env);
    }
    spool_close_fd(&compact->folder_fd);
    owner_lock_end(&compact->owner_fd);
    spool_close_fd(&compact->dir_fd);
}

int compact_spool(const char *dir, const struct compact_host *host, struct compact_sizes *ret_sizes,
                  struct message *message)
{
    struct compact compact = {
        .dir = dir,
        .host = host,
        .message = message,
        .dir_fd = -1,
        .owner_fd = -1,
        .folder_fd = -1,
    };
    int r = compact_run(&compact);
    compact_close(&compact);
    if (r == 0) {
        *ret_sizes = compact.sizes;
    }
    return r;
}
