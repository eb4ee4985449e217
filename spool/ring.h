/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring: how publishers in other processes hand records to the one owner of the spool.
 *
 * It lives in MAP_SHARED memory made before the fork and holds offsets only, no pointers. It has
 * two parts: a byte ring of entries, each an encoded record, and a table of slots, each one
 * publish that somebody waits for. A publisher takes a slot, reserves an entry, copies, marks it
 * ready and rings the bell; the committer takes ready entries in the ring's order, commits them,
 * frees their bytes and writes the outcome into the slots. Nothing is allocated per publish.
 *
 * A publisher may die at any instruction: its entry is skipped and its slot swept. The only lock
 * is a robust mutex held for a few stores while an entry is reserved.
 *
 * Publishers: any process that inherited the mapping, any of its threads. Owner: one thread.
 */
#ifndef SPOOL_RING_H
#define SPOOL_RING_H

#include "spool/base.h"

struct record;

struct ring_config {
    uint32_t slots_count; /* publishes under way at once, over all processes; 1 to 65536 */
    size_t bytes;         /* of the byte ring; at least twice the largest entry; a power of 2 */
    bool has_fds;         /* one eventfd a slot, for ring_ticket_fd(); inherited by forks */
};

struct ring;

/* A publish under way: kept by the publisher until it is released. */
struct ring_ticket {
    uint32_t slot;
    uint32_t generation;
};

/* What became of a publish. Written by the owner. */
struct ring_outcome {
    int result;        /* 0: committed; else the owner's reason (enum publish_result) */
    uint64_t sequence; /* when result is 0 */
};

#define RING_E_OVERSIZED 1 /* the record does not fit the limits or the ring */
#define RING_E_TIMEOUT 2   /* not accepted, for certain: nobody will see the record */
#define RING_E_UNKNOWN 3   /* in a commit that is still under way: it may yet be accepted */
#define RING_E_CLOSED 4    /* the owner takes nothing any more: not accepted, for certain */
#define RING_E_PENDING 5   /* no outcome yet */

/* Makes a ring; before the fork. 0, -errno (-EINVAL for a config out of range). */
SPOOL_MUST_CHECK int ring_new(const struct ring_config *config, struct ring **ret_ring);

/* Unmaps *ring in this process and closes its fds; sets it to NULL; NULL is fine. */
void ring_free(struct ring **ring);

/* --- The publisher's side -------------------------------------------------------------------- */

/* Encodes the record into the ring for the destination. When the ring is full, waits for room until
 * the timeout (0: does not wait). From now on the ticket is the caller's, who ends it by a
 * ring_wait() or ring_poll() that releases it.
 * 0, RING_E_OVERSIZED, RING_E_TIMEOUT, RING_E_CLOSED. */
SPOOL_MUST_CHECK int ring_submit(struct ring *ring, uint32_t destination,
                                 const struct record *record, uint64_t timeout_ms, bool wants_fd,
                                 struct ring_ticket *ret_ticket);

/* Waits for the outcome, at most timeout_ms (0: takes the record back unless its outcome is there
 * or its commit under way). The ticket is released in each case.
 * 0, RING_E_TIMEOUT (it was taken back), RING_E_UNKNOWN (its commit is under way: the owner frees
 * the slot later), RING_E_CLOSED. */
SPOOL_MUST_CHECK int ring_wait(struct ring *ring, struct ring_ticket ticket, uint64_t timeout_ms,
                               struct ring_outcome *ret_outcome);

/* Looks for the outcome without waiting. The ticket is released but for RING_E_PENDING.
 * 0, RING_E_PENDING, RING_E_CLOSED. */
SPOOL_MUST_CHECK int ring_poll(struct ring *ring, struct ring_ticket ticket,
                               struct ring_outcome *ret_outcome);

/* The fd that becomes readable when the outcome is there. The ring's own: do not read or close it.
 */
SPOOL_MUST_CHECK int ring_ticket_fd(const struct ring *ring, struct ring_ticket ticket);

/* --- The owner's side ------------------------------------------------------------------------ */

/* An entry that the owner took. encoded points into the ring until ring_answer(). */
struct ring_entry {
    uint64_t position; /* where it is in the ring, and whose: for ring_answer() */
    struct ring_ticket ticket;
    uint32_t destination;
    struct span encoded;
};

/* Takes up to entries_max ready entries of together at most bytes_max (at least one, if one is
 * ready), in the ring's order. From now on their publishers can no longer take them back.
 * Returns how many; 0 once the ring is closed. */
size_t ring_take(struct ring *ring, struct ring_entry *entries, size_t entries_max,
                 size_t bytes_max);

/* Answers entries that were taken, each with its outcome: frees their bytes, then wakes their
 * publishers. Who has several under way finds all of them answered when the first one wakes it. */
void ring_answer(struct ring *ring, const struct ring_entry *entries,
                 const struct ring_outcome *outcomes, size_t count);

/* Entries that are ready to be taken, about (it is read without the lock). For the owner alone. */
uint32_t ring_ready_count(const struct ring *ring);

/* Sleeps until the bell rings, at most timeout_us. Returns at once if it rang since the last call.
 */
void ring_bell_wait(struct ring *ring, uint64_t timeout_us);

/* Rings the bell: for what else the owner's thread waits for. Safe from any thread. */
void ring_bell(struct ring *ring);

/* Frees entries and slots whose publishers died. The owner calls it about once a second. Returns
 * how many it freed. */
size_t ring_sweep(struct ring *ring);

/* No further submits; everybody who waits and was not taken hears RING_E_CLOSED. Safe from any
 * thread. */
void ring_close(struct ring *ring);

/* Slots that are not free: 0 when nobody publishes or waits. */
uint32_t ring_used_count(const struct ring *ring);

#endif
