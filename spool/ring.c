/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/ring_internal.h"

#include "spool/futex.h"
#include "spool/point.h"
#include "spool/record.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS_MAX 65536
#define BYTES_MIN 4096
#define BYTES_MAX ((size_t)1 << 31) /* an entry's length is 32 bits */

/* --- Life ------------------------------------------------------------------------------------ */

static int init_lock(pthread_mutex_t *lock)
{
    assert(lock != NULL);
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error != 0) {
        return -error;
    }
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (error == 0) {
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (error == 0) {
        error = pthread_mutex_init(lock, &attributes);
    }
    (void)pthread_mutexattr_destroy(&attributes);
    return -error;
}

/* The memory comes zeroed: every atomic in it starts at 0, every slot's state is FREE. */
static int map_memory(struct ring *ring, const struct ring_config *config)
{
    size_t slots_bytes = config->slots_count * sizeof(struct ring_slot);
    size_t bytes = sizeof(struct ring_control) + slots_bytes + config->bytes;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    uint8_t *at = memory;
    ring->memory = memory;
    ring->memory_bytes = bytes;
    ring->control = memory;
    ring->slots = (struct ring_slot *)(void *)(at + sizeof(struct ring_control));
    ring->bytes = at + sizeof(struct ring_control) + slots_bytes;
    ring->bytes_size = config->bytes;
    return 0;
}

static int init_slots(struct ring *ring, const struct ring_config *config)
{
    for (uint32_t i = 0; i < config->slots_count; i++) {
        int fd = config->has_fds ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
        if (config->has_fds && fd < 0) {
            return -errno;
        }
        ring_slot_init(&ring->slots[i], fd);
        ring->slots_count = i + 1; /* so that ring_free() knows what there is */
    }
    return 0;
}

int ring_new(const struct ring_config *config, struct ring **ret_ring)
{
    if (config->slots_count < 1 || config->slots_count > SLOTS_MAX || config->bytes < BYTES_MIN ||
        config->bytes > BYTES_MAX || (config->bytes & (config->bytes - 1)) != 0) {
        return -EINVAL;
    }
    SPOOL_CLEANUP(ring_free) struct ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL) {
        return -ENOMEM;
    }
    ring->skipped = calloc(config->slots_count, sizeof(*ring->skipped));
    if (ring->skipped == NULL) {
        return -ENOMEM;
    }
    int result = map_memory(ring, config);
    if (result == 0) {
        result = init_lock(&ring->control->reserve_lock);
    }
    if (result == 0) {
        result = init_slots(ring, config);
    }
    if (result != 0) {
        return result;
    }
    *ret_ring = SPOOL_TAKE(ring);
    return 0;
}

void ring_free(struct ring **ring)
{
    struct ring *old = SPOOL_TAKE(*ring);
    if (old == NULL) {
        return;
    }
    for (uint32_t i = 0; i < old->slots_count; i++) {
        if (old->slots[i].fd >= 0) {
            (void)close(old->slots[i].fd);
        }
    }
    /* The lock is not destroyed: other processes may go on with theirs. */
    if (old->memory != NULL) {
        (void)munmap(old->memory, old->memory_bytes);
    }
    free(old->skipped);
    free(old);
}

/* --- Publishers: submit ---------------------------------------------------------------------- */

/* The flag is taken down before the count goes up, so that a publisher which put it up again in
 * between has read the old count and does not sleep. */
void ring_room_give(struct ring *ring)
{
    struct ring_control *control = ring->control;
    if (atomic_load(&control->room_wanted) != 0) {
        atomic_store(&control->room_wanted, 0);
        SPOOL_POINT("ring.room_given");
        atomic_fetch_add(&control->room, 1);
        futex_wake(&control->room);
    }
}

/* What a submit asks for, and what it has so far. */
struct request {
    struct ring_entry_head model;
    bool wants_fd;
    bool has_slot;
    uint64_t position;
    uint64_t deadline_ns;
};

/* 0, RING_E_FULL, RING_E_TIMEOUT. */
static int try_reserve(struct ring *ring, struct request *request)
{
    struct ring_entry_head *model = &request->model;
    if (!request->has_slot) {
        int result = ring_slot_claim(ring, model->publisher, request->wants_fd, &model->ticket);
        if (result != 0) {
            return result;
        }
        request->has_slot = true;
    }
    return ring_bytes_reserve(ring, model, request->deadline_ns, &request->position);
}

/* 0, RING_E_TIMEOUT, RING_E_CLOSED. */
static int reserve(struct ring *ring, struct request *request)
{
    struct ring_control *control = ring->control;
    bool is_late = false;
    for (bool is_waiting = false;; is_waiting = true) {
        uint32_t room = atomic_load(&control->room);
        if (is_waiting) {
            atomic_store(&control->room_wanted, 1); /* before the look that decides to sleep */
        }
        if (atomic_load(&control->is_closed)) {
            return RING_E_CLOSED;
        }
        int result = try_reserve(ring, request);
        if (result != RING_E_FULL) {
            return result;
        }
        if (is_late) {
            return RING_E_TIMEOUT;
        }
        if (is_waiting) {
            /* Who made an entry ready may have died before the bell, and that entry be the one
             * that all the room waits for. */
            ring_bell(ring);
            is_late = !futex_wait_until(&control->room, room, request->deadline_ns);
        }
    }
}

