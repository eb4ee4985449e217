/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks a B+tree of the data file in the order of its keys, on pages that may be damaged. Memory is
 * a page for each level and two windows. Every page is checked before it is believed, and has to
 * have the keys that its parent promised, so no damage leads in a circle.
 *
 * Damage is told, and walking goes on behind it: what hangs below the damaged page is passed over.
 */
#ifndef SPOOL_PAGE_WALK_H
#define SPOOL_PAGE_WALK_H

#include "spool/page/page_file.h"
#include "spool/page/page_use.h"

/* The largest value that is read: above each record, dead letter, report, and list of free pages.
 */
#define PAGE_VALUE_BYTES_MAX (8U << 20)

struct page_damage {
    uint64_t page;
    const char *what; /* in words; static */
    /* Of a page of the tree: which integer keys hang below it, and whether it is to be a leaf. */
    uint64_t keys_from;
    uint64_t keys_to; /* the first behind them; UINT64_MAX: all */
    bool is_leaf;
};

struct page_entry {
    struct span key;      /* valid until the next call */
    struct span value;    /* the same; data NULL: page_walk_value() reads it */
    uint64_t value_bytes; /* wherever it is */
    uint64_t value_page;  /* the first overflow page, or 0 */
    uint64_t page;        /* the leaf */
    bool is_tree;         /* the value is a named database's struct page_tree */
};

/* A branch page that the walk is inside of. */
struct page_level {
    uint8_t *bytes;
    uint32_t index; /* of the next child */
    uint32_t count;
    struct span lower; /* at or above this are all keys of the page; data NULL: no bound */
    struct span upper; /* below this; the same */
};

/* In the caller's memory. */
struct page_walk {
    struct page_rules rules;
    struct page_tree tree;
    struct page_use *use; /* borrowed; NULL: nobody asks */
    struct page_window pages;
    struct page_window values;
    struct page_level levels[PAGE_DEPTH_MAX];
    uint32_t level; /* how many branch pages the walk is inside of */
    bool is_at_root;
    const uint8_t *leaf; /* in the window; NULL: none */
    uint64_t leaf_page;
    uint32_t leaf_index;
    uint32_t leaf_count;
    struct span from; /* keys below it are passed over; data NULL: none */
    uint8_t from_bytes[sizeof(uint64_t)];
    uint64_t pages_left;
    struct page_damage damage; /* behind PAGE_WALK_E_DAMAGED */

    /* What was met: against what the tree says of itself, once the walk is at its end. */
    uint64_t branch_pages;
    uint64_t leaf_pages;
    uint64_t overflow_pages;
    uint64_t entries_count;
};

#define PAGE_WALK_E_END 1
#define PAGE_WALK_E_DAMAGED 2 /* damage says where and what; the walk can go on */

/* Begins at the tree's first entry. key_bytes: 4 or 8 for integer keys, 0 for text. window_bytes:
 * how far the walk may read ahead. The file is borrowed until page_walk_deinit(). To have each page
 * claimed that is met, set walk->use before the first entry is asked for. */
void page_walk_init(struct page_walk *walk, const struct page_file *file,
                    const struct page_tree *tree, uint64_t last_page, uint32_t key_bytes,
                    size_t window_bytes);

void page_walk_deinit(struct page_walk *walk);

/* Begins again, at the first integer key at or above from; with the tree as another transaction has
 * it, in a file that was read again. Pages are not claimed any more: those of one transaction are
 * not to be compared with those of another. */
void page_walk_restart(struct page_walk *walk, const struct page_tree *tree, uint64_t last_page,
                       uint64_t from);

/* The next entry. 0, PAGE_WALK_E_END, PAGE_WALK_E_DAMAGED, -ENOMEM. */
SPOOL_MUST_CHECK int page_walk_next(struct page_walk *walk, struct page_entry *ret_entry);

/* The same for a value on overflow pages. */
SPOOL_MUST_CHECK int page_walk_overflow(struct page_walk *walk, const struct page_entry *entry,
                                        struct span *ret_value);

/* The bytes of the last entry's value; valid until the next call. 0, PAGE_WALK_E_DAMAGED, -ENOMEM.
 */
SPOOL_MUST_CHECK static inline int
page_walk_value(struct page_walk *walk, const struct page_entry *entry, struct span *ret_value)
{
    if (entry->value_page != 0) {
        return page_walk_overflow(walk, entry, ret_value);
    }
    ret_value->data = entry->value.data;
    ret_value->size_bytes = entry->value_bytes;
    return 0;
}

/* The integer key of an entry, of 4 or 8 bytes. */
static inline uint64_t page_entry_number(const struct page_entry *entry)
{
    return entry->key.size_bytes == sizeof(uint64_t)   ? page_u64(entry->key.data)
           : entry->key.size_bytes == sizeof(uint32_t) ? page_u32(entry->key.data)
                                                       : 0;
}

#endif
