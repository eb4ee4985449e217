/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two meta pages still lead to: destinations, databases, and which of their keys are lost
 * below a damaged page. */
#include "spool/little_endian.h"
#include "spool/mend/salvage_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#define MAP_WINDOW_BYTES 65536U

/* --- Small rows ------------------------------------------------------------------------------- */

void salvage_see_meta(struct salvage *salvage, const struct page_entry *entry, struct span value)
{
    char name[32] = "";
    uint32_t id = 0;
    if (entry->key.size_bytes >= sizeof(name)) {
        return;
    }
    memcpy(name, entry->key.data, entry->key.size_bytes);
    if (strcmp(name, "uuid") == 0 && value.size_bytes == sizeof(salvage->uuid) &&
        !salvage->result.is_uuid_known) {
        memcpy(salvage->uuid, value.data, sizeof(salvage->uuid));
        salvage->result.is_uuid_known = true;
    }
    if (strcmp(name, "next_sequence") == 0 && value.size_bytes == sizeof(uint64_t) &&
        salvage->next_sequence == UINT64_MAX) {
        salvage->next_sequence = get_u64(value.data);
    }
    if (strcmp(name, "next_report") == 0 && value.size_bytes == sizeof(uint64_t) &&
        salvage->next_report == UINT64_MAX) {
        salvage->next_report = get_u64(value.data);
    }
    if (strncmp(name, "paused.", 7) == 0) {
        id = (uint32_t)strtoul(name + 7, NULL, 10);
    }
    if (id >= 1 && id <= DESTINATIONS_MAX) {
        salvage->destinations[id].is_paused = true;
    }
}

/* Rows have no checksum: what is no text is not believed. */
static char *salvage_text(const uint8_t *bytes, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        if (bytes[i] < 0x20 || bytes[i] == 0x7f) {
            return NULL;
        }
    }
    return size_bytes == 0 ? NULL : strndup((const char *)bytes, size_bytes);
}

void salvage_see_destination(struct salvage *salvage, const struct page_entry *entry,
                             struct span value)
{
    uint64_t id = page_entry_number(entry);
    const uint8_t *bytes = value.data;
    if (id < 1 || id > DESTINATIONS_MAX || value.size_bytes < 8) {
        return;
    }
    uint64_t identity_bytes = get_u32(bytes);
    uint64_t address_bytes = get_u32(bytes + 4);
    struct salvage_destination *destination = &salvage->destinations[id];
    if (identity_bytes + address_bytes + 8 != value.size_bytes || destination->identity != NULL) {
        return;
    }
    char *identity = salvage_text(bytes + 8, identity_bytes);
    char *address = salvage_text(bytes + 8 + identity_bytes, address_bytes);
    if (identity == NULL || address == NULL) {
        free(identity);
        free(address);
        return;
    }
    destination->identity = identity;
    destination->address = address;
    if (id > salvage->destinations_count) {
        salvage->destinations_count = (uint32_t)id;
    }
}

static int salvage_read_rows(struct salvage *salvage, const char *name, uint32_t key_bytes,
                             void (*see)(struct salvage *, const struct page_entry *, struct span))
{
    struct page_walk walk;
    struct page_tree tree;
    struct page_entry entry;
    struct span value;
    int r = 0;
    if (page_view_tree(&salvage->view, name, &tree) != 0) {
        return 0;
    }
    page_walk_init(&walk, &salvage->view.file, &tree, salvage->view.meta.last_page, key_bytes,
                   MAP_WINDOW_BYTES);
    while ((r = page_walk_next(&walk, &entry)) == 0 || r == PAGE_WALK_E_DAMAGED) {
        if (r == 0) {
            r = page_walk_value(&walk, &entry, &value);
        }
        if (r == 0) {
            see(salvage, &entry, value);
        } else if (r < 0) {
            break;
        }
    }
    page_walk_deinit(&walk);
    return r < 0 ? r : 0;
}

/* --- Trees ------------------------------------------------------------------------------------ */

