/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A full disk: an error at open and a reason at publish, never a signal and never a loss; what is
 * stored can be settled with not one byte free. */
#include "spool/committer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/small_disk.h"
#include "tests/harness/spool_fixture.h"

#include "spool/cursor.h"
#include "spool/limits.h"
#include "spool/record.h"
#include "spool/visit.h"

#include <stdlib.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

struct world {
    enum small_disk_kind kind;
    struct small_disk disk;
    struct spool_fixture *spool;
    struct ring *ring;
    struct committer *committer;
};

static void note_commit(void *context)
{
    (void)context;
}

static void close_world(struct world *world)
{
    committer_free(&world->committer);
    spool_fixture_close(world->spool);
}

static void open_world(struct world *world)
{
    spool_fixture_open(world->spool);
    struct committer_config config = {
        .spool = world->spool->spool,
        .ring = world->ring,
        .on_commit = note_commit,
    };
    assert_int_equal(committer_new(&config, &world->committer), 0);
}

/* A spool on a small disk that is not yet open; its own limit is far above the disk. False: the
 * disk cannot be had. */
static bool begin(struct world *world, enum small_disk_kind kind)
{
    struct ring_config config = {.slots_count = 64, .bytes = 16U << 20};
    *world = (struct world){.kind = kind};
    if (!small_disk_mount(&world->disk, kind)) {
        return false;
    }
    assert_int_equal(setenv("SPOOL_TEST_DIR", world->disk.folder, 1), 0);
    spool_fixture_set_up_closed((void **)&world->spool);
    world->spool->config.max_bytes = SPOOL_BYTES_DEFAULT;
    assert_int_equal(ring_new(&config, &world->ring), 0);
    return true;
}

static void end(struct world *world)
{
    committer_free(&world->committer);
    ring_free(&world->ring);
    spool_fixture_tear_down((void **)&world->spool);
    small_disk_unmount(&world->disk);
}

/* Publishes one record. */
static struct ring_outcome publish(struct world *world, size_t payload_bytes)
{
    static uint8_t payload[200000];
    struct record record = {.published_wall_ms = 1, .payload = {payload, payload_bytes}};
    struct ring_ticket ticket;
    struct ring_outcome outcome;
    assert_int_equal(ring_submit(world->ring, 1, &record, 0, false, &ticket), 0);
    assert_true(committer_step(world->committer, false) > 0);
    assert_int_equal(ring_poll(world->ring, ticket, &outcome), 0);
    return outcome;
}

/* Publishes, many at a time, until one is refused; how many were accepted. */
static uint64_t publish_until_refused(struct world *world, size_t payload_bytes)
{
    static uint8_t payload[200000];
    struct record record = {.published_wall_ms = 1, .payload = {payload, payload_bytes}};
    struct ring_ticket tickets[32];
    uint64_t accepted = 0;
    int refusal = OUTCOME_ACCEPTED;
    world->spool->now_ms += 2000; /* the disk is asked for more once a second */
    while (refusal == OUTCOME_ACCEPTED) {
        for (size_t i = 0; i < SPOOL_COUNT_OF(tickets); i++) {
            assert_int_equal(ring_submit(world->ring, 1, &record, 0, false, &tickets[i]), 0);
        }
        assert_true(committer_step(world->committer, false) > 0);
        for (size_t i = 0; i < SPOOL_COUNT_OF(tickets); i++) {
            struct ring_outcome outcome;
            assert_int_equal(ring_poll(world->ring, tickets[i], &outcome), 0);
            accepted += outcome.result == OUTCOME_ACCEPTED;
            refusal = outcome.result != OUTCOME_ACCEPTED ? outcome.result : refusal;
        }
    }
    assert_string_equal(outcome_name((enum outcome)refusal), "full_disk");
    return accepted;
}

static void settle_all(struct world *world, enum settle_action action)
{
    static uint64_t sequences[4096];
    size_t count;
    while ((count = spool_fixture_sequences(world->spool, 1, false, sequences, 4096)) > 0) {
        uint64_t position = 0;
        for (size_t i = 0; i < count; i++) {
            struct settlement settlement = {
                .action = action, .destination = 1, .sequence = sequences[i]};
            assert_int_equal(committer_settle(world->committer, &settlement, 1, &position), 0);
        }
        while (committer_settled(world->committer) < position) {
            assert_true(committer_step(world->committer, true) > 0);
        }
    }
}

static uint64_t waiting(struct world *world)
{
    return spool_fixture_counter(world->spool, 1, COUNTER_QUEUE_RECORDS);
}

/* --- Opening ---------------------------------------------------------------------------------- */

static void check_open(enum small_disk_kind kind)
{
    struct world world;
    if (!begin(&world, kind)) {
        skip();
    }
    small_disk_fill(&world.disk);
    assert_int_equal(spool_fixture_try_open(world.spool), SPOOL_E_DISK_FULL);
    print_message("%s\n", world.spool->message.text);
    assert_non_null(strstr(world.spool->message.text, world.disk.folder));
    /* Also with every amount of space that is not enough. */
    for (int i = 0; i < 40; i++) {
        small_disk_free(&world.disk, 16384);
        int r = spool_fixture_try_open(world.spool);
        if (r == 0) {
            break;
        }
        assert_int_equal(r, SPOOL_E_DISK_FULL);
        assert_non_null(strstr(world.spool->message.text, "full"));
        small_disk_fill(&world.disk);
        small_disk_free(&world.disk, (uint64_t)i * 16384);
    }
    spool_close(&world.spool->spool);
    small_disk_free(&world.disk, 4ULL << 20);
    open_world(&world);
    assert_int_equal(publish(&world, 300).result, OUTCOME_ACCEPTED);
    end(&world);
}

