/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of meta, destinations and counters. */
#include "spool/environment.h"
#include "spool/little_endian.h"
#include "spool/mend/verify_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- meta ------------------------------------------------------------------------------------- */

struct verify_meta_key {
    const char *name;
    size_t size_bytes;
};

enum verify_meta {
    VERIFY_META_FORMAT,
    VERIFY_META_UUID,
    VERIFY_META_NEXT_SEQUENCE,
    VERIFY_META_NEXT_REPORT,
    VERIFY_META_CREATED,
    VERIFY_META_COUNT,
};

static const struct verify_meta_key verify_meta_keys[VERIFY_META_COUNT] = {
    [VERIFY_META_FORMAT] = {"format", 4},
    [VERIFY_META_UUID] = {"uuid", 16},
    [VERIFY_META_NEXT_SEQUENCE] = {"next_sequence", 8},
    [VERIFY_META_NEXT_REPORT] = {"next_report", 8},
    [VERIFY_META_CREATED] = {"created", 8},
};

/* meta may have further keys: a newer version's, and those of paused destinations. */
static void verify_see_meta(struct verify *verify, const struct page_entry *entry,
                            struct span value)
{
    for (int i = 0; i < VERIFY_META_COUNT; i++) {
        const struct verify_meta_key *key = &verify_meta_keys[i];
        if (entry->key.size_bytes != strlen(key->name) ||
            memcmp(entry->key.data, key->name, entry->key.size_bytes) != 0) {
            continue;
        }
        verify->meta_seen |= 1U << i;
        if (value.size_bytes != key->size_bytes) {
            verify_find(verify, "format", "meta", VERIFY_NOTHING, entry->page,
                        "\"%s\" has %zu bytes instead of %zu", key->name, value.size_bytes,
                        key->size_bytes);
        } else if (i == VERIFY_META_FORMAT) {
            verify->format = get_u32(value.data);
            if (verify->format == 0) {
                verify_find(verify, "format", "meta", VERIFY_NOTHING, entry->page,
                            "there is no format 0");
            }
        } else if (i == VERIFY_META_NEXT_SEQUENCE) {
            verify->next_sequence = get_u64(value.data);
        } else if (i == VERIFY_META_NEXT_REPORT) {
            verify->next_report = get_u64(value.data);
        }
    }
}

static void verify_check_meta(struct verify *verify)
{
    for (int i = 0; i < VERIFY_META_COUNT; i++) {
        if ((verify->meta_seen & 1U << i) == 0) {
            verify_find(verify, "format", "meta", VERIFY_NOTHING, VERIFY_NOTHING,
                        "\"%s\" is missing", verify_meta_keys[i].name);
        }
    }
}

/* --- destinations ----------------------------------------------------------------------------- */

static void verify_see_destination(struct verify *verify, const struct page_entry *entry,
                                   struct span value)
{
    uint64_t id = page_entry_number(entry);
    const uint8_t *bytes = value.data;
    if (id != verify->destinations_count + 1U || id > DESTINATIONS_MAX) {
        verify_find(verify, "format", "destinations", VERIFY_NOTHING, entry->page,
                    "destination %" PRIu64 " follows destination %u", id,
                    verify->destinations_count);
        return;
    }
    verify->destinations_count = (uint32_t)id;
    uint64_t identity_bytes = value.size_bytes >= 8 ? get_u32(bytes) : 0;
    uint64_t address_bytes = value.size_bytes >= 8 ? get_u32(bytes + 4) : 0;
    if (value.size_bytes < 8 || identity_bytes + address_bytes + 8 != value.size_bytes) {
        verify_find(verify, "format", "destinations", VERIFY_NOTHING, entry->page,
                    "the row of destination %" PRIu64 " cannot be read", id);
        return;
    }
    const char *what = NULL;
    if (verify->host->check_destination != NULL) {
        what = verify->host->check_destination(
            verify->host->context, (uint32_t)id, (struct span){bytes + 8, identity_bytes},
            (struct span){bytes + 8 + identity_bytes, address_bytes});
    }
    if (what != NULL) {
        verify_find(verify, "S11", "destinations", VERIFY_NOTHING, entry->page,
                    "destination %" PRIu64 ": %s", id, what);
    }
}

/* --- counters --------------------------------------------------------------------------------- */

