/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/disk.h"

#include "tests/sim/tally.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

/* Writes that are not flushed yet. */
#define DISK_UNFLUSHED_MAX 4096

struct unflushed {
    uint64_t offset;
    size_t size_bytes;
    uint8_t *before;
    uint8_t *after;
};

static struct {
    char path[128];
    enum disk_failure failure;
    unsigned failure_in;
    unsigned death_in;
    bool is_death_behind;
    bool is_dead;
    const char *death_place;
    uint64_t limit_bytes; /* where the file must end; UINT64_MAX: nowhere */
    void (*on_flush)(void *context);
    void *on_flush_context;
    bool is_flushing; /* on_flush runs */
    bool (*is_forbidden)(void *context);
    void *is_forbidden_context;
    bool is_broken; /* a write failed, and the file was not opened anew since */
    bool is_meta_failed;
    bool has_odd_meta;
    unsigned forbidden_count;
    struct unflushed unflushed[DISK_UNFLUSHED_MAX];
    size_t unflushed_count;
    uint64_t flushed_bytes; /* the file's size when it was last flushed */
} disk = {.limit_bytes = UINT64_MAX};

/* Under these names LMDB and the spool find our functions before the C library's. */
#define IN_PLACE_OF(name) __asm__(name) __attribute__((visibility("default")))

ssize_t replaced_pwrite(int fd, const void *bytes, size_t size, off_t offset) IN_PLACE_OF("pwrite");
ssize_t replaced_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
    IN_PLACE_OF("pwrite64");
ssize_t replaced_writev(int fd, const struct iovec *parts, int count) IN_PLACE_OF("writev");
ssize_t replaced_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
    IN_PLACE_OF("pwritev");
int replaced_open(const char *path, int flags, mode_t mode) IN_PLACE_OF("open");
int replaced_open64(const char *path, int flags, mode_t mode) IN_PLACE_OF("open64");
int replaced_fdatasync(int fd) IN_PLACE_OF("fdatasync");
int replaced_fallocate(int fd, int mode, off_t offset, off_t length) IN_PLACE_OF("fallocate");
int replaced_ftruncate(int fd, off_t size) IN_PLACE_OF("ftruncate");
int replaced_fstatvfs(int fd, struct statvfs *status) IN_PLACE_OF("fstatvfs");

static void *next_of(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    assert(function != NULL);
    return function;
}

#define CALL_NEXT(name, type, ...) (((type)next_of(name))(__VA_ARGS__))
#define NEXT_PWRITE(...)                                                                           \
    CALL_NEXT("pwrite", ssize_t (*)(int, const void *, size_t, off_t), __VA_ARGS__)

static bool disk_is_data(int fd)
{
    struct stat mine;
    struct stat wanted;
    return disk.path[0] != '\0' && fstat(fd, &mine) == 0 && stat(disk.path, &wanted) == 0 &&
           mine.st_ino == wanted.st_ino && mine.st_dev == wanted.st_dev;
}

/* LMDB opens the file by its path. Without O_CREAT nobody looks at the mode. */
int replaced_open(const char *path, int flags, mode_t mode)
{
    if (disk.path[0] != '\0' && strcmp(path, disk.path) == 0) {
        disk.is_broken = false;
    }
    return openat(AT_FDCWD, path, flags, mode);
}

int replaced_open64(const char *path, int flags, mode_t mode)
{
    return replaced_open(path, flags, mode);
}

/* --- Faults ----------------------------------------------------------------------------------- */

static void disk_kill(const char *place)
{
    if (!disk.is_dead) {
        disk.is_dead = true;
        disk.death_place = place;
        tally("crash", place);
    }
}

/* An access begins: what becomes of it. */
static enum disk_failure disk_begin(const char *place)
{
    if (disk.is_dead) {
        return DISK_FAILS_IO;
    }
    if (disk.death_in == 1 && !disk.is_death_behind) {
        disk_kill(place);
        return DISK_FAILS_IO;
    }
    if (disk.failure_in > 0 && --disk.failure_in == 0) {
        static const char *const names[] = {"none", "input/output error", "no space", "short"};
        tally("write failure", names[disk.failure]);
        disk.is_broken = disk.failure != DISK_FAILS_SPACE && disk.limit_bytes == UINT64_MAX;
        return disk.failure;
    }
    return DISK_FAILS_NOT;
}

/* ... and ends. */
static void disk_end(const char *place)
{
    if (disk.death_in > 0 && --disk.death_in == 0 && disk.is_death_behind) {
        disk_kill(place);
    }
}

/* In place of the one in the spool: its named points are places to die, too. */
void point_hit(const char *name);