/* Makes a reserved and written entry one that the owner may take. */
static int hand_over(struct ring *ring, const struct request *request)
{
    struct ring_ticket ticket = request->model.ticket;
    SPOOL_POINT("ring.entry_written");
    bool was_claimed = ring_slot_move(ring, ticket, RING_SLOT_CLAIMED, RING_SLOT_WAITING);
    assert(was_claimed);
    (void)was_claimed;
    SPOOL_POINT("ring.slot_waiting");
    atomic_store_explicit(&ring_entry_at(ring, request->position)->state, RING_ENTRY_READY,
                          memory_order_release);
    SPOOL_POINT("ring.entry_ready");
    ring_bell(ring);
    SPOOL_POINT("ring.submitted");
    /* Either ring_close() saw the slot waiting and woke it, or this look sees the ring closed. */
    if (atomic_load(&ring->control->is_closed) &&
        ring_slot_move(ring, ticket, RING_SLOT_WAITING, RING_SLOT_FREE)) {
        return RING_E_CLOSED;
    }
    return 0;
}

int ring_submit(struct ring *ring, uint32_t destination, const struct record *record,
                uint64_t timeout_ms, bool wants_fd, struct ring_ticket *ret_ticket)
{
    size_t size;
    if (record_size(record, &size) != 0 || ring_entry_bytes(size) > ring->bytes_size / 2) {
        return RING_E_OVERSIZED;
    }
    assert(!wants_fd || ring->slots[0].fd >= 0);
    struct request request = {
        .model = {.length_bytes = (uint32_t)ring_entry_bytes(size),
                  .encoded_bytes = (uint32_t)size,
                  .destination = destination,
                  .publisher = process_self()},
        .wants_fd = wants_fd,
        .deadline_ns = futex_deadline_ms(timeout_ms),
    };
    int result = reserve(ring, &request);
    if (result != 0) {
        if (request.has_slot) {
            (void)ring_slot_move(ring, request.model.ticket, RING_SLOT_CLAIMED, RING_SLOT_FREE);
        }
        return result;
    }
    record_encode(record, ring_entry_at(ring, request.position) + 1);
    result = hand_over(ring, &request);
    if (result == 0) {
        *ret_ticket = request.model.ticket;
    }
    return result;
}

/* --- Publishers: the outcome ----------------------------------------------------------------- */

/* Releases the ticket if there is an outcome, or will be none. 0, RING_E_PENDING, RING_E_CLOSED. */
static int look(struct ring *ring, struct ring_ticket ticket, struct ring_outcome *ret_outcome)
{
    const struct ring_slot *slot = &ring->slots[ticket.slot];
    enum ring_slot_state state = ring_slot_state(ring, ticket);
    assert(state != RING_SLOT_FREE); /* the ticket was released before */
    if (state == RING_SLOT_ANSWERED) {
        *ret_outcome = (struct ring_outcome){slot->result, slot->sequence};
        SPOOL_POINT("ring.outcome_read");
        (void)ring_slot_move(ring, ticket, RING_SLOT_ANSWERED, RING_SLOT_FREE);
        SPOOL_POINT("ring.slot_released");
        return 0;
    }
    if (atomic_load(&ring->control->is_closed) &&
        ring_slot_move(ring, ticket, RING_SLOT_WAITING, RING_SLOT_FREE)) {
        return RING_E_CLOSED;
    }
    return RING_E_PENDING;
}

int ring_wait(struct ring *ring, struct ring_ticket ticket, uint64_t timeout_ms,
              struct ring_outcome *ret_outcome)
{
    struct ring_slot *slot = &ring->slots[ticket.slot];
    /* Who has many under way finds most of them answered already: marked as a sleeper, the owner
     * would wake it for nothing. */
    int result = look(ring, ticket, ret_outcome);
    if (result != RING_E_PENDING) {
        return result;
    }
    uint64_t deadline_ns = futex_deadline_ms(timeout_ms);
    for (bool is_late = false;;) {
        atomic_store(&slot->sleeper, 1); /* before the look that decides to sleep */
        result = look(ring, ticket, ret_outcome);
        if (result != RING_E_PENDING) {
            return result;
        }
        if (is_late && ring_slot_move(ring, ticket, RING_SLOT_WAITING, RING_SLOT_FREE)) {
            SPOOL_POINT("ring.taken_back");
            return RING_E_TIMEOUT;
        }
        if (is_late && ring_slot_move(ring, ticket, RING_SLOT_TAKEN, RING_SLOT_ORPHANED)) {
            SPOOL_POINT("ring.slot_orphaned");
            return RING_E_UNKNOWN;
        }
        if (!is_late) {
            is_late = !futex_wait_until(&slot->sleeper, 1, deadline_ns);
        }
    }
}

