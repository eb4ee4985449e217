/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/committer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/cursor.h"
#include "spool/environment.h"
#include "spool/record.h"
#include "spool/settle_queue.h"

#include <fcntl.h>

#define SLOTS 512

/* A spool, a ring, and a committer that the test steps. */
struct world {
    struct spool_fixture *spool;
    struct ring *ring;
    struct committer *committer;
    unsigned commits_count;
};

static void note_commit(void *context)
{
    ((struct world *)context)->commits_count++;
}

static void make_committer(struct world *world)
{
    struct committer_config config = {
        .spool = world->spool->spool,
        .ring = world->ring,
        .on_commit = note_commit,
        .context = world,
    };
    assert_int_equal(committer_new(&config, &world->committer), 0);
}

static int set_up(void **state)
{
    struct ring_config config = {.slots_count = SLOTS, .bytes = 16U << 20};
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    spool_fixture_set_up((void **)&world->spool);
    assert_int_equal(ring_new(&config, &world->ring), 0);
    make_committer(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    committer_free(&world->committer);
    ring_free(&world->ring);
    spool_fixture_tear_down((void **)&world->spool);
    free(world);
    return 0;
}

/* The same world with a spool of another size. */
static void resize(struct world *world, uint64_t max_bytes)
{
    committer_free(&world->committer);
    spool_fixture_tear_down((void **)&world->spool);
    spool_fixture_set_up_closed((void **)&world->spool);
    world->spool->config.max_bytes = max_bytes;
    spool_fixture_open(world->spool);
    make_committer(world);
}

static struct ring_ticket submit(struct world *world, uint32_t destination, size_t payload_bytes)
{
    static uint8_t payload[1 << 20];
    struct record record = {.published_wall_ms = 1, .payload = {payload, payload_bytes}};
    struct ring_ticket ticket;
    assert_true(payload_bytes <= sizeof(payload));
    assert_int_equal(ring_submit(world->ring, destination, &record, 0, false, &ticket), 0);
    return ticket;
}

static struct ring_outcome outcome_of(struct world *world, struct ring_ticket ticket)
{
    struct ring_outcome outcome;
    assert_int_equal(ring_poll(world->ring, ticket, &outcome), 0);
    return outcome;
}

/* Publishes one record in a step of its own. */
static struct ring_outcome publish(struct world *world, uint32_t destination, size_t payload_bytes)
{
    struct ring_ticket ticket = submit(world, destination, payload_bytes);
    assert_true(committer_step(world->committer, false) > 0);
    return outcome_of(world, ticket);
}

static uint64_t settle(struct world *world, enum settle_action action, uint64_t sequence)
{
    uint64_t position = 0;
    struct settlement settlement = {.action = action, .destination = 1, .sequence = sequence};
    assert_int_equal(committer_settle(world->committer, &settlement, 1, &position), 0);
    return position;
}

static uint64_t level(struct world *world, enum counter counter)
{
    return spool_fixture_counter(world->spool, DESTINATION_ALL, counter);
}

/* --- Group commit ----------------------------------------------------------------------------- */

static void committer_step_answers_all_in_one_commit(void **state)
{
    struct world *world = *state;
    struct ring_ticket tickets[200];
    struct committer_statistics statistics;
    for (uint32_t i = 0; i < 200; i++) {
        tickets[i] = submit(world, 1 + i % 2, 300);
    }
    assert_int_equal(committer_step(world->committer, false), 200);
    for (uint32_t i = 0; i < 200; i++) {
        struct ring_outcome outcome = outcome_of(world, tickets[i]);
        assert_int_equal(outcome.result, OUTCOME_ACCEPTED);
        assert_int_equal(outcome.sequence, i + 1);
    }
    committer_statistics(world->committer, &statistics);
    assert_int_equal(statistics.commits_count, 1);
    assert_int_equal(statistics.appended_count, 200);
    assert_int_equal(statistics.outcomes[OUTCOME_ACCEPTED], 200);
    assert_int_equal(world->commits_count, 1);
    assert_int_equal(committer_step(world->committer, false), 0);
    assert_int_equal(ring_used_count(world->ring), 0);
    spool_fixture_check(world->spool);
}

static void committer_step_lets_settlements_ride_along(void **state)
{
    struct world *world = *state;
    struct committer_statistics statistics;
    assert_int_equal(publish(world, 1, 100).sequence, 1);
    uint64_t position = settle(world, SETTLE_DELIVERED, 1);
    assert_int_equal(position, 1);
    assert_int_equal(committer_settled(world->committer), 0);
    assert_int_equal(publish(world, 1, 100).sequence, 2);
    assert_int_equal(committer_settled(world->committer), 1);
    committer_statistics(world->committer, &statistics);
    assert_int_equal(statistics.commits_count, 2);
    assert_int_equal(statistics.settled_count, 1);
    assert_int_equal(level(world, COUNTER_QUEUE_RECORDS), 1);
}

static void committer_step_settles_alone_when_told(void **state)
{
    struct world *world = *state;
    publish(world, 1, 100);
    settle(world, SETTLE_DELIVERED, 1);
    assert_int_equal(committer_step(world->committer, true), 1);
    assert_int_equal(committer_settled(world->committer), 1);
    assert_int_equal(level(world, COUNTER_QUEUE_RECORDS), 0);
}

static void committer_step_settles_alone_after_a_wait(void **state)
{
    struct world *world = *state;
    publish(world, 1, 100);
    settle(world, SETTLE_DELIVERED, 1);
    assert_int_equal(committer_step(world->committer, false), 0);
    world->spool->now_ms += 4;
    assert_int_equal(committer_step(world->committer, false), 0);
    world->spool->now_ms += 1;
    assert_int_equal(committer_step(world->committer, false), 1);
    assert_int_equal(committer_settled(world->committer), 1);
}

static void committer_settle_takes_all_or_none(void **state)
{
    struct world *world = *state;
    uint64_t position = 77;
    struct settlement *many = calloc(SETTLE_QUEUE_MAX, sizeof(*many));
    assert_non_null(many);
    for (size_t i = 0; i < SETTLE_QUEUE_MAX; i++) {
        many[i] = (struct settlement){.action = SETTLE_DELIVERED, .destination = 1, .sequence = i};
    }
    settle(world, SETTLE_DELIVERED, 1);
    assert_int_equal(committer_settle(world->committer, many, SETTLE_QUEUE_MAX, &position),
                     COMMITTER_E_BUSY);
    assert_int_equal(position, 77);
    assert_int_equal(committer_settle(world->committer, many, SETTLE_QUEUE_MAX - 1, &position), 0);
    assert_int_equal(position, SETTLE_QUEUE_MAX);
    while (committer_step(world->committer, true) > 0) {
    }
    assert_int_equal(committer_settled(world->committer), SETTLE_QUEUE_MAX);
    assert_int_equal(committer_settle(world->committer, many, 10, &position), 0);
    assert_int_equal(position, SETTLE_QUEUE_MAX + 10);
    free(many);
}

/* --- Refusals --------------------------------------------------------------------------------- */

static void committer_step_refuses_an_unknown_destination_alone(void **state)
{
    struct world *world = *state;
    struct ring_ticket none = submit(world, 0, 100);
    struct ring_ticket good = submit(world, 1, 100);
    struct ring_ticket beyond = submit(world, 3, 100);
    assert_int_equal(committer_step(world->committer, false), 3);
    assert_int_equal(outcome_of(world, none).result, OUTCOME_NO_DESTINATION);
    assert_int_equal(outcome_of(world, good).result, OUTCOME_ACCEPTED);
    assert_int_equal(outcome_of(world, beyond).result, OUTCOME_NO_DESTINATION);
}

static void committer_step_gives_each_its_reason(void **state)
{
    struct world *world = *state;
    struct destination_limits limits = {.max_records = 1};
    spool_destination_limit(world->spool->spool, 1, &limits);
    world->spool->spool->config.max_records = 2;
    assert_int_equal(publish(world, 1, 100).result, OUTCOME_ACCEPTED);
    assert_int_equal(publish(world, 1, 100).result, OUTCOME_FULL_DESTINATION_RECORDS);
    assert_int_equal(publish(world, 2, 100).result, OUTCOME_ACCEPTED);
    assert_int_equal(publish(world, 2, 100).result, OUTCOME_FULL_RECORDS);
    settle(world, SETTLE_DELIVERED, 1);
    assert_int_equal(publish(world, 2, 100).result, OUTCOME_ACCEPTED);
}

/* --- Full ------------------------------------------------------------------------------------- */

/* Publishes until refused; how many were accepted. */
static uint64_t publish_until_full(struct world *world, size_t payload_bytes)
{
    struct ring_ticket tickets[64];
    uint64_t accepted = 0;
    int result = OUTCOME_ACCEPTED;
    size_t crowd = payload_bytes > 100000 ? 8 : SPOOL_COUNT_OF(tickets);
    while (result == OUTCOME_ACCEPTED) {
        for (size_t i = 0; i < crowd; i++) {
            tickets[i] = submit(world, 1, payload_bytes);
        }
        while (committer_step(world->committer, false) > 0) {
        }
        for (size_t i = 0; i < crowd; i++) {
            struct ring_outcome outcome = outcome_of(world, tickets[i]);
            accepted += outcome.result == OUTCOME_ACCEPTED;
            result = outcome.result != OUTCOME_ACCEPTED ? outcome.result : result;
        }
    }
    assert_int_equal(result, OUTCOME_FULL_BYTES);
    return accepted;
}

static void deliver_all(struct world *world)
{
    static uint64_t sequences[4096];
    size_t count;
    while ((count = spool_fixture_sequences(world->spool, 1, false, sequences, 4096)) > 0) {
        for (size_t i = 0; i < count; i++) {
            settle(world, SETTLE_DELIVERED, sequences[i]);
        }
        size_t steps = 0;
        while (committer_step(world->committer, true) > 0) {
            assert_true(++steps < 10000);
        }
    }
}

/* S7 */
static void committer_step_settles_at_100_percent_full(void **state)
{
    static const size_t sizes[] = {30, 512, 1400, 3000, 60000};
    static const uint64_t spools[] = {SPOOL_BYTES_MIN, 4ULL << 20};
    struct world *world = *state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(sizes) * SPOOL_COUNT_OF(spools); i++) {
        resize(world, spools[i % 2]);
        uint64_t first = publish_until_full(world, sizes[i / 2]);
        for (int round = 0; round < 3; round++) {
            deliver_all(world);
            assert_int_equal(level(world, COUNTER_QUEUE_RECORDS), 0);
            uint64_t again = publish_until_full(world, sizes[i / 2]);
            assert_true(again * 10 >= first * 7);
        }
        deliver_all(world);
        spool_fixture_check(world->spool);
    }
}

