/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Publishers that die: in every state on purpose, after every so many instructions of a whole
 * publish (single-stepped by ptrace), and at random instants under load. Each time the others must
 * go on before anything is swept, nothing torn may be taken, and after one sweep the whole ring
 * must be there again.
 *
 * RING_KILL_SEED sets the seed, which is printed. It repeats which instructions are sampled and
 * what the publishers do; the instants of the random kills are the machine's.
 */
#include "tests/unit/spool/ring_helper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t run_seed;

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return *seed >> 33;
}

#define SMALL_SLOTS 64
#define SMALL_BYTES 4096

/* A publish by somebody who lives, from its start to its end. Takes what the dead left ready, too.
 */
static void publish_alive(struct ring *ring, uint64_t number)
{
    struct ring_ticket ticket;
    struct ring_outcome outcome;
    assert_int_equal(submit(ring, (struct stamp){3, number}, 24, LONG_MS, &ticket), 0);
    assert_true(answer_all(ring) >= 1);
    assert_int_equal(ring_wait(ring, ticket, 0, &outcome), 0);
    assert_int_equal(outcome.sequence, number);
}

/* What must hold whenever some publishers died. */
static void check_after_death(struct ring *ring)
{
    for (uint64_t i = 0; i < 3; i++) {
        publish_alive(ring, 1000 + i);
    }
    (void)ring_sweep(ring);
    assert_int_equal(ring_used_count(ring), 0);
    assert_int_equal(ring->skipped_count, 0);
    assert_int_equal(ring_sweep(ring), 0);
    check_whole(ring);
}

/* --- In every state -------------------------------------------------------------------------- */

static void die_in_the_lock(struct ring *ring)
{
    struct ring_entry_head *entry = ring_entry_at(ring, atomic_load(&ring->control->head));
    if (pthread_mutex_lock(&ring->control->reserve_lock) == 0) {
        memset(entry, 0xff, sizeof(*entry)); /* half an entry, behind head */
    }
}

static void die_claimed(struct ring *ring)
{
    struct ring_ticket ticket;
    assert_int_equal(ring_slot_claim(ring, process_self(), false, &ticket), 0);
}

static void die_reserved(struct ring *ring)
{
    struct ring_entry_head model;
    (void)reserve_slowly(ring, &model);
}

static void die_waiting(struct ring *ring)
{
    struct ring_entry_head model;
    (void)reserve_slowly(ring, &model);
    (void)ring_slot_move(ring, model.ticket, RING_SLOT_CLAIMED, RING_SLOT_WAITING);
}

static void die_ready(struct ring *ring)
{
    struct ring_ticket ticket;
    assert_int_equal(submit(ring, (struct stamp){4, 44}, 24, 0, &ticket), 0);
}

static void die_after_the_flag_for_room(struct ring *ring)
{
    atomic_store(&ring->control->room_wanted, 1);
}

static void die_full(struct ring *ring)
{
    struct ring_ticket ticket;
    while (submit(ring, (struct stamp){4, 44}, 24, 0, &ticket) == 0) {
    }
}

