/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/retried.h"

#include <stdlib.h>
#include <string.h>

#define RETRIED_CAPACITY_MIN 64

void retried_deinit(struct retried *retried)
{
    free(retried->records);
    *retried = (struct retried){0};
}

/* Forgets those that were passed. */
static void retried_compact(struct retried *retried)
{
    if (retried->next > 0) {
        retried->count -= retried->next;
        memmove(retried->records, retried->records + retried->next,
                retried->count * sizeof(*retried->records));
        retried->next = 0;
    }
}

void retried_add(struct retried *retried, const struct retried_record *record)
{
    if (retried->count == retried->capacity) {
        retried_compact(retried);
    }
    if (retried->count == retried->capacity) {
        size_t capacity = retried->capacity == 0 ? RETRIED_CAPACITY_MIN : 2 * retried->capacity;
        struct retried_record *records =
            realloc(retried->records, capacity * sizeof(*retried->records));
        if (records == NULL) {
            return;
        }
        retried->records = records;
        retried->capacity = capacity;
    }
    retried->records[retried->count++] = *record;
}

static int retried_compare(const void *left, const void *right)
{
    uint64_t a = ((const struct retried_record *)left)->sequence;
    uint64_t b = ((const struct retried_record *)right)->sequence;
    return a < b ? -1 : a > b;
}

void retried_rewind(struct retried *retried)
{
    retried_compact(retried);
    if (retried->count > 1) {
        qsort(retried->records, retried->count, sizeof(*retried->records), retried_compare);
    }
}

const struct retried_record *retried_find(struct retried *retried, uint64_t sequence)
{
    while (retried->next < retried->count && retried->records[retried->next].sequence < sequence) {
        retried->next++;
    }
    if (retried->next < retried->count && retried->records[retried->next].sequence == sequence) {
        return &retried->records[retried->next];
    }
    return NULL;
}

void retried_pass(struct retried *retried, uint64_t sequence)
{
    while (retried->next < retried->count && retried->records[retried->next].sequence <= sequence) {
        retried->next++;
    }
    if (retried->next == retried->count) {
        retried->next = 0;
        retried->count = 0;
    }
}
