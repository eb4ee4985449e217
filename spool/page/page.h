/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pages of LMDB 0.9's data file, as bytes: what LMDB itself does not check. Nothing here calls
 * LMDB, reads outside the page it is given, or believes a number before it has been checked; so
 * damage is a result, never a crash.
 *
 * docs/decisions/0011-a-page-reader-of-our-own.md draws the layout. Numbers are in the byte order
 * of the machine.
 */
#ifndef SPOOL_PAGE_H
#define SPOOL_PAGE_H

#include "spool/base.h"
#include "spool/page/page_layout.h"

#define PAGE_BYTES_MIN 512U
#define PAGE_BYTES_MAX 32768U
#define PAGE_HEAD_BYTES 16U
#define PAGE_META_BYTES 152U /* the part of a meta page that means something */
#define PAGE_DEPTH_MAX 32U   /* LMDB's own limit for a tree */
#define PAGE_NONE UINT64_MAX /* "no page": the root of an empty tree */

/* A B+tree: one database, or LMDB's free list. */
struct page_tree {
    uint16_t flags;
    uint16_t depth;
    uint64_t branch_pages;
    uint64_t leaf_pages;
    uint64_t overflow_pages;
    uint64_t entries_count;
    uint64_t root;
};

#define PAGE_TREE_BYTES 48U
#define PAGE_TREE_INTEGER_KEY 0x08U

struct page_meta {
    uint32_t page_bytes;
    uint64_t map_bytes;
    uint64_t last_page;
    uint64_t txn;
    struct page_tree free_list;
    struct page_tree main;
};

#define PAGE_E_DAMAGED 1 /* cannot be right */
#define PAGE_E_FOREIGN 2 /* no page of LMDB 0.9 */

/* Reads a meta page's first PAGE_META_BYTES. PAGE_E_FOREIGN is what LMDB itself would refuse.
 * 0, PAGE_E_FOREIGN, PAGE_E_DAMAGED. */
SPOOL_MUST_CHECK int page_meta_decode(const uint8_t *page, struct page_meta *ret_meta);

/* Reads a tree's PAGE_TREE_BYTES. 0, PAGE_E_DAMAGED: its root is not in the file, or its depth not
 * possible. */
SPOOL_MUST_CHECK int page_tree_decode(const uint8_t *bytes, uint64_t last_page,
                                      struct page_tree *ret_tree);

enum page_kind {
    PAGE_BRANCH,
    PAGE_LEAF,
};

/* What the pages of a tree must keep to. */
struct page_rules {
    uint32_t page_bytes;
    uint32_t key_bytes; /* of integer keys, 4 or 8; 0: keys are text */
    uint64_t last_page;
};

/* An entry of a leaf page, or a child of a branch page. The spans point into the page. */
struct page_node {
    struct span key;
    struct span value;    /* data NULL: on overflow pages */
    uint64_t value_bytes; /* wherever the value is */
    uint64_t page;        /* of a branch: the child; of a leaf: the first overflow page, or 0 */
    bool is_tree;         /* the value is a struct page_tree: a named database */
};

/* Checks a branch or leaf page as a whole: head, every node's place and size, the order of the
 * keys. The functions below may be used only behind a result of 0. 0, PAGE_E_DAMAGED: *ret_what
 * says in words what is wrong (static). */
SPOOL_MUST_CHECK int page_check(const uint8_t *page, uint64_t number, enum page_kind kind,
                                const struct page_rules *rules, const char **ret_what);

/* How many nodes the page has. */
static inline uint32_t page_nodes_count(const uint8_t *page)
{
    return (page_u16(page + PAGE_AT_LOWER) - (uint32_t)PAGE_AT_NODES) / 2U;
}

/* The child of a branch page's node. */
static inline uint64_t page_node_child(const uint8_t *node)
{
    return page_u32(node + PAGE_IN_NODE_SIZE) | (uint64_t)page_u16(node + PAGE_IN_NODE_CHILD_HIGH)
                                                    << 32;
}

/* A node of a checked page; index is below page_nodes_count(). A branch's first key means nothing
 * and is empty. */
static inline void page_node_read(const uint8_t *page, enum page_kind kind, uint32_t index,
                                  struct page_node *ret_node)
{
    const uint8_t *node = page + page_u16(page + PAGE_AT_NODES + (size_t)index * 2);
    uint16_t key_bytes = page_u16(node + PAGE_IN_NODE_KEY_SIZE);
    ret_node->key = (struct span){node + PAGE_NODE_HEAD_BYTES, key_bytes};
    if (kind == PAGE_BRANCH) {
        ret_node->key.size_bytes = index == 0 ? 0 : key_bytes;
        ret_node->value = (struct span){0};
        ret_node->value_bytes = 0;
        ret_node->page = page_node_child(node);
        ret_node->is_tree = false;
        return;
    }
    const uint8_t *value = node + PAGE_NODE_HEAD_BYTES + key_bytes;
    uint16_t flags = page_u16(node + PAGE_IN_NODE_FLAGS);
    bool is_overflow = (flags & PAGE_VALUE_ON_OVERFLOW) != 0;
    ret_node->value_bytes = page_u32(node + PAGE_IN_NODE_SIZE);
    ret_node->value =
        (struct span){is_overflow ? NULL : value, is_overflow ? 0 : (size_t)ret_node->value_bytes};
    ret_node->page = is_overflow ? page_u64(value) : 0;
    ret_node->is_tree = (flags & PAGE_VALUE_IS_TREE) != 0;
}

/* One node of a leaf that was not checked, or is damaged: for those who look for what can still be
 * read. count is how many its list has room for. 0, PAGE_E_DAMAGED. */
SPOOL_MUST_CHECK uint32_t page_nodes_guess(const uint8_t *page, const struct page_rules *rules);
SPOOL_MUST_CHECK int page_node_try(const uint8_t *page, uint32_t index,
                                   const struct page_rules *rules, struct page_node *ret_node);

/* Checks the first of the pages of a value that a leaf has no room for. *ret_pages is how many
 * pages it has, all of them inside the file's last page. 0, PAGE_E_DAMAGED with *ret_what. */
SPOOL_MUST_CHECK int page_check_overflow(const uint8_t *page, uint64_t number, uint64_t value_bytes,
                                         const struct page_rules *rules, uint64_t *ret_pages,
                                         const char **ret_what);

/* Whether a page says of itself that it is a leaf with that number: for those who look through all
 * pages of a file. */
SPOOL_MUST_CHECK bool page_is_leaf(const uint8_t *page, uint64_t number);

/* How many pages a value takes that a leaf has no room for. */
static inline uint64_t page_overflow_pages(uint64_t value_bytes, uint32_t page_bytes)
{
    return (PAGE_HEAD_BYTES - 1 + value_bytes) / page_bytes + 1;
}

/* The order of two keys that are text: below, at or above 0, as LMDB has it. */
SPOOL_MUST_CHECK int page_text_compare(struct span a, struct span b);

/* The order of two keys; integer keys have key_bytes, 0: text. */
SPOOL_MUST_CHECK static inline int page_key_compare(struct span a, struct span b,
                                                    uint32_t key_bytes)
{
    if (key_bytes == sizeof(uint64_t)) {
        uint64_t a_number = page_u64(a.data);
        uint64_t b_number = page_u64(b.data);
        return (a_number > b_number) - (a_number < b_number);
    }
    if (key_bytes == sizeof(uint32_t)) {
        uint32_t a_number = page_u32(a.data);
        uint32_t b_number = page_u32(b.data);
        return (a_number > b_number) - (a_number < b_number);
    }
    return page_text_compare(a, b);
}

#endif
