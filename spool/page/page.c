/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/page/page.h"

#include "spool/page/page_layout.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(size_t) == 8, "the layout is that of 64-bit machines");

#define KEY_BYTES_MAX 511U

/* --- Meta pages and trees --------------------------------------------------------------------- */

int page_tree_decode(const uint8_t *bytes, uint64_t last_page, struct page_tree *ret_tree)
{
    struct page_tree tree = {
        .flags = page_u16(bytes + 4),
        .depth = page_u16(bytes + 6),
        .branch_pages = page_u64(bytes + 8),
        .leaf_pages = page_u64(bytes + 16),
        .overflow_pages = page_u64(bytes + 24),
        .entries_count = page_u64(bytes + 32),
        .root = page_u64(bytes + 40),
    };
    bool is_root = tree.root > 1 && tree.root <= last_page;
    if (tree.root != PAGE_NONE && (!is_root || tree.depth < 1 || tree.depth >= PAGE_DEPTH_MAX)) {
        return PAGE_E_DAMAGED;
    }
    *ret_tree = tree;
    return 0;
}

int page_meta_decode(const uint8_t *page, struct page_meta *ret_meta)
{
    if ((page_u16(page + PAGE_AT_FLAGS) & PAGE_FLAG_META) == 0 ||
        page_u32(page + PAGE_AT_MAGIC) != PAGE_META_MAGIC ||
        page_u32(page + PAGE_AT_VERSION) != PAGE_META_VERSION) {
        return PAGE_E_FOREIGN;
    }
    struct page_meta meta = {
        .page_bytes = page_u32(page + PAGE_AT_FREE_LIST),
        .map_bytes = page_u64(page + PAGE_AT_MAP_BYTES),
        .last_page = page_u64(page + PAGE_AT_LAST_PAGE),
        .txn = page_u64(page + PAGE_AT_TXN),
    };
    if (meta.page_bytes < PAGE_BYTES_MIN || meta.page_bytes > PAGE_BYTES_MAX ||
        (meta.page_bytes & (meta.page_bytes - 1)) != 0 || meta.last_page < 1 ||
        meta.last_page > UINT64_MAX / 2 / meta.page_bytes ||
        page_tree_decode(page + PAGE_AT_FREE_LIST, meta.last_page, &meta.free_list) != 0 ||
        page_tree_decode(page + PAGE_AT_MAIN, meta.last_page, &meta.main) != 0) {
        return PAGE_E_DAMAGED;
    }
    *ret_meta = meta;
    return 0;
}

/* --- Keys ------------------------------------------------------------------------------------- */