static struct salvage_tree *salvage_find_tree(struct salvage *salvage, enum salvage_kind kind,
                                              uint32_t destination)
{
    for (uint32_t i = 0; i < salvage->trees_count; i++) {
        struct salvage_tree *tree = &salvage->trees[i];
        if (tree->kind == kind && tree->destination == destination) {
            return tree;
        }
    }
    struct salvage_tree *tree = &salvage->trees[salvage->trees_count++];
    *tree = (struct salvage_tree){.kind = kind, .destination = destination};
    return tree;
}

/* "queue.7": which tree it is. NULL: none of records. */
static struct salvage_tree *salvage_tree_of(struct salvage *salvage, const char *name)
{
    enum salvage_kind kind;
    char *end;
    if (strcmp(name, "reports") == 0) {
        return salvage_find_tree(salvage, SALVAGE_REPORTS, 0);
    }
    if (strncmp(name, "queue.", 6) == 0) {
        kind = SALVAGE_QUEUE;
    } else if (strncmp(name, "dead.", 5) == 0) {
        kind = SALVAGE_DEAD;
    } else {
        return NULL;
    }
    unsigned long id = strtoul(strchr(name, '.') + 1, &end, 10);
    if (*end != '\0' || id < 1 || id > DESTINATIONS_MAX) {
        return NULL;
    }
    if (id > salvage->destinations_count) {
        salvage->destinations_count = (uint32_t)id;
    }
    return salvage_find_tree(salvage, kind, (uint32_t)id);
}

static int salvage_note_lost(struct salvage *salvage, struct salvage_tree *tree, uint64_t from,
                             uint64_t to)
{
    salvage->has_lost = true;
    if (tree->lost == NULL) {
        tree->lost = calloc(SALVAGE_LOST_MAX, sizeof(*tree->lost));
        if (tree->lost == NULL) {
            return -ENOMEM;
        }
    }
    if (tree->lost_count == SALVAGE_LOST_MAX) {
        /* Too many to tell apart: the last one takes in all that follow. */
        tree->lost[SALVAGE_LOST_MAX - 1].to = to;
        return 0;
    }
    tree->lost[tree->lost_count++] = (struct salvage_lost){from, to};
    return 0;
}

/* A damaged leaf may still have entries that can be read. */
static int salvage_note_damage(struct salvage *salvage, struct salvage_tree *tree,
                               const struct page_damage *damage)
{
    salvage->result.damaged_pages++;
    int r = salvage_note_lost(salvage, tree, damage->keys_from, damage->keys_to);
    if (r == 0 && damage->is_leaf) {
        struct salvage_leaf leaf = {
            .first_key = damage->keys_from,
            .page = damage->page,
            .tree = (uint16_t)(tree - salvage->trees + 1),
            .kind = (uint8_t)tree->kind,
        };
        r = salvage_note_leaf(salvage, &leaf);
    }
    return r;
}

/* The pages of a value are no leaves, whatever its bytes look like. */
static void salvage_note_value(struct salvage *salvage, const struct page_entry *entry)
{
    uint64_t taken;
    uint64_t count = page_overflow_pages(entry->value_bytes, salvage->view.file.page_bytes);
    (void)!page_use_claim(&salvage->values, entry->value_page, count, &taken);
}

/* Walks a tree of the latest state by its keys alone. */
static int salvage_reach(struct salvage *salvage, struct salvage_tree *tree)
{
    struct page_walk walk;
    struct page_entry entry;
    int r;
    page_walk_init(&walk, &salvage->view.file, &tree->newest, salvage->view.meta.last_page,
                   sizeof(uint64_t), MAP_WINDOW_BYTES);
    walk.use = &salvage->reached;
    uint64_t *highest =
        tree->kind == SALVAGE_REPORTS ? &salvage->highest_report : &salvage->highest_sequence;
    while ((r = page_walk_next(&walk, &entry)) == 0 || r == PAGE_WALK_E_DAMAGED) {
        if (r == PAGE_WALK_E_DAMAGED) {
            r = salvage_note_damage(salvage, tree, &walk.damage);
        } else {
            uint64_t number = page_entry_number(&entry);
            *highest = number > *highest ? number : *highest;
            if (entry.value_page != 0) {
                salvage_note_value(salvage, &entry);
            }
        }
        if (r < 0) {
            break;
        }
    }
    page_walk_deinit(&walk);
    return r < 0 ? r : 0;
}

