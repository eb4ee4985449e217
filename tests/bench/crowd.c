/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/crowd.h"

#include "src/publish.h"
#include "tests/bench/measure.h"

#include <assert.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PROCESSES_MAX 64
#define OUTSTANDING_MAX 4096
#define POLL_US 200
#define COMMIT_TIMEOUT_MS 60000

/* One process's part of the shared memory. */
struct member {
    _Alignas(64) _Atomic uint64_t accepted;
    _Atomic unsigned rounds; /* finished */
    struct latency latency;
};

struct shared {
    _Atomic unsigned round; /* counts the crowd_go()s */
    atomic_bool stops;
    atomic_bool measures;
    atomic_bool has_failed;
    uint32_t destination;
    uint64_t records_each; /* 0: until stops */
    struct member members[PROCESSES_MAX];
};

struct crowd {
    struct crowd_config config;
    struct shared *shared;
    pid_t pids[PROCESSES_MAX];
};

/* --- A publisher ------------------------------------------------------------------------------ */

struct under_way {
    struct ring_ticket ticket;
    uint64_t begin_us;
};

struct member_state {
    struct shared *shared;
    struct member *member;
    struct publisher publisher;
    struct under_way under_way[OUTSTANDING_MAX];
    unsigned outstanding;
    unsigned first;
    unsigned count;
    uint64_t number;
    char payload[PAYLOAD_BYTES];
};

static void member_fail(struct member_state *state, enum outcome outcome)
{
    atomic_store(&state->shared->has_failed, true);
    measure_fail("a publish was not accepted: %s", outcome_text(outcome));
}

static void member_begin(struct member_state *state)
{
    struct publish_target target = {
        .destination = state->shared->destination,
        .record_bytes_max = SIZE_MAX,
    };
    struct under_way *slot = &state->under_way[(state->first + state->count) % state->outstanding];
    enum outcome refusal;

    measure_stamp(state->payload, state->number++);
    struct record record = {.payload = {state->payload, sizeof(state->payload)}};
    slot->begin_us = measure_now_us();
    if (publish_begin(&state->publisher, &target, &record, false, &slot->ticket, &refusal) != 0) {
        member_fail(state, refusal);
    }
    state->count++;
}

static void member_end(struct member_state *state)
{
    const struct under_way *slot = &state->under_way[state->first];
    uint64_t sequence;
    enum outcome outcome = publish_end(&state->publisher, slot->ticket, &sequence);

    if (outcome != OUTCOME_ACCEPTED) {
        member_fail(state, outcome);
    }
    if (atomic_load_explicit(&state->shared->measures, memory_order_relaxed)) {
        latency_add(&state->member->latency, measure_now_us() - slot->begin_us);
    }
    atomic_fetch_add_explicit(&state->member->accepted, 1, memory_order_relaxed);
    state->first = (state->first + 1) % state->outstanding;
    state->count--;
}

static void member_publish(struct member_state *state)
{
    uint64_t left = state->shared->records_each;
    bool is_endless = left == 0;

    while ((is_endless && !atomic_load(&state->shared->stops)) || left > 0) {
        member_begin(state);
        left -= !is_endless;
        if (state->count == state->outstanding) {
            member_end(state);
        }
    }
    while (state->count > 0) {
        member_end(state);
    }
}

__attribute__((noreturn)) static void member_run(struct crowd *crowd, unsigned index)
{
    static struct member_state state;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    state.shared = crowd->shared;
    state.member = &crowd->shared->members[index];
    state.publisher = (struct publisher){crowd->config.ring, clock_system(), COMMIT_TIMEOUT_MS};
    state.outstanding = crowd->config.outstanding;
    state.number = (uint64_t)index << 40;
    measure_payload(state.payload);
    for (unsigned round = 1;; round++) {
        while (atomic_load(&state.shared->round) < round) {
            measure_sleep_us(POLL_US);
        }
        member_publish(&state);
        atomic_store(&state.member->rounds, round);
    }
}

/* --- The crowd -------------------------------------------------------------------------------- */

struct crowd *crowd_new(const struct crowd_config *config)
{
    if (config->processes < 1 || config->processes > PROCESSES_MAX || config->outstanding < 1 ||
        config->outstanding > OUTSTANDING_MAX) {
        measure_fail("1 to %d processes, each with 1 to %d outstanding", PROCESSES_MAX,
                     OUTSTANDING_MAX);
    }
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (crowd == NULL || memory == MAP_FAILED) {
        measure_fail("out of memory");
    }
    crowd->config = *config;
    crowd->shared = memory;
    for (unsigned i = 0; i < config->processes; i++) {
        crowd->pids[i] = fork();
        if (crowd->pids[i] == 0) {
            member_run(crowd, i);
        }
        if (crowd->pids[i] < 0) {
            measure_fail("cannot fork");
        }
    }
    return crowd;
}

void crowd_go(struct crowd *crowd, uint32_t destination, uint64_t records)
{
    struct shared *shared = crowd->shared;

    for (unsigned i = 0; i < crowd->config.processes; i++) {
        atomic_store(&shared->members[i].accepted, 0);
        memset(&shared->members[i].latency, 0, sizeof(shared->members[i].latency));
    }
    shared->destination = destination;
    assert(crowd->config.processes > 0);
    shared->records_each = records / crowd->config.processes;
    atomic_store(&shared->stops, false);
    atomic_store(&shared->measures, false);
    atomic_fetch_add(&shared->round, 1);
}

uint64_t crowd_accepted(const struct crowd *crowd)
{
    uint64_t accepted = 0;

    for (unsigned i = 0; i < crowd->config.processes; i++) {
        accepted += atomic_load(&crowd->shared->members[i].accepted);
    }
    return accepted;
}

void crowd_measure(struct crowd *crowd)
{
    atomic_store(&crowd->shared->measures, true);
}

void crowd_finish(struct crowd *crowd)
{
    struct shared *shared = crowd->shared;
    unsigned round = atomic_load(&shared->round);

    for (unsigned i = 0; i < crowd->config.processes; i++) {
        while (atomic_load(&shared->members[i].rounds) < round) {
            if (atomic_load(&shared->has_failed)) {
                exit(1); /* its process has said why */
            }
            measure_sleep_us(POLL_US);
        }
    }
}

void crowd_stop(struct crowd *crowd)
{
    atomic_store(&crowd->shared->stops, true);
    crowd_finish(crowd);
}

void crowd_latency(const struct crowd *crowd, struct latency *ret_latency)
{
    memset(ret_latency, 0, sizeof(*ret_latency));
    for (unsigned i = 0; i < crowd->config.processes; i++) {
        latency_merge(ret_latency, &crowd->shared->members[i].latency);
    }
}

void crowd_free(struct crowd **crowd_at)
{
    struct crowd *crowd = SPOOL_TAKE(*crowd_at);

    if (crowd == NULL) {
        return;
    }
    for (unsigned i = 0; i < crowd->config.processes; i++) {
        kill(crowd->pids[i], SIGKILL);
        waitpid(crowd->pids[i], NULL, 0);
    }
    munmap(crowd->shared, sizeof(*crowd->shared));
    free(crowd);
}
