/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/race/world_private.h"

#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#define STACK_BYTES 16384
#define MEMORIES_MAX 8
#define PLACES_MAX 1024
/* Below the frame of who gives the turn away: what that function needs itself. */
#define FRAME_BYTES 64

struct memory {
    uint8_t *at;
    size_t size_bytes;
};

/* A place in memory, and who uses it. */
struct place {
    const volatile void *at;
    uint32_t processes; /* a bit for each */
    bool is_written;
    bool is_shared;
};

struct state world;
static int processes_count;
bool is_weak;
static void (*programs[WORLD_PROCESSES_MAX])(int process);
struct late late[WORLD_PROCESSES_MAX];
static ucontext_t beginnings[WORLD_PROCESSES_MAX];
static jmp_buf scheduler;
static struct place places[PLACES_MAX];
static bool has_learnt;
static uint8_t stacks[WORLD_PROCESSES_MAX][STACK_BYTES] __attribute__((aligned(64)));
static struct memory memories[MEMORIES_MAX];
static size_t memories_count;
int running = -1;

/* --- Processes -------------------------------------------------------------------------------- */

void world_begin(bool is_weak_world)
{
    memset(&world, 0, sizeof(world));
    memset(stacks, 0, sizeof(stacks));
    memset(late, 0, sizeof(late));
    memset(places, 0, sizeof(places));
    world.lock_holder = -1;
    processes_count = 0;
    memories_count = 0;
    is_weak = is_weak_world;
    if (is_weak) {
        world_add_memory(late, sizeof(late));
    }
}

void world_add_memory(void *memory, size_t size_bytes)
{
    memories[memories_count++] = (struct memory){memory, size_bytes};
}

/* Gives the turn to the scheduler, until that gives it back. */
static __attribute__((noinline)) void give_turn(struct one_process *process)
{
    process->stack = (const uint8_t *)__builtin_frame_address(0) - FRAME_BYTES;
    if (_setjmp(process->registers) == 0) {
        _longjmp(scheduler, 1);
    }
}

static void process_main(int process)
{
    programs[process](process);
    world.processes[process].state = PROCESS_DONE;
    world.processes[process].text = "done";
    give_turn(&world.processes[process]);
}

void world_add_process(void (*run)(int process), bool can_die)
{
    int process = processes_count++;
    programs[process] = run;
    world.processes[process].text = "begins";
    world.processes[process].can_die = can_die;
    (void)getcontext(&beginnings[process]);
    beginnings[process].uc_stack.ss_sp = stacks[process];
    beginnings[process].uc_stack.ss_size = STACK_BYTES;
    makecontext(&beginnings[process], (void (*)(void))(void *)process_main, 1, process);
}

void world_stop(const char *text)
{
    if (running >= 0) {
        world.processes[running].text = text;
        give_turn(&world.processes[running]);
    }
}

bool world_is_shared(const volatile void *at, bool is_write)
{
    size_t i = ((uintptr_t)at >> 2) % PLACES_MAX;
    while (places[i].at != NULL && places[i].at != at) {
        i = (i + 1) % PLACES_MAX;
    }
    struct place *place = &places[i];
    place->at = at;
    place->processes |= 1U << running;
    place->is_written = place->is_written || is_write;
    if (!place->is_shared && place->is_written &&
        (place->processes & (place->processes - 1)) != 0) {
        place->is_shared = true;
        has_learnt = true;
    }
    return place->is_shared;
}

void world_step(const volatile void *at, bool is_write, const char *text)
{
    if (running >= 0 && world_is_shared(at, is_write)) {
        world_stop(text);
    }
}

bool world_has_learnt(void)
{
    bool had_learnt = has_learnt;
    has_learnt = false;
    return had_learnt;
}

void world_block(enum process_state state, const void *waits_for, bool can_time_out)
{
    struct one_process *process = &world.processes[running];
    process->state = state;
    process->waits_for = waits_for;
    process->can_time_out = can_time_out;
    process->has_timed_out = false;
    give_turn(process);
}

