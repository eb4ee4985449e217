/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/settle_queue.h"

#include "spool/point.h"

#include <assert.h>
#include <errno.h>

int settle_queue_init(struct settle_queue *queue, struct clock *clock)
{
    struct settlement *settlements = calloc(SETTLE_QUEUE_MAX, sizeof(*settlements));
    if (settlements == NULL) {
        return -ENOMEM;
    }
    *queue = (struct settle_queue){.clock = clock, .settlements = settlements};
    pthread_mutex_init(&queue->lock, NULL);
    return 0;
}

void settle_queue_deinit(struct settle_queue *queue)
{
    if (queue->settlements != NULL) {
        pthread_mutex_destroy(&queue->lock);
        free(queue->settlements);
        queue->settlements = NULL;
    }
}

int settle_queue_append(struct settle_queue *queue, const struct settlement *settlements,
                        size_t count, size_t *ret_count_before, uint64_t *ret_position)
{
    pthread_mutex_lock(&queue->lock);
    if (queue->count + count > SETTLE_QUEUE_MAX) {
        pthread_mutex_unlock(&queue->lock);
        return SETTLE_QUEUE_E_FULL;
    }
    if (queue->count == 0) {
        queue->since_ms = queue->clock->monotonic_ms(queue->clock);
    }
    for (size_t i = 0; i < count; i++) {
        queue->settlements[(queue->first + queue->count + i) % SETTLE_QUEUE_MAX] = settlements[i];
    }
    *ret_count_before = queue->count;
    queue->count += count;
    queue->appended_count += count;
    *ret_position = queue->appended_count;
    pthread_mutex_unlock(&queue->lock);
    SPOOL_POINT("settle_queue.appended");
    return 0;
}

size_t settle_queue_waiting(struct settle_queue *queue, uint64_t *ret_since_ms)
{
    pthread_mutex_lock(&queue->lock);
    size_t count = queue->count;
    *ret_since_ms = queue->since_ms;
    pthread_mutex_unlock(&queue->lock);
    return count;
}

uint64_t settle_queue_settled(const struct settle_queue *queue)
{
    return atomic_load(&queue->settled_count);
}

struct settlement *settle_queue_at(struct settle_queue *queue, size_t at)
{
    /* No lock: this thread alone moves first, and others write behind count. */
    return &queue->settlements[(queue->first + at) % SETTLE_QUEUE_MAX];
}

size_t settle_queue_list(struct settle_queue *queue, size_t at, size_t count,
                         struct settlement **ret_list)
{
    size_t listed_count = 0;
    for (size_t i = at; i < at + count; i++) {
        struct settlement *settlement = settle_queue_at(queue, i);
        if (settlement->action != SETTLE_ACTION_COUNT) {
            ret_list[listed_count++] = settlement;
        }
    }
    return listed_count;
}

static int settle_queue_compare(const void *one_at, const void *other_at)
{
    const struct settlement *one = *(struct settlement *const *)one_at;
    const struct settlement *other = *(struct settlement *const *)other_at;
    if (one->destination != other->destination) {
        return one->destination < other->destination ? -1 : 1;
    }
    return one->sequence < other->sequence ? -1 : one->sequence > other->sequence;
}

void settle_queue_sort(struct settlement **list, size_t count)
{
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is pointers that are sorted. */
    qsort(list, count, sizeof(list[0]), settle_queue_compare);
}

uint64_t settle_queue_given_back(const struct settle_queue *queue, uint32_t destination)
{
    return atomic_load(&queue->given_back_counts[destination]);
}

/* Whoever handed it over can do so again. What was delivered would be delivered twice. */
static bool settle_queue_can_give_back(const struct settlement *settlement)
{
    return settlement->action == SETTLE_DEAD || settlement->action == SETTLE_CORRUPT ||
           settlement->action == SETTLE_EXPIRED || settlement->action == SETTLE_REQUEUE ||
           settlement->action == SETTLE_MOVE;
}

size_t settle_queue_give_back(struct settle_queue *queue, size_t count)
{
    size_t given_back = 0;
    for (size_t i = 0; i < count; i++) {
        struct settlement *settlement = settle_queue_at(queue, i);
        if (settle_queue_can_give_back(settlement)) {
            atomic_fetch_add(&queue->given_back_counts[settlement->destination], 1);
            settlement->action = SETTLE_ACTION_COUNT;
            given_back++;
        }
    }
    return given_back;
}

void settle_queue_take_out(struct settle_queue *queue, size_t count)
{
    pthread_mutex_lock(&queue->lock);
    assert(count <= queue->count);
    queue->first = (queue->first + count) % SETTLE_QUEUE_MAX;
    queue->count -= count;
    queue->since_ms = queue->clock->monotonic_ms(queue->clock);
    pthread_mutex_unlock(&queue->lock);
    atomic_fetch_add(&queue->settled_count, count);
}
