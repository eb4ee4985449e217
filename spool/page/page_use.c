/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/page/page_use.h"

#include "spool/page/page.h"

#include <errno.h>

#define WORD_BITS 64U

int page_use_init(struct page_use *use, uint64_t last_page)
{
    uint64_t words = last_page / WORD_BITS + 1;
    *use = (struct page_use){.pages_count = last_page + 1};
    use->bits = calloc(words, sizeof(*use->bits));
    if (use->bits == NULL) {
        return -ENOMEM;
    }
    use->bits[0] = 3; /* the meta pages */
    use->claimed_count = 2;
    return 0;
}

void page_use_deinit(struct page_use *use)
{
    free(SPOOL_TAKE(use->bits));
}

bool page_use_has(const struct page_use *use, uint64_t page)
{
    return (use->bits[page / WORD_BITS] >> (page % WORD_BITS) & 1U) != 0;
}

bool page_use_claim(struct page_use *use, uint64_t first, uint64_t count, uint64_t *ret_page)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t page = first + i;
        if (page >= use->pages_count || page_use_has(use, page)) {
            *ret_page = page;
            return false;
        }
        use->bits[page / WORD_BITS] |= (uint64_t)1 << (page % WORD_BITS);
        use->claimed_count++;
    }
    return true;
}

uint64_t page_use_next_free(const struct page_use *use, uint64_t from)
{
    for (uint64_t page = from; page < use->pages_count; page++) {
        if (page % WORD_BITS == 0 && use->bits[page / WORD_BITS] == UINT64_MAX) {
            page += WORD_BITS - 1;
        } else if (!page_use_has(use, page)) {
            return page;
        }
    }
    return PAGE_NONE;
}
