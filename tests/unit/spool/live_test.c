/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/live.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct live *new_live(void)
{
    struct live *live = calloc(1, sizeof(*live));
    assert_non_null(live);
    return live;
}

/* Something in every member. */
static struct live *make_live(uint32_t destinations_count, uint64_t seed)
{
    struct live *live = new_live();
    *live = (struct live){
        .owner = "owner",
        .pid = seed,
        .started_wall_ms = seed + 1,
        .written_wall_ms = seed + 2,
        .is_stopped = true,
        .durability = SPOOL_NOMETASYNC,
        .max_bytes = seed + 3,
        .map_bytes = seed + 4,
        .max_records = seed + 5,
        .is_latched = true,
        .is_disk_full = true,
        .commits_count = seed + 6,
        .commit_us_p50 = seed + 7,
        .commit_us_p99 = seed + 8,
        .trouble = "the disk is full",
        .destinations_count = destinations_count,
    };
    for (uint32_t i = 1; i <= destinations_count; i++) {
        live->destinations[i] = (struct live_destination){
            .state = (enum live_state)(i % LIVE_STATE_COUNT),
            .is_held = i % 2 == 0,
            .is_paused = i % 3 == 0,
            .is_stalled = i % 5 == 0,
            .limits = {seed + i, seed + 2ULL * i, i % 7 == 0},
            .inflight_records = seed + 3ULL * i,
            .inflight_bytes = seed + 4ULL * i,
            .retry_at_wall_ms = seed + 5ULL * i,
            .retries_count = seed + 6ULL * i,
            .possible_duplicates_count = seed + 7ULL * i,
            .producers_lost_count = seed + 8ULL * i,
            .last_delivered_wall_ms = seed + 9ULL * i,
            .in_per_ks = seed + 10ULL * i,
            .out_per_ks = seed + 11ULL * i,
            .last_error = -(int32_t)i,
        };
        (void)snprintf(live->destinations[i].last_error_text, LIVE_TEXT_BYTES, "error %u", i);
    }
    return live;
}

static void assert_same(const struct live *a, const struct live *b)
{
    assert_string_equal(a->owner, b->owner);
    assert_string_equal(a->trouble, b->trouble);
    assert_int_equal(a->pid, b->pid);
    assert_int_equal(a->started_wall_ms, b->started_wall_ms);
    assert_int_equal(a->written_wall_ms, b->written_wall_ms);
    assert_int_equal(a->is_stopped, b->is_stopped);
    assert_int_equal(a->durability, b->durability);
    assert_int_equal(a->max_bytes, b->max_bytes);
    assert_int_equal(a->map_bytes, b->map_bytes);
    assert_int_equal(a->max_records, b->max_records);
    assert_int_equal(a->is_latched, b->is_latched);
    assert_int_equal(a->is_disk_full, b->is_disk_full);
    assert_int_equal(a->commits_count, b->commits_count);
    assert_int_equal(a->commit_us_p50, b->commit_us_p50);
    assert_int_equal(a->commit_us_p99, b->commit_us_p99);
    assert_int_equal(a->destinations_count, b->destinations_count);
    for (uint32_t i = 1; i <= a->destinations_count; i++) {
        const struct live_destination *x = &a->destinations[i];
        const struct live_destination *y = &b->destinations[i];
        assert_int_equal(x->state, y->state);
        assert_int_equal(x->is_held, y->is_held);
        assert_int_equal(x->is_paused, y->is_paused);
        assert_int_equal(x->is_stalled, y->is_stalled);
        assert_int_equal(x->limits.max_records, y->limits.max_records);
        assert_int_equal(x->limits.max_bytes, y->limits.max_bytes);
        assert_int_equal(x->limits.drops_oldest, y->limits.drops_oldest);
        assert_int_equal(x->inflight_records, y->inflight_records);
        assert_int_equal(x->inflight_bytes, y->inflight_bytes);
        assert_int_equal(x->retry_at_wall_ms, y->retry_at_wall_ms);
        assert_int_equal(x->retries_count, y->retries_count);
        assert_int_equal(x->possible_duplicates_count, y->possible_duplicates_count);
        assert_int_equal(x->producers_lost_count, y->producers_lost_count);
        assert_int_equal(x->last_delivered_wall_ms, y->last_delivered_wall_ms);
        assert_int_equal(x->in_per_ks, y->in_per_ks);
        assert_int_equal(x->out_per_ks, y->out_per_ks);
        assert_int_equal(x->last_error, y->last_error);
        assert_string_equal(x->last_error_text, y->last_error_text);
    }
}

