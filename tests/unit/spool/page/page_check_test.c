/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Damaged pages are found before LMDB reads them, once owners have crashed in a row. */
#include "spool/limits.h"
#include "spool/page/page_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 200U

static void fill(struct spool_fixture *fixture)
{
    spool_fixture_open(fixture);
    for (uint32_t i = 0; i < RECORDS; i++) {
        /* Some on overflow pages. */
        spool_fixture_append(fixture, 1 + i % 2, i % 10 == 0 ? 5000 : 200);
    }
    spool_fixture_close(fixture);
}

/* Owners that are gone without closing. */
static void crash(struct spool_fixture *fixture, int count)
{
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            _exit(spool_fixture_try_open(fixture));
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* A walk over a tree of the file itself. */
struct walk {
    int dir_fd;
    struct page_view view;
    struct page_walk walk;
};

/* name NULL: the free list. */
static void walk_begin(struct walk *walk, struct spool_fixture *fixture, const char *name)
{
    struct page_tree tree;
    walk->dir_fd = open(fixture->dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(
        page_view_open(&walk->view, walk->dir_fd, fixture->dir, true, &fixture->message), 0);
    assert_int_equal(page_view_begin(&walk->view, -1), 0);
    tree = walk->view.meta.free_list;
    if (name != NULL) {
        assert_int_equal(page_view_tree(&walk->view, name, &tree), 0);
    }
    page_walk_init(&walk->walk, &walk->view.file, &tree, walk->view.meta.last_page,
                   sizeof(uint64_t), 1);
}

static void walk_end(struct walk *walk)
{
    page_walk_deinit(&walk->walk);
    page_view_end(&walk->view);
    page_view_close(&walk->view);
    close(walk->dir_fd);
}

/* A leaf in the middle of a queue, from the file itself: opening looks at the ends alone. */
static uint64_t middle_page(struct spool_fixture *fixture)
{
    struct walk walk;
    struct page_entry entry;
    walk_begin(&walk, fixture, "queue.1");
    for (uint32_t i = 0; i < RECORDS / 4; i++) {
        assert_int_equal(page_walk_next(&walk.walk, &entry), 0);
    }
    walk_end(&walk);
    return entry.page;
}

static void write_at(struct spool_fixture *fixture, off_t at, const void *bytes, size_t size)
{
    int fd = open(spool_fixture_path(fixture, "data.mdb"), O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, at), size);
    close(fd);
}

/* Writes a number into the first list of free pages: which 0 is their count. */
static void change_free_list(struct spool_fixture *fixture, size_t which, uint64_t number)
{
    struct walk walk;
    struct page_entry entry;
    walk_begin(&walk, fixture, NULL);
    assert_int_equal(page_walk_next(&walk.walk, &entry), 0);
    assert_in_range(which, 0, entry.value.size_bytes / sizeof(number) - 1);
    off_t in_page = (const uint8_t *)entry.value.data - walk.walk.leaf;
    off_t at = (off_t)(entry.page * (uint64_t)sysconf(_SC_PAGESIZE)) + in_page;
    walk_end(&walk);
    write_at(fixture, at + (off_t)(which * sizeof(number)), &number, sizeof(number));
}

/* Its entries are where there are none: LMDB would read out of its map. */
static void damage(struct spool_fixture *fixture, uint64_t page)
{
    uint8_t junk[16];
    memset(junk, 0xee, sizeof(junk));
    off_t at = (off_t)(page * (uint64_t)sysconf(_SC_PAGESIZE)) + PAGE_HEAD_BYTES;
    write_at(fixture, at, junk, sizeof(junk));
}

static int check(struct spool_fixture *fixture)
{
    int dir_fd = open(fixture->dir, O_RDONLY | O_DIRECTORY);
    int r = page_check_state(dir_fd, fixture->dir, &fixture->message);
    close(dir_fd);
    return r;
}

static void page_check_state_finds_nothing_in_a_sound_spool(void **state)
{
    struct spool_fixture *fixture = *state;
    fill(fixture);
    assert_int_equal(check(fixture), 0);
}

static void page_check_state_finds_damage_and_says_where(void **state)
{
    struct spool_fixture *fixture = *state;
    fill(fixture);
    damage(fixture, middle_page(fixture));
    assert_int_equal(check(fixture), PAGE_CHECK_E_DAMAGED);
    assert_non_null(strstr(fixture->message.text, "queue.1"));
    assert_non_null(strstr(fixture->message.text, "data.mdb: damaged (page "));
}

static void page_check_state_finds_damage_of_the_free_list(void **state)
{
    static const struct {
        size_t which;
        uint64_t number;
        const char *what;
    } cases[] = {
        {0, 1000000, "another length than it says"},
        {1, 1000000, "not in the file"},
        {1, 1, "not in the file"},
    };
    struct spool_fixture *fixture = *state;
    fill(fixture);
    for (size_t i = 0; i < SPOOL_COUNT_OF(cases); i++) {
        change_free_list(fixture, cases[i].which, cases[i].number);
        assert_int_equal(check(fixture), PAGE_CHECK_E_DAMAGED);
        assert_non_null(strstr(fixture->message.text, cases[i].what));
        change_free_list(fixture, 0, 1);
    }
    /* LMDB would write over what is there. */
    change_free_list(fixture, 1, middle_page(fixture));
    assert_int_equal(check(fixture), PAGE_CHECK_E_DAMAGED);
}

/* LMDB leaves such ones. */
static void page_check_state_takes_an_empty_list_of_free_pages(void **state)
{
    struct spool_fixture *fixture = *state;
    fill(fixture);
    change_free_list(fixture, 0, 0);
    assert_int_equal(check(fixture), 0);
    spool_fixture_open(fixture);
    spool_fixture_check(fixture);
}

static void spool_open_keeps_a_sound_spool_however_often_owners_crash(void **state)
{
    struct spool_fixture *fixture = *state;
    fill(fixture);
    for (int i = 1; i < 5; i++) {
        crash(fixture, i);
        spool_fixture_open(fixture);
        assert_null(spool_set_aside_path(fixture->spool));
        spool_fixture_check(fixture);
        spool_fixture_close(fixture);
    }
}

static void spool_open_sets_aside_what_owners_may_have_died_of(void **state)
{
    struct spool_fixture *fixture = *state;
    fill(fixture);
    damage(fixture, middle_page(fixture));
    /* Opening reads no queue: the crashes come later, and are played here. */
    crash(fixture, SPOOL_CRASHES_MAX);
    spool_fixture_open(fixture);
    assert_non_null(spool_set_aside_path(fixture->spool));
    spool_fixture_append(fixture, 1, 100);
    spool_fixture_check(fixture);
}

/* An orderly end, and a look that found nothing, begin the count anew. */
static void spool_open_looks_only_after_crashes_in_a_row(void **state)
{
    struct spool_fixture *fixture = *state;
    fill(fixture);
    uint64_t page = middle_page(fixture);
    crash(fixture, SPOOL_CRASHES_MAX - 1);
    spool_fixture_open(fixture);
    spool_fixture_close(fixture);
    crash(fixture, SPOOL_CRASHES_MAX - 1);
    damage(fixture, page);
    assert_int_equal(spool_fixture_try_open(fixture), 0);
    assert_null(spool_set_aside_path(fixture->spool));
}

#define A_TEST(name)                                                                               \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up_closed, spool_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        A_TEST(page_check_state_finds_nothing_in_a_sound_spool),
        A_TEST(page_check_state_finds_damage_of_the_free_list),
        A_TEST(page_check_state_takes_an_empty_list_of_free_pages),
        A_TEST(page_check_state_finds_damage_and_says_where),
        A_TEST(spool_open_keeps_a_sound_spool_however_often_owners_crash),
        A_TEST(spool_open_sets_aside_what_owners_may_have_died_of),
        A_TEST(spool_open_looks_only_after_crashes_in_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