void point_hit(const char *name)
{
    if (disk.is_dead || disk.death_in == 0) {
        return;
    }
    if (--disk.death_in == 0) {
        disk_kill(name);
    }
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void disk_remember(int fd, const uint8_t *bytes, size_t size, uint64_t offset)
{
    assert(disk.unflushed_count < DISK_UNFLUSHED_MAX);
    struct unflushed *entry = &disk.unflushed[disk.unflushed_count++];
    *entry = (struct unflushed){
        .offset = offset,
        .size_bytes = size,
        .before = calloc(1, size + 1),
        .after = malloc(size + 1),
    };
    assert(entry->before != NULL && entry->after != NULL);
    (void)!pread(fd, entry->before, size, (off_t)offset);
    memcpy(entry->after, bytes, size);
}

static void disk_forget_unflushed(void)
{
    while (disk.unflushed_count > 0) {
        struct unflushed *entry = &disk.unflushed[--disk.unflushed_count];
        free(entry->before);
        free(entry->after);
    }
}

static ssize_t disk_refuse(int error)
{
    errno = error;
    return -1;
}

static void disk_note_meta(bool is_meta, enum disk_failure failure)
{
    if (is_meta && !disk.is_dead) {
        disk.has_odd_meta = disk.is_meta_failed;
        disk.is_meta_failed = failure != DISK_FAILS_NOT;
    }
}

static ssize_t disk_write(int fd, const uint8_t *bytes, size_t size, uint64_t offset)
{
    bool is_meta = size < 4096;
    const char *place = is_meta ? "meta page" : "data pages";
    /* LMDB itself puts back a meta page that could not be written. */
    bool is_late = disk.is_broken && !is_meta;
    enum disk_failure failure = disk_begin(place);
    disk_note_meta(is_meta, failure);
    /* A meta page is smaller than a sector: it is written or it is not. */
    if (failure == DISK_FAILS_IO || (failure == DISK_FAILS_SHORT && is_meta)) {
        return disk_refuse(EIO);
    }
    if (failure == DISK_FAILS_SPACE || offset + size > disk.limit_bytes) {
        return disk_refuse(ENOSPC);
    }
    if (is_late || (disk.is_forbidden != NULL && disk.is_forbidden(disk.is_forbidden_context))) {
        disk.forbidden_count++;
    }
    if (failure == DISK_FAILS_SHORT) {
        size /= 2;
    }
    int flags = fcntl(fd, F_GETFL);
    if ((flags & O_DSYNC) == 0) {
        disk_remember(fd, bytes, size, offset);
    }
    ssize_t written = NEXT_PWRITE(fd, bytes, size, (off_t)offset);
    assert(written == (ssize_t)size);
    disk_end(place);
    return written;
}

ssize_t replaced_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return disk_is_data(fd) ? disk_write(fd, bytes, size, (uint64_t)offset)
                            : NEXT_PWRITE(fd, bytes, size, offset);
}

ssize_t replaced_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    return replaced_pwrite(fd, bytes, size, offset);
}

ssize_t replaced_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (!disk_is_data(fd)) {
        return CALL_NEXT("pwritev", ssize_t(*)(int, const struct iovec *, int, off_t), fd, parts,
                         count, offset);
    }
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size += parts[i].iov_len;
    }
    uint8_t *bytes = malloc(size + 1);
    assert(bytes != NULL);
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    ssize_t written = disk_write(fd, bytes, size, (uint64_t)offset);
    free(bytes);
    return written;
}

ssize_t replaced_writev(int fd, const struct iovec *parts, int count)
{
    if (!disk_is_data(fd)) {
        return CALL_NEXT("writev", ssize_t(*)(int, const struct iovec *, int), fd, parts, count);
    }
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t written = replaced_pwritev(fd, parts, count, offset);
    if (written > 0) {
        (void)lseek(fd, offset + written, SEEK_SET);
    }
    return written;
}

int replaced_fdatasync(int fd)
{
    if (!disk_is_data(fd)) {
        return CALL_NEXT("fdatasync", int (*)(int), fd);
    }
    if (disk.on_flush != NULL && !disk.is_flushing && !disk.is_dead) {
        disk.is_flushing = true;
        disk.on_flush(disk.on_flush_context);
        disk.is_flushing = false;
    }
    enum disk_failure failure = disk_begin("flush");
    if (failure != DISK_FAILS_NOT) {
        return (int)disk_refuse(failure == DISK_FAILS_SPACE ? ENOSPC : EIO);
    }
    struct stat status;
    disk_forget_unflushed();
    if (fstat(fd, &status) == 0) {
        disk.flushed_bytes = (uint64_t)status.st_size;
    }
    disk_end("flush");
    return 0;
}