int page_text_compare(struct span a, struct span b)
{
    size_t common = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

/* --- Branches and leaves ---------------------------------------------------------------------- */

/* The bytes of a node from its head to its end, 0 when it does not fit into what is left. */
static uint64_t page_node_bytes(const uint8_t *node, uint64_t left, enum page_kind kind,
                                const char **ret_what)
{
    uint64_t size = PAGE_NODE_HEAD_BYTES + (uint64_t)page_u16(node + PAGE_IN_NODE_KEY_SIZE);
    if (kind == PAGE_LEAF) {
        uint16_t flags = page_u16(node + PAGE_IN_NODE_FLAGS);
        uint32_t value_size = page_u32(node + PAGE_IN_NODE_SIZE);
        if ((flags & ~(PAGE_VALUE_ON_OVERFLOW | PAGE_VALUE_IS_TREE)) != 0 ||
            (flags == PAGE_VALUE_IS_TREE && value_size != PAGE_TREE_BYTES) ||
            flags == (PAGE_VALUE_IS_TREE | PAGE_VALUE_ON_OVERFLOW)) {
            *ret_what = "an entry is of no known kind";
            return 0;
        }
        size += (flags & PAGE_VALUE_ON_OVERFLOW) != 0 ? sizeof(uint64_t) : value_size;
    }
    if (size > left) {
        *ret_what = "an entry reaches beyond the page";
        return 0;
    }
    return size;
}

/* A node's key and page number. */
static const char *page_check_node(const uint8_t *node, enum page_kind kind, uint32_t index,
                                   const struct page_rules *rules)
{
    uint16_t key_size = page_u16(node + PAGE_IN_NODE_KEY_SIZE);
    bool has_key = kind == PAGE_LEAF || index > 0;
    if (has_key && (rules->key_bytes != 0 ? key_size != rules->key_bytes
                                          : key_size == 0 || key_size > KEY_BYTES_MAX)) {
        return "a key has a size that no key has";
    }
    if (kind == PAGE_BRANCH ||
        (page_u16(node + PAGE_IN_NODE_FLAGS) & PAGE_VALUE_ON_OVERFLOW) != 0) {
        uint64_t page = kind == PAGE_BRANCH ? page_node_child(node)
                                            : page_u64(node + PAGE_NODE_HEAD_BYTES + key_size);
        if (page < 2 || page > rules->last_page) {
            return "it points to a page that does not exist";
        }
    }
    return NULL;
}

static bool page_is_in_order(const uint8_t *before, const uint8_t *node, uint32_t key_bytes)
{
    struct span a = {before + PAGE_NODE_HEAD_BYTES, page_u16(before + PAGE_IN_NODE_KEY_SIZE)};
    struct span b = {node + PAGE_NODE_HEAD_BYTES, page_u16(node + PAGE_IN_NODE_KEY_SIZE)};
    return page_key_compare(a, b, key_bytes) < 0;
}

static const char *page_check_head(const uint8_t *page, uint64_t number, enum page_kind kind,
                                   const struct page_rules *rules)
{
    uint16_t lower = page_u16(page + PAGE_AT_LOWER);
    uint32_t upper = page_u16(page + PAGE_AT_UPPER);
    if (page_u64(page + PAGE_AT_NUMBER) != number) {
        return "it has the number of another page";
    }
    if (page_u16(page + PAGE_AT_FLAGS) != (kind == PAGE_LEAF ? PAGE_FLAG_LEAF : PAGE_FLAG_BRANCH)) {
        return kind == PAGE_LEAF ? "it is not a leaf page" : "it is not a branch page";
    }
    /* A branch has two children at least; a leaf that becomes empty is removed. */
    uint32_t least = kind == PAGE_LEAF ? 1 : 2;
    if (lower < PAGE_AT_NODES + 2 * least || lower % 2 != 0 || lower > upper ||
        upper > rules->page_bytes) {
        return "its list of entries cannot be right";
    }
    return NULL;
}

/* All nodes: each one inside the page, and together all of it. */
static const char *page_check_nodes(const uint8_t *page, enum page_kind kind,
                                    const struct page_rules *rules)
{
    uint32_t count = page_nodes_count(page);
    uint32_t upper = page_u16(page + PAGE_AT_UPPER);
    uint64_t used = 0;
    const uint8_t *before = NULL; /* a branch's first key says nothing */
    for (uint32_t i = 0; i < count; i++) {
        const char *what = NULL;
        uint32_t at = page_u16(page + PAGE_AT_NODES + (size_t)i * 2);
        const uint8_t *node = page + at;
        if (at < upper || at % 2 != 0 || at > rules->page_bytes - PAGE_NODE_HEAD_BYTES) {
            return "an entry lies outside the page";
        }
        uint64_t size = page_node_bytes(node, rules->page_bytes - at, kind, &what);
        if (size == 0) {
            return what;
        }
        used += size + size % 2;
        what = page_check_node(node, kind, i, rules);
        if (what != NULL) {
            return what;
        }
        if (before != NULL && !page_is_in_order(before, node, rules->key_bytes)) {
            return "its keys are not in order";
        }
        before = kind == PAGE_LEAF || i > 0 ? node : NULL;
    }
    /* LMDB leaves no gap between nodes, so a pointer that was damaged shows here. */
    return used == rules->page_bytes - upper ? NULL : "its entries do not add up to the page";
}

int page_check(const uint8_t *page, uint64_t number, enum page_kind kind,
               const struct page_rules *rules, const char **ret_what)
{
    const char *what = page_check_head(page, number, kind, rules);
    if (what == NULL) {
        what = page_check_nodes(page, kind, rules);
    }
    if (what != NULL) {
        *ret_what = what;
        return PAGE_E_DAMAGED;
    }
    return 0;
}

uint32_t page_nodes_guess(const uint8_t *page, const struct page_rules *rules)
{
    uint32_t lower = page_u16(page + PAGE_AT_LOWER);
    lower = lower <= rules->page_bytes ? lower : rules->page_bytes;
    return lower > PAGE_AT_NODES ? (lower - PAGE_AT_NODES) / 2U : 0;
}

int page_node_try(const uint8_t *page, uint32_t index, const struct page_rules *rules,
                  struct page_node *ret_node)
{
    const char *what;
    uint32_t at = page_u16(page + PAGE_AT_NODES + (size_t)index * 2);
    if (at < PAGE_AT_NODES || at > rules->page_bytes - PAGE_NODE_HEAD_BYTES ||
        page_node_bytes(page + at, rules->page_bytes - at, PAGE_LEAF, &what) == 0) {
        return PAGE_E_DAMAGED;
    }
    if (page_check_node(page + at, PAGE_LEAF, index, rules) != NULL) {
        return PAGE_E_DAMAGED;
    }
    page_node_read(page, PAGE_LEAF, index, ret_node);
    return 0;
}

int page_check_overflow(const uint8_t *page, uint64_t number, uint64_t value_bytes,
                        const struct page_rules *rules, uint64_t *ret_pages, const char **ret_what)
{
    uint64_t pages = page_u32(page + PAGE_AT_OVERFLOW);
    if (page_u64(page + PAGE_AT_NUMBER) != number) {
        *ret_what = "it has the number of another page";
    } else if (page_u16(page + PAGE_AT_FLAGS) != PAGE_FLAG_OVERFLOW) {
        *ret_what = "it is not an overflow page";
    } else if (pages < page_overflow_pages(value_bytes, rules->page_bytes) ||
               pages > rules->last_page - number + 1) {
        *ret_what = "its value has another number of pages";
    } else {
        *ret_pages = pages;
        return 0;
    }
    return PAGE_E_DAMAGED;
}

bool page_is_leaf(const uint8_t *page, uint64_t number)
{
    return page_u64(page + PAGE_AT_NUMBER) == number &&
           page_u16(page + PAGE_AT_FLAGS) == PAGE_FLAG_LEAF;
}
