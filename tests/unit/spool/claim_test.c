/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/claim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/small_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define MIB (1ULL << 20)

static int open_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    return fd;
}

static uint64_t disk_bytes(int dir_fd, const char *file)
{
    struct stat status;
    assert_int_equal(fstatat(dir_fd, file, &status, 0), 0);
    return (uint64_t)status.st_blocks * 512;
}

/* On the file system that /tmp is on. */
static void claim_up_to_takes_disk_and_leaves_the_size(void **state)
{
    (void)state;
    char folder[] = "/tmp/claim_test.XXXXXX";
    struct claim claim = {.fd = -1};
    struct stat status;
    assert_non_null(mkdtemp(folder));
    int dir_fd = open_folder(folder);
    assert_int_equal(claim_open(&claim, dir_fd, "data", 40 * MIB), 0);
    assert_int_equal(claim_up_to(&claim, MIB), 0);
    assert_true(claim.claimed_bytes >= MIB);
    assert_true(disk_bytes(dir_fd, "data") >= claim.claimed_bytes);
    assert_int_equal(fstat(claim.fd, &status), 0);
    assert_int_equal(status.st_size, 0);
    assert_int_equal(claim_up_to(&claim, 1000 * MIB), 0);
    assert_int_equal(claim.claimed_bytes, 40 * MIB);
    claim_close(&claim);
    assert_int_equal(claim.fd, -1);

    /* What was claimed before is known again. */
    assert_int_equal(claim_open(&claim, dir_fd, "data", 40 * MIB), 0);
    assert_true(claim.claimed_bytes >= 40 * MIB);
    claim_close(&claim);
    assert_int_equal(unlinkat(dir_fd, "data", 0), 0);
    close(dir_fd);
    assert_int_equal(rmdir(folder), 0);
}

static void claim_open_lets_a_file_above_its_limit_grow_a_little(void **state)
{
    (void)state;
    char folder[] = "/tmp/claim_test.XXXXXX";
    struct claim claim = {.fd = -1};
    assert_non_null(mkdtemp(folder));
    int dir_fd = open_folder(folder);
    int fd = openat(dir_fd, "data", O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 8 * MIB), 0);
    close(fd);
    assert_int_equal(claim_open(&claim, dir_fd, "data", 8 * MIB), 0);
    assert_int_equal(claim.limit_bytes, 8 * MIB);
    claim_close(&claim);
    assert_int_equal(claim_open(&claim, dir_fd, "data", 2 * MIB), 0);
    assert_true(claim.limit_bytes > 8 * MIB);
    claim_close(&claim);
    assert_int_equal(unlinkat(dir_fd, "data", 0), 0);
    close(dir_fd);
    assert_int_equal(rmdir(folder), 0);
}

static void check_full(enum small_disk_kind kind)
{
    struct small_disk disk;
    struct claim claim = {.fd = -1};
    static const char page[4096] = {7};
    struct statvfs status;
    if (!small_disk_mount(&disk, kind)) {
        skip();
    }
    int dir_fd = open_folder(disk.folder);
    assert_int_equal(claim_open(&claim, dir_fd, "data", 64 * MIB), 0);
    assert_int_equal(claim_up_to(&claim, MIB), 0);
    uint64_t claimed = claim.claimed_bytes;
    assert_int_equal(fstatvfs(dir_fd, &status), 0); /* the rest is for others */
    assert_true((uint64_t)status.f_bavail * status.f_frsize > SMALL_DISK_BYTES / 2);
    small_disk_fill(&disk);
    assert_int_equal(claim_up_to(&claim, claimed), 0);
    assert_int_equal(claim_up_to(&claim, 63 * MIB), CLAIM_E_DISK_FULL);
    assert_true(claim.is_disk_full);
    assert_true(claim.claimed_bytes >= claimed);
    /* Each claimed byte can be written on the full disk. */
    for (uint64_t at = 0; at + sizeof(page) <= claimed; at += sizeof(page)) {
        assert_int_equal(pwrite(claim.fd, page, sizeof(page), (off_t)at), sizeof(page));
    }
    assert_int_equal(fdatasync(claim.fd), 0);
    small_disk_free(&disk, 4 * MIB);
    assert_int_equal(claim_up_to(&claim, claim.claimed_bytes + 65536), 0);
    assert_false(claim.is_disk_full);
    claim_close(&claim);
    close(dir_fd);
    small_disk_unmount(&disk);
}

static void claim_up_to_holds_on_a_full_tmpfs(void **state)
{
    (void)state;
    check_full(SMALL_DISK_TMPFS);
}

static void claim_up_to_holds_on_a_full_ext4(void **state)
{
    (void)state;
    check_full(SMALL_DISK_EXT4);
}

static void claim_lock_file_makes_it_whole_or_says_that_the_disk_is_full(void **state)
{
    (void)state;
    struct small_disk disk;
    struct stat status;
    if (!small_disk_mount(&disk, SMALL_DISK_TMPFS)) {
        skip();
    }
    int dir_fd = open_folder(disk.folder);
    small_disk_fill(&disk);
    assert_int_equal(claim_lock_file(dir_fd, "lock"), CLAIM_E_DISK_FULL);
    small_disk_free(&disk, MIB);
    assert_int_equal(claim_lock_file(dir_fd, "lock"), 0);
    assert_int_equal(fstatat(dir_fd, "lock", &status, 0), 0);
    assert_true(status.st_size >= 8192);
    assert_true(status.st_blocks * 512 >= status.st_size);
    small_disk_fill(&disk);
    assert_int_equal(claim_lock_file(dir_fd, "lock"), 0);
    close(dir_fd);
    small_disk_unmount(&disk);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(claim_up_to_takes_disk_and_leaves_the_size),
        cmocka_unit_test(claim_open_lets_a_file_above_its_limit_grow_a_little),
        cmocka_unit_test(claim_up_to_holds_on_a_full_tmpfs),
        cmocka_unit_test(claim_up_to_holds_on_a_full_ext4),
        cmocka_unit_test(claim_lock_file_makes_it_whole_or_says_that_the_disk_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
