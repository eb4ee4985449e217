/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/page/page_walk.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static int page_walk_damaged(struct page_walk *walk, uint64_t page, const char *what)
{
    walk->damage = (struct page_damage){.page = page, .what = what};
    return PAGE_WALK_E_DAMAGED;
}

/* --- Begin and end ---------------------------------------------------------------------------- */

static void page_walk_reset(struct page_walk *walk, const struct page_tree *tree,
                            uint64_t last_page)
{
    walk->tree = *tree;
    walk->rules.last_page = last_page;
    walk->rules.page_bytes = walk->pages.file->page_bytes;
    walk->level = 0;
    walk->is_at_root = tree->root != PAGE_NONE;
    walk->leaf = NULL;
    walk->pages_left = last_page;
    page_window_forget(&walk->pages);
    page_window_forget(&walk->values);
}

void page_walk_init(struct page_walk *walk, const struct page_file *file,
                    const struct page_tree *tree, uint64_t last_page, uint32_t key_bytes,
                    size_t window_bytes)
{
    assert(key_bytes == 0 || key_bytes == 4 || key_bytes == 8);
    *walk = (struct page_walk){.rules = {.key_bytes = key_bytes}};
    page_window_init(&walk->pages, file, window_bytes);
    page_window_init(&walk->values, file, window_bytes);
    page_walk_reset(walk, tree, last_page);
}

void page_walk_deinit(struct page_walk *walk)
{
    for (size_t i = 0; i < PAGE_DEPTH_MAX; i++) {
        free(SPOOL_TAKE(walk->levels[i].bytes));
    }
    page_window_deinit(&walk->pages);
    page_window_deinit(&walk->values);
}

void page_walk_restart(struct page_walk *walk, const struct page_tree *tree, uint64_t last_page,
                       uint64_t from)
{
    assert(walk->rules.key_bytes != 0);
    uint32_t from_u32 = (uint32_t)from;
    bool is_u64 = walk->rules.key_bytes == sizeof(from);
    memcpy(walk->from_bytes, is_u64 ? (const void *)&from : &from_u32, walk->rules.key_bytes);
    walk->from = (struct span){from == 0 ? NULL : walk->from_bytes, walk->rules.key_bytes};
    walk->use = NULL;
    page_walk_reset(walk, tree, last_page);
}

/* --- Pages ------------------------------------------------------------------------------------ */

static const char *page_walk_unreadable(int r)
{
    return r == PAGE_FILE_E_SHORT ? "the file ends before it" : "it cannot be read from the disk";
}

static bool page_walk_claim(struct page_walk *walk, uint64_t page, uint64_t count)
{
    uint64_t taken;
    if (walk->use != NULL && !page_use_claim(walk->use, page, count, &taken)) {
        (void)page_walk_damaged(walk, taken, "it is used in two places");
        return false;
    }
    return true;
}

/* Whether the page has the keys that its parent promised. A branch's first key says nothing. */
static bool page_walk_is_bounded(const struct page_walk *walk, const uint8_t *page,
                                 enum page_kind kind, uint32_t count, struct span lower,
                                 struct span upper)
{
    struct page_node first;
    struct page_node last;
    page_node_read(page, kind, kind == PAGE_LEAF ? 0 : 1, &first);
    page_node_read(page, kind, count - 1, &last);
    uint32_t key_bytes = walk->rules.key_bytes;
    return (lower.data == NULL || page_key_compare(lower, first.key, key_bytes) <= 0) &&
           (upper.data == NULL || page_key_compare(last.key, upper, key_bytes) < 0);
}

/* Goes into a branch page: a copy, since its children will pass through the window. */
static int page_walk_descend(struct page_walk *walk, const uint8_t *page, uint32_t count,
                             struct span lower, struct span upper)
{
    struct page_level *level = &walk->levels[walk->level];
    if (level->bytes == NULL) {
        level->bytes = malloc(walk->rules.page_bytes);
        if (level->bytes == NULL) {
            return -ENOMEM;
        }
    }
    memcpy(level->bytes, page, walk->rules.page_bytes);
    level->index = 0;
    level->count = count;
    level->lower = lower;
    level->upper = upper;
    /* Children whose keys are all below from are passed over. */
    while (walk->from.data != NULL && level->index + 1 < count) {
        struct page_node next;
        page_node_read(level->bytes, PAGE_BRANCH, level->index + 1, &next);
        if (page_key_compare(next.key, walk->from, walk->rules.key_bytes) > 0) {
            break;
        }
        level->index++;
    }
    walk->level++;
    walk->branch_pages++;
    return 0;
}

static void page_walk_enter_leaf(struct page_walk *walk, const uint8_t *page, uint64_t number,
                                 uint32_t count)
{
    walk->leaf = page;
    walk->leaf_page = number;
    walk->leaf_index = 0;
    walk->leaf_count = count;
    walk->leaf_pages++;
}

static uint64_t page_walk_number(struct span key, uint64_t without)
{
    uint64_t number = 0;
    uint32_t small = 0;
    if (key.size_bytes == sizeof(number)) {
        memcpy(&number, key.data, sizeof(number));
        return number;
    }
    if (key.size_bytes == sizeof(small)) {
        memcpy(&small, key.data, sizeof(small));
        return small;
    }
    return without;
}

/* Reads a page whose keys are to be from lower on and below upper. 0, PAGE_WALK_E_DAMAGED, -ENOMEM.
 */