/* Takes pages behind the committer's back, until so many are left at the end of the map. */
static void take_pages(struct world *world, size_t left_pages)
{
    static const uint8_t page[2000];
    MDB_env *env = world->spool->spool->env;
    MDB_dbi db = world->spool->spool->destinations[2].queue;
    uint64_t filler = 1ULL << 60;
    MDB_envinfo info;
    MDB_txn *txn;
    mdb_env_info(env, &info);
    while (info.me_last_pgno + 1 + left_pages < info.me_mapsize / 4096) {
        filler++;
        MDB_val key = environment_key(&filler, sizeof(filler));
        MDB_val data = environment_key(page, sizeof(page));
        assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_put(txn, db, &key, &data, MDB_APPEND), 0);
        assert_int_equal(mdb_txn_commit(txn), 0);
        mdb_env_info(env, &info);
    }
}

/* S7: no batch takes the last pages from the next one, which could then never begin. */
static void committer_step_settles_with_hardly_a_page_left(void **state)
{
    struct world *world = *state;
    for (size_t left = 64; left >= 16; left -= 8) {
        resize(world, SPOOL_BYTES_MIN);
        uint64_t accepted = publish_until_full(world, 30);
        take_pages(world, left);
        uint64_t position = 0;
        for (uint64_t first = 1; first <= 40; first++) { /* far apart: worst to delete */
            for (uint64_t i = first; i <= accepted; i += 40) {
                position = settle(world, SETTLE_DELIVERED, i);
            }
        }
        assert_int_equal(position, accepted);
        while (committer_settled(world->committer) < position) {
            assert_true(committer_step(world->committer, true) > 0);
        }
        assert_int_equal(spool_fixture_counter(world->spool, 1, COUNTER_QUEUE_RECORDS), 0);
    }
}

