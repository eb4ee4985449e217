/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/visit.h"

#include "spool/data_file.h"
#include "spool/environment.h"
#include "spool/live.h"
#include "spool/mdb_result.h"
#include "spool/owner_lock.h"
#include "spool/page/page_view.h"
#include "spool/transaction.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif

static_assert(SPOOL_OWNER_BYTES == OWNER_TEXT_BYTES, "the same text");

/* LMDB's locks and its map are worth nothing between two hosts. */
static int visit_check_file_system(struct spool *spool, struct message *message)
{
    struct statfs status;
    if (fstatfs(spool->dir_fd, &status) < 0) {
        return 0;
    }
    switch ((uint32_t)status.f_type) {
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case CODA_SUPER_MAGIC:
    case AFS_SUPER_MAGIC:
        message_set(
            message,
            "%s: on a remote file system: run this program on the host that the spool is on",
            spool->dir);
        return SPOOL_E_REFUSED;
    default:
        return 0;
    }
}

static int visit_check_files(struct spool *spool, struct message *message)
{
    int r = visit_check_file_system(spool, message);
    if (r == 0) {
        r = spool_check_file(spool, SPOOL_DATA_FILE, true, message);
    }
    if (r == 0) {
        r = spool_check_file(spool, SPOOL_LOCK_FILE, false, message);
    }
    return r;
}

/* Opens the data file, and makes sure that LMDB finds a whole lock.mdb. */
static int visit_open_files(struct spool *spool, struct message *message)
{
    int r = claim_look(&spool->claim, spool->dir_fd, SPOOL_DATA_FILE);
    if (r != 0) {
        message_set(message, "%s/%s: %s", spool->dir, SPOOL_DATA_FILE, strerror(-r));
        return r;
    }
    if (spool->claim.filled_bytes == 0) {
        message_set(message, "%s/%s: empty: there is no spool in this folder yet", spool->dir,
                    SPOOL_DATA_FILE);
        return SPOOL_E_REFUSED;
    }
    /* Before lock.mdb is made: what is no spool stays as it is. */
    int code = data_file_check(spool->claim.fd);
    if (code != 0) {
        return environment_failure(spool, code, "reading its first pages", message);
    }
    r = claim_lock_file(spool->dir_fd, SPOOL_LOCK_FILE);
    if (r == CLAIM_E_DISK_FULL) {
        message_set(message, "%s: the disk is full: %s cannot be made: free some space", spool->dir,
                    SPOOL_LOCK_FILE);
        return SPOOL_E_DISK_FULL;
    }
    if (r < 0) {
        message_set(message, "%s/%s: %s", spool->dir, SPOOL_LOCK_FILE, strerror(-r));
    }
    return r;
}

/* The limits that the last owner wrote down. The file itself only remembers the largest map that it
 * ever had, and a visitor must not write beyond the owner's. */
static void visit_read_limits(struct spool *spool)
{
    struct live *live = malloc(sizeof(*live));
    if (live != NULL && live_read(spool->dir, live) == 0 && live->max_bytes >= SPOOL_BYTES_MIN &&
        live->map_bytes >= live->max_bytes && live->map_bytes <= 2 * SPOOL_BYTES_MAX) {
        spool->config.max_bytes = live->max_bytes;
        spool->config.max_records = live->max_records;
        spool->claim.limit_bytes = live->map_bytes;
    }
    free(live);
}

static int visit_open_view(struct spool *spool, struct message *message)
{
    struct page_view *view = malloc(sizeof(*view));
    if (view == NULL) {
        message_set(message, "%s: out of memory", spool->dir);
        return -ENOMEM;
    }
    /* LMDB is asked by the spool itself. */
    int r = page_view_open(view, spool->dir_fd, spool->dir, true, message);
    if (r == 0 || r == PAGE_VIEW_E_DAMAGED) {
        spool->view = view;
        return r == 0 ? 0 : SPOOL_E_DAMAGED;
    }
    free(view);
    return r == PAGE_VIEW_E_REFUSED ? SPOOL_E_REFUSED : r;
}

void visit_close_view(struct spool *spool)
{
    if (spool->view != NULL) {
        page_view_close(spool->view);
        free(SPOOL_TAKE(spool->view));
    }
}

static int visit_open_environment(struct spool *spool, struct message *message)
{
    visit_read_limits(spool);
    int r = environment_open(spool, message);
    if (r != 0) {
        return r;
    }
    MDB_envinfo info;
    mdb_env_info(spool->env, &info);
    spool->claim.limit_bytes = info.me_mapsize;
    if (spool->config.max_bytes == 0) {
        spool->config.max_bytes = info.me_mapsize;
    }
    return 0;
}

int spool_visit(const char *dir, struct clock *clock, struct spool **ret_spool,
                struct message *message)
{
    struct spool_config config = {.dir = dir, .durability = SPOOL_SYNC, .clock = clock};
    SPOOL_CLEANUP(spool_close) struct spool *spool = NULL;
    int r = spool_new(&config, &spool, message);
    if (r != 0) {
        return r;
    }
    spool->is_visitor = true;
    r = spool_find_dir(spool, message);
    if (r == 0) {
        r = visit_check_files(spool, message);
    }
    if (r == 0) {
        r = visit_open_files(spool, message);
    }
    if (r == 0) {
        r = visit_open_view(spool, message);
    }
    if (r == 0) {
        r = visit_open_environment(spool, message);
    }
    if (r != 0) {
        return r == ENVIRONMENT_E_DAMAGED ? SPOOL_E_DAMAGED : r;
    }
    *ret_spool = SPOOL_TAKE(spool);
    return 0;
}

bool visit_is_replaced(const struct spool *spool)
{
    struct stat here;
    struct stat opened;
    return fstatat(spool->dir_fd, SPOOL_DATA_FILE, &here, AT_SYMLINK_NOFOLLOW) < 0 ||
           fstat(spool->claim.fd, &opened) < 0 || here.st_ino != opened.st_ino ||
           here.st_dev != opened.st_dev;
}

int spool_refresh(struct spool *spool)
{
    MDB_txn *txn;
    MDB_stat stat;
    if (visit_is_replaced(spool)) {
        return VISIT_E_REPLACED;
    }
    if (transaction_begin(spool, MDB_RDONLY, &txn) != 0) {
        return -EIO;
    }
    uint32_t count = spool_destinations_count(spool);
    int code = mdb_stat(txn, spool->destinations_db, &stat);
    if (code == 0 && stat.ms_entries != count) {
        code = environment_load_destinations(spool, txn, count + 1, &count);
    }
    if (code != 0) {
        return transaction_end_read(spool, txn, code);
    }
    /* Committed, though it only read: so the handles of new databases stay open. */
    code = mdb_txn_commit(txn);
    pthread_rwlock_unlock(&spool->env_lock);
    int r = mdb_result(code);
    if (r == 0) {
        atomic_store(&spool->destinations_count, count);
    }
    return r > 0 ? -EIO : r;
}

const char *spool_dir(const struct spool *spool)
{
    return spool->dir;
}

int spool_owner(const struct spool *spool, bool *ret_is_owned, char ret_owner[SPOOL_OWNER_BYTES])
{
    char owner[OWNER_TEXT_BYTES] = "";
    int r = owner_lock_probe(spool->dir_fd, owner);
    if (r < 0) {
        return r;
    }
    *ret_is_owned = r == OWNER_LOCK_E_OWNED;
    (void)snprintf(ret_owner, SPOOL_OWNER_BYTES, "%s", *ret_is_owned ? owner : "");
    return 0;
}
