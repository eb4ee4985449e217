/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that was found, in one order of sequences: the trees of the latest state, those of the state
 * before it where the latest lost keys, and leaves that no tree leads to. What is met twice is
 * saved once, from the first of these that can read it.
 */
#include "spool/mend/salvage_private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* All windows together, and each one at most. */
#define WINDOWS_BYTES (16U << 20)
#define WINDOW_BYTES_MAX (256U << 10)

#define TELL_RECORDS 4096U

enum salvage_origin {
    SALVAGE_NEWEST,
    SALVAGE_OTHER,
    SALVAGE_LEAF,
};

struct salvage_source {
    enum salvage_origin origin;
    struct salvage_tree *tree; /* that leads to it; NULL: a leaf that none leads to */
    struct salvage_tree *home; /* of such a leaf: that has some of its entries; NULL: none */
    struct page_walk walk;     /* of a tree */
    struct page_entry entry;
    uint8_t *page; /* of a leaf: a copy */
    struct salvage_leaf leaf;
    struct page_node node;
    uint32_t index; /* of the leaf's next node */
    uint64_t sequence;
    struct salvage_source *next; /* in the list, the lowest sequence first */
};

struct salvage_merger {
    struct salvage *salvage;
    bool is_at_reports;
    struct salvage_source *first;
    struct page_window values; /* of leaves */
    struct page_rules rules;   /* the same */
    size_t next_leaf;
    bool has_last;
    uint64_t last_sequence; /* that was saved */
    /* An entry whose checksum is wrong, until it is known that nobody has a better one. */
    bool has_damaged;
    struct salvage_found damaged;
    uint8_t *damaged_bytes;
    uint64_t seen_count;
};

static void salvage_source_free(struct salvage_source *source)
{
    if (source->origin != SALVAGE_LEAF) {
        page_walk_deinit(&source->walk);
    }
    free(source->page);
    free(source);
}

/* Whether one comes before another. Of leaves with the same sequence, a record that waits is taken
 * rather than the dead letter that it was, or became. */
static bool salvage_is_before(const struct salvage_source *one, const struct salvage_source *other)
{
    if (one->sequence != other->sequence) {
        return one->sequence < other->sequence;
    }
    if (one->origin != other->origin) {
        return one->origin < other->origin;
    }
    return one->leaf.kind <= other->leaf.kind;
}

static void salvage_insert(struct salvage_merger *merger, struct salvage_source *source)
{
    struct salvage_source **at = &merger->first;
    while (*at != NULL && salvage_is_before(*at, source)) {
        at = &(*at)->next;
    }
    source->next = *at;
    *at = source;
}

/* --- Moving on -------------------------------------------------------------------------------- */

/* The next entry of a tree. Of the older state only what the newer one lost. 0, PAGE_WALK_E_END,
 * -ENOMEM. */
static int salvage_advance_tree(struct salvage_source *source)
{
    int r;
    do {
        r = page_walk_next(&source->walk, &source->entry);
        if (r == 0) {
            source->sequence = page_entry_number(&source->entry);
        }
    } while (r == PAGE_WALK_E_DAMAGED || (r == 0 && source->origin == SALVAGE_OTHER &&
                                          !salvage_is_lost(source->tree, source->sequence)));
    return r;
}

static int salvage_advance_leaf(struct salvage_merger *merger, struct salvage_source *source)
{
    while (source->index < page_nodes_guess(source->page, &merger->rules)) {
        uint32_t index = source->index++;
        if (page_node_try(source->page, index, &merger->rules, &source->node) == 0) {
            source->sequence = page_u64(source->node.key.data);
            return 0;
        }
    }
    return PAGE_WALK_E_END;
}

/* Puts the source back where its next entry belongs, or frees it. 0, -ENOMEM. */
static int salvage_move(struct salvage_merger *merger, struct salvage_source *source)
{
    int r = source->origin == SALVAGE_LEAF ? salvage_advance_leaf(merger, source)
                                           : salvage_advance_tree(source);
    if (r == 0) {
        salvage_insert(merger, source);
        return 0;
    }
    salvage_source_free(source);
    return r < 0 ? r : 0;
}

/* --- Sources ---------------------------------------------------------------------------------- */

static int salvage_add_tree(struct salvage_merger *merger, struct salvage_tree *tree,
                            enum salvage_origin origin, size_t window_bytes)
{
    struct salvage *salvage = merger->salvage;
    struct salvage_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        return -ENOMEM;
    }
    source->origin = origin;
    source->tree = tree;
    page_walk_init(&source->walk, &salvage->view.file,
                   origin == SALVAGE_NEWEST ? &tree->newest : &tree->other,
                   salvage->last_pages[origin], sizeof(uint64_t), window_bytes);
    return salvage_move(merger, source);
}