static void verify_see_counters(struct verify *verify, const struct page_entry *entry,
                                struct span value)
{
    uint64_t row = page_entry_number(entry);
    if (row > verify->destinations_count || value.size_bytes % 8 != 0) {
        verify_find(verify, "S4", "counters", VERIFY_NOTHING, entry->page,
                    "the row of destination %" PRIu64 " cannot be right", row);
        return;
    }
    counters_decode(value, &verify->rows[row]);
}

static void verify_compare(struct verify *verify, uint32_t row, enum counter counter,
                           const char *against, uint64_t counted)
{
    uint64_t value = verify->rows[row].values[counter];
    if (value == counted) {
        return;
    }
    if (row == DESTINATION_ALL) {
        verify_find(verify, "S4", "counters", VERIFY_NOTHING, VERIFY_NOTHING,
                    "the total of %s is %" PRIu64 ", %s %" PRIu64, counter_name(counter), value,
                    against, counted);
    } else {
        verify_find(verify, "S4", "counters", VERIFY_NOTHING, VERIFY_NOTHING,
                    "%s of destination %u is %" PRIu64 ", %s %" PRIu64, counter_name(counter), row,
                    value, against, counted);
    }
}

static uint64_t verify_sum(const struct verify *verify, enum counter counter)
{
    uint64_t sum = 0;
    for (uint32_t i = 1; i <= verify->destinations_count; i++) {
        sum += verify->rows[i].values[counter];
    }
    return sum;
}

/* The total is the sum of the destinations'. Times are no sums. A damaged report that was taken
 * away is in the total alone: as one report less, and one run more. */
static void verify_totals(struct verify *verify)
{
    const struct counters *all = &verify->rows[DESTINATION_ALL];

    static const enum counter sums[] = {
        COUNTER_QUEUE_RECORDS, COUNTER_QUEUE_BYTES, COUNTER_DEAD_RECORDS, COUNTER_DEAD_BYTES,
        COUNTER_PAGES,         COUNTER_APPENDED,    COUNTER_DELIVERED,    COUNTER_DELIVERED_BYTES,
        COUNTER_DEAD,          COUNTER_EXPIRED,     COUNTER_DROPPED,      COUNTER_CORRUPT,
        COUNTER_REQUEUED,      COUNTER_MOVED,
    };

    for (size_t i = 0; i < SPOOL_COUNT_OF(sums); i++) {
        verify_compare(verify, DESTINATION_ALL, sums[i], "the destinations' together",
                       verify_sum(verify, sums[i]));
    }
    uint64_t ever = all->values[COUNTER_REPORT_RECORDS] + all->values[COUNTER_REPORTS_RUN];
    uint64_t sum =
        verify_sum(verify, COUNTER_REPORT_RECORDS) + verify_sum(verify, COUNTER_REPORTS_RUN);
    if (ever != sum) {
        verify_find(verify, "S4", "counters", VERIFY_NOTHING, VERIFY_NOTHING,
                    "the totals of report_records and reports_run are %" PRIu64
                    ", the destinations' together %" PRIu64,
                    ever, sum);
    }
}

static uint64_t verify_tree_pages(const struct page_tree *tree)
{
    return tree->branch_pages + tree->leaf_pages + tree->overflow_pages;
}

/* The counters against what LMDB itself notes of each tree. */
static void verify_compare_trees(struct verify *verify)
{
    uint64_t pages[DESTINATIONS_MAX + 1] = {0};
    for (uint32_t i = 0; i < verify->databases_count; i++) {
        const struct verify_database *database = &verify->databases[i];
        uint32_t row = database->destination;

        static const enum counter counters[] = {
            [VERIFY_QUEUE] = COUNTER_QUEUE_RECORDS,
            [VERIFY_DEAD] = COUNTER_DEAD_RECORDS,
            [VERIFY_REPORTS] = COUNTER_REPORT_RECORDS,
        };

        verify_compare(verify, row, counters[database->kind],
                       "entries in the database:", database->tree.entries_count);
        pages[row] += verify_tree_pages(&database->tree);
    }
    for (uint32_t i = 1; i <= verify->destinations_count; i++) {
        verify_compare(verify, i, COUNTER_PAGES, "pages of its databases:", pages[i]);
    }
}

