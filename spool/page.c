/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/page.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(size_t) == 8, "the layout is that of 64-bit machines");

/* The head of each page. Behind it: two bytes for each node, that say where it is. */
#define AT_NUMBER 0
#define AT_FLAGS 10
#define AT_LOWER 12    /* where the list of nodes ends */
#define AT_UPPER 14    /* where the nodes begin */
#define AT_OVERFLOW 12 /* u32: how many pages a value has */
#define AT_NODES PAGE_HEAD_BYTES

#define FLAG_BRANCH 0x01U
#define FLAG_LEAF 0x02U
#define FLAG_OVERFLOW 0x04U
#define FLAG_META 0x08U

/* The head of each node; then key and value. */
#define IN_NODE_SIZE 0       /* u32: of a leaf's value */
#define IN_NODE_CHILD_HIGH 4 /* u16: of a branch's child: the bits above those at 0 */
#define IN_NODE_FLAGS 4      /* u16: of a leaf's value */
#define IN_NODE_KEY_SIZE 6   /* u16 */
#define NODE_HEAD_BYTES 8U

#define VALUE_ON_OVERFLOW 0x01U
#define VALUE_IS_TREE 0x02U

/* A meta page. */
#define AT_MAGIC 16
#define AT_VERSION 20
#define AT_MAP_BYTES 32
#define AT_FREE_LIST 40 /* its first word is the page size */
#define AT_MAIN 88
#define AT_LAST_PAGE 136
#define AT_TXN 144
#define META_MAGIC 0xBEEFC0DEU
#define META_VERSION 1U

#define KEY_BYTES_MAX 511U

static uint16_t native_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static uint32_t native_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static uint64_t native_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* --- Meta pages and trees --------------------------------------------------------------------- */