static int salvage_add_trees(struct salvage_merger *merger)
{
    struct salvage *salvage = merger->salvage;
    size_t window_bytes = WINDOWS_BYTES / (4 * salvage->trees_count);
    int r = 0;
    if (window_bytes > WINDOW_BYTES_MAX) {
        window_bytes = WINDOW_BYTES_MAX;
    }
    for (uint32_t i = 0; r == 0 && i < salvage->trees_count; i++) {
        struct salvage_tree *tree = &salvage->trees[i];
        if ((tree->kind == SALVAGE_REPORTS) != merger->is_at_reports) {
            continue;
        }
        if (tree->has_newest) {
            r = salvage_add_tree(merger, tree, SALVAGE_NEWEST, window_bytes);
        }
        if (r == 0 && tree->has_other && tree->lost_count > 0) {
            r = salvage_add_tree(merger, tree, SALVAGE_OTHER, window_bytes);
        }
    }
    return r;
}

/* Whether a tree has an entry. */
static bool salvage_tree_has(const struct salvage_merger *merger, const struct page_tree *tree,
                             uint64_t last_page, uint64_t key)
{
    struct page_walk walk;
    struct page_entry entry;
    page_walk_init(&walk, &merger->salvage->view.file, tree, last_page, sizeof(key), 1);
    page_walk_restart(&walk, tree, last_page, key);
    bool has = page_walk_next(&walk, &entry) == 0 && page_entry_number(&entry) == key;
    page_walk_deinit(&walk);
    return has;
}

/* LMDB copies a leaf to change it: an older or newer copy of the same leaf, in the tree that it is
 * of, has most of the entries. */
static struct salvage_tree *salvage_find_home(const struct salvage_merger *merger,
                                              enum salvage_kind kind, uint64_t key)
{
    struct salvage *salvage = merger->salvage;
    for (uint32_t i = 0; i < salvage->trees_count; i++) {
        struct salvage_tree *tree = &salvage->trees[i];
        if (tree->kind == kind &&
            ((tree->has_newest &&
              salvage_tree_has(merger, &tree->newest, salvage->last_pages[0], key)) ||
             (tree->has_other &&
              salvage_tree_has(merger, &tree->other, salvage->last_pages[1], key)))) {
            return tree;
        }
    }
    return NULL;
}

/* The first, the middle and the last entry are asked for. */
static void salvage_guess_home(const struct salvage_merger *merger, struct salvage_source *source)
{
    uint32_t count = page_nodes_guess(source->page, &merger->rules);
    for (uint32_t i = 0; source->home == NULL && count > 0 && i < 3; i++) {
        struct page_node node;
        if (page_node_try(source->page, i * (count - 1) / 2, &merger->rules, &node) == 0) {
            source->home = salvage_find_home(merger, (enum salvage_kind)source->leaf.kind,
                                             page_u64(node.key.data));
        }
    }
}

static int salvage_add_leaf(struct salvage_merger *merger, const struct salvage_leaf *leaf)
{
    struct salvage *salvage = merger->salvage;
    const uint8_t *page;
    int r = page_window_show(&merger->values, leaf->page, 1, &page);
    if (r != 0) {
        return r == -ENOMEM ? r : 0;
    }
    struct salvage_source *source = calloc(1, sizeof(*source));
    uint8_t *copy = malloc(merger->rules.page_bytes);
    if (source == NULL || copy == NULL) {
        free(source);
        free(copy);
        return -ENOMEM;
    }
    memcpy(copy, page, merger->rules.page_bytes);
    source->origin = SALVAGE_LEAF;
    source->page = copy;
    source->leaf = *leaf;
    source->tree = leaf->tree == 0 ? NULL : &salvage->trees[leaf->tree - 1];
    if (source->tree == NULL && leaf->kind != SALVAGE_REPORTS) {
        salvage_guess_home(merger, source);
    }
    return salvage_move(merger, source);
}

/* Leaves whose turn has come. */
static int salvage_add_leaves(struct salvage_merger *merger)
{
    struct salvage *salvage = merger->salvage;
    int r = 0;
    while (r == 0 && merger->next_leaf < salvage->leaves_count &&
           (merger->first == NULL ||
            salvage->leaves[merger->next_leaf].first_key <= merger->first->sequence)) {
        const struct salvage_leaf *leaf = &salvage->leaves[merger->next_leaf++];
        if ((leaf->kind == SALVAGE_REPORTS) == merger->is_at_reports) {
            r = salvage_add_leaf(merger, leaf);
        }
    }
    return r;
}