/* --- The free list ---------------------------------------------------------------------------- */

static int salvage_read_free(struct salvage *salvage)
{
    struct page_walk walk;
    struct page_entry entry;
    struct span value;
    int r;
    salvage->is_free_whole = true;
    page_walk_init(&walk, &salvage->view.file, &salvage->view.meta.free_list,
                   salvage->view.meta.last_page, sizeof(uint64_t), MAP_WINDOW_BYTES);
    while ((r = page_walk_next(&walk, &entry)) == 0 || r == PAGE_WALK_E_DAMAGED) {
        if (r == 0) {
            r = page_walk_value(&walk, &entry, &value);
        }
        if (r < 0) {
            break;
        }
        uint64_t count = 0;
        if (r == 0 && value.size_bytes >= sizeof(count)) {
            count = page_u64(value.data);
        }
        if (count == 0 || count > value.size_bytes / sizeof(count) - 1) {
            salvage->is_free_whole = false;
            continue;
        }
        for (uint64_t i = 1; i <= count; i++) {
            uint64_t taken;
            uint64_t page = page_u64((const uint8_t *)value.data + i * sizeof(page));
            (void)!page_use_claim(&salvage->free, page, 1, &taken);
        }
    }
    page_walk_deinit(&walk);
    return r < 0 ? r : 0;
}

/* --- Both states ------------------------------------------------------------------------------ */

/* One state: what is in its list of databases, and its small rows. */
static int salvage_read_state(struct salvage *salvage, int meta, bool is_newest)
{
    int r = page_view_begin(&salvage->view, meta);
    if (r != 0) {
        return r < 0 ? r : 0;
    }
    salvage->last_pages[is_newest ? 0 : 1] = salvage->view.meta.last_page;
    salvage->is_list_whole = salvage->is_list_whole || salvage->view.damage.what == NULL;
    if (salvage->view.damage.what != NULL && is_newest) {
        salvage->result.damaged_pages++;
    }
    for (uint32_t i = 0; i < salvage->view.named_count; i++) {
        const struct page_named *named = &salvage->view.named[i];
        struct salvage_tree *tree = salvage_tree_of(salvage, named->name);
        if (tree == NULL) {
            continue;
        }
        if (is_newest) {
            tree->newest = named->tree;
            tree->has_newest = true;
        } else {
            tree->other = named->tree;
            tree->has_other = true;
        }
    }
    r = salvage_read_rows(salvage, "meta", 0, salvage_see_meta);
    if (r == 0) {
        r = salvage_read_rows(salvage, "destinations", sizeof(uint32_t), salvage_see_destination);
    }
    return r;
}

static int salvage_reach_all(struct salvage *salvage)
{
    int r = page_view_begin(&salvage->view, salvage->newest);
    if (r != 0) {
        return r < 0 ? r : -EIO;
    }
    r = salvage_read_free(salvage);
    for (uint32_t i = 0; r == 0 && i < salvage->trees_count; i++) {
        struct salvage_tree *tree = &salvage->trees[i];
        if (tree->has_newest) {
            r = salvage_reach(salvage, tree);
        }
    }
    return r;
}

/* Trees that must be there, and that the latest state does not show. */
static int salvage_note_missing(struct salvage *salvage)
{
    (void)salvage_find_tree(salvage, SALVAGE_REPORTS, 0);
    for (uint32_t i = 1; i <= salvage->destinations_count; i++) {
        (void)salvage_find_tree(salvage, SALVAGE_QUEUE, i);
        (void)salvage_find_tree(salvage, SALVAGE_DEAD, i);
    }
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < salvage->trees_count; i++) {
        if (!salvage->trees[i].has_newest) {
            r = salvage_note_lost(salvage, &salvage->trees[i], 0, UINT64_MAX);
        }
    }
    return r;
}

