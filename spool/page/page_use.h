/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each page of a file is used for: a bit a page, so that a page in two places is found. */
#ifndef SPOOL_PAGE_USE_H
#define SPOOL_PAGE_USE_H

#include "spool/base.h"

struct page_use {
    uint64_t *bits;
    uint64_t pages_count;
    uint64_t claimed_count;
};

/* For the pages 0 to last_page; the two meta pages are claimed already. 0, -ENOMEM. */
SPOOL_MUST_CHECK int page_use_init(struct page_use *use, uint64_t last_page);
void page_use_deinit(struct page_use *use);

/* Claims pages for one use. false: one of them, *ret_page, has a use already (those before it are
 * claimed now), or does not exist. */
SPOOL_MUST_CHECK bool page_use_claim(struct page_use *use, uint64_t first, uint64_t count,
                                     uint64_t *ret_page);

/* Whether a page has a use. */
SPOOL_MUST_CHECK bool page_use_has(const struct page_use *use, uint64_t page);

/* The first page at or behind from that has no use, or PAGE_NONE. */
SPOOL_MUST_CHECK uint64_t page_use_next_free(const struct page_use *use, uint64_t from);

#endif