/* Runs die in a child, which is dead and waited for afterwards. */
static pid_t run_dying(struct ring *ring, void (*die)(struct ring *))
{
    pid_t pid = fork_child();
    assert_true(pid >= 0);
    if (pid == 0) {
        die(ring);
        (void)raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return pid;
}

static void ring_sweep_frees_what_the_dead_held_in_any_state(void **state)
{
    (void)state;
    static void (*const ways[])(struct ring *) = {
        die_in_the_lock,
        die_claimed,
        die_reserved,
        die_waiting,
        die_ready,
        die_full,
        die_after_the_flag_for_room,
    };
    struct ring *ring = make_ring(SMALL_SLOTS, SMALL_BYTES, false);
    for (size_t i = 0; i < SPOOL_COUNT_OF(ways); i++) {
        (void)run_dying(ring, ways[i]);
        if (ways[i] == die_full) {
            assert_int_equal(answer_all(ring), SMALL_BYTES / 128);
        }
        check_after_death(ring);
    }
    for (size_t i = 0; i < 1000; i++) { /* several together, in every order */
        (void)run_dying(ring, ways[i % 5]);
        if (i % 7 == 6) {
            check_after_death(ring);
        }
    }
    check_after_death(ring);
    ring_free(&ring);
}

static void ring_sweep_frees_a_dead_publishers_outcome(void **state)
{
    (void)state;
    struct ring *ring = make_ring(SMALL_SLOTS, SMALL_BYTES, false);
    pid_t pid = fork_child();
    assert_true(pid >= 0);
    if (pid == 0) {
        die_ready(ring);
        (void)pause();
    }
    while (ring_ready_count(ring) == 0) {
    }
    struct ring_entry entry = take_one(ring, 44);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(ring_sweep(ring), 0); /* its record is being committed: not yet */
    assert_int_equal(ring_used_count(ring), 1);
    answer(ring, &entry);
    assert_int_equal(ring_used_count(ring), 1); /* nobody is there to hear of it */
    assert_int_equal(ring_sweep(ring), 1);
    check_after_death(ring);
    ring_free(&ring);
}

static void ring_sweep_frees_who_waited_when_the_ring_was_closed(void **state)
{
    (void)state;
    struct ring *ring = make_ring(SMALL_SLOTS, SMALL_BYTES, false);
    (void)run_dying(ring, die_ready);
    ring_close(ring);
    assert_int_equal(ring_used_count(ring), 1);
    assert_int_equal(ring_sweep(ring), 1);
    assert_int_equal(ring_used_count(ring), 0);
    ring_free(&ring);
}

static void ring_sweep_wakes_whom_a_dead_waker_forgot(void **state)
{
    (void)state;
    struct ring *ring = make_ring(1, SMALL_BYTES, false);
    struct ring_ticket ticket;
    struct ring_outcome outcome;
    assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &ticket), 0);
    pid_t pid = fork_child();
    assert_true(pid >= 0);
    if (pid == 0) { /* waits for the one slot, for ever if nobody wakes it */
        struct ring_ticket mine;
        int result = submit(ring, (struct stamp){4, 44}, 24, UINT64_MAX, &mine);
        _exit(result == 0 && ring_wait(ring, mine, UINT64_MAX, &outcome) == 0 ? 0 : 1);
    }
    while (atomic_load(&ring->control->room_wanted) == 0) {
    }
    atomic_store(&ring->control->room_wanted, 0); /* the dead waker's last store */
    assert_int_equal(answer_all(ring), 1);
    assert_int_equal(ring_wait(ring, ticket, 0, &outcome), 0);
    assert_int_equal(ring_sweep(ring), 0);
    while (answer_all(ring) == 0) {
        ring_bell_wait(ring, LONG_MS * 1000UL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    ring_free(&ring);
}

static void ring_sweep_frees_the_slot_of_a_pid_that_was_given_away_again(void **state)
{
    (void)state;
    struct ring *ring = make_ring(SMALL_SLOTS, SMALL_BYTES, false);
    struct ring_ticket ticket;
    struct process before = process_self(); /* who had this pid before this process */
    if (before.start_ticks == 0) {
        ring_free(&ring);
        skip(); /* no /proc here: it cannot be known */
    }
    before.start_ticks--;
    assert_int_equal(ring_slot_claim(ring, before, false, &ticket), 0);
    assert_int_equal(ring_sweep(ring), 1);
    check_after_death(ring);
    ring_free(&ring);
}

static void ring_sweep_keeps_a_claim_that_has_no_start_time_yet(void **state)
{
    (void)state;
    struct ring *ring = make_ring(SMALL_SLOTS, SMALL_BYTES, false);
    struct ring_ticket ticket;
    assert_int_equal(ring_slot_claim(ring, process_self(), false, &ticket), 0);
    /* Between the claim and its start time, the slot still has that of the claim before: here of a
     * process that had the same pid. */
    _Atomic uint64_t *start = &ring->slots[ticket.slot].start;
    atomic_store(start, (atomic_load(start) ^ (uint64_t)1 << 40) - 1);
    assert_int_equal(ring_sweep(ring), 0);
    assert_int_equal(ring_used_count(ring), 1);
    ring_free(&ring);
}

static void *room_seeker_run(void *ring)
{
    struct ring_ticket ticket;
    struct ring_outcome outcome;
    bool is_accepted = submit(ring, (struct stamp){1, 1}, 24, UINT64_MAX, &ticket) == 0 &&
                       ring_wait(ring, ticket, UINT64_MAX, &outcome) == 0;
    return is_accepted ? ring : NULL;
}

static void ring_submit_rings_for_whom_died_before_the_bell(void **state)
{
    (void)state;
    struct ring *ring = make_ring(SMALL_SLOTS, SMALL_BYTES, false);
    (void)run_dying(ring, die_full);
    ring_bell_wait(ring, 0); /* as if nobody had rung */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, room_seeker_run, ring), 0);
    ring_bell_wait(ring, UINT64_MAX); /* hangs if who wants room does not ring */
    assert_true(answer_all(ring) >= SMALL_BYTES / 128);
    while (ring_used_count(ring) > SMALL_BYTES / 128) {
        (void)answer_all(ring);
    }
    void *accepted;
    assert_int_equal(pthread_join(thread, &accepted), 0);
    assert_non_null(accepted);
    check_after_death(ring);
    ring_free(&ring);
}

