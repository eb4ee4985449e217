/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each page is used for: once, and none is left over. */
#include "spool/mend/verify_private.h"
#include "spool/page/page_check.h"

#include <inttypes.h>
#include <string.h>

#define TREE_WINDOW_BYTES (256U << 10)

/* A tree that says other things of itself than what it has, once all of it was looked at. */
static void verify_compare_walk(struct verify *verify, const char *name,
                                const struct page_walk *walk)
{
    const struct page_tree *tree = &walk->tree;
    if (walk->branch_pages != tree->branch_pages || walk->leaf_pages != tree->leaf_pages ||
        walk->overflow_pages != tree->overflow_pages) {
        verify_find(verify, "pages", name, VERIFY_NOTHING, VERIFY_NOTHING,
                    "it has %" PRIu64 " branch, %" PRIu64 " leaf and %" PRIu64
                    " overflow pages, and says %" PRIu64 ", %" PRIu64 " and %" PRIu64,
                    walk->branch_pages, walk->leaf_pages, walk->overflow_pages, tree->branch_pages,
                    tree->leaf_pages, tree->overflow_pages);
    }
    if (walk->entries_count != tree->entries_count) {
        verify_find(verify, "pages", name, VERIFY_NOTHING, VERIFY_NOTHING,
                    "it has %" PRIu64 " entries, and says %" PRIu64, walk->entries_count,
                    tree->entries_count);
    }
}

int verify_tree(struct verify *verify, const char *name, const struct page_tree *tree,
                uint32_t key_bytes,
                void (*see)(struct verify *, const struct page_entry *, struct span),
                bool *ret_is_whole)
{
    struct page_walk walk;
    struct page_entry entry;
    struct span value;
    bool is_whole = true;
    page_walk_init(&walk, &verify->view.file, tree, verify->view.meta.last_page, key_bytes,
                   TREE_WINDOW_BYTES);
    walk.use = verify->has_use ? &verify->use : NULL;
    int r;
    while ((r = page_walk_next(&walk, &entry)) == 0 || r == PAGE_WALK_E_DAMAGED) {
        if (r == 0) {
            r = page_walk_value(&walk, &entry, &value);
        }
        if (r < 0) {
            break;
        }
        if (r == PAGE_WALK_E_DAMAGED) {
            is_whole = false;
            verify_find_damage(verify, name, &walk.damage);
        } else if (see != NULL) {
            see(verify, &entry, value);
        }
    }
    if (r == PAGE_WALK_E_END && is_whole) {
        verify_compare_walk(verify, name, &walk);
    }
    verify->result.pages_count += walk.branch_pages + walk.leaf_pages + walk.overflow_pages;
    page_walk_deinit(&walk);
    *ret_is_whole = is_whole;
    return r < 0 ? r : 0;
}

/* --- The free list ---------------------------------------------------------------------------- */

/* An entry: how many pages a transaction freed, then their numbers. LMDB leaves empty ones, too: it
 * makes entries before it knows how many pages are left to list. */
static void verify_see_free(struct verify *verify, const struct page_entry *entry,
                            struct span value)
{
    const uint8_t *numbers = value.data;
    uint64_t count = 0;
    if (value.size_bytes >= sizeof(count)) {
        memcpy(&count, numbers, sizeof(count));
    }
    if (value.size_bytes < sizeof(count) || count > value.size_bytes / sizeof(count) - 1) {
        verify_find(verify, "pages", "free list", VERIFY_NOTHING, entry->page,
                    "a list of free pages has another length than it says");
        verify->is_damaged = true;
        return;
    }
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t page;
        uint64_t taken;
        memcpy(&page, numbers + i * sizeof(page), sizeof(page));
        if (!page_use_claim(&verify->use, page, 1, &taken)) {
            verify_find(verify, "pages", "free list", VERIFY_NOTHING, page,
                        page <= verify->view.meta.last_page ? "it is free, and used as well"
                                                            : "it is free, and not in the file");
        }
    }
}

static void verify_see_name(struct verify *verify, const struct page_entry *entry,
                            struct span value)
{
    (void)value;
    if (!entry->is_tree) {
        verify_find(verify, "format", "list of databases", VERIFY_NOTHING, entry->page,
                    "an entry is no database");
    }
}

/* Whether the database is one that is looked at elsewhere. */
static bool verify_is_known(const struct verify *verify, const char *name)
{
    static const char *const small[] = {"meta", "destinations", "counters"};
    for (size_t i = 0; i < SPOOL_COUNT_OF(small); i++) {
        if (strcmp(name, small[i]) == 0) {
            return true;
        }
    }
    for (uint32_t i = 0; i < verify->databases_count; i++) {
        if (strcmp(name, verify->databases[i].name) == 0) {
            return true;
        }
    }
    return false;
}

/* Databases that this version does not know, or whose destination is missing. */
static int verify_others(struct verify *verify)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < verify->view.named_count; i++) {
        const struct page_named *named = &verify->view.named[i];
        bool is_whole;
        if (verify_is_known(verify, named->name)) {
            continue;
        }
        if (verify->has_rows &&
            (strncmp(named->name, "queue.", 6) == 0 || strncmp(named->name, "dead.", 5) == 0)) {
            verify_find(verify, "format", named->name, VERIFY_NOTHING, VERIFY_NOTHING,
                        "there is no such destination");
        }
        r = verify_tree(verify, named->name, &named->tree,
                        page_check_key_bytes(&verify->view, &named->tree), NULL, &is_whole);
    }
    return r;
}

int verify_pages_begin(struct verify *verify)
{
    const struct page_meta *meta = &verify->view.meta;
    bool is_free_whole;
    bool is_main_whole;
    int r = verify_tree(verify, "free list", &meta->free_list, sizeof(uint64_t), verify_see_free,
                        &is_free_whole);
    if (r == 0) {
        r = verify_tree(verify, "list of databases", &meta->main, 0, verify_see_name,
                        &is_main_whole);
    }
    if (r == 0) {
        r = verify_others(verify);
    }
    return r;
}

/* --- The end ---------------------------------------------------------------------------------- */

static void verify_find_lost(struct verify *verify)
{
    uint64_t lost = verify->use.pages_count - verify->use.claimed_count;
    if (lost > 0) {
        verify_find(verify, "pages", "free list", VERIFY_NOTHING,
                    page_use_next_free(&verify->use, 0),
                    "%" PRIu64 " pages are neither used nor free; this is the first", lost);
    }
}

void verify_pages_end(struct verify *verify)
{
    if (!verify->is_damaged) {
        verify_find_lost(verify);
    }
}

void verify_records_compare(struct verify *verify)
{
    for (uint32_t i = 0; i < verify->databases_count; i++) {
        const struct verify_database *database = &verify->databases[i];
        if (database->is_walking && !database->is_damaged) {
            verify_compare_walk(verify, database->name, &database->walk);
        }
    }
}
