/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/owner_lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

struct folder {
    char path[64];
    int fd;
};

static int set_up(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    assert_non_null(folder);
    (void)snprintf(folder->path, sizeof(folder->path), "/tmp/owner_lock_test.XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY);
    assert_true(folder->fd >= 0);
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    struct folder *folder = *state;
    (void)unlinkat(folder->fd, OWNER_LOCK_FILE, 0);
    close(folder->fd);
    assert_int_equal(rmdir(folder->path), 0);
    free(folder);
    return 0;
}

static void owner_lock_take_is_exclusive_and_says_who_has_it(void **state)
{
    struct folder *folder = *state;
    char owner[OWNER_TEXT_BYTES] = "untouched";
    uint32_t crashes_count;
    char expected[OWNER_TEXT_BYTES];
    int fd = -1;
    int second = -1;
    assert_int_equal(owner_lock_take(folder->fd, "first", owner, &fd, &crashes_count), 0);
    assert_int_equal(owner_lock_take(folder->fd, "second", owner, &second, &crashes_count),
                     OWNER_LOCK_E_OWNED);
    assert_int_equal(second, -1);
    (void)snprintf(expected, sizeof(expected), "first, pid %ld", (long)getpid());
    assert_string_equal(owner, expected);
    close(fd);
    assert_int_equal(owner_lock_take(folder->fd, "second", owner, &second, &crashes_count), 0);
    close(second);
}

static void owner_lock_take_is_not_inherited_by_other_programs(void **state)
{
    struct folder *folder = *state;
    char owner[OWNER_TEXT_BYTES];
    uint32_t crashes_count;
    int fd = -1;
    assert_int_equal(owner_lock_take(folder->fd, "first", owner, &fd, &crashes_count), 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
}

static void owner_lock_take_replaces_a_longer_text(void **state)
{
    struct folder *folder = *state;
    char owner[OWNER_TEXT_BYTES];
    uint32_t crashes_count;
    char name[300];
    int fd = -1;
    int second = -1;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(owner_lock_take(folder->fd, name, owner, &fd, &crashes_count), 0);
    close(fd);
    assert_int_equal(owner_lock_take(folder->fd, "short", owner, &fd, &crashes_count), 0);
    assert_int_equal(owner_lock_take(folder->fd, "other", owner, &second, &crashes_count),
                     OWNER_LOCK_E_OWNED);
    assert_int_equal(strncmp(owner, "short, pid ", 11), 0);
    close(fd);
}

static void owner_lock_take_follows_no_link(void **state)
{
    struct folder *folder = *state;
    char owner[OWNER_TEXT_BYTES];
    uint32_t crashes_count;
    int fd = -1;
    assert_int_equal(symlinkat("/dev/null", folder->fd, OWNER_LOCK_FILE), 0);
    assert_true(owner_lock_take(folder->fd, "first", owner, &fd, &crashes_count) < 0);
    assert_int_equal(fd, -1);
}

/* The probe sees the lock, and neither takes nor disturbs it. */
static void owner_lock_probe_asks_only(void **state)
{
    struct folder *folder = *state;
    char owner[OWNER_TEXT_BYTES];
    uint32_t crashes_count;
    int fd = -1;
    assert_int_equal(owner_lock_probe(folder->fd, owner), 0);
    assert_true(faccessat(folder->fd, OWNER_LOCK_FILE, F_OK, 0) < 0);
    assert_int_equal(owner_lock_take(folder->fd, "first", owner, &fd, &crashes_count), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(owner_lock_probe(folder->fd, owner), OWNER_LOCK_E_OWNED);
        assert_int_equal(strncmp(owner, "first, pid ", 11), 0);
    }
    close(fd);
    assert_int_equal(owner_lock_probe(folder->fd, owner), 0);
    assert_int_equal(owner_lock_take(folder->fd, "second", owner, &fd, &crashes_count), 0);
    close(fd);
}

/* Closing without a word is what a crash looks like. */
static void owner_lock_take_counts_the_crashes_before_it(void **state)
{
    struct folder *folder = *state;
    char owner[OWNER_TEXT_BYTES];
    uint32_t crashes_count;
    int fd = -1;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(owner_lock_take(folder->fd, "first", owner, &fd, &crashes_count), 0);
        assert_int_equal(crashes_count, i);
        close(fd);
    }
    assert_int_equal(owner_lock_take(folder->fd, "first", owner, &fd, &crashes_count), 0);
    owner_lock_absolve(fd, "first");
    close(fd);
    assert_int_equal(owner_lock_take(folder->fd, "first", owner, &fd, &crashes_count), 0);
    assert_int_equal(crashes_count, 1);
    owner_lock_end(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(owner_lock_take(folder->fd, "first", owner, &fd, &crashes_count), 0);
    assert_int_equal(crashes_count, 0);
    owner_lock_end(&fd);
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(owner_lock_take_is_exclusive_and_says_who_has_it),
        A_TEST(owner_lock_take_is_not_inherited_by_other_programs),
        A_TEST(owner_lock_take_counts_the_crashes_before_it),
        A_TEST(owner_lock_take_replaces_a_longer_text),
        A_TEST(owner_lock_take_follows_no_link),
        A_TEST(owner_lock_probe_asks_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
