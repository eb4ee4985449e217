/* SPDX-License-Identifier: GPL-2.0-or-later */
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
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A namespace of mounts that nobody else sees; once for the process. */
static bool small_disk_unshare(void)
{
    static bool is_unshared;
    if (!is_unshared) {
        is_unshared =
            unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    }
    return is_unshared;
}

/* Runs a program; whether it succeeded. */
static bool small_disk_run(const char *const arguments[])
{
    pid_t child;
    int status;
    /* posix_spawnp() does not write to its arguments. */
    char *const *borrowed = (char *const *)(uintptr_t)arguments;
    return posix_spawnp(&child, arguments[0], NULL, NULL, borrowed, environ) == 0 &&
           waitpid(child, &status, 0) == child && status == 0;
}

static bool small_disk_mount_ext4(struct small_disk *disk)
{
    (void)snprintf(disk->image, sizeof(disk->image), "%s.image", disk->folder);
    int fd = open(disk->image, O_RDWR | O_CREAT, 0600);
    bool has_size = fd >= 0 && ftruncate(fd, SMALL_DISK_BYTES) == 0;
    spool_close_fd(&fd);
    const char *make[] = {"mkfs.ext4", "-q", "-m", "0", "-F", disk->image, NULL};
    const char *mount_it[] = {"mount", "-o", "loop", disk->image, disk->folder, NULL};
    return has_size && small_disk_run(make) && small_disk_run(mount_it);
}

bool small_disk_mount(struct small_disk *disk, enum small_disk_kind kind)
{
    *disk = (struct small_disk){.folder = "/tmp/small_disk.XXXXXX"};
    assert_non_null(mkdtemp(disk->folder));
    bool is_mounted = false;
    if (small_disk_unshare()) {
        char options[64];
        (void)snprintf(options, sizeof(options), "size=%llu", SMALL_DISK_BYTES);
        is_mounted = kind == SMALL_DISK_TMPFS
                         ? mount("tmpfs", disk->folder, "tmpfs", 0, options) == 0
                         : small_disk_mount_ext4(disk);
    }
    if (!is_mounted) {
        print_message("SKIPPED: cannot mount %s here: %s\n",
                      kind == SMALL_DISK_TMPFS ? "a tmpfs" : "an ext4 on a loop device",
                      strerror(errno));
        if (disk->image[0] != '\0') {
            (void)unlink(disk->image);
        }
        (void)rmdir(disk->folder);
    }
    return is_mounted;
}

void small_disk_unmount(struct small_disk *disk)
{
    assert_int_equal(umount(disk->folder), 0);
    assert_int_equal(rmdir(disk->folder), 0);
    if (disk->image[0] != '\0') {
        assert_int_equal(unlink(disk->image), 0);
    }
}

static int small_disk_open_filler(const struct small_disk *disk)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/filler", disk->folder);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    return fd;
}

void small_disk_fill(const struct small_disk *disk)
{
    static const char bytes[65536] = {1};
    int fd = small_disk_open_filler(disk);
    /* What is written late may still be counted as taken: so again, until it stays full. */
    for (int i = 0; i < 3; i++) {
        for (size_t size = sizeof(bytes); size > 0; size /= 2) {
            while (write(fd, bytes, size) > 0) {
            }
        }
        (void)fsync(fd);
    }
    assert_int_equal(write(fd, bytes, 1), -1);
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

void small_disk_free(const struct small_disk *disk, uint64_t bytes)
{
    int fd = small_disk_open_filler(disk);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    uint64_t size = (uint64_t)status.st_size;
    assert_int_equal(ftruncate(fd, (off_t)(size > bytes ? size - bytes : 0)), 0);
    (void)fsync(fd);
    close(fd);
    sync();
}
