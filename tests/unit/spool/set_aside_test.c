/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/set_aside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>

#define NOON_MS 1700049600000 /* 2023-11-15 12:00 UTC */

struct folder {
    char path[64];
    int fd;
};

static int set_up(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    assert_non_null(folder);
    (void)snprintf(folder->path, sizeof(folder->path), "/tmp/set_aside_test.XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY);
    assert_true(folder->fd >= 0);
    *state = folder;
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    struct folder *folder = *state;
    close(folder->fd);
    (void)nftw(folder->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(folder);
    return 0;
}

static void put_file(const struct folder *folder, const char *name, const char *text)
{
    int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void assert_file(const struct folder *folder, const char *name, const char *text)
{
    char bytes[64] = {0};
    int fd = openat(folder->fd, name, O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, bytes, sizeof(bytes) - 1) >= 0);
    close(fd);
    assert_string_equal(bytes, text);
}

static void assert_gone(const struct folder *folder, const char *name)
{
    assert_int_equal(faccessat(folder->fd, name, F_OK, 0), -1);
}

static void set_aside_moves_both_files_and_nothing_else(void **state)
{
    struct folder *folder = *state;
    char *name = NULL;
    put_file(folder, "data.mdb", "data");
    put_file(folder, "lock.mdb", "lock");
    put_file(folder, "owner.lock", "owner");
    assert_int_equal(set_aside(folder->fd, NOON_MS, &name), 0);
    assert_string_equal(name, "damaged-20231115T120000Z");
    free(name);
    assert_file(folder, "damaged-20231115T120000Z/data.mdb", "data");
    assert_file(folder, "damaged-20231115T120000Z/lock.mdb", "lock");
    assert_file(folder, "owner.lock", "owner");
    assert_gone(folder, "data.mdb");
    assert_gone(folder, "lock.mdb");
}

static void set_aside_finds_a_free_name(void **state)
{
    struct folder *folder = *state;
    char *name = NULL;
    put_file(folder, "data.mdb", "one");
    assert_int_equal(set_aside(folder->fd, NOON_MS, &name), 0);
    free(name);
    put_file(folder, "data.mdb", "two");
    assert_int_equal(set_aside(folder->fd, NOON_MS, &name), 0);
    assert_string_equal(name, "damaged-20231115T120000Z-1");
    free(name);
    assert_file(folder, "damaged-20231115T120000Z/data.mdb", "one");
    assert_file(folder, "damaged-20231115T120000Z-1/data.mdb", "two");
}

/* S8 */
static void set_aside_that_cannot_be_done_leaves_the_files(void **state)
{
    struct folder *folder = *state;
    char *name = NULL;
    put_file(folder, "data.mdb", "data");
    int read_only = open("/proc", O_RDONLY | O_DIRECTORY);
    assert_true(read_only >= 0);
    assert_true(set_aside(read_only, NOON_MS, &name) < 0);
    assert_null(name);
    close(read_only);
    assert_file(folder, "data.mdb", "data");
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(set_aside_moves_both_files_and_nothing_else),
        A_TEST(set_aside_finds_a_free_name),
        A_TEST(set_aside_that_cannot_be_done_leaves_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