/* --- After every so many instructions -------------------------------------------------------- */

/* How the stepped publisher ends its publish. */
enum ending {
    ENDING_POLL,   /* polls until the outcome is there */
    ENDING_CANCEL, /* takes the record back: the owner does not take it */
};

/* Steps over all runs of one ending; bounds the test's time, by work instead of by the clock. */
#define STEPS_MAX 100000

/* An answer comes this many of the publisher's instructions after the take, so that it dies in
 * between as well. */
#define STEPS_BETWEEN 50

static void stepped_run(struct ring *ring, enum ending ending)
{
    struct ring_ticket ticket;
    struct ring_outcome outcome;
    bool wants_fd = ending == ENDING_POLL;
    (void)process_self(); /* not a part of what is stepped */
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        _exit(2);
    }
    (void)raise(SIGSTOP);
    if (submit_with_fd(ring, (struct stamp){4, 44}, 24, 0, wants_fd, &ticket) != 0) {
        _exit(1);
    }
    if (ending == ENDING_CANCEL) {
        _exit(ring_wait(ring, ticket, 0, &outcome) == RING_E_TIMEOUT ? 0 : 1);
    }
    while (ring_poll(ring, ticket, &outcome) == RING_E_PENDING) {
    }
    _exit(outcome.sequence == 44 ? 0 : 1);
}

/* Lets a publisher run for steps_max instructions, then kills it. Returns how many it ran: fewer
 * when it ended before. -1 where ptrace is not allowed. */
