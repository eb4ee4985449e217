/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LMDB's data file, read with pread() and nothing else: no map, so that a file that was cut off is
 * a result and not a signal; no LMDB, so that a damaged page is one too. Never writes.
 */
#ifndef SPOOL_PAGE_FILE_H
#define SPOOL_PAGE_FILE_H

#include "spool/message.h"
#include "spool/page/page.h"

/* A meta page, and whether it can be used. */
struct page_file_meta {
    struct page_meta meta;
    const char *what; /* NULL: it can be used; else what is wrong with it (static) */
};

struct page_file {
    int fd; /* -1: none */
    uint32_t page_bytes;
    uint64_t file_bytes;
    struct page_file_meta metas[2];
};

#define PAGE_FILE_E_REFUSED 1 /* no file that can be read, or no spool yet; message says why */
#define PAGE_FILE_E_DAMAGED 2 /* neither meta page can be used; message says so */
#define PAGE_FILE_E_SHORT 3   /* the file ends before the page's end */

/* Opens a folder's data.mdb and reads its meta pages. What is no regular file is refused without
 * being opened (a FIFO would block). dir is for the message alone. 0, PAGE_FILE_E_REFUSED,
 * PAGE_FILE_E_DAMAGED (file is open, page_bytes is the usual), -errno. */
SPOOL_MUST_CHECK int page_file_open(struct page_file *file, int dir_fd, const char *dir,
                                    struct message *message);

/* Reads the meta pages and the file's size again. 0, PAGE_FILE_E_DAMAGED, -errno. */
SPOOL_MUST_CHECK int page_file_reread(struct page_file *file);

void page_file_close(struct page_file *file);

/* The usable meta page of the latest transaction, or NULL. */
SPOOL_MUST_CHECK const struct page_meta *page_file_newest(const struct page_file *file);

/* --- Windows ---------------------------------------------------------------------------------- */

/* A stretch of the file in memory. It becomes longer, up to its limit, as long as it is moved
 * forward: so a tree that lies in the file in order is read in large pieces, and one that does not
 * in small ones. */
struct page_window {
    const struct page_file *file;
    uint8_t *bytes;
    size_t capacity_bytes;
    uint64_t first;
    uint64_t count;
    uint32_t step;
    uint32_t step_max;
};

/* limit_bytes is how far it may read ahead (at least one page). */
void page_window_init(struct page_window *window, const struct page_file *file, size_t limit_bytes);

void page_window_deinit(struct page_window *window);

/* What was read before may be no longer so: the next look reads anew. */
void page_window_forget(struct page_window *window);

/* Shows count pages from a page on; valid until the next call. 0, PAGE_FILE_E_SHORT, -errno (a
 * place of the disk that cannot be read is -EIO). */
SPOOL_MUST_CHECK int page_window_show(struct page_window *window, uint64_t page, uint64_t count,
                                      const uint8_t **ret_bytes);

#endif
