/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/ring_internal.h"

#include "spool/futex.h"
#include "spool/point.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>

static_assert(sizeof(struct ring_entry_head) == RING_LINE_BYTES, "records start on a cache line");

/* The lock is held for less than a microsecond of running. Whoever holds it for this long was
 * stopped (SIGSTOP, a debugger), and nobody is to hang with it. */
#define LOCK_WAIT_MS_MIN 50

/* Who waits gives way first, since the holder wants to run for a moment only, and then naps.
 * Sleeping in the lock would cost more than that moment. */
#define LOCK_YIELDS 64
#define LOCK_NAP_NS 100000

uint64_t ring_entry_bytes(size_t encoded_bytes)
{
    uint64_t bytes = sizeof(struct ring_entry_head) + encoded_bytes;
    return (bytes + RING_LINE_BYTES - 1) / RING_LINE_BYTES * RING_LINE_BYTES;
}

struct ring_entry_head *ring_entry_at(const struct ring *ring, uint64_t position)
{
    return (struct ring_entry_head *)(void *)(ring->bytes + (position & (ring->bytes_size - 1)));
}

/* --- Publishers ------------------------------------------------------------------------------ */

/* 0, RING_E_TIMEOUT. */
static int lock_reserve(struct ring_control *control, uint64_t deadline_ns)
{
    int error = pthread_mutex_trylock(&control->reserve_lock);
    if (error == EBUSY) {
        /* A busy lock is not a full ring: even who does not wait for room waits for the lock. */
        uint64_t until_ns = futex_deadline_ms(LOCK_WAIT_MS_MIN);
        until_ns = deadline_ns > until_ns ? deadline_ns : until_ns;
        for (unsigned int tries = 0; error == EBUSY; tries++) {
            if (tries < LOCK_YIELDS) {
                (void)sched_yield();
            } else if (futex_deadline_ns(0) >= until_ns) {
                return RING_E_TIMEOUT;
            } else {
                (void)nanosleep(&(struct timespec){.tv_nsec = LOCK_NAP_NS}, NULL);
            }
            error = pthread_mutex_trylock(&control->reserve_lock);
        }
    }
    if (error == EOWNERDEAD) {
        /* Its holder died. What it had written lies behind head, where nobody looks. */
        error = pthread_mutex_consistent(&control->reserve_lock);
    }
    return error == 0 ? 0 : RING_E_TIMEOUT; /* nothing else can be: the lock is kept consistent */
}

/* Under the lock: writes the entry, and a pad before it when it would run over the ring's end. */
static int reserve_locked(struct ring *ring, const struct ring_entry_head *model,
                          uint64_t *ret_position)
{
    struct ring_control *control = ring->control;
    uint64_t head = atomic_load_explicit(&control->head, memory_order_relaxed);
    uint64_t left = ring->bytes_size - (head & (ring->bytes_size - 1));
    uint64_t pad = model->length_bytes > left ? left : 0;
    uint64_t position = head + pad;
    uint64_t head_after = position + model->length_bytes;
    if (head_after - atomic_load(&control->tail) > ring->bytes_size) {
        return RING_E_FULL;
    }
    if (pad > 0) {
        struct ring_entry_head *filler = ring_entry_at(ring, head);
        filler->length_bytes = (uint32_t)pad;
        atomic_store_explicit(&filler->state, RING_ENTRY_PAD, memory_order_relaxed);
    }
    struct ring_entry_head *entry = ring_entry_at(ring, position);
    entry->length_bytes = model->length_bytes;
    entry->encoded_bytes = model->encoded_bytes;
    entry->destination = model->destination;
    entry->ticket = model->ticket;
    entry->publisher = model->publisher;
    atomic_store_explicit(&entry->state, RING_ENTRY_RESERVED, memory_order_relaxed);
    SPOOL_POINT("ring.entry_laid");
    /* The last store: before it there is no entry, after it there is a whole one. */
    atomic_store(&control->head, head_after);
    *ret_position = position;
    return 0;
}

int ring_bytes_reserve(struct ring *ring, const struct ring_entry_head *model, uint64_t deadline_ns,
                       uint64_t *ret_position)
{
    int result = lock_reserve(ring->control, deadline_ns);
    if (result != 0) {
        return result;
    }
    result = reserve_locked(ring, model, ret_position);
    SPOOL_POINT("ring.entry_reserved");
    (void)pthread_mutex_unlock(&ring->control->reserve_lock);
    return result;
}

/* --- The owner ------------------------------------------------------------------------------- */

static uint32_t entry_state(const struct ring_entry_head *entry)
{
    return atomic_load_explicit(&entry->state, memory_order_acquire);
}

void ring_bytes_reclaim(struct ring *ring)
{
    struct ring_control *control = ring->control;
    uint64_t tail_before = atomic_load_explicit(&control->tail, memory_order_relaxed);
    uint64_t head = atomic_load(&control->head);
    uint64_t tail = tail_before;
    while (tail != head) {
        const struct ring_entry_head *entry = ring_entry_at(ring, tail);
        uint32_t state = entry_state(entry);
        if (state != RING_ENTRY_DONE && state != RING_ENTRY_PAD) {
            break;
        }
        tail += entry->length_bytes;
    }
    if (tail == tail_before) {
        return;
    }
    if (ring->read_position < tail) {
        ring->read_position = tail; /* pads, and entries that were swept before they were read */
    }
    atomic_store(&control->tail, tail);
    ring_room_give(ring);
}

void ring_bytes_release(struct ring *ring, uint64_t position)
{
    atomic_store_explicit(&ring_entry_at(ring, position)->state, RING_ENTRY_DONE,
                          memory_order_relaxed);
}