static void verify_compare_counts(struct verify *verify)
{
    uint64_t report_bytes = 0;
    for (uint32_t i = 1; i <= verify->destinations_count; i++) {
        const struct verify_counts *counts = &verify->counts[i];
        const struct counters *row = &verify->rows[i];
        verify_compare(verify, i, COUNTER_QUEUE_BYTES, "counted", counts->queue_bytes);
        verify_compare(verify, i, COUNTER_DEAD_BYTES, "counted", counts->dead_bytes);
        if (row->values[COUNTER_REPORT_RECORDS] < counts->report_records) {
            verify_compare(verify, i, COUNTER_REPORT_RECORDS, "counted", counts->report_records);
        }
        if (row->values[COUNTER_REPORT_BYTES] < counts->report_bytes) {
            verify_compare(verify, i, COUNTER_REPORT_BYTES, "counted", counts->report_bytes);
        }
    }
    for (uint32_t i = 0; i <= DESTINATIONS_MAX; i++) {
        report_bytes += verify->counts[i].report_bytes;
    }
    verify_compare(verify, DESTINATION_ALL, COUNTER_REPORT_BYTES, "counted", report_bytes);
    uint64_t largest = verify->rows[DESTINATION_ALL].values[COUNTER_LARGEST_BYTES];
    if (verify->largest_bytes > largest) {
        verify_find(verify, "S7", "counters", VERIFY_NOTHING, VERIFY_NOTHING,
                    "room to move records of %" PRIu64 " bytes is kept free, but one of %" PRIu64
                    " waits",
                    largest, verify->largest_bytes);
    }
}

void verify_counters(struct verify *verify, bool has_counts)
{
    if (!verify->has_rows) {
        return;
    }
    if (has_counts) {
        verify_compare_counts(verify);
    } else {
        verify_totals(verify);
        verify_compare_trees(verify);
    }
}

/* --- All of them ------------------------------------------------------------------------------ */

static void verify_add_database(struct verify *verify, enum verify_kind kind, uint32_t destination)
{
    struct verify_database *database = &verify->databases[verify->databases_count];
    *database = (struct verify_database){.kind = kind, .destination = destination};
    if (kind == VERIFY_REPORTS) {
        (void)snprintf(database->name, sizeof(database->name), "reports");
    } else {
        (void)snprintf(database->name, sizeof(database->name), "%s.%u",
                       kind == VERIFY_QUEUE ? "queue" : "dead", destination);
    }
    if (page_view_tree(&verify->view, database->name, &database->tree) != 0) {
        verify_find(verify, "format", database->name, VERIFY_NOTHING, VERIFY_NOTHING,
                    "the database is missing");
        database->tree = (struct page_tree){.root = PAGE_NONE};
        verify->is_damaged = true;
    }
    verify->databases_count++;
}

static int verify_small(struct verify *verify, const char *name, uint32_t key_bytes,
                        void (*see)(struct verify *, const struct page_entry *, struct span),
                        bool *ret_is_whole)
{
    struct page_tree tree;
    if (page_view_tree(&verify->view, name, &tree) != 0) {
        verify_find(verify, "format", name, VERIFY_NOTHING, VERIFY_NOTHING,
                    "the database is missing");
        *ret_is_whole = false;
        return 0;
    }
    return verify_tree(verify, name, &tree, key_bytes, see, ret_is_whole);
}

int verify_rows(struct verify *verify)
{
    bool is_meta = true;
    bool is_destinations = true;
    bool is_counters = true;
    verify->meta_seen = 0;
    verify->format = SPOOL_FORMAT;
    verify->next_sequence = UINT64_MAX;
    verify->next_report = UINT64_MAX;
    verify->destinations_count = 0;
    memset(verify->rows, 0, sizeof(verify->rows));
    int r = verify_small(verify, "meta", 0, verify_see_meta, &is_meta);
    if (r == 0 && is_meta) {
        verify_check_meta(verify);
    }
    if (r == 0) {
        r = verify_small(verify, "destinations", 4, verify_see_destination, &is_destinations);
    }
    if (r == 0) {
        r = verify_small(verify, "counters", 4, verify_see_counters, &is_counters);
    }
    verify->has_rows = is_destinations && is_counters;
    verify->databases_count = 0;
    for (uint32_t i = 1; i <= verify->destinations_count; i++) {
        verify_add_database(verify, VERIFY_QUEUE, i);
        verify_add_database(verify, VERIFY_DEAD, i);
    }
    verify_add_database(verify, VERIFY_REPORTS, 0);
    return r;
}
