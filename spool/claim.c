/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/claim.h"

#include "spool/point.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* One claim ahead: large enough to be rare, and at most a share of what is free, so as not to take
 * a small disk by surprise. */
#define CLAIM_STEP_BYTES (16ULL << 20)
#define CLAIM_STEP_SHARE 4
/* Less than this is not worth a try. */
#define CLAIM_PART_BYTES_MIN (16ULL << 10)

/* LMDB 0.9 needs 8 KiB for its default of 126 readers; a page more does no harm. */
#define CLAIM_LOCK_FILE_BYTES 12288

static bool claim_is_disk_full_errno(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* Claims what is missing up to end_bytes. Not from the file's beginning: some file systems look at
 * every page that is already there. */
static int claim_fill(struct claim *claim, uint64_t end_bytes)
{
    int r;
    do {
        r = fallocate(claim->fd, FALLOC_FL_KEEP_SIZE, (off_t)claim->filled_bytes,
                      (off_t)(end_bytes - claim->filled_bytes));
    } while (r < 0 && errno == EINTR);
    if (r < 0) {
        return -errno;
    }
    claim->filled_bytes = end_bytes;
    claim->claimed_bytes = end_bytes;
    return 0;
}

int claim_open(struct claim *claim, int dir_fd, const char *file, uint64_t limit_bytes)
{
    int fd = openat(dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        return claim_is_disk_full_errno(errno) ? CLAIM_E_DISK_FULL : -errno;
    }
    struct stat status;
    if (fstat(fd, &status) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    SPOOL_POINT("claim.file_made");
    claim->fd = fd;
    claim->limit_bytes = limit_bytes;
    claim->claimed_bytes = 0;
    claim->filled_bytes = 0;
    claim->is_disk_full = false;
    claim->is_possible = true;
    /* What the file has already counts as claimed even when its holes cannot be filled: refusing
     * to open would not give the disk back. */
    uint64_t size_bytes = (uint64_t)status.st_size;
    if (size_bytes > limit_bytes) {
        /* S7: deleting needs free pages, and the file may have none. */
        claim->limit_bytes = size_bytes + CLAIM_STEP_BYTES;
    }
    if (size_bytes > 0) {
        (void)!claim_fill(claim, size_bytes);
    }
    uint64_t blocks_bytes = (uint64_t)status.st_blocks * 512;
    if (blocks_bytes > claim->claimed_bytes) {
        claim->claimed_bytes = blocks_bytes;
    }
    return 0;
}

int claim_look(struct claim *claim, int dir_fd, const char *file)
{
    struct stat status;
    int fd = openat(dir_fd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0) {
        int r = -errno;
        spool_close_fd(&fd);
        return r;
    }
    uint64_t blocks_bytes = (uint64_t)status.st_blocks * 512;
    claim->fd = fd;
    claim->limit_bytes = 0;
    claim->filled_bytes = (uint64_t)status.st_size;
    claim->claimed_bytes = blocks_bytes;
    claim->is_disk_full = false;
    claim->is_possible = true;
    return 0;
}

void claim_close(struct claim *claim)
{
    if (claim->fd >= 0) {
        close(claim->fd);
        claim->fd = -1;
    }
}

/* Claims the file's first end_bytes. 0, CLAIM_E_DISK_FULL, -errno. */
static int claim_try(struct claim *claim, uint64_t end_bytes)
{
    if (end_bytes > claim->limit_bytes) {
        end_bytes = claim->limit_bytes;
    }
    int r = claim_fill(claim, end_bytes);
    if (r == -EOPNOTSUPP || r == -ENOSYS) {
        claim->is_possible = false;
        return 0;
    }
    SPOOL_POINT("claim.grown");
    if (r == 0) {
        claim->is_disk_full = false;
    }
    return claim_is_disk_full_errno(-r) ? CLAIM_E_DISK_FULL : r;
}

/* What the disk has left for us. A file system without a size (a tmpfs may be one) has no end. */
static uint64_t claim_free_bytes(const struct claim *claim)
{
    struct statvfs status;
    if (fstatvfs(claim->fd, &status) < 0 || status.f_blocks == 0) {
        return UINT64_MAX;
    }
    return (uint64_t)status.f_bavail * status.f_frsize;
}

/* What is wanted is not there: claims what there is of it. */
static int claim_rest(struct claim *claim, uint64_t end_bytes)
{
    int r = CLAIM_E_DISK_FULL;
    uint64_t part = (end_bytes - claim->claimed_bytes) / 2;
    for (; r >= 0 && part >= CLAIM_PART_BYTES_MIN; part /= 2) {
        if (part <= claim_free_bytes(claim)) {
            r = claim_try(claim, claim->claimed_bytes + part);
        }
    }
    claim->is_disk_full = true;
    return r < 0 ? r : CLAIM_E_DISK_FULL;
}

int claim_up_to(struct claim *claim, uint64_t end_bytes)
{
    assert(claim->fd >= 0);
    if (end_bytes > claim->limit_bytes) {
        end_bytes = claim->limit_bytes;
    }
    if (!claim->is_possible || end_bytes <= claim->claimed_bytes) {
        return 0;
    }
    /* Not by trial alone: ext4 keeps what it found before it finds that there is not enough, and so
     * would take all that is left of a disk. */
    uint64_t free_bytes = claim_free_bytes(claim);
    uint64_t needed_bytes = end_bytes - claim->claimed_bytes;
    uint64_t step = free_bytes / CLAIM_STEP_SHARE;
    step = step < CLAIM_STEP_BYTES ? step : CLAIM_STEP_BYTES;
    int r = CLAIM_E_DISK_FULL;
    if (needed_bytes <= free_bytes - step) {
        r = claim_try(claim, end_bytes + step);
    }
    if (r == CLAIM_E_DISK_FULL && needed_bytes <= free_bytes) {
        r = claim_try(claim, end_bytes);
    }
    return r == CLAIM_E_DISK_FULL ? claim_rest(claim, end_bytes) : r;
}

int claim_lock_file(int dir_fd, const char *file)
{
    int fd = openat(dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        return claim_is_disk_full_errno(errno) ? CLAIM_E_DISK_FULL : -errno;
    }
    SPOOL_POINT("claim.lock_file_made");
    struct stat status;
    int r = fstat(fd, &status) < 0 ? -errno : 0;
    if (r == 0 && ((uint64_t)status.st_size < CLAIM_LOCK_FILE_BYTES ||
                   status.st_blocks * 512 < status.st_size)) {
        uint64_t size_bytes = CLAIM_LOCK_FILE_BYTES;
        if ((uint64_t)status.st_size > size_bytes) {
            size_bytes = (uint64_t)status.st_size;
        }
        do {
            r = -posix_fallocate(fd, 0, (off_t)size_bytes);
        } while (r == -EINTR);
        SPOOL_POINT("claim.lock_file_claimed");
        r = claim_is_disk_full_errno(-r) ? CLAIM_E_DISK_FULL : r;
    }
    close(fd);
    return r;
}
