/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the page reader finds in files that LMDB wrote, and in such files with damage. */
#include "spool/page/page_walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/environment.h"

#include <fcntl.h>

#define WINDOW_BYTES 65536

struct reader {
    int dir_fd;
    struct page_file file;
};

static void open_reader(const struct spool_fixture *fixture, struct reader *reader)
{
    struct message message;
    reader->dir_fd = open(fixture->dir, O_RDONLY | O_DIRECTORY);
    assert_true(reader->dir_fd >= 0);
    assert_int_equal(page_file_open(&reader->file, reader->dir_fd, fixture->dir, &message), 0);
}

static void close_reader(struct reader *reader)
{
    page_file_close(&reader->file);
    close(reader->dir_fd);
}

/* A spool that has lived: records of many sizes, most of them gone again. */
static void fill(struct spool_fixture *fixture)
{
    static const size_t sizes[] = {64, 100, 333, 1000, 2000, 2022, 2023, 3000, 5000, 9000, 70000};
    for (uint64_t i = 1; i <= 900; i++) {
        size_t size = sizes[i * 7 % (i % 19 == 0 ? 11 : 8)];
        spool_fixture_append(fixture, 1 + (uint32_t)(i % 2), size);
        if (i > 250) {
            uint64_t old = i - 250;
            spool_fixture_settle(fixture, old % 5 == 0 ? SETTLE_DEAD : SETTLE_DELIVERED,
                                 1 + (uint32_t)(old % 2), old);
        }
    }
}

/* Walks a tree and LMDB's cursor side by side. */
static void compare(const struct reader *reader, MDB_txn *txn, MDB_dbi db,
                    const struct page_tree *tree, uint32_t key_bytes, struct page_use *use)
{
    struct page_walk walk;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val data;
    MDB_stat stat;
    const struct page_meta *meta = page_file_newest(&reader->file);
    assert_int_equal(mdb_cursor_open(txn, db, &cursor), 0);
    page_walk_init(&walk, &reader->file, tree, meta->last_page, key_bytes, WINDOW_BYTES);
    walk.use = use;
    while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0) {
        struct page_entry entry;
        struct span value;
        int r = page_walk_next(&walk, &entry);
        if (r != 0) {
            fail_msg("db %u: %d: page %lu: %s", db, r, walk.damage.page, walk.damage.what);
        }
        assert_int_equal(entry.key.size_bytes, key.mv_size);
        assert_memory_equal(entry.key.data, key.mv_data, key.mv_size);
        assert_int_equal(page_walk_value(&walk, &entry, &value), 0);
        assert_int_equal(value.size_bytes, data.mv_size);
        assert_memory_equal(value.data, data.mv_data, data.mv_size);
    }
    struct page_entry entry;
    assert_int_equal(page_walk_next(&walk, &entry), PAGE_WALK_E_END);
    mdb_cursor_close(cursor);
    assert_int_equal(mdb_stat(txn, db, &stat), 0);
    assert_int_equal(walk.branch_pages, stat.ms_branch_pages);
    assert_int_equal(walk.leaf_pages, stat.ms_leaf_pages);
    assert_int_equal(walk.overflow_pages, stat.ms_overflow_pages);
    assert_int_equal(walk.entries_count, stat.ms_entries);
    assert_int_equal(tree->entries_count, stat.ms_entries);
    page_walk_deinit(&walk);
}

/* All named databases, by LMDB's own list of them. */
static void compare_named(const struct reader *reader, MDB_txn *txn, struct page_use *use)
{
    struct page_walk walk;
    struct page_entry entry;
    const struct page_meta *meta = page_file_newest(&reader->file);
    page_walk_init(&walk, &reader->file, &meta->main, meta->last_page, 0, WINDOW_BYTES);
    while (page_walk_next(&walk, &entry) == 0) {
        char name[64] = {0};
        struct page_tree tree;
        MDB_dbi db;
        assert_true(entry.is_tree);
        memcpy(name, entry.key.data, entry.key.size_bytes);
        assert_int_equal(page_tree_decode(entry.value.data, meta->last_page, &tree), 0);
        assert_int_equal(mdb_dbi_open(txn, name, 0, &db), 0);
        bool is_integer = (tree.flags & PAGE_TREE_INTEGER_KEY) != 0;
        bool is_small = strcmp(name, "counters") == 0 || strcmp(name, "destinations") == 0;
        compare(reader, txn, db, &tree, !is_integer ? 0 : is_small ? 4 : 8, use);
    }
    assert_int_equal(walk.entries_count, 8);
    page_walk_deinit(&walk);
}

/* Claims what the free list says. */
static void claim_free(const struct reader *reader, struct page_use *use)
{
    struct page_walk walk;
    struct page_entry entry;
    const struct page_meta *meta = page_file_newest(&reader->file);
    page_walk_init(&walk, &reader->file, &meta->free_list, meta->last_page, 8, WINDOW_BYTES);
    while (page_walk_next(&walk, &entry) == 0) {
        struct span value;
        uint64_t count;
        assert_int_equal(page_walk_value(&walk, &entry, &value), 0);
        memcpy(&count, value.data, sizeof(count));
        assert_true(count > 0 && count < value.size_bytes / sizeof(count));
        for (uint64_t i = 1; i <= count; i++) {
            uint64_t page;
            uint64_t taken;
            memcpy(&page, (const uint8_t *)value.data + i * sizeof(page), sizeof(page));
            assert_true(page_use_claim(use, page, 1, &taken));
        }
    }
    page_walk_deinit(&walk);
}

/* Key by key and byte by byte as LMDB has it; and no page is left over. */
static void page_walk_reads_what_lmdb_wrote(void **state)
{
    struct spool_fixture *fixture = *state;
    struct reader reader;
    struct page_use use;
    MDB_txn *txn;
    fill(fixture);
    open_reader(fixture, &reader);
    const struct page_meta *meta = page_file_newest(&reader.file);
    assert_int_equal(page_use_init(&use, meta->last_page), 0);
    assert_int_equal(mdb_txn_begin(fixture->spool->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_txn_id(txn), meta->txn);
    compare(&reader, txn, 0, &meta->free_list, 8, &use);
    compare(&reader, txn, 1, &meta->main, 0, &use);
    compare_named(&reader, txn, &use);
    claim_free(&reader, &use);
    assert_int_equal(page_use_next_free(&use, 0), PAGE_NONE);
    assert_int_equal(use.claimed_count, meta->last_page + 1);
    mdb_txn_abort(txn);
    page_use_deinit(&use);
    close_reader(&reader);
}

#define A_TEST(name)                                                                               \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(page_walk_reads_what_lmdb_wrote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
