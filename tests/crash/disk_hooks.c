/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls that change files, in place of the C library's: what they do below the watched folder
 * is recorded (disk_record.h) and can be made to fail (disk_fault.h). To be preloaded, or linked
 * into a program. LMDB writes by calls alone, but to lock.mdb; streams (FILE) write without them,
 * so a file that nobody was seen to write is recorded as a whole when it is flushed.
 */
#include "tests/crash/disk_fault.h"
#include "tests/crash/disk_record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define IN_PLACE_OF(name) __asm__(name) __attribute__((visibility("default")))
#define ALSO(name, of) IN_PLACE_OF(name) __attribute__((alias(of)))

#define SEEN_MAX 64
#define WHOLE_BYTES_MAX (16U << 20)

/* --- Failing ---------------------------------------------------------------------------------- */

/* Whether the call is to fail; errno is set then. */
static bool fails(enum disk_call call)
{
    int error = 0;
    if (!disk_fault_hits(call, &error) || error == 0) {
        return false;
    }
    errno = error;
    return true;
}

/* --- Names ------------------------------------------------------------------------------------ */

static void record_name(uint32_t kind, uint64_t file, const struct disk_place *place)
{
    struct disk_event event = {.kind = kind, .file = file, .folder = place->folder};
    memcpy(event.name, place->name, sizeof(event.name));
    disk_record(event, NULL);
}

static int open_watched(int dir_fd, const char *path, int flags, mode_t mode,
                        const struct disk_place *place)
{
    if (disk_is_without("dsync")) {
        flags &= ~O_SYNC & ~O_DSYNC;
    }
    disk_lock();
    bool was_there = disk_inode_at(dir_fd, path) != 0;
    int fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    if (fd >= 0 && (flags & O_CREAT) != 0 && !was_there) {
        record_name(DISK_EVENT_CREATE, disk_inode(fd), place);
    } else if (fd >= 0 && (flags & O_TRUNC) != 0) {
        disk_record((struct disk_event){.kind = DISK_EVENT_SIZE, .file = disk_inode(fd)}, NULL);
    }
    disk_unlock();
    return fd;
}

int hook_openat(int dir_fd, const char *path, int flags, mode_t mode) IN_PLACE_OF("openat");
int hook_openat64(int dir_fd, const char *path, int flags, mode_t mode) ALSO("openat64", "openat");
int hook_open(const char *path, int flags, mode_t mode) IN_PLACE_OF("open");
int hook_open64(const char *path, int flags, mode_t mode) ALSO("open64", "open");

int hook_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    struct disk_place place;
    if (!disk_watches_name(dir_fd, path, &place)) {
        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    }
    return fails(DISK_CALL_OPEN) ? -1 : open_watched(dir_fd, path, flags, mode, &place);
}

int hook_open(const char *path, int flags, mode_t mode)
{
    return hook_openat(AT_FDCWD, path, flags, mode);
}

int hook_mkdirat(int dir_fd, const char *path, mode_t mode) IN_PLACE_OF("mkdirat");
int hook_mkdir(const char *path, mode_t mode) IN_PLACE_OF("mkdir");

int hook_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    struct disk_place place;
    if (!disk_watches_name(dir_fd, path, &place)) {
        return (int)syscall(SYS_mkdirat, dir_fd, path, mode);
    }
    if (fails(DISK_CALL_MKDIR)) {
        return -1;
    }
    disk_lock();
    int r = (int)syscall(SYS_mkdirat, dir_fd, path, mode);
    if (r == 0) {
        record_name(DISK_EVENT_FOLDER, disk_inode_at(dir_fd, path), &place);
    }
    disk_unlock();
    return r;
}

int hook_mkdir(const char *path, mode_t mode)
{
    return hook_mkdirat(AT_FDCWD, path, mode);
}

