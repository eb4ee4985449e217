/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/shared_state.h"

#include "src/opensips/opensips.h"
#include "src/opensips/settings.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Publishes under way at once, over all processes. Each has an fd, which every process inherits:
 * a quarter of what a process may have, within these limits. */
#define SLOTS_MIN 64
#define SLOTS_MAX 1024
#define RING_BYTES (16U << 20)

struct shared_state *shared_state;
struct publisher shared_publisher;

static int bell_fd = -1;

void *shared_memory(size_t size_bytes)
{
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(memory, size_bytes, MADV_DONTDUMP);
    return memory;
}

static uint32_t shared_slots_count(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 4 > SLOTS_MAX) {
        return SLOTS_MAX;
    }
    return limit.rlim_cur / 4 < SLOTS_MIN ? SLOTS_MIN : (uint32_t)(limit.rlim_cur / 4);
}

int shared_state_new(void)
{
    struct ring_config config = {
        .slots_count = shared_slots_count(),
        .bytes = RING_BYTES,
        .has_fds = true,
    };
    int r = ring_new(&config, &shared_publisher.ring);
    if (r != 0) {
        LM_ERR("no shared memory, or no fds, for %u publishes at once: %s\n", config.slots_count,
               strerror(-r));
        return -1;
    }
    shared_publisher.clock = clock_system();
    shared_publisher.commit_timeout_ms = settings.commit_timeout_ms;
    shared_state = shared_memory(sizeof(*shared_state));
    bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (shared_state == NULL || bell_fd < 0) {
        LM_ERR("no shared memory: %s\n", strerror(errno));
        return -1;
    }
    atomic_store(&shared_state->process_no, -1);
    return 0;
}

void shared_bell_ring(void)
{
    uint64_t one = 1;
    (void)!write(bell_fd, &one, sizeof(one));
}

int shared_bell_fd(void)
{
    return bell_fd;
}
