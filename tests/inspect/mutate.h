/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mutated spools: sound ones that something happened to, and what must still be found in them. */
#ifndef TESTS_INSPECT_MUTATE_H
#define TESTS_INSPECT_MUTATE_H

#include "spool/base.h"
#include "spool/page/page_walk.h"

#include <stdio.h>

/* A generator with a seed of its own: a mutation can be made again by its number. */
struct dice {
    uint64_t state;
};

uint64_t dice_next(struct dice *dice);
/* Below limit, which is not 0. */
uint64_t dice_below(struct dice *dice, uint64_t limit);

enum known_kind {
    KNOWN_WAITING,
    KNOWN_DEAD,
    KNOWN_REPORT,
};

#define KNOWN_PATH_MAX 8

/* Something that is in a sound spool, and the pages that it needs. */
struct known {
    enum known_kind kind;
    uint32_t destination;
    uint64_t sequence;
    uint8_t *encoded; /* the record */
    size_t size_bytes;
    uint64_t leaf;
    uint64_t overflow; /* 0: none */
    uint64_t overflow_count;
    uint64_t path[KNOWN_PATH_MAX]; /* branch pages */
    uint32_t path_count;
};

/* A sound spool in memory. */
struct base {
    uint8_t *bytes; /* of data.mdb */
    size_t size_bytes;
    uint32_t page_bytes;
    const char *dir;
    struct known *known;
    size_t known_count;
    uint8_t *common;   /* a byte a page: what all need (meta page, list of databases, small rows) */
    char **identities; /* [1..destinations_count] */
    uint32_t destinations_count;
};

/* Reads a sound spool. Ends the program when it cannot. */
void base_read(struct base *base, const char *dir);

/* --- mutate_apply.c --------------------------------------------------------------------------- */

struct mutation {
    uint8_t *bytes; /* of data.mdb, changed */
    size_t size_bytes;
    uint8_t *touched;      /* a byte a page of the base */
    bool is_unreadable;    /* there is no data.mdb that anybody could read */
    bool is_not_permitted; /* to be looked at by somebody who may not */
    char text[512];        /* what was done, for people */
};

/* Puts a changed copy of the base into the folder, which is empty. The mutation's memory is freed
 * with mutation_free(). */
void mutation_make(const struct base *base, struct dice *dice, const char *dir,
                   struct mutation *ret_mutation);
void mutation_free(struct mutation *mutation);

/* --- mutate_check.c --------------------------------------------------------------------------- */

/* Whether the salvaged spool has all that the mutation left whole; says on standard error what is
 * missing. */
bool mutation_is_salvaged(const struct base *base, const struct mutation *mutation,
                          const char *saved_dir, uint64_t *ret_expected, uint64_t *ret_found);

/* Ends the program when it is not so, in a way that a fuzzer notices. */
static inline void must(bool is_so, const char *what)
{
    if (!is_so) {
        (void)fprintf(stderr, "mutate: %s\n", what);
        abort();
    }
}

#endif
