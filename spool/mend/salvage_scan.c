/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks through the file page by page for what no tree leads to any more. */
#include "spool/mend/salvage_private.h"

#include <errno.h>
#include <string.h>

#define SCAN_WINDOW_BYTES (256U << 10)
#define LEAVES_FIRST 256U

/* How often progress is told, in pages. */
#define TELL_PAGES 4096U

/* --- The list of leaves ----------------------------------------------------------------------- */

int salvage_note_leaf(struct salvage *salvage, const struct salvage_leaf *leaf)
{
    if (salvage->leaves_count == salvage->leaves_capacity) {
        size_t capacity =
            salvage->leaves_capacity == 0 ? LEAVES_FIRST : 2 * salvage->leaves_capacity;
        struct salvage_leaf *larger = realloc(salvage->leaves, capacity * sizeof(*salvage->leaves));
        if (larger == NULL) {
            return -ENOMEM;
        }
        salvage->leaves = larger;
        salvage->leaves_capacity = capacity;
    }
    salvage->leaves[salvage->leaves_count++] = *leaf;
    return 0;
}

/* --- Pages ------------------------------------------------------------------------------------ */

struct salvage_scanner {
    struct salvage *salvage;
    struct page_rules rules;
    struct page_window pages;
    struct page_window values;
};

static void salvage_scanner_init(struct salvage_scanner *scanner, struct salvage *salvage,
                                 uint32_t key_bytes)
{
    *scanner = (struct salvage_scanner){
        .salvage = salvage,
        .rules = {.page_bytes = salvage->view.file.page_bytes,
                  .key_bytes = key_bytes,
                  .last_page = salvage->last_page},
    };
    page_window_init(&scanner->pages, &salvage->view.file, SCAN_WINDOW_BYTES);
    page_window_init(&scanner->values, &salvage->view.file, SCAN_WINDOW_BYTES);
}

static void salvage_scanner_deinit(struct salvage_scanner *scanner)
{
    page_window_deinit(&scanner->pages);
    page_window_deinit(&scanner->values);
}

int salvage_value(struct page_window *values, const struct page_rules *rules,
                  const struct page_node *node, struct span *ret_value)
{
    const uint8_t *page;
    const char *what;
    uint64_t pages;
    *ret_value = node->value;
    if (node->value.data != NULL) {
        return 0;
    }
    if (node->value_bytes > PAGE_VALUE_BYTES_MAX) {
        return PAGE_E_DAMAGED;
    }
    int r = page_window_show(values, node->page,
                             page_overflow_pages(node->value_bytes, rules->page_bytes), &page);
    if (r == -ENOMEM) {
        return r;
    }
    if (r != 0 ||
        page_check_overflow(page, node->page, node->value_bytes, rules, &pages, &what) != 0) {
        return PAGE_E_DAMAGED;
    }
    *ret_value = (struct span){page + PAGE_HEAD_BYTES, node->value_bytes};
    return 0;
}

/* Shows each page that says of itself that it is a leaf; skips_known: but for those that are known
 * to be something. */
static int salvage_scan_leaves(struct salvage_scanner *scanner, bool skips_known,
                               int (*see)(struct salvage_scanner *, const uint8_t *, uint64_t))
{
    struct salvage *salvage = scanner->salvage;
    for (uint64_t number = 2; number <= salvage->last_page; number++) {
        const uint8_t *page;
        if (number % TELL_PAGES == 0) {
            salvage_tell(salvage, number, salvage->last_page);
        }
        if (skips_known &&
            (page_use_has(&salvage->reached, number) || page_use_has(&salvage->values, number))) {
            continue;
        }
        int r = page_window_show(&scanner->pages, number, 1, &page);
        if (r == -ENOMEM) {
            return r;
        }
        if (r == 0 && page_is_leaf(page, number)) {
            r = see(scanner, page, number);
            if (r != 0) {
                return r;
            }
        }
    }
    return 0;
}

/* --- Records ---------------------------------------------------------------------------------- */

/* The first entry that is a whole record of some kind says what leaf it is. */
static int salvage_see_leaf(struct salvage_scanner *scanner, const uint8_t *page, uint64_t number)
{
    struct salvage *salvage = scanner->salvage;
    uint32_t count = page_nodes_guess(page, &scanner->rules);
    for (uint32_t i = 0; i < count; i++) {
        struct page_node node;
        struct span value;
        if (page_node_try(page, i, &scanner->rules, &node) != 0) {
            continue;
        }
        int r = salvage_value(&scanner->values, &scanner->rules, &node, &value);
        if (r < 0) {
            return r;
        }
        for (enum salvage_kind kind = SALVAGE_QUEUE; r == 0 && kind <= SALVAGE_REPORTS; kind++) {
            if (salvage_is_whole(kind, value)) {
                struct salvage_leaf leaf = {
                    .first_key = page_u64(node.key.data),
                    .page = number,
                    .kind = (uint8_t)kind,
                    .is_stale = page_use_has(&salvage->free, number),
                };
                return salvage_note_leaf(salvage, &leaf);
            }
        }
    }
    return 0;
}

static int salvage_compare_leaves(const void *left, const void *right)
{
    const struct salvage_leaf *a = left;
    const struct salvage_leaf *b = right;
    if (a->first_key != b->first_key) {
        return a->first_key < b->first_key ? -1 : 1;
    }
    return (a->page > b->page) - (a->page < b->page);
}

int salvage_scan(struct salvage *salvage)
{
    struct salvage_scanner scanner;
    uint64_t taken;
    /* Damaged leaves that a tree leads to are noted already, and whose they are. */
    for (size_t i = 0; i < salvage->leaves_count; i++) {
        (void)!page_use_claim(&salvage->reached, salvage->leaves[i].page, 1, &taken);
    }
    salvage_scanner_init(&scanner, salvage, sizeof(uint64_t));
    int r = salvage_scan_leaves(&scanner, true, salvage_see_leaf);
    salvage_scanner_deinit(&scanner);
    if (r == 0 && salvage->leaves_count > 0) {
        qsort(salvage->leaves, salvage->leaves_count, sizeof(*salvage->leaves),
              salvage_compare_leaves);
    }
    return r;
}

/* --- Rows ------------------------------------------------------------------------------------- */

static int salvage_see_rows(struct salvage_scanner *scanner, const uint8_t *page, uint64_t number)
{
    uint32_t count = page_nodes_guess(page, &scanner->rules);
    for (uint32_t i = 0; i < count; i++) {
        struct page_node node;
        struct span value;
        if (page_node_try(page, i, &scanner->rules, &node) != 0 || node.is_tree) {
            continue;
        }
        int r = salvage_value(&scanner->values, &scanner->rules, &node, &value);
        if (r < 0) {
            return r;
        }
        struct page_entry entry = {.key = node.key, .page = number};
        if (r == 0 && scanner->rules.key_bytes == 0) {
            salvage_see_meta(scanner->salvage, &entry, value);
        } else if (r == 0) {
            salvage_see_destination(scanner->salvage, &entry, value);
        }
    }
    return 0;
}

int salvage_scan_rows(struct salvage *salvage)
{
    int r = 0;
    for (uint32_t key_bytes = 0; r == 0 && key_bytes <= 4; key_bytes += 4) {
        struct salvage_scanner scanner;
        salvage_scanner_init(&scanner, salvage, key_bytes);
        r = salvage_scan_leaves(&scanner, false, salvage_see_rows);
        salvage_scanner_deinit(&scanner);
    }
    return r;
}
