/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fields of /proc/<pid>/stat, numbered as in proc(5). */
#define FIELD_STATE 3
#define FIELD_THREADS_COUNT 20
#define FIELD_START 22

/* What /proc says of a process at this moment. */
struct process_stat {
    uint32_t pid;
    char state;
    uint64_t threads_count;
    uint64_t start_ticks;
};

/* This process, once asked for; self_pid 0: not yet, or forked since. */
static _Atomic uint32_t self_pid;
static _Atomic uint64_t self_start_ticks;
static pthread_once_t self_once = PTHREAD_ONCE_INIT;

/* The start of a field. The name of the program is field 2 and may hold spaces and parentheses, so
 * fields are counted from its end. NULL when there are fewer. */
static const char *find_field(const char *text, int field)
{
    const char *at = strrchr(text, ')');
    for (int i = 2; at != NULL && i < field; i++) {
        at = strchr(at + 1, ' ');
    }
    return at != NULL ? at + 1 : NULL;
}

static bool read_stat(const char *path, struct process_stat *ret_stat)
{
    char text[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0) {
        return false;
    }
    text[size] = '\0';

    const char *state = find_field(text, FIELD_STATE);
    const char *threads = find_field(text, FIELD_THREADS_COUNT);
    const char *start = find_field(text, FIELD_START);
    if (start == NULL) {
        return false;
    }
    ret_stat->pid = (uint32_t)strtoul(text, NULL, 10);
    ret_stat->state = *state;
    ret_stat->threads_count = strtoull(threads, NULL, 10);
    ret_stat->start_ticks = strtoull(start, NULL, 10);
    return true;
}

static void forget_self(void)
{
    atomic_store_explicit(&self_pid, 0, memory_order_relaxed);
}

static void watch_forks(void)
{
    /* It fails only for want of memory, and then the first fork's children take themselves for
     * their parent: their slots are kept too long, never freed too early. */
    (void)pthread_atfork(NULL, NULL, forget_self);
}

struct process process_self(void)
{
    uint32_t pid = atomic_load_explicit(&self_pid, memory_order_acquire);
    if (pid != 0) {
        return (struct process){pid, atomic_load_explicit(&self_start_ticks, memory_order_relaxed)};
    }
    (void)pthread_once(&self_once, watch_forks);
    struct process self = {.pid = (uint32_t)getpid()};
    struct process_stat stat;
    /* A /proc of another pid namespace would answer for strangers: then do without. */
    if (read_stat("/proc/self/stat", &stat) && stat.pid == self.pid) {
        self.start_ticks = stat.start_ticks;
    }
    atomic_store_explicit(&self_start_ticks, self.start_ticks, memory_order_relaxed);
    atomic_store_explicit(&self_pid, self.pid, memory_order_release);
    return self;
}

bool process_is_alive(struct process process)
{
    if (kill((pid_t)process.pid, 0) != 0 && errno == ESRCH) {
        return false;
    }
    char path[sizeof("/proc/4294967295/stat")];
    struct process_stat stat;
    (void)snprintf(path, sizeof(path), "/proc/%u/stat", process.pid);
    if (process.start_ticks == 0 || !read_stat(path, &stat)) {
        return true;
    }
    /* A main thread that ended before the others looks ended too: the others count. */
    bool has_ended = (stat.state == 'Z' || stat.state == 'X') && stat.threads_count <= 1;
    return stat.start_ticks == process.start_ticks && !has_ended;
}