int hook_unlinkat(int dir_fd, const char *path, int flags) IN_PLACE_OF("unlinkat");
int hook_unlink(const char *path) IN_PLACE_OF("unlink");
int hook_rmdir(const char *path) IN_PLACE_OF("rmdir");

int hook_unlinkat(int dir_fd, const char *path, int flags)
{
    struct disk_place place;
    if (!disk_watches_name(dir_fd, path, &place)) {
        return (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    }
    if (fails(DISK_CALL_UNLINK)) {
        return -1;
    }
    disk_lock();
    uint64_t file = disk_inode_at(dir_fd, path);
    int r = (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    if (r == 0) {
        record_name(DISK_EVENT_REMOVE, file, &place);
    }
    disk_unlock();
    return r;
}

int hook_unlink(const char *path)
{
    return hook_unlinkat(AT_FDCWD, path, 0);
}

int hook_rmdir(const char *path)
{
    return hook_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int hook_renameat(int dir_fd, const char *path, int to_fd, const char *to) IN_PLACE_OF("renameat");
int hook_rename(const char *path, const char *to) IN_PLACE_OF("rename");

int hook_renameat(int dir_fd, const char *path, int to_fd, const char *to)
{
    struct disk_place place;
    struct disk_place to_place;
    if (!disk_watches_name(dir_fd, path, &place) || !disk_watches_name(to_fd, to, &to_place)) {
        return (int)syscall(SYS_renameat2, dir_fd, path, to_fd, to, 0);
    }
    if (fails(DISK_CALL_RENAME)) {
        return -1;
    }
    disk_lock();
    struct disk_event event = {.kind = DISK_EVENT_RENAME,
                               .file = disk_inode_at(dir_fd, path),
                               .folder = place.folder,
                               .to_folder = to_place.folder};
    memcpy(event.name, place.name, sizeof(event.name));
    memcpy(event.to_name, to_place.name, sizeof(event.to_name));
    int r = (int)syscall(SYS_renameat2, dir_fd, path, to_fd, to, 0);
    if (r == 0) {
        disk_record(event, NULL);
    }
    disk_unlock();
    return r;
}

int hook_rename(const char *path, const char *to)
{
    return hook_renameat(AT_FDCWD, path, AT_FDCWD, to);
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static uint64_t seen[SEEN_MAX];
static size_t seen_count;

static bool was_seen(uint64_t file)
{
    for (size_t i = 0; i < seen_count; i++) {
        if (seen[i] == file) {
            return true;
        }
    }
    return false;
}

static void record_bytes(int fd, uint64_t at, const void *bytes, size_t size_bytes)
{
    int flags = fcntl(fd, F_GETFL);
    struct disk_event event = {
        .kind = DISK_EVENT_WRITE,
        .file = disk_inode(fd),
        .is_synced = flags >= 0 && (flags & O_DSYNC) != 0,
        .at = at,
        .size_bytes = size_bytes,
    };
    if (!was_seen(event.file) && seen_count < SEEN_MAX) {
        seen[seen_count++] = event.file;
    }
    disk_record(event, bytes);
}

/* Where write() and writev() write. */
static off_t place_of(int fd)
{
    struct stat status;
    if ((fcntl(fd, F_GETFL) & O_APPEND) != 0 && fstat(fd, &status) == 0) {
        return status.st_size;
    }
    return lseek(fd, 0, SEEK_CUR);
}

/* at < 0: where the file's position is. */
static ssize_t write_watched(int fd, const struct iovec *parts, int count, off_t at)
{
    int error = 0;
    size_t size_bytes = 0;
    for (int i = 0; i < count; i++) {
        size_bytes += parts[i].iov_len;
    }
    if (disk_fault_hits(DISK_CALL_WRITE, &error)) {
        if (error != 0 || size_bytes < 2) {
            errno = error != 0 ? error : ENOSPC;
            return -1;
        }
        size_bytes /= 2;
    }
    uint8_t *bytes = malloc(size_bytes + 1);
    size_t copied = 0;
    for (int i = 0; bytes != NULL && i < count && copied < size_bytes; i++) {
        size_t part =
            size_bytes - copied < parts[i].iov_len ? size_bytes - copied : parts[i].iov_len;
        memcpy(bytes + copied, parts[i].iov_base, part);
        copied += part;
    }
    if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0) {
        disk_fault_wait();
    }
    disk_lock();
    off_t place = at < 0 ? place_of(fd) : at;
    ssize_t r = at < 0 ? syscall(SYS_write, fd, bytes, copied)
                       : syscall(SYS_pwrite64, fd, bytes, copied, at);
    if (r > 0) {
        record_bytes(fd, (uint64_t)place, bytes, (size_t)r);
    }
    disk_unlock();
    free(bytes);
    return r;
}

ssize_t hook_write(int fd, const void *bytes, size_t size) IN_PLACE_OF("write");
ssize_t hook_pwrite(int fd, const void *bytes, size_t size, off_t at) IN_PLACE_OF("pwrite");
ssize_t hook_pwrite64(int fd, const void *bytes, size_t size, off_t at) ALSO("pwrite64", "pwrite");
ssize_t hook_writev(int fd, const struct iovec *parts, int count) IN_PLACE_OF("writev");
ssize_t hook_pwritev(int fd, const struct iovec *parts, int count, off_t at) IN_PLACE_OF("pwritev");
ssize_t hook_pwritev64(int fd, const struct iovec *parts, int count, off_t at)
    ALSO("pwritev64", "pwritev");

ssize_t hook_write(int fd, const void *bytes, size_t size)
{
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    return disk_watches(fd) ? write_watched(fd, &part, 1, -1) : syscall(SYS_write, fd, bytes, size);
}

ssize_t hook_pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    return disk_watches(fd) ? write_watched(fd, &part, 1, at)
                            : syscall(SYS_pwrite64, fd, bytes, size, at);
}

ssize_t hook_writev(int fd, const struct iovec *parts, int count)
{
    return disk_watches(fd) ? write_watched(fd, parts, count, -1)
                            : syscall(SYS_writev, fd, parts, count);
}

ssize_t hook_pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return disk_watches(fd) ? write_watched(fd, parts, count, at)
                            : syscall(SYS_pwritev, fd, parts, count, at, 0);
}

ssize_t hook_read(int fd, void *bytes, size_t size) IN_PLACE_OF("read");
ssize_t hook_pread(int fd, void *bytes, size_t size, off_t at) IN_PLACE_OF("pread");
ssize_t hook_pread64(int fd, void *bytes, size_t size, off_t at) ALSO("pread64", "pread");

static bool read_fails(int fd, size_t size)
{
    if (!disk_watches(fd)) {
        return false;
    }
    disk_fault_stop(size);
    return fails(DISK_CALL_READ);
}

ssize_t hook_read(int fd, void *bytes, size_t size)
{
    return read_fails(fd, size) ? -1 : syscall(SYS_read, fd, bytes, size);
}

ssize_t hook_pread(int fd, void *bytes, size_t size, off_t at)
{
    return read_fails(fd, size) ? -1 : syscall(SYS_pread64, fd, bytes, size, at);
}

/* --- Sizes ------------------------------------------------------------------------------------ */

static void record_size(uint32_t kind, int fd, off_t size)
{
    struct disk_event event = {.kind = kind, .file = disk_inode(fd), .at = (uint64_t)size};
    disk_record(event, NULL);
}

int hook_ftruncate(int fd, off_t size) IN_PLACE_OF("ftruncate");
int hook_ftruncate64(int fd, off_t size) ALSO("ftruncate64", "ftruncate");

int hook_ftruncate(int fd, off_t size)
{
    if (!disk_watches(fd)) {
        return (int)syscall(SYS_ftruncate, fd, size);
    }
    if (fails(DISK_CALL_SIZE)) {
        return -1;
    }
    disk_lock();
    int r = (int)syscall(SYS_ftruncate, fd, size);
    if (r == 0) {
        record_size(DISK_EVENT_SIZE, fd, size);
    }
    disk_unlock();
    return r;
}

int hook_fallocate(int fd, int mode, off_t at, off_t size) IN_PLACE_OF("fallocate");
int hook_fallocate64(int fd, int mode, off_t at, off_t size) ALSO("fallocate64", "fallocate");
int hook_posix_fallocate(int fd, off_t at, off_t size) IN_PLACE_OF("posix_fallocate");
int hook_posix_fallocate64(int fd, off_t at, off_t size)
    ALSO("posix_fallocate64", "posix_fallocate");

int hook_fallocate(int fd, int mode, off_t at, off_t size)
{
    if (!disk_watches(fd)) {
        return (int)syscall(SYS_fallocate, fd, mode, at, size);
    }
    if (fails(DISK_CALL_CLAIM)) {
        return -1;
    }
    disk_lock();
    int r = (int)syscall(SYS_fallocate, fd, mode, at, size);
    if (r == 0) {
        bool keeps = (mode & FALLOC_FL_KEEP_SIZE) != 0;
        record_size(keeps ? DISK_EVENT_CLAIM : DISK_EVENT_EXTEND, fd, at + size);
    }
    disk_unlock();
    return r;
}

int hook_posix_fallocate(int fd, off_t at, off_t size)
{
    int error = errno;
    int r = hook_fallocate(fd, 0, at, size) == 0 ? 0 : errno;
    errno = error;
    return r;
}

/* --- Flushes ---------------------------------------------------------------------------------- */

/* A file that was written through a stream. */
static void record_whole(int fd, uint64_t file)
{
    struct stat status;
    if (was_seen(file) || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        status.st_size == 0 || status.st_size > WHOLE_BYTES_MAX) {
        return;
    }
    uint8_t *bytes = malloc((size_t)status.st_size);
    if (bytes != NULL && syscall(SYS_pread64, fd, bytes, status.st_size, 0) == status.st_size) {
        struct disk_event event = {
            .kind = DISK_EVENT_WRITE, .file = file, .size_bytes = (uint64_t)status.st_size};
        disk_record(event, bytes);
    }
    free(bytes);
}

static bool is_skipped(int fd)
{
    struct stat status;
    return disk_is_without("flush") && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

static int flush(int fd, long call)
{
    if (!disk_watches(fd)) {
        return (int)syscall(call, fd);
    }
    if (fails(DISK_CALL_FLUSH)) {
        return -1;
    }
    if (is_skipped(fd)) {
        return 0;
    }
    disk_fault_wait();
    disk_lock();
    record_whole(fd, disk_inode(fd));
    int r = (int)syscall(call, fd);
    if (r == 0) {
        record_size(DISK_EVENT_FLUSH, fd, 0);
    }
    disk_unlock();
    return r;
}

int hook_fsync(int fd) IN_PLACE_OF("fsync");
int hook_fdatasync(int fd) IN_PLACE_OF("fdatasync");

int hook_fsync(int fd)
{
    return flush(fd, SYS_fsync);
}

int hook_fdatasync(int fd)
{
    return flush(fd, SYS_fdatasync);
}

void *hook_mmap(void *place, size_t size, int rights, int flags, int fd, off_t at)
    IN_PLACE_OF("mmap");
void *hook_mmap64(void *place, size_t size, int rights, int flags, int fd, off_t at)
    ALSO("mmap64", "mmap");

void *hook_mmap(void *place, size_t size, int rights, int flags, int fd, off_t at)
{
    if (disk_watches(fd) && fails(DISK_CALL_MAP)) {
        return MAP_FAILED;
    }
    /* The system call gives an address as a number. */
    uintptr_t address = (uintptr_t)syscall(SYS_mmap, place, size, rights, flags, fd, at);
    return (void *)address;
}
