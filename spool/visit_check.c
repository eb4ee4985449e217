/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/visit_check.h"

#include "spool/page/page_view.h"

#include <errno.h>
#include <string.h>

#define CHECK_WINDOW_BYTES 65536U

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

/* Looks at every page of a tree. */
static int visit_check_tree(const struct page_view *view, const struct page_tree *tree,
                            uint32_t key_bytes)
{
    struct page_walk walk;
    struct page_entry entry;
    struct span value;
    page_walk_init(&walk, &view->file, tree, view->meta.last_page, key_bytes, CHECK_WINDOW_BYTES);
    int r;
    while ((r = page_walk_next(&walk, &entry)) == 0) {
        r = page_walk_value(&walk, &entry, &value);
        if (r != 0) {
            break;
        }
    }
    page_walk_deinit(&walk);
    return visit_check_code(r == PAGE_WALK_E_END ? 0 : r);
}

/* Looks at the free list, and counts the pages in it at or behind from_page. */
static int visit_check_free(const struct page_view *view, uint64_t from_page, uint64_t *ret_count)
{
    struct page_walk walk;
    struct page_entry entry;
    struct span value;
    uint64_t found = 0;
    page_walk_init(&walk, &view->file, &view->meta.free_list, view->meta.last_page,
                   sizeof(uint64_t), CHECK_WINDOW_BYTES);
    int r;
    while ((r = page_walk_next(&walk, &entry)) == 0 &&
           (r = page_walk_value(&walk, &entry, &value)) == 0) {
        /* How many pages, then their numbers. */
        uint64_t count = 0;
        if (value.size_bytes >= sizeof(count)) {
            memcpy(&count, value.data, sizeof(count));
        }
        if (count == 0 || count > value.size_bytes / sizeof(count) - 1) {
            r = PAGE_WALK_E_DAMAGED;
        }
        for (uint64_t i = 1; r == 0 && i <= count; i++) {
            uint64_t page;
            memcpy(&page, (const uint8_t *)value.data + i * sizeof(page), sizeof(page));
            found += page >= from_page;
            if (page < 2 || page > view->meta.last_page) {
                r = PAGE_WALK_E_DAMAGED;
            }
        }
        if (r != 0) {
            break;
        }
    }
    page_walk_deinit(&walk);
    *ret_count = found;
    return visit_check_code(r == PAGE_WALK_E_END ? 0 : r);
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
        int code = visit_check_tree(view, &tree, visit_trees[i].key_bytes);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

int visit_check(struct spool *spool, uint64_t txn, bool writes)
{
    struct page_view *view = spool->view;
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
        code = visit_check_free(view, 0, &free_count);
    }
    return code;
}

int visit_check_end(struct spool *spool)
{
    struct page_view *view = spool->view;
    uint64_t pages = view->meta.last_page + 1;
    uint64_t has_pages = view->file.file_bytes / view->file.page_bytes;
    uint64_t free_count = 0;
    if (has_pages >= pages) {
        return 0;
    }
    int code = visit_check_free(view, has_pages, &free_count);
    return code == 0 && free_count != pages - has_pages ? MDB_CORRUPTED : code;
}