/* --- Room ------------------------------------------------------------------------------------- */

int replaced_fallocate(int fd, int mode, off_t offset, off_t length)
{
    if (disk_is_data(fd)) {
        if (disk.is_dead) {
            return (int)disk_refuse(EIO);
        }
        if ((uint64_t)(offset + length) > disk.limit_bytes) {
            return (int)disk_refuse(ENOSPC);
        }
    }
    return CALL_NEXT("fallocate", int (*)(int, int, off_t, off_t), fd, mode, offset, length);
}

int replaced_ftruncate(int fd, off_t size)
{
    if (disk_is_data(fd) && disk.is_dead) {
        return (int)disk_refuse(EIO);
    }
    return CALL_NEXT("ftruncate", int (*)(int, off_t), fd, size);
}

static uint64_t disk_claimed(void)
{
    struct stat status;
    if (disk.path[0] == '\0' || stat(disk.path, &status) < 0) {
        return 0;
    }
    uint64_t blocks_bytes = (uint64_t)status.st_blocks * 512;
    uint64_t size_bytes = (uint64_t)status.st_size;
    return blocks_bytes > size_bytes ? blocks_bytes : size_bytes;
}

int replaced_fstatvfs(int fd, struct statvfs *status)
{
    int r = CALL_NEXT("fstatvfs", int (*)(int, struct statvfs *), fd, status);
    if (r == 0 && disk.limit_bytes != UINT64_MAX) {
        uint64_t claimed_bytes = disk_claimed();
        uint64_t free_bytes =
            disk.limit_bytes > claimed_bytes ? disk.limit_bytes - claimed_bytes : 0;
        status->f_bavail = free_bytes / status->f_frsize;
        status->f_bfree = status->f_bavail;
    }
    return r;
}

/* --- What the simulator does ------------------------------------------------------------------ */

void disk_watch(const char *dir)
{
    disk_forget_unflushed();
    memset(&disk, 0, sizeof(disk));
    disk.limit_bytes = UINT64_MAX;
    if (dir != NULL) {
        (void)snprintf(disk.path, sizeof(disk.path), "%s/data.mdb", dir);
    }
}

void disk_fail(enum disk_failure failure, unsigned at)
{
    disk.failure = failure;
    disk.failure_in = failure == DISK_FAILS_NOT ? 0 : at;
}

void disk_die(unsigned at, bool is_behind)
{
    disk.death_in = at;
    disk.is_death_behind = is_behind;
}

bool disk_has_failed(void)
{
    return disk.failure != DISK_FAILS_NOT && disk.failure_in == 0;
}

bool disk_is_dead(void)
{
    return disk.is_dead;
}

const char *disk_death_place(void)
{
    return disk.death_place;
}

void disk_revive(void)
{
    disk.is_dead = false;
    disk.death_place = NULL;
    disk.death_in = 0;
    disk.failure_in = 0;
    disk.on_flush = NULL;
}

void disk_lose_power(struct dice *dice)
{
    int fd = open(disk.path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    for (size_t i = disk.unflushed_count; i-- > 0;) {
        const struct unflushed *entry = &disk.unflushed[i];
        (void)!NEXT_PWRITE(fd, entry->before, entry->size_bytes, (off_t)entry->offset);
    }
    uint64_t end = disk.flushed_bytes;
    for (size_t i = 0; i < disk.unflushed_count; i++) {
        const struct unflushed *entry = &disk.unflushed[i];
        if (dice_once_in(dice, 2)) {
            (void)!NEXT_PWRITE(fd, entry->after, entry->size_bytes, (off_t)entry->offset);
            end = entry->offset + entry->size_bytes > end ? entry->offset + entry->size_bytes : end;
        }
    }
    struct stat status;
    if (fstat(fd, &status) == 0 && (uint64_t)status.st_size > end) {
        (void)!ftruncate(fd, (off_t)end);
    }
    close(fd);
    disk_forget_unflushed();
}

void disk_set_free(uint64_t bytes)
{
    disk.limit_bytes = bytes == UINT64_MAX ? UINT64_MAX : disk_claimed() + bytes;
}

bool disk_is_full(void)
{
    return disk.limit_bytes != UINT64_MAX;
}

bool disk_has_odd_meta(void)
{
    return disk.has_odd_meta;
}

void disk_on_flush(void (*on_flush)(void *context), void *context)
{
    disk.on_flush = on_flush;
    disk.on_flush_context = context;
}

void disk_on_write(bool (*is_forbidden)(void *context), void *context)
{
    disk.is_forbidden = is_forbidden;
    disk.is_forbidden_context = context;
}

unsigned disk_forbidden_count(void)
{
    return disk.forbidden_count;
}
