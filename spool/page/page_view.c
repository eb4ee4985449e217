/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/page/page_view.h"

#include "spool/limits.h"
#include "spool/mdb_result.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <string.h>
#include <sys/stat.h>

#define LOCK_FILE "lock.mdb"

/* LMDB's lock file for its default of readers; a shorter one is not in use. */
#define LOCK_FILE_BYTES_MIN 8192

/* Ours, and some that a later version may have. */
#define NAMED_MAX (4U * DESTINATIONS_MAX + 64U)

/* The list of databases is read in pieces of this size. */
#define MAIN_WINDOW_BYTES 65536U

/* A state is found at the second try, unless somebody commits all the time. */
#define BEGIN_TRIES 100

/* --- LMDB's promise --------------------------------------------------------------------------- */

/* LMDB makes a lock file that is missing, and maps one that has holes; on a full disk the latter is
 * a signal. The owner makes it whole before LMDB sees it, so one that is not is nobody's. */
static bool page_view_has_lock_file(const struct page_view *view)
{
    struct stat status;
    return fstatat(view->dir_fd, LOCK_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(status.st_mode) && status.st_size >= LOCK_FILE_BYTES_MIN &&
           status.st_blocks * 512 >= status.st_size &&
           faccessat(view->dir_fd, LOCK_FILE, R_OK | W_OK, AT_EACCESS) == 0;
}

static void page_view_close_env(struct page_view *view)
{
    if (view->txn != NULL) {
        mdb_txn_abort(view->txn);
        view->txn = NULL;
    }
    if (view->env != NULL) {
        mdb_env_close(view->env);
        view->env = NULL;
    }
    view->is_pinned = false;
}

/* Opens LMDB's environment for its table of readers alone: of the data file LMDB reads the meta
 * pages, which were checked, and nothing else. Without one the view goes on without a promise. */
static void page_view_open_env(struct page_view *view)
{
    bool is_sound = view->file.metas[0].what == NULL && view->file.metas[1].what == NULL;
    if (view->is_still || !is_sound || !page_view_has_lock_file(view) ||
        mdb_env_create(&view->env) != 0) {
        return;
    }
    if (mdb_env_open(view->env, view->dir, MDB_RDONLY | MDB_NOTLS, 0640) != 0) {
        page_view_close_env(view);
    }
}

/* Registers as a reader. false: LMDB cannot be asked. */
static bool page_view_pin(struct page_view *view)
{
    for (int i = 0; i < 2; i++) {
        if (view->env == NULL) {
            page_view_open_env(view);
        }
        if (view->env == NULL) {
            return false;
        }
        int code = view->txn != NULL ? mdb_txn_renew(view->txn)
                                     : mdb_txn_begin(view->env, NULL, MDB_RDONLY, &view->txn);
        if (code == 0) {
            view->is_pinned = true;
            return true;
        }
        /* The file's limit was raised, or it is another file now. */
        page_view_close_env(view);
    }
    return false;
}

void page_view_end(struct page_view *view)
{
    if (view->is_pinned) {
        mdb_txn_reset(view->txn);
        view->is_pinned = false;
    }
}

/* --- Opening ---------------------------------------------------------------------------------- */

int page_view_open(struct page_view *view, int dir_fd, const char *dir, bool is_still,
                   struct message *message)
{
    *view =
        (struct page_view){.dir_fd = dir_fd, .dir = dir, .is_still = is_still, .file = {.fd = -1}};
    int r = page_file_open(&view->file, dir_fd, dir, message);
    if (r == PAGE_FILE_E_REFUSED) {
        return PAGE_VIEW_E_REFUSED;
    }
    if (r < 0) {
        return r;
    }
    view->named = calloc(NAMED_MAX, sizeof(*view->named));
    if (view->named == NULL) {
        message_set(message, "%s: out of memory", dir);
        page_view_close(view);
        return -ENOMEM;
    }
    return r == PAGE_FILE_E_DAMAGED ? PAGE_VIEW_E_DAMAGED : 0;
}

void page_view_close(struct page_view *view)
{
    page_view_close_env(view);
    page_file_close(&view->file);
    free(SPOOL_TAKE(view->named));
}

/* --- A state ---------------------------------------------------------------------------------- */

static const struct page_meta *page_view_of_txn(const struct page_view *view, uint64_t txn)
{
    for (int i = 0; i < 2; i++) {
        const struct page_file_meta *each = &view->file.metas[i];
        if (each->what == NULL && each->meta.txn == txn) {
            return &each->meta;
        }
    }
    return NULL;
}

/* The meta page to show: LMDB's choice, when it has promised something. */
static const struct page_meta *page_view_choose(const struct page_view *view, int which)
{
    if (which >= 0) {
        return view->file.metas[which].what == NULL ? &view->file.metas[which].meta : NULL;
    }
    return view->is_pinned ? page_view_of_txn(view, mdb_txn_id(view->txn))
                           : page_file_newest(&view->file);
}

static bool page_view_is_same(const struct page_meta *a, const struct page_meta *b)
{
    return a->txn == b->txn && a->last_page == b->last_page && a->main.root == b->main.root &&
           a->free_list.root == b->free_list.root &&
           a->free_list.entries_count == b->free_list.entries_count;
}

/* Reads the meta pages until two reads agree: one may be written at this moment. */
static int page_view_find(struct page_view *view, int which)
{
    struct page_meta before = {0};
    for (int i = 0; i < BEGIN_TRIES; i++) {
        int r = page_file_reread(&view->file);
        if (r < 0) {
            return r;
        }
        const struct page_meta *meta = page_view_choose(view, which);
        if (meta != NULL && i > 0 && page_view_is_same(meta, &before)) {
            view->meta = *meta;
            return 0;
        }
        if (meta != NULL) {
            before = *meta;
        } else if (view->is_pinned && which < 0) {
            /* Two commits since LMDB promised: the promise holds, but its meta page is gone. */
            page_view_end(view);
            if (!page_view_pin(view)) {
                return PAGE_VIEW_E_BUSY;
            }
        }
    }
    return page_file_newest(&view->file) == NULL ? PAGE_VIEW_E_DAMAGED : PAGE_VIEW_E_BUSY;
}

/* Reads the list of databases. What is damaged of it is left out, and told. */
static int page_view_read_named(struct page_view *view)
{
    struct page_walk walk;
    struct page_entry entry;
    int r;
    view->named_count = 0;
    view->damage = (struct page_damage){0};
    page_walk_init(&walk, &view->file, &view->meta.main, view->meta.last_page, 0,
                   MAIN_WINDOW_BYTES);
    while ((r = page_walk_next(&walk, &entry)) == 0 || r == PAGE_WALK_E_DAMAGED) {
        struct page_named *named = &view->named[view->named_count];
        if (r == 0 && entry.is_tree && entry.key.size_bytes <= PAGE_NAME_BYTES_MAX &&
            view->named_count < NAMED_MAX - 1 &&
            page_tree_decode(entry.value.data, view->meta.last_page, &named->tree) == 0) {
            memset(named->name, 0, sizeof(named->name));
            memcpy(named->name, entry.key.data, entry.key.size_bytes);
            view->named_count++;
        } else if (view->damage.what == NULL) {
            view->damage = r != 0
                               ? walk.damage
                               : (struct page_damage){.page = entry.page,
                                                      .what = "an entry is no database of a spool"};
        }
    }
    page_walk_deinit(&walk);
    return r == PAGE_WALK_E_END ? 0 : r;
}

int page_view_begin(struct page_view *view, int which)
{
    (void)page_view_pin(view);
    int r = page_view_find(view, which);
    if (r == 0) {
        r = page_view_read_named(view);
    }
    if (r != 0) {
        page_view_end(view);
    }
    return r;
}

int page_view_follow(struct page_view *view, uint64_t txn)
{
    struct page_meta before = {0};
    for (int i = 0; i < BEGIN_TRIES; i++) {
        int r = page_file_reread(&view->file);
        if (r < 0) {
            return r;
        }
        const struct page_meta *meta = page_view_of_txn(view, txn);
        if (meta == NULL) {
            return PAGE_VIEW_E_NONE;
        }
        if (page_view_is_same(meta, &before)) {
            view->meta = *meta;
            return page_view_read_named(view);
        }
        before = *meta;
    }
    return PAGE_VIEW_E_NONE;
}

bool page_view_is_intact(struct page_view *view)
{
    if (view->is_pinned) {
        return true;
    }
    if (page_file_reread(&view->file) != 0) {
        return false;
    }
    const struct page_meta *newest = page_file_newest(&view->file);
    return newest != NULL && newest->txn <= view->meta.txn + 1;
}

int page_view_tree(const struct page_view *view, const char *name, struct page_tree *ret_tree)
{
    for (uint32_t i = 0; i < view->named_count; i++) {
        if (strcmp(view->named[i].name, name) == 0) {
            *ret_tree = view->named[i].tree;
            return 0;
        }
    }
    return PAGE_VIEW_E_NONE;
}
