/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is remembered of records that must be tried again, until they are read again: how often they
 * were, and whether one is suspected to be the reason that a whole batch was rejected. At most a
 * window of them. Losing one (no memory) loses its count, nothing else.
 */
#ifndef SRC_RETRIED_H
#define SRC_RETRIED_H

#include "spool/base.h"

struct retried_record {
    uint64_t sequence;
    uint64_t first_attempt_wall_ms;
    uint32_t attempts;
    bool is_suspect;
};

struct retried {
    struct retried_record *records;
    size_t count;
    size_t capacity;
    size_t next; /* while reading: the first that was not passed yet */
};

void retried_deinit(struct retried *retried);

/* Remembers a record. */
void retried_add(struct retried *retried, const struct retried_record *record);

/* Reading starts again from the lowest sequence. */
void retried_rewind(struct retried *retried);

/* The record of that sequence, or NULL; sequences come in ascending order. The record is not
 * passed: see retried_pass(). */
const struct retried_record *retried_find(struct retried *retried, uint64_t sequence);

/* The record of that sequence was read and dealt with: it is not needed any more. */
void retried_pass(struct retried *retried, uint64_t sequence);

#endif
