/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/ring_internal.h"

#include "spool/futex.h"
#include "spool/point.h"

#include <assert.h>
#include <unistd.h>

static_assert(sizeof(struct ring_slot) == RING_LINE_BYTES, "a slot is one cache line");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
              "atomics with a lock inside do not work between processes");

#define STATE_BITS 8
#define GENERATION_BITS 24
#define GENERATION_MASK ((1U << GENERATION_BITS) - 1)

static uint64_t word_of(uint32_t pid, uint32_t generation, enum ring_slot_state state)
{
    return (uint64_t)pid << (STATE_BITS + GENERATION_BITS) | (uint64_t)generation << STATE_BITS |
           (uint64_t)state;
}

static enum ring_slot_state word_state(uint64_t word)
{
    return (enum ring_slot_state)(word & ((1U << STATE_BITS) - 1));
}

static uint32_t word_generation(uint64_t word)
{
    return (uint32_t)(word >> STATE_BITS) & GENERATION_MASK;
}

static uint32_t word_pid(uint64_t word)
{
    return (uint32_t)(word >> (STATE_BITS + GENERATION_BITS));
}

void ring_slot_init(struct ring_slot *slot, int fd)
{
    atomic_init(&slot->word, word_of(0, 0, RING_SLOT_FREE));
    slot->fd = fd;
}

/* Claims this slot if it is free. */
static bool try_claim(struct ring_slot *slot, struct process self, bool wants_fd,
                      uint32_t *ret_generation)
{
    uint64_t word = atomic_load(&slot->word);
    uint32_t generation = (word_generation(word) + 1) & GENERATION_MASK;
    if (word_state(word) != RING_SLOT_FREE ||
        !atomic_compare_exchange_strong(&slot->word, &word,
                                        word_of(self.pid, generation, RING_SLOT_CLAIMED))) {
        return false;
    }
    SPOOL_POINT("ring.slot_claimed");
    /* The generation says whose start time it is: until here it was that of the claim before. 40
     * bits of ticks since boot are centuries. */
    atomic_store_explicit(&slot->start, self.start_ticks << GENERATION_BITS | generation,
                          memory_order_relaxed);
    atomic_store_explicit(&slot->sleeper, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->wants_fd, wants_fd, memory_order_relaxed);
    if (wants_fd) {
        /* A publisher that timed out or died may have left its fd readable. */
        ring_slot_drain(slot);
    }
    *ret_generation = generation;
    return true;
}

int ring_slot_claim(struct ring *ring, struct process self, bool wants_fd,
                    struct ring_ticket *ret_ticket)
{
    /* Going round means that the slot which was left alone the longest is tried first. */
    uint32_t first = atomic_fetch_add_explicit(&ring->control->slot_hint, 1, memory_order_relaxed) %
                     ring->slots_count;
    for (uint32_t i = 0; i < ring->slots_count; i++) {
        uint32_t slot = (first + i) % ring->slots_count;
        uint32_t generation;
        if (try_claim(&ring->slots[slot], self, wants_fd, &generation)) {
            *ret_ticket = (struct ring_ticket){slot, generation};
            return 0;
        }
    }
    return RING_E_FULL;
}

bool ring_slot_move(struct ring *ring, struct ring_ticket ticket, enum ring_slot_state from,
                    enum ring_slot_state to)
{
    struct ring_slot *slot = &ring->slots[ticket.slot];
    uint64_t word = atomic_load(&slot->word);
    if (word_generation(word) != ticket.generation || word_state(word) != from ||
        !atomic_compare_exchange_strong(&slot->word, &word,
                                        word_of(word_pid(word), ticket.generation, to))) {
        return false;
    }
    if (to == RING_SLOT_FREE) {
        ring_room_give(ring);
    }
    return true;
}

enum ring_slot_state ring_slot_state(const struct ring *ring, struct ring_ticket ticket)
{
    uint64_t word = atomic_load(&ring->slots[ticket.slot].word);
    return word_generation(word) == ticket.generation ? word_state(word) : RING_SLOT_FREE;
}

bool ring_slot_is_used(const struct ring_slot *slot)
{
    return word_state(atomic_load(&slot->word)) != RING_SLOT_FREE;
}

void ring_slot_drain(struct ring_slot *slot)
{
    uint64_t count;
    ssize_t size = read(slot->fd, &count, sizeof(count));
    (void)size; /* EAGAIN: it was not readable */
}

void ring_slot_wake(struct ring_slot *slot)
{
    if (atomic_exchange(&slot->sleeper, 0) != 0) {
        futex_wake(&slot->sleeper);
    }
    if (atomic_load_explicit(&slot->wants_fd, memory_order_relaxed)) {
        uint64_t one = 1;
        ssize_t size = write(slot->fd, &one, sizeof(one));
        (void)size; /* EAGAIN: it is readable as can be */
    }
}

/* The process that claimed the slot; its start time once it has written that down. */
static struct process claimer(const struct ring_slot *slot, uint64_t word)
{
    struct process process = {.pid = word_pid(word)};
    uint64_t start = atomic_load_explicit(&slot->start, memory_order_relaxed);
    if ((start & GENERATION_MASK) == word_generation(word)) {
        process.start_ticks = start >> GENERATION_BITS;
    }
    return process;
}

size_t ring_slots_sweep(struct ring *ring)
{
    bool is_closed = atomic_load(&ring->control->is_closed);
    size_t freed_count = 0;
    for (uint32_t i = 0; i < ring->slots_count; i++) {
        struct ring_slot *slot = &ring->slots[i];
        uint64_t word = atomic_load(&slot->word);
        enum ring_slot_state state = word_state(word);
        /* What waits is still taken, and what is taken is still answered: both come by again. */
        bool is_stuck = state == RING_SLOT_CLAIMED || state == RING_SLOT_ANSWERED ||
                        (state == RING_SLOT_WAITING && is_closed);
        struct ring_ticket ticket = {i, word_generation(word)};
        if (is_stuck && !process_is_alive(claimer(slot, word)) &&
            ring_slot_move(ring, ticket, state, RING_SLOT_FREE)) {
            SPOOL_POINT("ring.slot_swept");
            freed_count++;
        }
    }
    return freed_count;
}