static int salvage_init_uses(struct salvage *salvage)
{
    uint64_t file_pages = salvage->view.file.file_bytes / salvage->view.file.page_bytes;
    salvage->last_page = file_pages - 1;
    int r = page_use_init(&salvage->reached, salvage->last_page);
    if (r == 0) {
        r = page_use_init(&salvage->values, salvage->last_page);
    }
    return r == 0 ? page_use_init(&salvage->free, salvage->last_page) : r;
}

/* How far a state is: it has given so many sequences and numbers of reports. 0: not known. */
static int salvage_state_age(struct salvage *salvage, int meta, uint64_t *ret_age)
{
    salvage->next_sequence = salvage->next_report = UINT64_MAX;
    int r = page_view_begin(&salvage->view, meta);
    if (r == 0) {
        r = salvage_read_rows(salvage, "meta", 0, salvage_see_meta);
    }
    bool is_known = salvage->next_sequence != UINT64_MAX && salvage->next_report != UINT64_MAX;
    *ret_age = is_known ? salvage->next_sequence + salvage->next_report : 0;
    salvage->next_sequence = salvage->next_report = UINT64_MAX;
    return r < 0 ? r : 0;
}

/* The meta pages of two transactions that follow each other are what LMDB leaves. Of others the one
 * that is further counts, whatever it says; and there may have been a third. */
static int salvage_choose(struct salvage *salvage, bool *ret_is_newer_lost)
{
    const struct page_file_meta *metas = salvage->view.file.metas;
    bool has[2] = {metas[0].what == NULL, metas[1].what == NULL};
    int latest = has[1] && (!has[0] || metas[1].meta.txn > metas[0].meta.txn) ? 1 : 0;
    salvage->newest = has[0] || has[1] ? latest : -1;
    *ret_is_newer_lost = true;
    if (!has[0] || !has[1]) {
        return 0;
    }
    *ret_is_newer_lost = metas[latest].meta.txn - metas[1 - latest].meta.txn != 1;
    uint64_t ages[2] = {0};
    int r = 0;
    for (int i = 0; *ret_is_newer_lost && r == 0 && i < 2; i++) {
        r = salvage_state_age(salvage, i, &ages[i]);
    }
    if (ages[1 - latest] > ages[latest]) {
        salvage->newest = 1 - latest;
    }
    return r;
}

/* From where on sequences and reports are those of a state that is lost. */
static void salvage_set_newer(struct salvage *salvage)
{
    salvage->has_lost = true;
    salvage->newer_sequence = salvage->next_sequence != UINT64_MAX ? salvage->next_sequence
                                                                   : salvage->highest_sequence + 1;
    salvage->newer_report =
        salvage->next_report != UINT64_MAX ? salvage->next_report : salvage->highest_report + 1;
}

int salvage_map(struct salvage *salvage)
{
    const struct page_file_meta *metas = salvage->view.file.metas;
    bool has[2] = {metas[0].what == NULL, metas[1].what == NULL};
    bool is_newer_lost = false;
    salvage->result.damaged_pages = (uint64_t)!has[0] + (uint64_t)!has[1];
    salvage->newer_sequence = salvage->newer_report = UINT64_MAX;
    int r = salvage_init_uses(salvage);
    if (r == 0) {
        r = salvage_choose(salvage, &is_newer_lost);
    }
    salvage->next_sequence = salvage->next_report = UINT64_MAX;
    if (r == 0 && salvage->newest >= 0) {
        r = salvage_read_state(salvage, salvage->newest, true);
    }
    uint64_t next_sequence = salvage->next_sequence;
    uint64_t next_report = salvage->next_report;
    if (r == 0 && has[0] && has[1]) {
        r = salvage_read_state(salvage, 1 - salvage->newest, false);
    }
    salvage->next_sequence = next_sequence;
    salvage->next_report = next_report;
    if (r == 0 && salvage->newest >= 0) {
        r = salvage_reach_all(salvage);
    }
    if (r == 0 && is_newer_lost && salvage->newest >= 0) {
        salvage_set_newer(salvage);
    }
    if (r == 0 && !salvage->is_list_whole) {
        salvage->has_lost = true;
        r = salvage_scan_rows(salvage);
    }
    return r == 0 ? salvage_note_missing(salvage) : r;
}
