/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/owner_lock.h"

#include "spool/point.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The second line of the text. */
#define CRASHES_LINE "\nowners before it that did not end in order: "
#define CRASHES_MAX 1000U

static void owner_lock_read(int fd, char owner[OWNER_TEXT_BYTES])
{
    ssize_t size = pread(fd, owner, OWNER_TEXT_BYTES - 1, 0);
    owner[size > 0 ? size : 0] = '\0';
    owner[strcspn(owner, "\n")] = '\0';
    if (owner[0] == '\0') {
        snprintf(owner, OWNER_TEXT_BYTES, "another process");
    }
}

/* How many owners in a row did not end in order: those that the last one counted, and itself. One
 * that ended in order left no text. */
static uint32_t owner_lock_read_crashes(int fd)
{
    char text[OWNER_TEXT_BYTES];
    ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    const char *line = strstr(text, CRASHES_LINE);
    unsigned long before = line != NULL ? strtoul(line + strlen(CRASHES_LINE), NULL, 10) : 0;
    return before < CRASHES_MAX ? (uint32_t)before + 1 : CRASHES_MAX;
}

/* The text is a help for people: a disk too full for it is no reason not to start. */
static void owner_lock_write(int fd, const char *name, uint32_t crashes_count)
{
    char text[OWNER_TEXT_BYTES];
    int length = snprintf(text, sizeof(text), "%.80s, pid %ld" CRASHES_LINE "%" PRIu32 "\n", name,
                          (long)getpid(), crashes_count);
    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)length, 0) != length) {
        (void)!ftruncate(fd, 0);
    }
}

int owner_lock_take(int dir_fd, const char *name, char owner[OWNER_TEXT_BYTES], int *ret_fd,
                    uint32_t *ret_crashes_count)
{
    int fd = openat(dir_fd, OWNER_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        return errno == ENOSPC || errno == EDQUOT ? OWNER_LOCK_E_DISK_FULL : -errno;
    }
    SPOOL_POINT("owner_lock.made");
    /* An open-file-description lock: unlike a process's lock it is not lost when some other fd of
     * the file is closed, and it does not pass for free between threads. */
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        int r = errno == EAGAIN || errno == EACCES ? OWNER_LOCK_E_OWNED : -errno;
        owner_lock_read(fd, owner);
        close(fd);
        return r;
    }
    SPOOL_POINT("owner_lock.taken");
    *ret_crashes_count = owner_lock_read_crashes(fd);
    owner_lock_write(fd, name, *ret_crashes_count);
    SPOOL_POINT("owner_lock.written");
    *ret_fd = fd;
    return 0;
}

void owner_lock_absolve(int fd, const char *name)
{
    owner_lock_write(fd, name, 0);
    SPOOL_POINT("owner_lock.absolved");
}

void owner_lock_end(int *fd)
{
    if (*fd >= 0) {
        (void)!ftruncate(*fd, 0);
    }
    spool_close_fd(fd);
    *fd = -1;
}

int owner_lock_probe(int dir_fd, char owner[OWNER_TEXT_BYTES])
{
    /* O_NONBLOCK: should it be a FIFO, nobody waits for its other end. */
    int fd = openat(dir_fd, OWNER_LOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int r = fcntl(fd, F_OFD_GETLK, &lock) < 0 ? -errno : 0;
    if (r == 0 && lock.l_type != F_UNLCK) {
        owner_lock_read(fd, owner);
        r = OWNER_LOCK_E_OWNED;
    }
    close(fd);
    return r;
}