/* S7: a large record on its way to the dead letters finds no pages in a row; what is behind it goes
 * first, and makes room for it. */
static void committer_step_settles_around_what_does_not_fit(void **state)
{
    struct world *world = *state;
    struct committer_statistics statistics;
    struct message message;
    resize(world, 4ULL << 20);
    assert_int_equal(publish(world, 1, 600000).sequence, 1);
    uint64_t last = 1 + publish_until_full(world, 3000);
    for (uint64_t i = 3; i <= last; i += 2) { /* half of the pages, none in a row */
        settle(world, SETTLE_DELIVERED, i);
    }
    struct cursor cursor; /* what it can read is not used again: the end of the map is */
    assert_int_equal(cursor_begin_queue(&cursor, world->spool->spool, 1, 0), 0);
    while (committer_step(world->committer, true) > 0) {
    }
    take_pages(world, 40);
    cursor_end(&cursor);
    uint64_t before = committer_settled(world->committer);
    uint64_t position = settle(world, SETTLE_DEAD, 1);
    for (uint64_t i = 2; i <= last; i += 2) {
        position = settle(world, SETTLE_DELIVERED, i);
    }
    assert_true(committer_step(world->committer, true) > 0);
    assert_true(committer_trouble(world->committer, &message));
    assert_non_null(strstr(message.text, "full"));
    assert_int_equal(committer_settled(world->committer), before); /* the first one still waits */
    assert_true(spool_fixture_counter(world->spool, 1, COUNTER_QUEUE_RECORDS) < last / 2);
    for (size_t steps = 0; committer_settled(world->committer) < position; steps++) {
        if (committer_step(world->committer, true) == 0) {
            world->spool->now_ms += 100; /* it tries again after a while */
        }
        assert_true(steps < 100);
    }
    committer_statistics(world->committer, &statistics);
    assert_true(statistics.failed_commits_count > 0);
    assert_false(spool_is_latched(world->spool->spool));
    assert_int_equal(spool_fixture_counter(world->spool, 1, COUNTER_QUEUE_RECORDS), 0);
    assert_int_equal(spool_fixture_counter(world->spool, 1, COUNTER_DEAD_RECORDS), 1);
}

