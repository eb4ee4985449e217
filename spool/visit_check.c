/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/visit_check.h"

#include "spool/page/page_check.h"

#include <errno.h>
#include <string.h>

/* The databases that a visitor reads through LMDB, and their keys. */
struct visit_tree {
    const char *name;
    uint32_t key_bytes;
    uint16_t flags;
};

static const struct visit_tree visit_trees[] = {
    {"meta", 0, 0},
    {"destinations", 4, PAGE_TREE_INTEGER_KEY},
    {"counters", 4, PAGE_TREE_INTEGER_KEY},
};

static int visit_check_code(int r)
{
    return r == -ENOMEM ? ENOMEM : r == 0 ? 0 : MDB_CORRUPTED;
}

/* LMDB reads a tree by what its flags say of the keys. */
static bool visit_has_flags(const struct page_named *named)
{
    for (size_t i = 0; i < SPOOL_COUNT_OF(visit_trees); i++) {
        if (strcmp(named->name, visit_trees[i].name) == 0) {
            return named->tree.flags == visit_trees[i].flags;
        }
    }
    return (named->tree.flags & (uint16_t)~PAGE_TREE_INTEGER_KEY) == 0;
}

static int visit_check_trees(const struct page_view *view)
{
    struct page_damage damage;
    for (uint32_t i = 0; i < view->named_count; i++) {
        if (!visit_has_flags(&view->named[i])) {
            return MDB_CORRUPTED;
        }
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(visit_trees); i++) {
        struct page_tree tree;
        if (page_view_tree(view, visit_trees[i].name, &tree) != 0) {
            continue; /* LMDB will say that it is missing */
        }
        int code =
            visit_check_code(page_check_tree(view, &tree, visit_trees[i].key_bytes, NULL, &damage));
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

int visit_check(struct spool *spool, uint64_t txn, bool writes)
{
    struct page_view *view = spool->view;
    struct page_damage damage;
    uint64_t free_count;
    int r = page_view_follow(view, txn);
    if (r == PAGE_VIEW_E_NONE) {
        return EAGAIN;
    }
    if (r < 0) {
        return -r;
    }
    if (view->damage.what != NULL) {
        return MDB_CORRUPTED;
    }
    int code = visit_check_trees(view);
    if (code == 0 && writes && visit_is_replaced(spool)) {
        return ESTALE; /* it was compacted or set aside: what is written to the old file is lost */
    }
    if (code == 0 && writes) {
        code = visit_check_code(page_check_free(view, 0, NULL, &free_count, &damage));
    }
    return code;
}

int visit_check_end(struct spool *spool)
{
    struct page_view *view = spool->view;
    uint64_t pages = view->meta.last_page + 1;
    uint64_t has_pages = view->file.file_bytes / view->file.page_bytes;
    uint64_t free_count = 0;
    struct page_damage damage;
    if (has_pages >= pages) {
        return 0;
    }
    int code = visit_check_code(page_check_free(view, has_pages, NULL, &free_count, &damage));
    return code == 0 && free_count != pages - has_pages ? MDB_CORRUPTED : code;
}
