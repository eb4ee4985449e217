/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Salvage: reads what can be read of a damaged spool, or of one that was set aside, into a new one.
 * The damaged files are read page by page (spool/page/page_walk.h), and not written.
 *
 * What is taken, and from where: docs/decisions/0012-what-salvage-takes.md.
 */
#ifndef SPOOL_SALVAGE_H
#define SPOOL_SALVAGE_H

#include "spool/base.h"
#include "spool/clock.h"
#include "spool/message.h"

struct salvage_config {
    const char *from;    /* the damaged spool's folder */
    const char *into;    /* the new spool's folder: missing, or empty */
    bool takes_stale;    /* also records of pages that are free: most of them were settled */
    struct clock *clock; /* borrowed */
    void *context;
    /* How far it is, of one step after the other; NULL: nobody asks. */
    void (*tell)(void *context, uint64_t done, uint64_t all);
};

struct salvage_result {
    uint64_t waiting_count;  /* saved, as waiting records, */
    uint64_t dead_count;     /* as dead letters, */
    uint64_t reports_count;  /* and as reports */
    uint64_t damaged_count;  /* failed their checksum: saved as they are, as dead letters */
    uint64_t lost_count;     /* entries that are there and cannot be read at all */
    uint64_t doubtful_count; /* of those saved: they may have been settled already */
    uint64_t homeless_count; /* of those saved: nobody knows which destination they were for */
    uint64_t stale_count;    /* not taken: they are on free pages */
    uint64_t damaged_pages;  /* of the trees */
    bool is_uuid_known;      /* else saved records have no origin */
    char uuid_text[37];      /* the damaged spool's */
};

/* The destination of records whose own is not known. No address is it: they wait until somebody
 * moves them. */
#define SALVAGE_HOMELESS "[salvaged]unknown"

#define SALVAGE_E_REFUSED 1 /* nothing was done; message says why */
#define SALVAGE_E_PARTIAL 2 /* the new spool could not take all; ret_result says what it took */

/* Salvages. message is set for each result but 0. 0, SALVAGE_E_REFUSED, SALVAGE_E_PARTIAL, -errno.
 */
SPOOL_MUST_CHECK int salvage(const struct salvage_config *config, struct salvage_result *ret_result,
                             struct message *message);

#endif