static int page_walk_read(struct page_walk *walk, uint64_t number, struct span lower,
                          struct span upper)
{
    enum page_kind kind = walk->level + 1U == walk->tree.depth ? PAGE_LEAF : PAGE_BRANCH;
    const uint8_t *page;
    const char *what;
    if (walk->pages_left == 0) {
        walk->level = 0;
        return page_walk_damaged(walk, number, "its tree has more pages than the file");
    }
    walk->pages_left--;
    int r = page_window_show(&walk->pages, number, 1, &page);
    if (r == -ENOMEM) {
        return r;
    }
    if (r != 0) {
        return page_walk_damaged(walk, number, page_walk_unreadable(r));
    }
    if (page_check(page, number, kind, &walk->rules, &what) != 0) {
        return page_walk_damaged(walk, number, what);
    }
    uint32_t count = page_nodes_count(page);
    if (!page_walk_is_bounded(walk, page, kind, count, lower, upper)) {
        return page_walk_damaged(walk, number, "it has keys that belong to another page");
    }
    /* Last: a page that a damaged pointer led to must not be taken from its own tree. */
    if (!page_walk_claim(walk, number, 1)) {
        return PAGE_WALK_E_DAMAGED;
    }
    if (kind == PAGE_BRANCH) {
        return page_walk_descend(walk, page, count, lower, upper);
    }
    page_walk_enter_leaf(walk, page, number, count);
    return 0;
}

/* Reads a page; damage of it says which keys are lost with it. */
static int page_walk_enter(struct page_walk *walk, uint64_t number, struct span lower,
                           struct span upper)
{
    bool is_leaf = walk->level + 1U == walk->tree.depth;
    int r = page_walk_read(walk, number, lower, upper);
    if (r == PAGE_WALK_E_DAMAGED && walk->rules.key_bytes != 0) {
        walk->damage.keys_from = page_walk_number(lower, 0);
        walk->damage.keys_to = page_walk_number(upper, UINT64_MAX);
        walk->damage.is_leaf = is_leaf;
    }
    return r;
}

/* The next child of the innermost branch page that has one left. 0, PAGE_WALK_E_END,
 * PAGE_WALK_E_DAMAGED, -ENOMEM. */
static int page_walk_advance(struct page_walk *walk)
{
    if (walk->is_at_root) {
        walk->is_at_root = false;
        return page_walk_enter(walk, walk->tree.root, (struct span){0}, (struct span){0});
    }
    while (walk->level > 0 &&
           walk->levels[walk->level - 1].index == walk->levels[walk->level - 1].count) {
        walk->level--;
    }
    if (walk->level == 0) {
        return PAGE_WALK_E_END;
    }
    struct page_level *level = &walk->levels[walk->level - 1];
    struct page_node child;
    struct span upper = level->upper;
    page_node_read(level->bytes, PAGE_BRANCH, level->index, &child);
    level->index++;
    if (level->index < level->count) {
        struct page_node next;
        page_node_read(level->bytes, PAGE_BRANCH, level->index, &next);
        upper = next.key;
    }
    struct span lower = child.key.size_bytes > 0 ? child.key : level->lower;
    return page_walk_enter(walk, child.page, lower, upper);
}

/* --- Entries ---------------------------------------------------------------------------------- */

int page_walk_next(struct page_walk *walk, struct page_entry *ret_entry)
{
    struct page_node node;
    for (;;) {
        if (walk->leaf == NULL || walk->leaf_index == walk->leaf_count) {
            walk->leaf = NULL;
            int r = page_walk_advance(walk);
            if (r != 0) {
                return r;
            }
            continue;
        }
        page_node_read(walk->leaf, PAGE_LEAF, walk->leaf_index, &node);
        walk->leaf_index++;
        if (walk->from.data == NULL ||
            page_key_compare(node.key, walk->from, walk->rules.key_bytes) >= 0) {
            break;
        }
    }
    walk->entries_count++;
    /* Member by member: this is the innermost loop of all that reads. */
    ret_entry->key = node.key;
    ret_entry->value = node.value;
    ret_entry->value_bytes = node.value_bytes;
    ret_entry->value_page = node.page;
    ret_entry->page = walk->leaf_page;
    ret_entry->is_tree = node.is_tree;
    return 0;
}

int page_walk_overflow(struct page_walk *walk, const struct page_entry *entry,
                       struct span *ret_value)
{
    const uint8_t *page;
    const char *what;
    uint64_t pages;
    if (entry->value_bytes > PAGE_VALUE_BYTES_MAX) {
        return page_walk_damaged(walk, entry->page, "an entry is larger than any that is stored");
    }
    uint64_t wanted = page_overflow_pages(entry->value_bytes, walk->rules.page_bytes);
    int r = wanted > walk->rules.last_page - entry->value_page + 1
                ? PAGE_FILE_E_SHORT
                : page_window_show(&walk->values, entry->value_page, wanted, &page);
    if (r == -ENOMEM) {
        return r;
    }
    if (r != 0) {
        return page_walk_damaged(walk, entry->value_page, page_walk_unreadable(r));
    }
    if (page_check_overflow(page, entry->value_page, entry->value_bytes, &walk->rules, &pages,
                            &what) != 0) {
        return page_walk_damaged(walk, entry->value_page, what);
    }
    if (!page_walk_claim(walk, entry->value_page, pages)) {
        return PAGE_WALK_E_DAMAGED;
    }
    walk->overflow_pages += pages;
    *ret_value = (struct span){page + PAGE_HEAD_BYTES, entry->value_bytes};
    return 0;
}
