/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compacting: writes the spool's file anew without its free pages, and puts the new one in the old
 * one's place. Nobody may own the spool meanwhile, and nobody can write to it; whatever ends the
 * program, the folder has the old file or the new one, whole.
 */
#ifndef SPOOL_COMPACT_H
#define SPOOL_COMPACT_H

#include "spool/base.h"
#include "spool/message.h"

struct compact_sizes {
    uint64_t file_bytes; /* of the file as it is */
    uint64_t used_bytes; /* of what is in it: so much disk the new one needs, beside the old one */
    uint64_t free_bytes; /* that the disk has */
    uint64_t new_bytes;  /* of the new file; 0 before it is there */
};

struct compact_host {
    void *context;
    /* Before anything is written. */
    void (*tell_sizes)(void *context, const struct compact_sizes *sizes);
    /* How far it is; what is a word for it. */
    void (*tell)(void *context, const char *what, uint64_t done, uint64_t all);
};

/* The folder in the spool's folder where the new file is made; what a program that was killed left
 * there is removed. */
#define COMPACT_FOLDER "compact.tmp"

#define COMPACT_E_OWNED 1   /* somebody owns the spool */
#define COMPACT_E_DAMAGED 2 /* it is not as it is to be: nothing was done */
#define COMPACT_E_FULL 3    /* the disk has no room for the new file */
#define COMPACT_E_REFUSED 4 /* no spool, no permission, ... */

/* Compacts the spool in a folder. message is set for each result but 0. 0, COMPACT_E_..., -errno.
 */
SPOOL_MUST_CHECK int compact_spool(const char *dir, const struct compact_host *host,
                                   struct compact_sizes *ret_sizes, struct message *message);

#endif
