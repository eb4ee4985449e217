/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/page/page_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DATA_FILE "data.mdb"
#define PAGE_BYTES_USUAL 4096U

/* A window's first look, in pages; it doubles with each look that follows on. */
#define WINDOW_STEP_FIRST 4U

/* pread() as far as the file goes: a signal or a short read is no end. */
static ssize_t page_file_pread(int fd, uint8_t *bytes, size_t size, off_t at)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, bytes + done, size - done, at + (off_t)done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return done > 0 ? (ssize_t)done : -errno;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* --- Meta pages ------------------------------------------------------------------------------- */

static void page_file_read_meta(const struct page_file *file, uint64_t at,
                                struct page_file_meta *meta)
{
    uint8_t bytes[PAGE_META_BYTES];
    *meta = (struct page_file_meta){0};
    ssize_t size = page_file_pread(file->fd, bytes, sizeof(bytes), (off_t)at);
    if (size < 0) {
        meta->what = "it cannot be read from the disk";
    } else if (size < (ssize_t)sizeof(bytes)) {
        meta->what = "the file ends before it";
    } else {
        int r = page_meta_decode(bytes, &meta->meta);
        meta->what = r == PAGE_E_FOREIGN   ? "it is no meta page of LMDB 0.9"
                     : r == PAGE_E_DAMAGED ? "its numbers cannot be right"
                                           : NULL;
    }
}

/* The second meta page is where the first one's page size says. If the first one is damaged, that
 * is found by looking. */
int page_file_reread(struct page_file *file)
{
    struct stat status;
    if (fstat(file->fd, &status) < 0) {
        return -errno;
    }
    file->file_bytes = (uint64_t)status.st_size;
    page_file_read_meta(file, 0, &file->metas[0]);
    if (file->metas[0].what == NULL) {
        file->page_bytes = file->metas[0].meta.page_bytes;
        page_file_read_meta(file, file->page_bytes, &file->metas[1]);
    } else {
        file->page_bytes = PAGE_BYTES_USUAL;
        page_file_read_meta(file, PAGE_BYTES_USUAL, &file->metas[1]);
        for (uint32_t size = PAGE_BYTES_MIN; size <= PAGE_BYTES_MAX; size *= 2) {
            struct page_file_meta other;
            page_file_read_meta(file, size, &other);
            if (other.what == NULL && other.meta.page_bytes == size) {
                file->metas[1] = other;
                file->page_bytes = size;
                break;
            }
        }
    }
    if (file->metas[1].what == NULL && file->metas[1].meta.page_bytes != file->page_bytes) {
        file->metas[1].what = "its page size is not the file's";
    }
    return page_file_newest(file) != NULL ? 0 : PAGE_FILE_E_DAMAGED;
}

