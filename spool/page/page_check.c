/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/page/page_check.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The small trees of a visitor fit into it; a large one is read ahead enough. */
#define CHECK_WINDOW_BYTES 65536U

uint32_t page_check_key_bytes(const struct page_view *view, const struct page_tree *tree)
{
    struct page_walk walk;
    struct page_entry entry;
    if ((tree->flags & PAGE_TREE_INTEGER_KEY) == 0) {
        return 0;
    }
    page_walk_init(&walk, &view->file, tree, view->meta.last_page, sizeof(uint32_t), 1);
    int r = page_walk_next(&walk, &entry);
    page_walk_deinit(&walk);
    return r == 0 ? sizeof(uint32_t) : sizeof(uint64_t);
}

static int page_check_damaged(struct page_damage *ret_damage, uint64_t page, const char *what)
{
    *ret_damage = (struct page_damage){.page = page, .what = what};
    return PAGE_CHECK_E_DAMAGED;
}

/* What the walk met, against what the tree says. */
static bool page_check_has_all(const struct page_walk *walk)
{
    const struct page_tree *tree = &walk->tree;
    return walk->branch_pages == tree->branch_pages && walk->leaf_pages == tree->leaf_pages &&
           walk->overflow_pages == tree->overflow_pages &&
           walk->entries_count == tree->entries_count;
}

int page_check_tree(const struct page_view *view, const struct page_tree *tree, uint32_t key_bytes,
                    struct page_use *use, struct page_damage *ret_damage)
{
    struct page_walk walk;
    struct page_entry entry;
    struct span value;
    page_walk_init(&walk, &view->file, tree, view->meta.last_page, key_bytes, CHECK_WINDOW_BYTES);
    walk.use = use;
    int r;
    while ((r = page_walk_next(&walk, &entry)) == 0) {
        r = page_walk_value(&walk, &entry, &value);
        if (r != 0) {
            break;
        }
    }
    if (r == PAGE_WALK_E_DAMAGED) {
        *ret_damage = walk.damage;
        r = PAGE_CHECK_E_DAMAGED;
    } else if (r == PAGE_WALK_E_END) {
        r = page_check_has_all(&walk)
                ? 0
                : page_check_damaged(ret_damage, tree->root, "its tree says that it has others");
    }
    page_walk_deinit(&walk);
    return r;
}

/* --- The free list ---------------------------------------------------------------------------- */

/* An entry: how many pages a transaction freed, then their numbers. LMDB leaves empty ones, too: it
 * makes entries before it knows how many pages are left to list. */
static int page_check_free_entry(const struct page_view *view, struct span value,
                                 uint64_t from_page, struct page_use *use, uint64_t *count,
                                 const char **ret_what)
{
    uint64_t pages = 0;
    uint64_t taken;
    if (value.size_bytes >= sizeof(pages)) {
        memcpy(&pages, value.data, sizeof(pages));
    }
    if (value.size_bytes < sizeof(pages) || pages > value.size_bytes / sizeof(pages) - 1) {
        *ret_what = "a list of free pages has another length than it says";
        return PAGE_CHECK_E_DAMAGED;
    }
    for (uint64_t i = 1; i <= pages; i++) {
        uint64_t page;
        memcpy(&page, (const uint8_t *)value.data + i * sizeof(page), sizeof(page));
        *count += page >= from_page;
        if (page < 2 || page > view->meta.last_page) {
            *ret_what = "it lists a free page that is not in the file";
            return PAGE_CHECK_E_DAMAGED;
        }
        if (use != NULL && !page_use_claim(use, page, 1, &taken)) {
            *ret_what = "it lists a free page that is used as well";
            return PAGE_CHECK_E_DAMAGED;
        }
    }
    return 0;
}

int page_check_free(const struct page_view *view, uint64_t from_page, struct page_use *use,
                    uint64_t *ret_count, struct page_damage *ret_damage)
{
    struct page_walk walk;
    struct page_entry entry;
    struct span value;
    uint64_t count = 0;
    page_walk_init(&walk, &view->file, &view->meta.free_list, view->meta.last_page,
                   sizeof(uint64_t), CHECK_WINDOW_BYTES);
    walk.use = use;
    int r;
    while ((r = page_walk_next(&walk, &entry)) == 0 &&
           (r = page_walk_value(&walk, &entry, &value)) == 0) {
        const char *what;
        r = page_check_free_entry(view, value, from_page, use, &count, &what);
        if (r != 0) {
            walk.damage = (struct page_damage){.page = entry.page, .what = what};
            r = PAGE_WALK_E_DAMAGED;
            break;
        }
    }
    *ret_count = count;
    *ret_damage = walk.damage;
    page_walk_deinit(&walk);
    return r == PAGE_WALK_E_END ? 0 : r < 0 ? r : PAGE_CHECK_E_DAMAGED;
}

/* --- All of it -------------------------------------------------------------------------------- */

static int page_check_trees(const struct page_view *view, struct page_use *use,
                            const char **ret_name, struct page_damage *ret_damage)
{
    uint64_t free_count;
    *ret_name = "the free list";
    int r = page_check_free(view, 0, use, &free_count, ret_damage);
    if (r == 0) {
        *ret_name = "the list of databases";
        r = page_check_tree(view, &view->meta.main, 0, use, ret_damage);
    }
    if (r == 0 && view->damage.what != NULL) {
        *ret_damage = view->damage;
        r = PAGE_CHECK_E_DAMAGED;
    }
    for (uint32_t i = 0; r == 0 && i < view->named_count; i++) {
        const struct page_named *named = &view->named[i];
        *ret_name = named->name;
        r = page_check_tree(view, &named->tree, page_check_key_bytes(view, &named->tree), use,
                            ret_damage);
    }
    return r;
}

/* Looks at the state that the view shows. */
static int page_check_view(struct page_view *view, struct message *message)
{
    struct page_use use;
    struct page_damage damage = {0};
    const char *name;
    int r = page_use_init(&use, view->meta.last_page);
    if (r != 0) {
        return r;
    }
    r = page_check_trees(view, &use, &name, &damage);
    page_use_deinit(&use);
    if (r == PAGE_CHECK_E_DAMAGED && !page_view_is_intact(view)) {
        return 0; /* it was written meanwhile: what was read is of no state */
    }
    if (r == PAGE_CHECK_E_DAMAGED) {
        message_set(message, "%s/data.mdb: damaged (page %" PRIu64 " of %s: %s)", view->dir,
                    damage.page, name, damage.what);
    }
    return r;
}

int page_check_state(int dir_fd, const char *dir, struct message *message)
{
    struct page_view view;
    int r = page_view_open(&view, dir_fd, dir, false, message);
    if (r == 0) {
        r = page_view_begin(&view, -1);
    }
    if (r != 0) {
        /* What keeps it from being looked at keeps it from being opened too, and is told there. */
        page_view_close(&view);
        return r < 0 ? r : 0;
    }
    r = page_check_view(&view, message);
    page_view_end(&view);
    page_view_close(&view);
    return r;
}