static long run_stepped(struct ring *ring, enum ending ending, long steps_max)
{
    struct ring_entry entry;
    long taken_at = -1;
    bool is_answered = false;
    int status;
    pid_t pid = fork_child();
    assert_true(pid >= 0);
    if (pid == 0) {
        stepped_run(ring, ending);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        return -1;
    }
    long steps = 0;
    for (; WIFSTOPPED(status) && steps < steps_max; steps++) {
        if (ending == ENDING_POLL && taken_at < 0 && ring_take(ring, &entry, 1, SIZE_MAX) == 1) {
            taken_at = steps;
        }
        if (taken_at >= 0 && !is_answered && steps >= taken_at + STEPS_BETWEEN) {
            answer(ring, &entry);
            is_answered = true;
        }
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    if (WIFSTOPPED(status)) {
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    } else {
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    if (taken_at >= 0 && !is_answered) {
        answer(ring, &entry);
    }
    return steps;
}

static void kill_after_every_step(enum ending ending)
{
    struct ring *ring = make_ring(SMALL_SLOTS, SMALL_BYTES, true);
    struct ring_ticket ticket;
    struct ring_outcome outcome;
    /* Once before the fork, so that no child steps through the dynamic linker. */
    assert_int_equal(submit_with_fd(ring, (struct stamp){1, 1}, 24, 0, true, &ticket), 0);
    assert_int_equal(answer_all(ring), 1);
    assert_int_equal(ring_poll(ring, ticket, &outcome), 0);
    assert_int_equal(submit(ring, (struct stamp){1, 1}, 24, 0, &ticket), 0);
    assert_int_equal(ring_wait(ring, ticket, 0, &outcome), RING_E_TIMEOUT);
    assert_int_equal(answer_all(ring), 0);
    check_whole(ring);

    long steps_all = run_stepped(ring, ending, 10000000);
    if (steps_all < 0) {
        ring_free(&ring);
        print_message("ptrace is not allowed here\n");
        skip();
    }
    check_after_death(ring);
    long runs_count = STEPS_MAX / (steps_all / 2 + 1) + 1;
    long stride = steps_all / runs_count + 1;
    uint64_t seed = run_seed;
    long first = (long)(random_next(&seed) % (uint64_t)stride);
    print_message("%ld instructions, killed after %ld and every %ld\n", steps_all, first, stride);
    for (long steps = first; steps <= steps_all; steps += stride) {
        (void)run_stepped(ring, ending, steps);
        check_after_death(ring);
    }
    ring_free(&ring);
}

static void ring_survives_death_at_any_instruction_of_a_publish(void **state)
{
    (void)state;
    kill_after_every_step(ENDING_POLL);
}

static void ring_survives_death_at_any_instruction_of_taking_back(void **state)
{
    (void)state;
    kill_after_every_step(ENDING_CANCEL);
}

/* --- At random instants ---------------------------------------------------------------------- */

#define VICTIMS_COUNT 4
#define KILLS_COUNT 500
#define LOAD_SLOTS 80
#define LOAD_BYTES (1U << 13)

/* Publishes in every manner until it is killed. Each life has its own identity and order. */
static void victim_run(struct ring *ring, uint64_t id)
{
    uint64_t seed = id;
    struct ring_ticket tickets[4];
    struct ring_outcome outcome;
    for (uint64_t number = 0;; number += 4) {
        size_t count = 1 + random_next(&seed) % 4;
        size_t submitted_count = 0;
        for (size_t i = 0; i < count; i++) {
            size_t payload_bytes = PAYLOAD_BYTES_MIN + random_next(&seed) % 900;
            submitted_count +=
                submit_with_fd(ring, (struct stamp){id, number + i}, payload_bytes,
                               random_next(&seed) % 20, i % 2 != 0, &tickets[submitted_count]) == 0;
        }
        for (size_t i = 0; i < submitted_count; i++) {
            int result = RING_E_PENDING;
            for (uint64_t polls = random_next(&seed) % 4; polls > 0 && result == RING_E_PENDING;
                 polls--) {
                result = ring_poll(ring, tickets[i], &outcome);
            }
            if (result == RING_E_PENDING) {
                result = ring_wait(ring, tickets[i], random_next(&seed) % 8, &outcome);
            }
            if (result == 0 && outcome.result != 0) {
                _exit(1); /* an outcome that nobody gave */
            }
        }
    }
}

struct victim {
    pid_t pid;
    uint64_t id;
    uint64_t next; /* the lowest number that may still come */
};

static void victim_start(struct ring *ring, struct victim *victim, uint64_t id)
{
    *victim = (struct victim){.pid = fork_child(), .id = id};
    assert_true(victim->pid >= 0);
    if (victim->pid == 0) {
        victim_run(ring, id);
    }
}

static void victim_kill(struct victim *victim)
{
    int status;
    kill(victim->pid, SIGKILL);
    assert_int_equal(waitpid(victim->pid, &status, 0), victim->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Of each victim that lives, records come in order. */
static void victims_check_order(struct victim *victims, struct stamp stamp)
{
    for (size_t i = 0; i < VICTIMS_COUNT; i++) {
        if (victims[i].id == stamp.publisher) {
            assert_true(stamp.number >= victims[i].next);
            victims[i].next = stamp.number + 1;
        }
    }
}

/* Takes at least so many records; each must be whole and, of those alive, in order. */
static void own(struct ring *ring, struct victim *victims, uint64_t count_min)
{
    for (uint64_t count = 0; count < count_min;) {
        struct ring_entry entries[8];
        size_t taken_count = ring_take(ring, entries, SPOOL_COUNT_OF(entries), SIZE_MAX);
        if (taken_count == 0) {
            /* What the dead left may be at the ring's tail, and the ring be full behind it. */
            ring_bell_wait(ring, 10000);
            (void)ring_sweep(ring);
        }
        for (size_t i = 0; i < taken_count; i++) {
            struct stamp stamp = check_entry(&entries[i]);
            victims_check_order(victims, stamp);
            ring_answer(ring, &entries[i], &(struct ring_outcome){.sequence = stamp.number}, 1);
        }
        count += taken_count;
    }
}

static void ring_survives_death_at_random_instants(void **state)
{
    (void)state;
    uint64_t seed = run_seed;
    struct ring *ring = make_ring(LOAD_SLOTS, LOAD_BYTES, true);
    struct victim victims[VICTIMS_COUNT];
    uint64_t id = 1;
    for (size_t i = 0; i < VICTIMS_COUNT; i++) {
        victim_start(ring, &victims[i], id++);
    }
    for (size_t i = 0; i < KILLS_COUNT; i++) {
        own(ring, victims, random_next(&seed) % 100);
        struct timespec pause = {.tv_nsec = (long)(random_next(&seed) % 300000)};
        (void)nanosleep(&pause, NULL);
        struct victim *victim = &victims[random_next(&seed) % VICTIMS_COUNT];
        victim_kill(victim);
        own(ring, victims, 20); /* the others go on */
        (void)ring_sweep(ring);
        victim_start(ring, victim, id++);
    }
    for (size_t i = 0; i < VICTIMS_COUNT; i++) {
        victim_kill(&victims[i]);
    }
    /* What they left may fill the ring, and here owner and next publisher are one thread. */
    (void)answer_all(ring);
    (void)ring_sweep(ring);
    (void)answer_all(ring);
    check_after_death(ring);
    ring_free(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_sweep_frees_what_the_dead_held_in_any_state),
        cmocka_unit_test(ring_sweep_frees_a_dead_publishers_outcome),
        cmocka_unit_test(ring_sweep_frees_who_waited_when_the_ring_was_closed),
        cmocka_unit_test(ring_sweep_wakes_whom_a_dead_waker_forgot),
        cmocka_unit_test(ring_sweep_frees_the_slot_of_a_pid_that_was_given_away_again),
        cmocka_unit_test(ring_submit_rings_for_whom_died_before_the_bell),
        cmocka_unit_test(ring_sweep_keeps_a_claim_that_has_no_start_time_yet),
        cmocka_unit_test(ring_survives_death_at_any_instruction_of_a_publish),
        cmocka_unit_test(ring_survives_death_at_any_instruction_of_taking_back),
        cmocka_unit_test(ring_survives_death_at_random_instants),
    };
    const char *given = getenv("RING_KILL_SEED");
    run_seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("RING_KILL_SEED=%llu\n", (unsigned long long)run_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