const struct page_meta *page_file_newest(const struct page_file *file)
{
    const struct page_meta *newest = NULL;
    for (int i = 0; i < 2; i++) {
        const struct page_file_meta *each = &file->metas[i];
        if (each->what == NULL && (newest == NULL || each->meta.txn > newest->txn)) {
            newest = &each->meta;
        }
    }
    return newest;
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* Looks before it opens, and once more at what it opened: a device or a FIFO that is opened does
 * things. */
static int page_file_open_regular(int dir_fd, const char *dir, struct message *message, int *ret_fd)
{
    struct stat status;
    if (fstatat(dir_fd, DATA_FILE, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        message_set(message, "%s/%s: %s: there is no spool in this folder", dir, DATA_FILE,
                    strerror(errno));
        return PAGE_FILE_E_REFUSED;
    }
    if (!S_ISREG(status.st_mode)) {
        message_set(message, "%s/%s: not a regular file: this is no spool", dir, DATA_FILE);
        return PAGE_FILE_E_REFUSED;
    }
    int fd = openat(dir_fd, DATA_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        message_set(message,
                    "%s/%s: cannot be read (%s): run this as the spool's owner (user id %ld)", dir,
                    DATA_FILE, strerror(errno), (long)status.st_uid);
        return PAGE_FILE_E_REFUSED;
    }
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        message_set(message, "%s/%s: not a regular file: this is no spool", dir, DATA_FILE);
        close(fd);
        return PAGE_FILE_E_REFUSED;
    }
    *ret_fd = fd;
    return 0;
}

/* Whether the first transaction, which makes a spool, was never committed. */
static bool page_file_is_new(const struct page_file *file)
{
    const struct page_meta *newest = page_file_newest(file);
    return file->file_bytes == 0 ||
           (newest != NULL && newest->main.root == PAGE_NONE && newest->last_page == 1);
}

int page_file_open(struct page_file *file, int dir_fd, const char *dir, struct message *message)
{
    int fd = -1;
    *file = (struct page_file){.fd = -1, .page_bytes = PAGE_BYTES_USUAL};
    int r = page_file_open_regular(dir_fd, dir, message, &fd);
    if (r != 0) {
        return r;
    }
    file->fd = fd;
    r = page_file_reread(file);
    if (r >= 0 && page_file_is_new(file)) {
        message_set(message,
                    "%s/%s: there is no spool in it yet: the program that makes it is at it, or "
                    "has ended: start it again",
                    dir, DATA_FILE);
        page_file_close(file);
        return PAGE_FILE_E_REFUSED;
    }
    if (r == PAGE_FILE_E_DAMAGED) {
        message_set(message, "%s/%s: damaged: neither of its two meta pages can be used (%s; %s)",
                    dir, DATA_FILE, file->metas[0].what, file->metas[1].what);
    } else if (r < 0) {
        message_set(message, "%s/%s: %s", dir, DATA_FILE, strerror(-r));
        page_file_close(file);
    }
    return r;
}

void page_file_close(struct page_file *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
}

/* --- Windows ---------------------------------------------------------------------------------- */

void page_window_init(struct page_window *window, const struct page_file *file, size_t limit_bytes)
{
    size_t pages = limit_bytes / file->page_bytes;
    *window = (struct page_window){
        .file = file,
        .step = WINDOW_STEP_FIRST,
        .step_max = pages > 1 ? (uint32_t)pages : 1,
    };
}

void page_window_deinit(struct page_window *window)
{
    free(SPOOL_TAKE(window->bytes));
    *window = (struct page_window){0};
}

void page_window_forget(struct page_window *window)
{
    window->count = 0;
}

/* Memory for so many bytes; it grows as needed, and not before. */
static int page_window_reserve(struct page_window *window, size_t size)
{
    if (size > window->capacity_bytes) {
        free(SPOOL_TAKE(window->bytes));
        window->count = 0;
        window->capacity_bytes = 0;
        window->bytes = malloc(size);
        if (window->bytes == NULL) {
            return -ENOMEM;
        }
        window->capacity_bytes = size;
    }
    return 0;
}

int page_window_show(struct page_window *window, uint64_t page, uint64_t count,
                     const uint8_t **ret_bytes)
{
    uint64_t page_bytes = window->file->page_bytes;
    uint64_t end = window->first + window->count;
    if (page >= window->first && page + count <= end) {
        *ret_bytes = window->bytes + (page - window->first) * page_bytes;
        return 0;
    }
    if (page + count > window->file->file_bytes / page_bytes) {
        return PAGE_FILE_E_SHORT;
    }
    bool is_forward = window->count > 0 && page >= window->first && page <= end + window->step;
    window->step = is_forward ? window->step * 2 : WINDOW_STEP_FIRST;
    if (window->step > window->step_max) {
        window->step = window->step_max;
    }
    uint64_t wanted = count > window->step ? count : window->step;
    int r = page_window_reserve(window, wanted * page_bytes);
    if (r < 0) {
        return r;
    }
    window->count = 0;
    ssize_t size = page_file_pread(window->file->fd, window->bytes, wanted * page_bytes,
                                   (off_t)(page * page_bytes));
    if (size < 0) {
        return (int)size;
    }
    window->first = page;
    window->count = (uint64_t)size / page_bytes;
    if (window->count < count) {
        return PAGE_FILE_E_SHORT;
    }
    *ret_bytes = window->bytes;
    return 0;
}
