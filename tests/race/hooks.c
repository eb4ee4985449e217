/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the ring asks of the machine and the system, as steps of the world. */
#include "tests/race/hooks.h"

#undef record_encode
#undef read
#undef write

#include "spool/futex.h"
#include "spool/process.h"
#include "spool/record.h"
#include "tests/race/world_private.h"

#include <errno.h>
#include <string.h>

#define RECORD_BYTES 2048

/* --- Atomics ---------------------------------------------------------------------------------- */

static uint64_t peek(const volatile void *at, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)(uintptr_t)at, size);
    return value;
}

static void poke(volatile void *at, size_t size, uint64_t value)
{
    memcpy((void *)(uintptr_t)at, &value, size);
}

uint64_t race_load(const volatile void *at, size_t size, const char *text)
{
    world_step(at, false, text);
    for (uint32_t i = running < 0 ? 0 : late[running].count; i-- > 0;) {
        if (late[running].stores[i].at == at) {
            return peek(late[running].stores[i].bytes, size);
        }
    }
    return peek(at, size);
}

void race_store(volatile void *at, size_t size, uint64_t value, memory_order order,
                const char *text)
{
    if (is_weak && running >= 0 && order != memory_order_seq_cst) {
        (void)world_is_shared(at, true);
        world_put_store((void *)(uintptr_t)at, &value, size, order == memory_order_release);
        return;
    }
    world_step(at, true, text);
    world_flush_all(running);
    poke(at, size, value);
}

uint64_t race_add(volatile void *at, size_t size, uint64_t value, const char *text)
{
    world_step(at, true, text);
    world_flush_all(running);
    uint64_t before = peek(at, size);
    poke(at, size, before + value);
    return before;
}

uint64_t race_exchange(volatile void *at, size_t size, uint64_t value, const char *text)
{
    world_step(at, true, text);
    world_flush_all(running);
    uint64_t before = peek(at, size);
    poke(at, size, value);
    return before;
}

bool race_compare_exchange(volatile void *at, size_t size, void *expected, uint64_t value,
                           const char *text)
{
    world_step(at, true, text);
    world_flush_all(running);
    uint64_t before = peek(at, size);
    if (before != peek(expected, size)) {
        poke(expected, size, before);
        return false;
    }
    poke(at, size, value);
    return true;
}

/* --- The lock --------------------------------------------------------------------------------- */

int race_trylock(pthread_mutex_t *lock, const char *text)
{
    (void)lock;
    world_stop(text);
    if (world.lock_holder >= 0) {
        return EBUSY;
    }
    if (world.is_lock_broken) {
        return ENOTRECOVERABLE;
    }
    world.lock_holder = running;
    return world.is_lock_orphaned ? EOWNERDEAD : 0;
}

int race_consistent(pthread_mutex_t *lock)
{
    (void)lock;
    world.is_lock_orphaned = false;
    return 0;
}

int race_unlock(pthread_mutex_t *lock, const char *text)
{
    (void)lock;
    world_stop(text);
    world_flush_all(running);
    world.lock_holder = -1;
    world.is_lock_broken = world.is_lock_orphaned;
    world_unblock(PROCESS_ON_LOCK, &world.lock_holder);
    return 0;
}

/* Who tries again and again waits in truth. */
int race_wait_for_lock(void)
{
    if (world.lock_holder >= 0) {
        world_block(PROCESS_ON_LOCK, &world.lock_holder, false);
    }
    return 0;
}

int race_nap(void)
{
    return race_wait_for_lock();
}

/* --- What else the ring asks the system for --------------------------------------------------- */

uint64_t futex_deadline_ns(uint64_t timeout_ns)
{
    return timeout_ns;
}

uint64_t futex_deadline_ms(uint64_t timeout_ms)
{
    return timeout_ms;
}

bool futex_wait_until(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline)
{
    world_stop("futex wait");
    world_flush_all(running);
    if (peek(word, sizeof(*word)) != expected) {
        return true;
    }
    if (deadline == 0) {
        return false;
    }
    world_block(PROCESS_ON_FUTEX, (const void *)(uintptr_t)word, deadline != FUTEX_NEVER);
    bool has_timed_out = world.processes[running].has_timed_out;
    world.processes[running].has_timed_out = false;
    return !has_timed_out;
}

void futex_wake(_Atomic uint32_t *word)
{
    world_stop("futex wake");
    world_flush_all(running);
    world_unblock(PROCESS_ON_FUTEX, (const void *)(uintptr_t)word);
}

struct process process_self(void)
{
    return (struct process){(uint32_t)(running + 1), 1};
}

bool process_is_alive(struct process process)
{
    world_stop("is the process alive?");
    return process.pid == 0 || !world_is_dead((int)process.pid - 1);
}

ssize_t race_fd_read(int fd, const char *text)
{
    world_stop(text);
    world.fds[fd] = 0;
    return 8;
}

ssize_t race_fd_write(int fd, const char *text)
{
    world_stop(text);
    world_flush_all(running);
    world.fds[fd] = 1;
    return 8;
}

void world_wait_for_fd(int fd)
{
    world.processes[running].fd = fd;
    world.processes[running].text = "poll";
    world_block(PROCESS_ON_FD, NULL, false);
}

/* The bytes of a record are plain stores: half of them are seen before the others. */
void race_record_encode(const struct record *record, void *buffer);

void race_record_encode(const struct record *record, void *buffer)
{
    /* Nothing that lies outside of the state may be kept from step to step. */
    static uint8_t encoded[RECORD_BYTES];
    size_t size;
    if (record_size(record, &size) != 0 || size > sizeof(encoded)) {
        race_fail("a record of a wrong size");
    }
    size_t half = size / 2;
    world_stop("write half of the record");
    record_encode(record, encoded);
    world_put_store(buffer, encoded, half, false);
    world_stop("write the other half");
    record_encode(record, encoded);
    world_put_store((uint8_t *)buffer + half, encoded + half, size - half, false);
}

/* What an assert() of the ring comes to: glibc calls it by this name. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier) */
_Noreturn void __assert_fail(const char *assertion, const char *file, unsigned int line,
                             const char *function)
{
    race_fail("%s:%u: %s: %s is not so", file, line, function, assertion);
}