/* A record that finds no pages in a row is refused; smaller ones beside it are not. */
static void committer_step_lets_small_records_pass_a_large_one(void **state)
{
    struct world *world = *state;
    resize(world, 4ULL << 20);
    uint64_t accepted = publish_until_full(world, 3000);
    /* Every second record leaves: half of the pages are free, none in a row. */
    for (uint64_t i = 1; i <= accepted; i += 2) {
        settle(world, SETTLE_DELIVERED, i);
    }
    while (committer_step(world->committer, true) > 0) {
    }
    while (publish(world, 1, 3000).result == OUTCOME_ACCEPTED) {
        /* what is left of the end of the file */
        if (level(world, COUNTER_QUEUE_RECORDS) > accepted * 6 / 10) {
            break;
        }
    }
    struct ring_ticket small_1 = submit(world, 1, 300);
    struct ring_ticket large = submit(world, 1, 900000);
    struct ring_ticket small_2 = submit(world, 1, 300);
    assert_int_equal(committer_step(world->committer, false), 3);
    assert_int_equal(outcome_of(world, small_1).result, OUTCOME_ACCEPTED);
    assert_int_equal(outcome_of(world, small_2).result, OUTCOME_ACCEPTED);
    print_message("the large one: %s\n",
                  outcome_name((enum outcome)outcome_of(world, large).result));
    spool_fixture_check(world->spool);
}