int ring_poll(struct ring *ring, struct ring_ticket ticket, struct ring_outcome *ret_outcome)
{
    struct ring_slot *slot = &ring->slots[ticket.slot];
    if (atomic_load_explicit(&slot->wants_fd, memory_order_relaxed)) {
        /* Before the look: an answer that comes after it makes the fd readable again. */
        ring_slot_drain(slot);
    }
    return look(ring, ticket, ret_outcome);
}

int ring_ticket_fd(const struct ring *ring, struct ring_ticket ticket)
{
    assert(ring->slots[ticket.slot].fd >= 0);
    return ring->slots[ticket.slot].fd;
}

/* --- The owner ------------------------------------------------------------------------------- */

/* Writes the outcome to the slot of an entry that was taken. */
static void answer(struct ring *ring, const struct ring_entry *entry,
                   const struct ring_outcome *outcome)
{
    struct ring_slot *slot = &ring->slots[entry->ticket.slot];
    ring_bytes_release(ring, entry->position);
    SPOOL_POINT("ring.entry_released");
    slot->result = outcome->result;
    slot->sequence = outcome->sequence;
    if (!ring_slot_move(ring, entry->ticket, RING_SLOT_TAKEN, RING_SLOT_ANSWERED)) {
        bool was_orphaned = ring_slot_move(ring, entry->ticket, RING_SLOT_ORPHANED, RING_SLOT_FREE);
        assert(was_orphaned); /* else it was answered twice */
        (void)was_orphaned;
    }
}

void ring_answer(struct ring *ring, const struct ring_entry *entries,
                 const struct ring_outcome *outcomes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        answer(ring, &entries[i], &outcomes[i]);
        SPOOL_POINT("ring.answered");
    }
    ring_bytes_reclaim(ring);
    for (size_t i = 0; i < count; i++) {
        /* The publisher may be gone by now, and the slot nobody's or somebody else's, who is then
         * woken for nothing and looks again. */
        SPOOL_POINT("ring.waking");
        ring_slot_wake(&ring->slots[entries[i].ticket.slot]);
    }
}

void ring_bell(struct ring *ring)
{
    struct ring_control *control = ring->control;
    uint32_t bell = atomic_fetch_add(&control->bell, 1) + 1;
    SPOOL_POINT("ring.bell_counted");
    uint64_t sleep = atomic_load(&control->owner_sleeps);
    /* Who was slow may find the owner asleep again, after it has heard this ring: that sleep is
     * for a later one to end. */
    if (sleep != 0 && (int32_t)(bell - (uint32_t)(sleep - 1)) > 0) {
        /* Only after the wake-up is the owner known to be awake: who dies between the two leaves
         * it to the next. */
        futex_wake(&control->bell);
        SPOOL_POINT("ring.bell_woken");
        (void)atomic_compare_exchange_strong(&control->owner_sleeps, &sleep, 0);
    }
}

void ring_bell_wait(struct ring *ring, uint64_t timeout_us)
{
    struct ring_control *control = ring->control;
    if (atomic_load(&control->bell) == ring->bell_seen) {
        uint64_t deadline_ns =
            futex_deadline_ns(timeout_us < FUTEX_NEVER / 1000 ? timeout_us * 1000 : FUTEX_NEVER);
        atomic_store(&control->owner_sleeps, (uint64_t)ring->bell_seen + 1);
        while (atomic_load(&control->bell) == ring->bell_seen &&
               futex_wait_until(&control->bell, ring->bell_seen, deadline_ns)) {
        }
        atomic_store(&control->owner_sleeps, 0);
    }
    ring->bell_seen = atomic_load(&control->bell);
}

size_t ring_sweep(struct ring *ring)
{
    /* Slots first: a slot that is freed while its entry is still RESERVED must not let a second
     * such entry of its own come up for the owner. */
    size_t freed_count = ring_slots_sweep(ring);
    freed_count += ring_bytes_sweep(ring);
    /* Whoever was to wake those that wait for room may have died on the way. */
    atomic_store(&ring->control->room_wanted, 1);
    ring_room_give(ring);
    return freed_count;
}

void ring_close(struct ring *ring)
{
    atomic_store(&ring->control->is_closed, true);
    SPOOL_POINT("ring.closed");
    for (uint32_t i = 0; i < ring->slots_count; i++) {
        if (ring_slot_is_used(&ring->slots[i])) {
            ring_slot_wake(&ring->slots[i]);
        }
    }
    atomic_store(&ring->control->room_wanted, 1);
    ring_room_give(ring);
}

uint32_t ring_used_count(const struct ring *ring)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ring->slots_count; i++) {
        count += ring_slot_is_used(&ring->slots[i]);
    }
    return count;
}