/* --- Whose it is ------------------------------------------------------------------------------ */

/* How many trees of a kind have lost the sequence, and the last of them. */
static uint32_t salvage_count_losers(const struct salvage *salvage, enum salvage_kind kind,
                                     uint64_t sequence, const struct salvage_tree **ret_tree)
{
    uint32_t losers = 0;
    for (uint32_t i = 0; i < salvage->trees_count; i++) {
        if (salvage->trees[i].kind == kind && salvage_is_lost(&salvage->trees[i], sequence)) {
            *ret_tree = &salvage->trees[i];
            losers++;
        }
    }
    return losers;
}

/* Finds the tree that an entry of a leaf was lost from. false: none has lost it. *ret_tree NULL:
 * there are several. */
static bool salvage_find_loser(const struct salvage *salvage, enum salvage_kind kind,
                               uint64_t sequence, const struct salvage_tree **ret_tree)
{
    uint32_t losers = salvage_count_losers(salvage, kind, sequence, ret_tree);
    if (losers == 0 && kind != SALVAGE_REPORTS) {
        /* A state that is lost made a dead letter of it, or put it back. */
        losers = salvage_count_losers(salvage, kind == SALVAGE_QUEUE ? SALVAGE_DEAD : SALVAGE_QUEUE,
                                      sequence, ret_tree);
    }
    if (losers != 1) {
        *ret_tree = NULL;
    }
    return losers > 0 || !salvage->is_list_whole;
}

/* Whether it is of a later state than the latest that is known. */
static bool salvage_is_newer(const struct salvage *salvage, const struct salvage_found *found)
{
    return found->sequence >=
           (found->kind == SALVAGE_REPORTS ? salvage->newer_report : salvage->newer_sequence);
}

/* Whether the entry is one that was found before, then with a wrong checksum: no sequence is given
 * twice (S3), so that this is the same record. */
static bool salvage_is_better(const struct salvage_merger *merger,
                              const struct salvage_found *found)
{
    return merger->has_damaged && merger->damaged.kind == found->kind &&
           merger->damaged.sequence == found->sequence;
}

/* Whether an entry of a leaf is to be saved, and as what. */
static bool salvage_claim(struct salvage_merger *merger, const struct salvage_source *source,
                          struct salvage_found *found)
{
    struct salvage *salvage = merger->salvage;
    if (salvage_is_better(merger, found)) {
        found->destination = merger->damaged.destination;
        found->is_doubtful = merger->damaged.is_doubtful;
        return true;
    }
    const struct salvage_tree *tree = source->tree;
    bool is_lost = tree != NULL ? salvage_is_lost(tree, found->sequence)
                                : salvage_find_loser(salvage, found->kind, found->sequence, &tree);
    bool is_newer = salvage_is_newer(salvage, found);
    /* The free list of a state may have pages that a later one, now lost, has used again. */
    bool is_free = source->leaf.is_stale && salvage->newer_sequence == UINT64_MAX;
    bool is_stale = source->tree == NULL && !is_newer && (is_free || !is_lost);
    tree = tree != NULL ? tree : source->home;
    if (is_stale && !salvage->config->takes_stale) {
        salvage->result.stale_count++;
        return false;
    }
    struct report report;
    struct span encoded;
    if (found->kind == SALVAGE_REPORTS && report_decode(found->value, &report, &encoded) == 0) {
        found->destination = report.destination;
    } else if (tree != NULL) {
        found->destination = tree->destination;
    } else {
        found->destination = salvage->destinations_count == 1 ? 1 : 0;
    }
    /* With a whole free list, what is neither used nor free is what was destroyed. */
    found->is_doubtful = !is_newer && (is_stale || !is_lost || source->leaf.is_stale ||
                                       (source->tree == NULL && !salvage->is_free_whole));
    return true;
}

/* The kind of an entry of a leaf: what it can be read as. */
static bool salvage_guess_kind(const struct salvage_source *source, struct salvage_found *found)
{
    found->kind = (enum salvage_kind)source->leaf.kind;
    return salvage_is_whole(found->kind, found->value);
}

/* --- Saving ----------------------------------------------------------------------------------- */

/* Saves an entry with a wrong checksum after all: nobody had a better one. */
static int salvage_flush_damaged(struct salvage_merger *merger)
{
    if (!merger->has_damaged) {
        return 0;
    }
    merger->has_damaged = false;
    merger->damaged.value.data = merger->damaged_bytes;
    int r = salvage_save(merger->salvage, &merger->damaged);
    free(SPOOL_TAKE(merger->damaged_bytes));
    return r;
}

