/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the ring share among themselves: ring.c (the interface), ring_slot.c (the table
 * of slots) and ring_bytes.c (the byte ring).
 *
 * A slot's states, and who makes each move:
 *
 *   FREE --submit--> CLAIMED --submit--> WAITING --take--> TAKEN --answer--> ANSWERED --> FREE
 *                       |                   |                 |            wait, poll, sweep
 *                       | full, sweep       | timeout,        | timeout
 *                       v                   v closed, sweep   v
 *                     FREE                FREE            ORPHANED --answer--> FREE
 *
 * An entry's states:
 *
 *   RESERVED --submit--> READY --take--> TAKEN --answer--> DONE
 *       |                  `--take, when its slot has moved on--> DONE
 *       `--sweep--> DONE                       PAD: fills the room before the ring's end
 *
 * An entry knows its slot and the slot's generation. Both are WAITING before the entry is READY; so
 * the owner's move from WAITING to TAKEN decides, once, between "taken" and "taken back".
 */
#ifndef SPOOL_RING_INTERNAL_H
#define SPOOL_RING_INTERNAL_H

#include "spool/process.h"
#include "spool/ring.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#define RING_LINE_BYTES 64 /* a cache line: what different processes write is kept apart */

/* Internal: no free slot, or no room for the entry. */
#define RING_E_FULL 6

enum ring_slot_state {
    RING_SLOT_FREE,
    RING_SLOT_CLAIMED,
    RING_SLOT_WAITING,
    RING_SLOT_TAKEN,
    RING_SLOT_ORPHANED,
    RING_SLOT_ANSWERED,
};

struct ring_slot {
    alignas(RING_LINE_BYTES) _Atomic uint64_t word; /* pid 32, generation 24, state 8 bits */
    _Atomic uint64_t start;   /* the claimer's start ticks 40, the claim's generation 24 bits */
    _Atomic uint32_t sleeper; /* a futex: 1 when the publisher sleeps, or is about to */
    atomic_bool wants_fd;
    int fd;            /* -1 without has_fds; never changes */
    int result;        /* the outcome: written by the owner while TAKEN or ORPHANED, */
    uint64_t sequence; /* read by the publisher when ANSWERED */
};

enum ring_entry_state {
    RING_ENTRY_RESERVED = 1,
    RING_ENTRY_READY,
    RING_ENTRY_TAKEN,
    RING_ENTRY_DONE,
    RING_ENTRY_PAD,
};

/* At each position of the byte ring where an entry starts. Only the state changes later. */
struct ring_entry_head {
    alignas(RING_LINE_BYTES) _Atomic uint32_t state;
    uint32_t length_bytes; /* to the next entry; a multiple of RING_LINE_BYTES */
    uint32_t encoded_bytes;
    uint32_t destination;
    struct ring_ticket ticket;
    struct process publisher;
};

/* The start of the shared memory. Positions grow for ever; modulo the size they are places. */
struct ring_control {
    /* Under the lock: held for a few stores while an entry is reserved. */
    alignas(RING_LINE_BYTES) pthread_mutex_t reserve_lock;
    _Atomic uint64_t head; /* where the next entry goes */
    /* Written by the owner. */
    alignas(RING_LINE_BYTES) _Atomic uint64_t tail; /* the oldest entry whose bytes are in use */
    /* Written at each submit. */
    alignas(RING_LINE_BYTES) _Atomic uint32_t bell; /* a futex: counts the rings */
    _Atomic uint64_t owner_sleeps; /* 0, or 1 + the count of the bell that the owner has heard */
    _Atomic uint32_t slot_hint;
    /* Written when the ring is full, or closed. */
    alignas(RING_LINE_BYTES) _Atomic uint32_t room; /* a futex: counts the wake-ups for room */
    _Atomic uint32_t room_wanted;                   /* somebody sleeps for room */
    atomic_bool is_closed;
};

/* A process's own handle. */
struct ring {
    /* The shared memory; the same in every process. */
    void *memory;
    size_t memory_bytes;
    struct ring_control *control;
    struct ring_slot *slots;
    uint32_t slots_count;
    uint8_t *bytes;
    uint64_t bytes_size;

    /* The owner's alone; forks have unused copies. */
    uint32_t bell_seen;
    uint64_t read_position; /* the first entry that was not looked at yet */
    uint64_t *skipped;      /* before it, in ring order: entries that were still RESERVED */
    size_t skipped_count;   /* at most one a slot */
};

/* --- ring.c ---------------------------------------------------------------------------------- */

/* Wakes the publishers that wait for room, if any: after a slot or bytes became free. */
void ring_room_give(struct ring *ring);

/* --- ring_slot.c ----------------------------------------------------------------------------- */

void ring_slot_init(struct ring_slot *slot, int fd);

/* 0, or RING_E_FULL. */
SPOOL_MUST_CHECK int ring_slot_claim(struct ring *ring, struct process self, bool wants_fd,
                                     struct ring_ticket *ret_ticket);

/* Moves the ticket's slot from one state to another. False when it is not in that state, or is no
 * longer the ticket's. */
bool ring_slot_move(struct ring *ring, struct ring_ticket ticket, enum ring_slot_state from,
                    enum ring_slot_state to);

/* The state of the ticket's slot; FREE when it is no longer the ticket's. */
enum ring_slot_state ring_slot_state(const struct ring *ring, struct ring_ticket ticket);

bool ring_slot_is_used(const struct ring_slot *slot);

/* Makes the slot's fd unreadable. */
void ring_slot_drain(struct ring_slot *slot);

/* Wakes the slot's publisher, whether it sleeps or has an fd in its event loop. */
void ring_slot_wake(struct ring_slot *slot);

/* Frees slots that no entry will free any more and whose publishers died. Returns how many. */
size_t ring_slots_sweep(struct ring *ring);

/* --- ring_bytes.c ---------------------------------------------------------------------------- */

/* The size of an entry in the byte ring. */
uint64_t ring_entry_bytes(size_t encoded_bytes);

struct ring_entry_head *ring_entry_at(const struct ring *ring, uint64_t position);

/* Reserves an entry like model, whose state it sets to RESERVED. 0, RING_E_FULL, RING_E_TIMEOUT
 * (the lock was held for too long). */
SPOOL_MUST_CHECK int ring_bytes_reserve(struct ring *ring, const struct ring_entry_head *model,
                                        uint64_t deadline_ns, uint64_t *ret_position);

/* Marks an entry DONE. */
void ring_bytes_release(struct ring *ring, uint64_t position);

/* Gives back the bytes of entries that are DONE, as far as there is no gap. */
void ring_bytes_reclaim(struct ring *ring);

/* Frees the entries whose publishers died before they were READY, and their slots. Returns how
 * many. */
size_t ring_bytes_sweep(struct ring *ring);

#endif
