/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the ring is compiled with for the explorer (gcc -include): each atomic access, each use of
 * its lock, its futexes and its fds is a step, before which any other process may run, or this one
 * die. The ring's code itself is not changed.
 */
#ifndef TESTS_RACE_HOOKS_H
#define TESTS_RACE_HOOKS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

uint64_t race_load(const volatile void *at, size_t size, const char *text);
void race_store(volatile void *at, size_t size, uint64_t value, memory_order order,
                const char *text);
uint64_t race_add(volatile void *at, size_t size, uint64_t value, const char *text);
uint64_t race_exchange(volatile void *at, size_t size, uint64_t value, const char *text);
bool race_compare_exchange(volatile void *at, size_t size, void *expected, uint64_t value,
                           const char *text);
int race_trylock(pthread_mutex_t *lock, const char *text);
int race_consistent(pthread_mutex_t *lock);
int race_unlock(pthread_mutex_t *lock, const char *text);
int race_wait_for_lock(void);
int race_nap(void);
ssize_t race_fd_read(int fd, const char *text);
ssize_t race_fd_write(int fd, const char *text);

#define RACE_LINE_OF(line) #line
#define RACE_LINE(line) RACE_LINE_OF(line)
#define RACE_TEXT(what, at) __FILE__ ":" RACE_LINE(__LINE__) ": " what " " #at
#define RACE_VALUE(at) __typeof__((void)0, *(at))

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_exchange
#undef atomic_compare_exchange_strong

#define atomic_load(at) ((RACE_VALUE(at))race_load((at), sizeof(*(at)), RACE_TEXT("load", at)))
#define atomic_load_explicit(at, order) atomic_load(at)
#define atomic_store(at, value) atomic_store_explicit(at, value, memory_order_seq_cst)
#define atomic_store_explicit(at, value, order)                                                    \
    race_store((at), sizeof(*(at)), (uint64_t)(value), (order), RACE_TEXT("store", at))
#define atomic_fetch_add(at, value)                                                                \
    race_add((at), sizeof(*(at)), (uint64_t)(value), RACE_TEXT("add", at))
#define atomic_fetch_add_explicit(at, value, order) atomic_fetch_add(at, value)
#define atomic_exchange(at, value)                                                                 \
    race_exchange((at), sizeof(*(at)), (uint64_t)(value), RACE_TEXT("exchange", at))
#define atomic_compare_exchange_strong(at, expected, value)                                        \
    race_compare_exchange((at), sizeof(*(at)), (expected), (uint64_t)(value),                      \
                          RACE_TEXT("compare and exchange", at))

#define pthread_mutex_trylock(lock) race_trylock((lock), RACE_TEXT("lock", lock))
#define pthread_mutex_consistent(lock) race_consistent(lock)
#define pthread_mutex_unlock(lock) race_unlock((lock), RACE_TEXT("unlock", lock))
#define sched_yield() race_wait_for_lock()
#define nanosleep(time, rest) race_nap()
#define read(fd, bytes, size) ((void)(bytes), race_fd_read((fd), RACE_TEXT("read", fd)))
#define write(fd, bytes, size) ((void)(bytes), race_fd_write((fd), RACE_TEXT("write", fd)))

/* Half a record at a time: record.h's declaration becomes that of this one. */
#define record_encode(record, buffer) race_record_encode(record, buffer)

#endif