static int salvage_keep_damaged(struct salvage_merger *merger, const struct salvage_found *found)
{
    int r = salvage_flush_damaged(merger);
    if (r != 0) {
        return r;
    }
    merger->damaged_bytes = malloc(found->value.size_bytes + 1);
    if (merger->damaged_bytes == NULL) {
        return -ENOMEM;
    }
    if (found->value.size_bytes > 0) {
        memcpy(merger->damaged_bytes, found->value.data, found->value.size_bytes);
    }
    merger->damaged = *found;
    merger->has_damaged = true;
    return 0;
}

/* A dead letter whose record is known to be damaged is as good as it gets. */
static bool salvage_is_final(const struct salvage_found *found)
{
    struct dead_letter dead;
    struct span encoded;
    return salvage_is_whole(found->kind, found->value) ||
           (found->kind == SALVAGE_DEAD && dead_letter_decode(found->value, &dead, &encoded) == 0 &&
            dead.reason == SETTLE_CORRUPT);
}

static int salvage_take_found(struct salvage_merger *merger, const struct salvage_found *found)
{
    if (merger->has_damaged && merger->damaged.sequence != found->sequence) {
        int r = salvage_flush_damaged(merger);
        if (r != 0) {
            return r;
        }
    }
    if (!salvage_is_final(found)) {
        return merger->has_damaged ? 0 : salvage_keep_damaged(merger, found);
    }
    if (merger->has_damaged) {
        merger->has_damaged = false; /* here is a better one */
        free(SPOOL_TAKE(merger->damaged_bytes));
    }
    merger->has_last = true;
    merger->last_sequence = found->sequence;
    return salvage_save(merger->salvage, found);
}

/* The entry that a source stands on. 0, -errno, SALVAGE_E_PARTIAL. */
static int salvage_take(struct salvage_merger *merger, struct salvage_source *source)
{
    struct salvage_found found = {.sequence = source->sequence};
    if (merger->has_last && merger->last_sequence == source->sequence) {
        return 0;
    }
    if (source->origin == SALVAGE_LEAF) {
        int r = salvage_value(&merger->values, &merger->rules, &source->node, &found.value);
        if (r < 0) {
            return r;
        }
        bool is_wanted =
            r == 0 && salvage_guess_kind(source, &found) && salvage_claim(merger, source, &found);
        return is_wanted ? salvage_take_found(merger, &found) : 0;
    }
    found.kind = source->tree->kind;
    found.destination = source->tree->destination;
    found.is_doubtful = source->origin == SALVAGE_OTHER;
    int r = page_walk_value(&source->walk, &source->entry, &found.value);
    if (r != 0) {
        merger->salvage->result.lost_count += r > 0;
        return r < 0 ? r : 0;
    }
    struct report report;
    struct span encoded;
    if (found.kind == SALVAGE_REPORTS && report_decode(found.value, &report, &encoded) == 0) {
        found.destination = report.destination;
    }
    return salvage_take_found(merger, &found);
}

static int salvage_merge_stage(struct salvage_merger *merger)
{
    int r = salvage_add_trees(merger);
    while (r == 0) {
        r = salvage_add_leaves(merger);
        struct salvage_source *source = merger->first;
        if (r != 0 || source == NULL) {
            break;
        }
        merger->first = source->next;
        r = salvage_take(merger, source);
        if (r != 0) {
            salvage_source_free(source);
            break;
        }
        r = salvage_move(merger, source);
        if (++merger->seen_count % TELL_RECORDS == 0) {
            salvage_tell(merger->salvage, merger->seen_count, 0);
        }
    }
    return r == 0 ? salvage_flush_damaged(merger) : r;
}

int salvage_merge(struct salvage *salvage)
{
    int r = 0;
    for (int stage = 0; r == 0 && stage < 2; stage++) {
        struct salvage_merger merger = {
            .salvage = salvage,
            .is_at_reports = stage == 1,
            .rules = {.page_bytes = salvage->view.file.page_bytes,
                      .key_bytes = sizeof(uint64_t),
                      .last_page = salvage->last_page},
        };
        page_window_init(&merger.values, &salvage->view.file, WINDOW_BYTES_MAX);
        r = salvage_merge_stage(&merger);
        while (merger.first != NULL) {
            struct salvage_source *source = merger.first;
            merger.first = source->next;
            salvage_source_free(source);
        }
        free(merger.damaged_bytes);
        page_window_deinit(&merger.values);
    }
    return r;
}