static void live_read_gives_what_was_written(void **state)
{
    struct spool_fixture *fixture = *state;
    struct live_writer *writer = NULL;
    struct live *read = new_live();
    static const uint32_t counts[] = {0, 1, 2, DESTINATIONS_MAX, 3};
    assert_int_equal(live_read(fixture->dir, read), LIVE_E_NONE);
    assert_int_equal(live_open(fixture->spool, &writer), 0);
    assert_int_equal(live_read(fixture->dir, read), LIVE_E_TORN); /* made, not yet written */
    for (size_t i = 0; i < SPOOL_COUNT_OF(counts); i++) {
        struct live *written = make_live(counts[i], 1000 * (i + 1));
        assert_int_equal(live_write(writer, written), 0);
        assert_int_equal(live_read(fixture->dir, read), 0);
        assert_same(read, written);
        free(written);
    }
    live_close(&writer);
    live_close(&writer); /* NULL is fine */
    assert_int_equal(live_read(fixture->dir, read), 0);
    free(read);
}

static void live_read_believes_nothing_that_was_not_written_whole(void **state)
{
    struct spool_fixture *fixture = *state;
    struct live_writer *writer = NULL;
    struct live *live = make_live(1, 7);
    assert_int_equal(live_open(fixture->spool, &writer), 0);
    assert_int_equal(live_write(writer, live), 0);
    live_close(&writer);
    const char *path = spool_fixture_path(fixture, LIVE_FILE);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (off_t at = 0; at < 768; at += 32) {
        char byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_int_equal(live_read(fixture->dir, live), LIVE_E_TORN);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    assert_int_equal(live_read(fixture->dir, live), 0);
    assert_int_equal(pwrite(fd, "\x02", 1, 4), 1); /* the version */
    assert_int_equal(live_read(fixture->dir, live), LIVE_E_NEWER);
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(live_read(fixture->dir, live), LIVE_E_TORN);
    close(fd);

    /* What is no file of ours does not hold anybody up. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_not_equal(live_read(fixture->dir, live), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_true(live_read(fixture->dir, live) < 0);
    assert_true(live_open(fixture->spool, &writer) < 0);
    free(live);
}

/* A reader in another process never sees half of one state and half of another. */
static void live_read_sees_whole_states_while_they_are_written(void **state)
{
    struct spool_fixture *fixture = *state;
    struct live_writer *writer = NULL;
    assert_int_equal(live_open(fixture->spool, &writer), 0);
    struct live *states[2] = {make_live(40, 1000), make_live(40, 900000)};
    assert_int_equal(live_write(writer, states[0]), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (unsigned i = 0;; i++) {
            if (live_write(writer, states[i % 2]) != 0 || getppid() == 1) {
                _exit(1);
            }
        }
    }
    struct live *read = new_live();
    unsigned whole_count = 0;
    for (int i = 0; i < 200; i++) {
        int r = live_read(fixture->dir, read);
        assert_true(r == 0 || r == LIVE_E_TORN);
        if (r == 0) {
            assert_same(read, read->pid == 1000 ? states[0] : states[1]);
            whole_count++;
        }
    }
    assert_true(whole_count > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    free(read);
    free(states[0]);
    free(states[1]);
    live_close(&writer);
}

static void live_describe_says_what_the_store_knows(void **state)
{
    struct spool_fixture *fixture = *state;
    struct live *live = new_live();
    struct destination_limits limits = {.max_records = 7, .max_bytes = 8, .drops_oldest = true};
    spool_destination_limit(fixture->spool, 2, &limits);
    live_describe(fixture->spool, live);
    assert_string_equal(live->owner, fixture->config.owner_name);
    assert_int_equal(live->pid, getpid());
    assert_int_equal(live->max_bytes, fixture->config.max_bytes);
    assert_true(live->map_bytes >= live->max_bytes);
    assert_int_equal(live->durability, fixture->config.durability);
    assert_int_equal(live->destinations_count, 2);
    assert_int_equal(live->destinations[1].limits.max_records, 0);
    assert_int_equal(live->destinations[2].limits.max_records, 7);
    assert_int_equal(live->destinations[2].limits.max_bytes, 8);
    assert_true(live->destinations[2].limits.drops_oldest);
    assert_false(live->is_latched);
    free(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up, spool_fixture_tear_down)
        TEST(live_read_gives_what_was_written),
        TEST(live_read_believes_nothing_that_was_not_written_whole),
        TEST(live_read_sees_whole_states_while_they_are_written),
        TEST(live_describe_says_what_the_store_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