/* --- The latch -------------------------------------------------------------------------------- */

/* Replaces the fds of the data file by one that cannot be written; returns how many. */
static size_t break_fds(struct world *world, int fds[4], int saved[4])
{
    char wanted[512];
    char found[512];
    char link[64];
    size_t count = 0;
    int read_only = open(spool_fixture_path(world->spool, "data.mdb"), O_RDONLY);
    assert_true(read_only >= 0);
    (void)snprintf(wanted, sizeof(wanted), "%s", spool_fixture_path(world->spool, "data.mdb"));
    for (int fd = 3; fd < 256 && count < 4; fd++) {
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, found, sizeof(found) - 1);
        if (size < 0 || fd == world->spool->spool->claim.fd || fd == read_only) {
            continue;
        }
        found[size] = '\0';
        if (strcmp(found, wanted) == 0) {
            fds[count] = fd;
            saved[count] = fcntl(fd, F_DUPFD_CLOEXEC, 256);
            assert_true(saved[count] >= 0);
            assert_int_equal(dup2(read_only, fd), fd);
            count++;
        }
    }
    close(read_only);
    return count;
}

static void mend_fds(const int fds[4], const int saved[4], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(dup2(saved[i], fds[i]), fds[i]);
        close(saved[i]);
    }
}

static void committer_step_mends_a_latched_spool(void **state)
{
    struct world *world = *state;
    struct message message;
    int fds[4];
    int saved[4];
    publish(world, 1, 100);
    uint64_t position = settle(world, SETTLE_DELIVERED, 1);
    size_t count = break_fds(world, fds, saved);
    assert_int_equal(count, 2);
    int result = publish(world, 1, 100).result;
    assert_true(result == OUTCOME_UNKNOWN || result == OUTCOME_BROKEN);
    mend_fds(fds, saved, count);
    assert_true(spool_is_latched(world->spool->spool));
    assert_true(committer_trouble(world->committer, &message));
    assert_non_null(strstr(message.text, "write to the spool failed"));
    assert_int_equal(committer_settled(world->committer), 0);

    unsigned commits_before = world->commits_count;
    while (committer_settled(world->committer) < position) {
        if (committer_step(world->committer, true) == 0) {
            world->spool->now_ms += 100; /* it tries again after a while */
        }
    }
    assert_true(world->commits_count > commits_before);
    assert_false(spool_is_latched(world->spool->spool));
    assert_false(committer_trouble(world->committer, &message));
    assert_int_equal(publish(world, 1, 100).result, OUTCOME_ACCEPTED);
    spool_fixture_check(world->spool);
}

/* Nobody publishes, nothing is to be settled: the forwarder still needs to read. */
static void committer_step_mends_a_latched_spool_with_no_work(void **state)
{
    struct world *world = *state;
    int fds[4];
    int saved[4];
    size_t count = break_fds(world, fds, saved);
    assert_int_not_equal(publish(world, 1, 100).result, OUTCOME_ACCEPTED);
    mend_fds(fds, saved, count);
    assert_true(spool_is_latched(world->spool->spool));
    assert_int_equal(committer_step(world->committer, false), 0);
    assert_false(spool_is_latched(world->spool->spool));
    assert_int_equal(world->commits_count, 1);
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(committer_step_answers_all_in_one_commit),
        A_TEST(committer_step_lets_settlements_ride_along),
        A_TEST(committer_step_settles_alone_when_told),
        A_TEST(committer_step_settles_alone_after_a_wait),
        A_TEST(committer_settle_takes_all_or_none),
        A_TEST(committer_step_refuses_an_unknown_destination_alone),
        A_TEST(committer_step_gives_each_its_reason),
        A_TEST(committer_step_settles_at_100_percent_full),
        A_TEST(committer_step_settles_with_hardly_a_page_left),
        A_TEST(committer_step_settles_around_what_does_not_fit),
        A_TEST(committer_step_lets_small_records_pass_a_large_one),
        A_TEST(committer_step_mends_a_latched_spool),
        A_TEST(committer_step_mends_a_latched_spool_with_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