/* What a take is allowed, and what it has so far. */
struct taking {
    struct ring_entry *entries;
    size_t entries_max;
    size_t bytes_max;
    size_t count;
    size_t bytes;
    bool is_full;
};

/* Takes the entry at position if it is ready, its publisher still waits, and it fits. Returns
 * whether this was the last look at it: false when it is to be looked at again. */
static bool visit(struct ring *ring, uint64_t position, struct taking *taking)
{
    struct ring_entry_head *entry = ring_entry_at(ring, position);
    uint32_t state = entry_state(entry);
    if (state != RING_ENTRY_READY) {
        return state != RING_ENTRY_RESERVED;
    }
    size_t size = entry->encoded_bytes;
    if (taking->count == taking->entries_max ||
        (taking->count > 0 && size > taking->bytes_max - taking->bytes)) {
        taking->is_full = true;
        return false;
    }
    if (!ring_slot_move(ring, entry->ticket, RING_SLOT_WAITING, RING_SLOT_TAKEN)) {
        ring_bytes_release(ring, position);
        ring_bytes_reclaim(ring);
        return true;
    }
    SPOOL_POINT("ring.slot_taken");
    atomic_store_explicit(&entry->state, RING_ENTRY_TAKEN, memory_order_relaxed);
    taking->entries[taking->count++] = (struct ring_entry){
        .position = position,
        .ticket = entry->ticket,
        .destination = entry->destination,
        .encoded = {(const uint8_t *)entry + sizeof(*entry), size},
    };
    /* A first entry may be above bytes_max: then there is no second. */
    taking->bytes =
        size < taking->bytes_max - taking->bytes ? taking->bytes + size : taking->bytes_max;
    return true;
}

/* Looks again at the entries that were not ready the last time: they are first in the ring. */
static void visit_skipped(struct ring *ring, struct taking *taking)
{
    size_t kept_count = 0;
    for (size_t i = 0; i < ring->skipped_count; i++) {
        uint64_t position = ring->skipped[i];
        if (taking->is_full || !visit(ring, position, taking)) {
            ring->skipped[kept_count++] = position;
        }
    }
    ring->skipped_count = kept_count;
}

size_t ring_take(struct ring *ring, struct ring_entry *entries, size_t entries_max,
                 size_t bytes_max)
{
    if (atomic_load(&ring->control->is_closed)) {
        return 0;
    }
    struct taking taking = {.entries = entries, .entries_max = entries_max, .bytes_max = bytes_max};
    /* Head is read first: what is RESERVED before it was RESERVED at this moment, and each slot has
     * at most one such entry. So skipped has room for all of them; were a dead publisher's pid in
     * use again and its start time unknown, the walk would end early instead. */
    uint64_t head = atomic_load(&ring->control->head);
    visit_skipped(ring, &taking);
    while (!taking.is_full && ring->read_position < head) {
        uint64_t position = ring->read_position;
        /* Before the visit, which may give back bytes and move it on further. */
        ring->read_position += ring_entry_at(ring, position)->length_bytes;
        if (visit(ring, position, &taking)) {
            continue;
        }
        if (taking.is_full || ring->skipped_count == ring->slots_count) {
            ring->read_position = position;
            break;
        }
        ring->skipped[ring->skipped_count++] = position;
    }
    return taking.count;
}

uint32_t ring_ready_count(const struct ring *ring)
{
    uint32_t count = 0;
    for (size_t i = 0; i < ring->skipped_count; i++) {
        count += entry_state(ring_entry_at(ring, ring->skipped[i])) == RING_ENTRY_READY;
    }
    uint64_t head = atomic_load(&ring->control->head);
    for (uint64_t position = ring->read_position; position < head;) {
        const struct ring_entry_head *entry = ring_entry_at(ring, position);
        count += entry_state(entry) == RING_ENTRY_READY;
        position += entry->length_bytes;
    }
    return count;
}

/* Forgets skipped entries that are done: their places may soon be somebody else's. */
static void forget_done(struct ring *ring)
{
    size_t kept_count = 0;
    for (size_t i = 0; i < ring->skipped_count; i++) {
        uint64_t position = ring->skipped[i];
        if (entry_state(ring_entry_at(ring, position)) != RING_ENTRY_DONE) {
            ring->skipped[kept_count++] = position;
        }
    }
    ring->skipped_count = kept_count;
}

size_t ring_bytes_sweep(struct ring *ring)
{
    size_t freed_count = 0;
    uint64_t head = atomic_load(&ring->control->head);
    uint64_t position = atomic_load_explicit(&ring->control->tail, memory_order_relaxed);
    while (position != head) {
        struct ring_entry_head *entry = ring_entry_at(ring, position);
        position += entry->length_bytes;
        if (entry_state(entry) != RING_ENTRY_RESERVED || process_is_alive(entry->publisher) ||
            entry_state(entry) != RING_ENTRY_RESERVED) {
            continue; /* the second look: it may have been made ready just before its publisher died
                       */
        }
        (void)(ring_slot_move(ring, entry->ticket, RING_SLOT_CLAIMED, RING_SLOT_FREE) ||
               ring_slot_move(ring, entry->ticket, RING_SLOT_WAITING, RING_SLOT_FREE));
        SPOOL_POINT("ring.entry_swept");
        atomic_store_explicit(&entry->state, RING_ENTRY_DONE, memory_order_relaxed);
        freed_count++;
    }
    forget_done(ring);
    ring_bytes_reclaim(ring);
    return freed_count;
}