static void spool_open_says_that_a_tmpfs_is_full(void **state)
{
    (void)state;
    check_open(SMALL_DISK_TMPFS);
}

static void spool_open_says_that_an_ext4_is_full(void **state)
{
    (void)state;
    check_open(SMALL_DISK_EXT4);
}

static void spool_open_says_that_a_disk_is_read_only(void **state)
{
    struct world world;
    (void)state;
    if (!begin(&world, SMALL_DISK_TMPFS)) {
        skip();
    }
    open_world(&world);
    assert_int_equal(publish(&world, 300).result, OUTCOME_ACCEPTED);
    close_world(&world);
    assert_int_equal(mount(NULL, world.disk.folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_int_equal(spool_fixture_try_open(world.spool), SPOOL_E_REFUSED);
    assert_non_null(strstr(world.spool->message.text, world.disk.folder));
    assert_non_null(strcasestr(world.spool->message.text, "read-only"));
    struct spool *visitor = NULL;
    assert_int_equal(
        spool_visit(world.spool->dir, &world.spool->clock, &visitor, &world.spool->message),
        SPOOL_E_REFUSED);
    assert_non_null(strstr(world.spool->message.text, "read-only: mount it for writing"));
    assert_int_equal(mount(NULL, world.disk.folder, NULL, MS_REMOUNT, NULL), 0);
    open_world(&world);
    assert_int_equal(waiting(&world), 1);
    end(&world);
}

/* --- Living on it ----------------------------------------------------------------------------- */

static void check_life(struct world *world, size_t payload_bytes)
{
    uint64_t some = 20;
    small_disk_fill(&world->disk); /* so that there is something to free later */
    small_disk_free(&world->disk, 9ULL << 20);
    open_world(world);
    for (uint64_t i = 0; i < some; i++) {
        assert_int_equal(publish(world, payload_bytes).result, OUTCOME_ACCEPTED);
    }
    small_disk_fill(&world->disk);
    uint64_t more = publish_until_refused(world, payload_bytes);
    print_message("%zu bytes: %llu records, then %llu on the full disk\n", payload_bytes,
                  (unsigned long long)some, (unsigned long long)more);
    assert_int_equal(waiting(world), some + more);
    spool_fixture_check(world->spool); /* nothing that was accepted is lost or changed */

    /* A restart on the full disk. */
    close_world(world);
    open_world(world);
    assert_int_equal(waiting(world), some + more);
    spool_fixture_check(world->spool);

    settle_all(world, SETTLE_DELIVERED);
    assert_int_equal(waiting(world), 0);
    uint64_t again = publish_until_refused(world, payload_bytes);
    assert_true(again >= (some + more) / 2);
    spool_fixture_check(world->spool);

    small_disk_free(&world->disk, 4ULL << 20);
    uint64_t beyond = publish_until_refused(world, payload_bytes);
    print_message("then %llu, and %llu after 4 MiB were freed\n", (unsigned long long)again,
                  (unsigned long long)beyond);
    assert_true(beyond * payload_bytes >= 1ULL << 20);
    settle_all(world, SETTLE_DELIVERED);
    spool_fixture_check(world->spool);
    assert_false(spool_is_latched(world->spool->spool));
}

static void check_full(enum small_disk_kind kind)
{
    static const size_t sizes[] = {100, 512, 3000, 200000};
    for (size_t i = 0; i < SPOOL_COUNT_OF(sizes); i++) {
        struct world world;
        if (!begin(&world, kind)) {
            skip();
        }
        check_life(&world, sizes[i]);
        end(&world);
    }
}

static void publish_is_refused_on_a_full_tmpfs_and_all_else_works(void **state)
{
    (void)state;
    check_full(SMALL_DISK_TMPFS);
}

static void publish_is_refused_on_a_full_ext4_and_all_else_works(void **state)
{
    (void)state;
    check_full(SMALL_DISK_EXT4);
}

/* The spool itself takes the whole disk. */
static void check_alone(enum small_disk_kind kind)
{
    struct world world;
    struct statvfs status;
    if (!begin(&world, kind)) {
        skip();
    }
    open_world(&world);
    for (int round = 0; round < 3; round++) {
        uint64_t accepted = publish_until_refused(&world, 512);
        assert_int_equal(statvfs(world.disk.folder, &status), 0);
        print_message("%llu records of 512 bytes on 16 MiB, %llu bytes are left free\n",
                      (unsigned long long)accepted,
                      (unsigned long long)status.f_bavail * status.f_frsize);
        assert_true(accepted * 512 > 7ULL << 20);
        settle_all(&world, round == 1 ? SETTLE_EXPIRED_DROP : SETTLE_DELIVERED);
        assert_int_equal(waiting(&world), 0);
    }
    spool_fixture_check(world.spool);
    end(&world);
}

static void a_spool_may_take_a_whole_tmpfs(void **state)
{
    (void)state;
    check_alone(SMALL_DISK_TMPFS);
}

static void a_spool_may_take_a_whole_ext4(void **state)
{
    (void)state;
    check_alone(SMALL_DISK_EXT4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(spool_open_says_that_a_tmpfs_is_full),
        cmocka_unit_test(spool_open_says_that_an_ext4_is_full),
        cmocka_unit_test(spool_open_says_that_a_disk_is_read_only),
        cmocka_unit_test(publish_is_refused_on_a_full_tmpfs_and_all_else_works),
        cmocka_unit_test(publish_is_refused_on_a_full_ext4_and_all_else_works),
        cmocka_unit_test(a_spool_may_take_a_whole_tmpfs),
        cmocka_unit_test(a_spool_may_take_a_whole_ext4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
