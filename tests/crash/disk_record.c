/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/disk_record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static struct {
    char root[PATH_MAX];
    size_t root_length;
    char without[32];
    int log_fd; /* 0: none */
    pthread_mutex_t lock;
} recorder = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- What is watched -------------------------------------------------------------------------- */

bool disk_is_without(const char *what)
{
    return strstr(recorder.without, what) != NULL;
}

/* Nothing here may call what is replaced (tests/crash/disk_hooks.c): so system calls. */
uint64_t disk_inode(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

uint64_t disk_inode_at(int dir_fd, const char *path)
{
    struct stat status;
    return fstatat(dir_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

bool disk_watches(int fd)
{
    char link[64];
    char path[PATH_MAX];
    int error = errno;
    if (recorder.root_length == 0 || fd < 0) {
        return false;
    }
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    errno = error;
    if (size < (ssize_t)recorder.root_length ||
        memcmp(path, recorder.root, recorder.root_length) != 0) {
        return false;
    }
    path[size] = '\0';
    return path[recorder.root_length] == '\0' || path[recorder.root_length] == '/';
}

bool disk_watches_name(int dir_fd, const char *path, struct disk_place *ret_place)
{
    char parent[PATH_MAX];
    int error = errno;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    if (recorder.root_length == 0 || length + 2 > sizeof(parent) ||
        strlen(name) >= sizeof(ret_place->name)) {
        return false;
    }
    memcpy(parent, path, length);
    memcpy(parent + length, ".", 2);
    int fd = (int)syscall(SYS_openat, dir_fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    bool watches = disk_watches(fd);
    if (watches) {
        ret_place->folder = disk_inode(fd);
        memset(ret_place->name, 0, sizeof(ret_place->name));
        memcpy(ret_place->name, name, strlen(name));
    }
    spool_close_fd(&fd);
    errno = error;
    return watches;
}

void disk_watch(const char *root)
{
    recorder.root_length = root == NULL ? 0 : strlen(root);
    (void)snprintf(recorder.root, sizeof(recorder.root), "%s", root == NULL ? "" : root);
}

/* --- The log ---------------------------------------------------------------------------------- */

void disk_lock(void)
{
    int error = errno;
    pthread_mutex_lock(&recorder.lock);
    if (recorder.log_fd > 0) {
        while (flock(recorder.log_fd, LOCK_EX) < 0 && errno == EINTR) {
        }
    }
    errno = error;
}

void disk_unlock(void)
{
    int error = errno;
    if (recorder.log_fd > 0) {
        (void)flock(recorder.log_fd, LOCK_UN);
    }
    pthread_mutex_unlock(&recorder.lock);
    errno = error;
}

void disk_record(struct disk_event event, const void *bytes)
{
    static uint8_t nothing[8];
    int error = errno;
    size_t filled = disk_event_filled(event.size_bytes);
    struct iovec parts[] = {
        {&event, sizeof(event)},
        {(void *)(uintptr_t)bytes, event.size_bytes},
        {nothing, filled - event.size_bytes},
    };
    if (recorder.log_fd > 0) {
        ssize_t wanted = (ssize_t)(sizeof(event) + filled);
        if (syscall(SYS_writev, recorder.log_fd, parts, 3) != wanted) {
            static const char text[] = "disk-hooks: cannot write the log\n";
            (void)!syscall(SYS_write, STDERR_FILENO, text, sizeof(text) - 1);
            _exit(99);
        }
    }
    errno = error;
}

/* --- Standard output -------------------------------------------------------------------------- */

static void record_line(const char *line)
{
    struct disk_event event = {.kind = DISK_EVENT_SAID};
    if (strncmp(line, "gone ", 5) == 0) {
        event.kind = DISK_EVENT_GONE;
        line += 5;
    }
    char *end;
    event.at = strtoull(line, &end, 10);
    if (end != line && *end == '\n') {
        disk_record(event, NULL);
    }
}

/* What a program prints is recorded when it lets it go, not when it is read. Lines are let go as a
 * whole, but for those that fill a buffer. */
static ssize_t write_said(void *cookie, const char *bytes, size_t size)
{
    static char line[256];
    static size_t length;
    (void)cookie;
    disk_lock();
    for (size_t i = 0; i < size; i++) {
        if (length < sizeof(line) - 2) {
            line[length++] = bytes[i];
        }
        if (bytes[i] == '\n') {
            line[length] = '\0';
            record_line(line);
            length = 0;
        }
    }
    disk_unlock();
    size_t done = 0;
    while (done < size) {
        ssize_t written = syscall(SYS_write, STDOUT_FILENO, bytes + done, size - done);
        if (written < 0) {
            return done > 0 ? (ssize_t)done : 0;
        }
        done += (size_t)written;
    }
    return (ssize_t)size;
}

/* --- Begin ------------------------------------------------------------------------------------ */

__attribute__((constructor)) static void recorder_begin(void)
{
    const char *root = getenv("DISK_HOOKS_ROOT");
    const char *log = getenv("DISK_HOOKS_LOG");
    const char *without = getenv("DISK_HOOKS_WITHOUT");
    if (without != NULL) {
        (void)snprintf(recorder.without, sizeof(recorder.without), "%s", without);
    }
    if (root != NULL) {
        disk_watch(root);
    }
    if (root == NULL || log == NULL) {
        return;
    }
    recorder.log_fd =
        (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct disk_event begin = {.kind = DISK_EVENT_ROOT, .file = disk_inode_at(AT_FDCWD, root)};
    struct disk_event program = {.kind = DISK_EVENT_PROGRAM};
    (void)snprintf(program.name, sizeof(program.name), "%s", program_invocation_short_name);
    disk_lock();
    disk_record(begin, NULL);
    disk_record(program, NULL);
    disk_unlock();
    if (getenv("DISK_HOOKS_SAID") != NULL) {
        FILE *said = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_said});
        if (said != NULL) {
            stdout = said;
        }
    }
}