void world_unblock(enum process_state state, const void *waits_for)
{
    for (int i = 0; i < processes_count; i++) {
        struct one_process *process = &world.processes[i];
        if (process->state == state && process->waits_for == waits_for) {
            process->state = PROCESS_READY;
            process->waits_for = NULL;
        }
    }
}

bool world_is_done(int process)
{
    return world.processes[process].state == PROCESS_DONE;
}

bool world_is_dead(int process)
{
    return world.processes[process].state == PROCESS_DEAD;
}

bool world_can_run(int process)
{
    const struct one_process *one = &world.processes[process];
    return one->state == PROCESS_READY || (one->state == PROCESS_ON_FD && world.fds[one->fd] != 0);
}

uint32_t world_owner_time_outs(void)
{
    return world.owner_time_outs;
}

const char *world_text(int process)
{
    return world.processes[process].text;
}

/* --- Stores that wait ------------------------------------------------------------------------- */

static void flush_one(int process, uint32_t which)
{
    struct late *mine = &late[process];
    const struct store store = mine->stores[which];
    memcpy(store.at, store.bytes, store.size);
    mine->count--;
    memmove(&mine->stores[which], &mine->stores[which + 1], (mine->count - which) * sizeof(store));
    memset(&mine->stores[mine->count], 0, sizeof(store));
}

void world_flush_all(int process)
{
    while (process >= 0 && late[process].count > 0) {
        flush_one(process, 0);
    }
}

/* A store is not seen before an earlier one to its place, a release store not before any. */
static bool can_flush(const struct late *mine, uint32_t which)
{
    for (uint32_t i = 0; i < which; i++) {
        if (mine->stores[which].is_release || mine->stores[i].at == mine->stores[which].at) {
            return false;
        }
    }
    return true;
}

void world_put_store(void *at, const void *bytes, size_t size, bool is_release)
{
    if (running < 0 || !is_weak || size > STORE_BYTES_MAX) {
        memcpy(at, bytes, size);
        return;
    }
    struct late *mine = &late[running];
    if (mine->count == STORES_MAX) {
        flush_one(running, 0);
    }
    struct store *store = &mine->stores[mine->count++];
    *store = (struct store){.at = at, .size = (uint32_t)size, .is_release = is_release};
    memcpy(store->bytes, bytes, size);
}

/* --- Choices ---------------------------------------------------------------------------------- */

static size_t add_flushes(struct choice *choices, size_t count, int process)
{
    for (uint32_t i = 0; i < late[process].count; i++) {
        if (can_flush(&late[process], i) && count < WORLD_CHOICES_MAX) {
            choices[count++] = (struct choice){CHOICE_FLUSH, (uint8_t)process, (uint8_t)i};
        }
    }
    return count;
}

size_t world_choices(struct choice choices[WORLD_CHOICES_MAX], bool may_die)
{
    size_t count = 0;
    for (int i = 0; i < processes_count; i++) {
        const struct one_process *process = &world.processes[i];
        if (world_can_run(i)) {
            choices[count++] = (struct choice){CHOICE_RUN, (uint8_t)i, 0};
        }
        if (process->state == PROCESS_ON_FUTEX && process->can_time_out && i != WORLD_OWNER) {
            choices[count++] = (struct choice){CHOICE_TIME_OUT, (uint8_t)i, 0};
        }
        count = add_flushes(choices, count, i);
    }
    if (count == 0 && world.processes[WORLD_OWNER].state == PROCESS_ON_FUTEX &&
        world.processes[WORLD_OWNER].can_time_out) {
        choices[count++] = (struct choice){CHOICE_TIME_OUT, WORLD_OWNER, 0};
    }
    for (int i = 0; may_die && i < processes_count; i++) {
        if (world.processes[i].can_die && !world_is_done(i) && !world_is_dead(i)) {
            choices[count++] = (struct choice){CHOICE_DIE, (uint8_t)i, 0};
        }
    }
    return count;
}

static __attribute__((noinline)) void run(int process)
{
    running = process;
    if (_setjmp(scheduler) == 0) {
        if (world.processes[process].stack != NULL) {
            _longjmp(world.processes[process].registers, 1);
        }
        (void)setcontext(&beginnings[process]);
    }
    running = -1;
}

