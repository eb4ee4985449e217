/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks at pages before LMDB reads them: LMDB believes what is in its pages, and a damaged one can
 * end the program. The contents of values are not looked at.
 */
#ifndef SPOOL_PAGE_CHECK_H
#define SPOOL_PAGE_CHECK_H

#include "spool/page/page_view.h"

#define PAGE_CHECK_E_DAMAGED 1

/* How long the integer keys of a tree are, which only a look at the first says: 4 or 8 bytes; 0: it
 * has keys of text. */
SPOOL_MUST_CHECK uint32_t page_check_key_bytes(const struct page_view *view,
                                               const struct page_tree *tree);

/* Looks at every page of a tree, and at what the tree says of itself. use: claims each page; may be
 * NULL. 0, PAGE_CHECK_E_DAMAGED, -ENOMEM. */
SPOOL_MUST_CHECK int page_check_tree(const struct page_view *view, const struct page_tree *tree,
                                     uint32_t key_bytes, struct page_use *use,
                                     struct page_damage *ret_damage);

/* Looks at the free list, and counts the pages in it at or behind from_page. use as above. 0,
 * PAGE_CHECK_E_DAMAGED, -ENOMEM. */
SPOOL_MUST_CHECK int page_check_free(const struct page_view *view, uint64_t from_page,
                                     struct page_use *use, uint64_t *ret_count,
                                     struct page_damage *ret_damage);

/* Looks at every page that the latest state leads to: each is sound, and used once. Reads as much
 * of the file as it has in use. 0, PAGE_CHECK_E_DAMAGED (message says where), -errno. */
SPOOL_MUST_CHECK int page_check_state(int dir_fd, const char *dir, struct message *message);

#endif
