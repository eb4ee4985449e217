/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One consistent state of a spool's data file, read without LMDB: a meta page, and LMDB's promise
 * (a reading transaction) that the pages below it are not used again until the view ends. A view
 * must be short while somebody writes; docs/decisions/0011-a-page-reader-of-our-own.md.
 *
 * One view in a process at a time, and none beside a spool that is open in it: LMDB forbids else.
 */
#ifndef SPOOL_PAGE_VIEW_H
#define SPOOL_PAGE_VIEW_H

#include "spool/page/page_walk.h"

struct MDB_env;
struct MDB_txn;

#define PAGE_NAME_BYTES_MAX 31U

/* A named database. */
struct page_named {
    char name[PAGE_NAME_BYTES_MAX + 1];
    struct page_tree tree;
};

/* In the caller's memory. */
struct page_view {
    struct page_file file;
    struct page_meta meta; /* of the state that is shown */
    struct page_named *named;
    uint32_t named_count;
    struct page_damage damage; /* of the list of databases: the first of it; what NULL: none */
    const char *dir;
    int dir_fd;
    struct MDB_env *env; /* NULL: LMDB cannot be asked */
    struct MDB_txn *txn;
    bool is_still;  /* LMDB is not asked */
    bool is_pinned; /* LMDB has promised */
};

#define PAGE_VIEW_E_REFUSED 1 /* no file that can be read; message says why */
#define PAGE_VIEW_E_DAMAGED 2 /* neither meta page can be used; message says so */
#define PAGE_VIEW_E_NONE 3    /* nothing of that name or key */
#define PAGE_VIEW_E_BUSY 4    /* written too fast to be read without LMDB's promise */

/* Opens the data file of a folder; dir_fd and dir are borrowed. LMDB is asked only when its lock
 * file is there and whole: where it is not, nobody writes. is_still: it is not asked at all, so
 * that even its lock file stays as it is; for files that nobody uses. Nothing is made. Behind
 * PAGE_VIEW_E_DAMAGED view->file is open, for those who look at its pages all the same. 0,
 * PAGE_VIEW_E_REFUSED, PAGE_VIEW_E_DAMAGED, -errno. */
SPOOL_MUST_CHECK int page_view_open(struct page_view *view, int dir_fd, const char *dir,
                                    bool is_still, struct message *message);

void page_view_close(struct page_view *view);

/* Shows the latest state, or that of the file's meta page with that index (0 or 1), usable or not
 * so new: which < 0 is the latest. 0, PAGE_VIEW_E_DAMAGED, PAGE_VIEW_E_BUSY, -errno. */
SPOOL_MUST_CHECK int page_view_begin(struct page_view *view, int which);

/* Shows the state of a transaction that the caller holds with LMDB; the caller sees to it that it
 * stays. 0, PAGE_VIEW_E_NONE (its meta page was written over: hold a newer one), -errno. */
SPOOL_MUST_CHECK int page_view_follow(struct page_view *view, uint64_t txn);

/* Gives the promise back; what was shown is no longer valid. */
void page_view_end(struct page_view *view);

/* Whether all that was read since page_view_begin() is of that state: always so with LMDB's
 * promise, else as long as not more than one transaction was committed. */
SPOOL_MUST_CHECK bool page_view_is_intact(struct page_view *view);

/* A named database's tree. 0, PAGE_VIEW_E_NONE. */
SPOOL_MUST_CHECK int page_view_tree(const struct page_view *view, const char *name,
                                    struct page_tree *ret_tree);

#endif
