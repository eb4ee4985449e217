/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/inflight.h"

#include <assert.h>
#include <errno.h>

int inflight_pool_init(struct inflight_pool *pool, size_t count)
{
    struct inflight *entries = calloc(count, sizeof(*entries));
    if (entries == NULL) {
        return -ENOMEM;
    }
    *pool = (struct inflight_pool){.entries = entries, .entries_count = count};
    return 0;
}

void inflight_pool_deinit(struct inflight_pool *pool)
{
    free(pool->entries);
    *pool = (struct inflight_pool){0};
}

struct inflight *inflight_take(struct inflight_pool *pool)
{
    struct inflight *entry = pool->free;
    if (entry != NULL) {
        pool->free = entry->next;
    } else if (pool->touched_count < pool->entries_count) {
        entry = &pool->entries[pool->touched_count++];
    } else {
        return NULL;
    }
    *entry = (struct inflight){0};
    return entry;
}

void inflight_give(struct inflight_pool *pool, struct inflight *entry)
{
    entry->next = pool->free;
    pool->free = entry;
}

void inflight_append(struct inflight_list *list, struct inflight *entry)
{
    entry->next = NULL;
    entry->previous = list->last;
    if (list->last != NULL) {
        list->last->next = entry;
    } else {
        list->first = entry;
    }
    list->last = entry;
    list->count++;
    list->bytes += entry->size_bytes;
}

void inflight_remove(struct inflight_list *list, struct inflight *entry)
{
    assert(list->count > 0);
    if (entry->previous != NULL) {
        entry->previous->next = entry->next;
    } else {
        list->first = entry->next;
    }
    if (entry->next != NULL) {
        entry->next->previous = entry->previous;
    } else {
        list->last = entry->previous;
    }
    list->count--;
    list->bytes -= entry->size_bytes;
}