static void die(int process)
{
    /* What the processor has retired is seen, however the process ended. */
    world_flush_all(process);
    world.processes[process] = (struct one_process){.state = PROCESS_DEAD, .text = "dead"};
    if (world.lock_holder == process) {
        world.lock_holder = -1;
        world.is_lock_orphaned = true;
        world_unblock(PROCESS_ON_LOCK, &world.lock_holder);
    }
}

void world_do(const struct choice *choice)
{
    struct one_process *process = &world.processes[choice->process];
    switch (choice->kind) {
    case CHOICE_TIME_OUT:
        process->has_timed_out = true;
        world.owner_time_outs += choice->process == WORLD_OWNER;
        process->state = PROCESS_READY;
        process->waits_for = NULL;
        run(choice->process);
        break;
    case CHOICE_DIE:
        die(choice->process);
        break;
    case CHOICE_FLUSH:
        flush_one(choice->process, choice->store);
        break;
    default:
        process->state = PROCESS_READY;
        run(choice->process);
        break;
    }
}

/* --- The state -------------------------------------------------------------------------------- */

static struct memory stack_in_use(int process)
{
    uint8_t *end = stacks[process] + STACK_BYTES;
    const uint8_t *begin = world.processes[process].stack;
    /* What makecontext() wrote there is little. */
    size_t size = begin == NULL ? 1024 : (size_t)(end - begin);
    return (struct memory){end - size, size};
}

size_t world_state_bytes(void)
{
    size_t size = sizeof(world) + sizeof(stacks);
    for (size_t i = 0; i < memories_count; i++) {
        size += memories[i].size_bytes;
    }
    return size;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static const uint8_t *get(const uint8_t *at, void *bytes, size_t size)
{
    memcpy(bytes, at, size);
    return at + size;
}

void world_save(void *state)
{
    uint8_t *at = put(state, &world, sizeof(world));
    for (size_t i = 0; i < memories_count; i++) {
        at = put(at, memories[i].at, memories[i].size_bytes);
    }
    for (int i = 0; i < processes_count; i++) {
        struct memory stack = stack_in_use(i);
        at = put(at, stack.at, stack.size_bytes);
    }
}

void world_restore(const void *state)
{
    const uint8_t *at = get(state, &world, sizeof(world));
    for (size_t i = 0; i < memories_count; i++) {
        at = get(at, memories[i].at, memories[i].size_bytes);
    }
    for (int i = 0; i < processes_count; i++) {
        struct memory stack = stack_in_use(i);
        at = get(at, stack.at, stack.size_bytes);
    }
}

/* Both halves of the product: each bit of either word counts for all of the result. */
static uint64_t hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The constants are any without a pattern; two chains, which a processor does side by side. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t words[4];
    uint64_t other = hash ^ 0xd6e8feb86659fd93ULL;
    uint64_t size_left = size;
    for (; size_left > 0; at += sizeof(words)) {
        size_t count = size_left < sizeof(words) ? size_left : sizeof(words);
        words[0] = words[1] = words[2] = words[3] = 0;
        memcpy(words, at, count);
        hash = hash_fold(words[0] ^ 0xa0761d6478bd642fULL, words[1] ^ hash);
        other = hash_fold(words[2] ^ 0xe7037ed1a0b428dbULL, words[3] ^ other);
        size_left -= count;
    }
    return hash_fold(hash ^ size, other ^ 0x8ebc6af09c88c6e3ULL);
}

uint64_t world_hash(void)
{
    uint64_t hash = hash_bytes(0x2545f4914f6cdd1dULL, &world, sizeof(world));
    for (size_t i = 0; i < memories_count; i++) {
        hash = hash_bytes(hash, memories[i].at, memories[i].size_bytes);
    }
    for (int i = 0; i < processes_count; i++) {
        if (!world_is_done(i) && !world_is_dead(i)) {
            struct memory stack = stack_in_use(i);
            hash = hash_bytes(hash, stack.at, stack.size_bytes);
        }
    }
    return hash;
}