int page_tree_decode(const uint8_t *bytes, uint64_t last_page, struct page_tree *ret_tree)
{
    struct page_tree tree = {
        .flags = native_u16(bytes + 4),
        .depth = native_u16(bytes + 6),
        .branch_pages = native_u64(bytes + 8),
        .leaf_pages = native_u64(bytes + 16),
        .overflow_pages = native_u64(bytes + 24),
        .entries_count = native_u64(bytes + 32),
        .root = native_u64(bytes + 40),
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
    if ((native_u16(page + AT_FLAGS) & FLAG_META) == 0 ||
        native_u32(page + AT_MAGIC) != META_MAGIC ||
        native_u32(page + AT_VERSION) != META_VERSION) {
        return PAGE_E_FOREIGN;
    }
    struct page_meta meta = {
        .page_bytes = native_u32(page + AT_FREE_LIST),
        .map_bytes = native_u64(page + AT_MAP_BYTES),
        .last_page = native_u64(page + AT_LAST_PAGE),
        .txn = native_u64(page + AT_TXN),
    };
    if (meta.page_bytes < PAGE_BYTES_MIN || meta.page_bytes > PAGE_BYTES_MAX ||
        (meta.page_bytes & (meta.page_bytes - 1)) != 0 || meta.last_page < 1 ||
        meta.last_page > UINT64_MAX / 2 / meta.page_bytes ||
        page_tree_decode(page + AT_FREE_LIST, meta.last_page, &meta.free_list) != 0 ||
        page_tree_decode(page + AT_MAIN, meta.last_page, &meta.main) != 0) {
        return PAGE_E_DAMAGED;
    }
    *ret_meta = meta;
    return 0;
}

/* --- Keys ------------------------------------------------------------------------------------- */

int page_key_compare(struct span a, struct span b, uint32_t key_bytes)
{
    if (key_bytes == 8) {
        uint64_t a_number = native_u64(a.data);
        uint64_t b_number = native_u64(b.data);
        return (a_number > b_number) - (a_number < b_number);
    }
    if (key_bytes == 4) {
        uint32_t a_number = native_u32(a.data);
        uint32_t b_number = native_u32(b.data);
        return (a_number > b_number) - (a_number < b_number);
    }
    size_t common = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

/* --- Branches and leaves ---------------------------------------------------------------------- */

uint32_t page_nodes_count(const uint8_t *page)
{
    return (native_u16(page + AT_LOWER) - AT_NODES) / 2U;
}

void page_node_read(const uint8_t *page, enum page_kind kind, uint32_t index,
                    struct page_node *ret_node)
{
    const uint8_t *node = page + native_u16(page + AT_NODES + (size_t)index * 2);
    struct span key = {node + NODE_HEAD_BYTES, native_u16(node + IN_NODE_KEY_SIZE)};
    const uint8_t *value = node + NODE_HEAD_BYTES + key.size_bytes;
    uint64_t low = native_u32(node + IN_NODE_SIZE);
    if (kind == PAGE_BRANCH) {
        if (index == 0) {
            key.size_bytes = 0;
        }
        *ret_node = (struct page_node){
            .key = key,
            .page = low | (uint64_t)native_u16(node + IN_NODE_CHILD_HIGH) << 32,
        };
        return;
    }
    uint16_t flags = native_u16(node + IN_NODE_FLAGS);
    bool is_overflow = (flags & VALUE_ON_OVERFLOW) != 0;
    *ret_node = (struct page_node){
        .key = key,
        .value = is_overflow ? (struct span){0} : (struct span){value, low},
        .value_bytes = low,
        .page = is_overflow ? native_u64(value) : 0,
        .is_tree = (flags & VALUE_IS_TREE) != 0,
    };
}

/* The bytes of a node from its head to its end, 0 when it does not fit into what is left. */
static uint64_t page_node_bytes(const uint8_t *node, uint64_t left, enum page_kind kind,
                                const char **ret_what)
{
    uint64_t size = NODE_HEAD_BYTES + (uint64_t)native_u16(node + IN_NODE_KEY_SIZE);
    if (kind == PAGE_LEAF) {
        uint16_t flags = native_u16(node + IN_NODE_FLAGS);
        uint32_t value_size = native_u32(node + IN_NODE_SIZE);
        if ((flags & ~(VALUE_ON_OVERFLOW | VALUE_IS_TREE)) != 0 ||
            (flags == VALUE_IS_TREE && value_size != PAGE_TREE_BYTES) ||
            flags == (VALUE_IS_TREE | VALUE_ON_OVERFLOW)) {
            *ret_what = "an entry is of no known kind";
            return 0;
        }
        size += (flags & VALUE_ON_OVERFLOW) != 0 ? sizeof(uint64_t) : value_size;
    }
    if (size > left) {
        *ret_what = "an entry reaches beyond the page";
        return 0;
    }
    return size;
}

/* A node's key and page number. */
static const char *page_check_node(const struct page_node *node, enum page_kind kind,
                                   uint32_t index, const struct page_rules *rules)
{
    bool has_key = kind == PAGE_LEAF || index > 0;
    if (has_key && (rules->key_bytes != 0
                        ? node->key.size_bytes != rules->key_bytes
                        : node->key.size_bytes == 0 || node->key.size_bytes > KEY_BYTES_MAX)) {
        return "a key has a size that no key has";
    }
    bool has_page = kind == PAGE_BRANCH || (node->value.data == NULL);
    if (has_page && (node->page < 2 || node->page > rules->last_page)) {
        return "it points to a page that does not exist";
    }
    return NULL;
}

static const char *page_check_head(const uint8_t *page, uint64_t number, enum page_kind kind,
                                   const struct page_rules *rules)
{
    uint16_t lower = native_u16(page + AT_LOWER);
    uint32_t upper = native_u16(page + AT_UPPER);
    if (native_u64(page + AT_NUMBER) != number) {
        return "it has the number of another page";
    }
    if (native_u16(page + AT_FLAGS) != (kind == PAGE_LEAF ? FLAG_LEAF : FLAG_BRANCH)) {
        return kind == PAGE_LEAF ? "it is not a leaf page" : "it is not a branch page";
    }
    /* A branch has two children at least; a leaf that becomes empty is removed. */
    uint32_t least = kind == PAGE_LEAF ? 1 : 2;
    if (lower < AT_NODES + 2 * least || lower % 2 != 0 || lower > upper ||
        upper > rules->page_bytes) {
        return "its list of entries cannot be right";
    }
    return NULL;
}

int page_check(const uint8_t *page, uint64_t number, enum page_kind kind,
               const struct page_rules *rules, const char **ret_what)
{
    const char *what = page_check_head(page, number, kind, rules);
    uint32_t count = what == NULL ? page_nodes_count(page) : 0;
    uint32_t upper = native_u16(page + AT_UPPER);
    uint64_t used = 0;
    struct page_node before;
    for (uint32_t i = 0; what == NULL && i < count; i++) {
        uint32_t at = native_u16(page + AT_NODES + (size_t)i * 2);
        if (at < upper || at % 2 != 0 || at > rules->page_bytes - NODE_HEAD_BYTES) {
            what = "an entry lies outside the page";
            break;
        }
        uint64_t size = page_node_bytes(page + at, rules->page_bytes - at, kind, &what);
        if (size == 0) {
            break;
        }
        used += size + size % 2;
        struct page_node node;
        page_node_read(page, kind, i, &node);
        what = page_check_node(&node, kind, i, rules);
        bool has_before = kind == PAGE_LEAF ? i > 0 : i > 1;
        if (what == NULL && has_before &&
            page_key_compare(before.key, node.key, rules->key_bytes) >= 0) {
            what = "its keys are not in order";
        }
        before = node;
    }
    /* LMDB leaves no gap between nodes, so a pointer that was damaged shows here. */
    if (what == NULL && used != rules->page_bytes - upper) {
        what = "its entries do not add up to the page";
    }
    if (what != NULL) {
        *ret_what = what;
        return PAGE_E_DAMAGED;
    }
    return 0;
}

uint32_t page_nodes_guess(const uint8_t *page, const struct page_rules *rules)
{
    uint32_t lower = native_u16(page + AT_LOWER);
    lower = lower <= rules->page_bytes ? lower : rules->page_bytes;
    return lower > AT_NODES ? (lower - AT_NODES) / 2U : 0;
}

int page_node_try(const uint8_t *page, uint32_t index, const struct page_rules *rules,
                  struct page_node *ret_node)
{
    const char *what;
    struct page_node node;
    uint32_t at = native_u16(page + AT_NODES + (size_t)index * 2);
    if (at < AT_NODES || at > rules->page_bytes - NODE_HEAD_BYTES ||
        page_node_bytes(page + at, rules->page_bytes - at, PAGE_LEAF, &what) == 0) {
        return PAGE_E_DAMAGED;
    }
    page_node_read(page, PAGE_LEAF, index, &node);
    if (page_check_node(&node, PAGE_LEAF, index, rules) != NULL) {
        return PAGE_E_DAMAGED;
    }
    *ret_node = node;
    return 0;
}

int page_check_overflow(const uint8_t *page, uint64_t number, uint64_t value_bytes,
                        const struct page_rules *rules, uint64_t *ret_pages, const char **ret_what)
{
    uint64_t pages = native_u32(page + AT_OVERFLOW);
    if (native_u64(page + AT_NUMBER) != number) {
        *ret_what = "it has the number of another page";
    } else if (native_u16(page + AT_FLAGS) != FLAG_OVERFLOW) {
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
    return native_u64(page + AT_NUMBER) == number && native_u16(page + AT_FLAGS) == FLAG_LEAF;
}
