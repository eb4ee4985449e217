/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/environment.h"

#define SEEN_MAX 8192

struct seen {
    struct spool_fixture *fixture;
    size_t count;
    uint64_t sequences[SEEN_MAX];
    uint32_t destinations[SEEN_MAX];
    uint64_t skip_from; /* 0: none */
    uint64_t stop_at;
    uint64_t read_count;
    uint64_t matched_count;
};

static int see(void *context, const struct walk_entry *entry)
{
    struct seen *seen = context;
    struct spool *spool = seen->fixture->spool;
    assert_true(seen->count < SEEN_MAX);
    assert_true(entry->is_readable);
    /* Every transaction holds this lock: none is open. */
    assert_int_equal(pthread_rwlock_trywrlock(&spool->env_lock), 0);
    assert_int_equal(pthread_rwlock_unlock(&spool->env_lock), 0);
    seen->sequences[seen->count] = entry->sequence;
    seen->destinations[seen->count++] = entry->destination;
    if (entry->sequence == seen->stop_at) {
        return 77;
    }
    return seen->skip_from != 0 && entry->sequence >= seen->skip_from ? WALK_SKIP : 0;
}

static int see_progress(void *context, uint64_t read_count, uint64_t matched_count)
{
    struct seen *seen = context;
    seen->read_count = read_count;
    seen->matched_count = matched_count;
    return 0;
}

static int run(struct seen *seen, enum walk_place place, struct filter *filter)
{
    struct message message;
    struct walk_config config = {
        .spool = seen->fixture->spool,
        .place = place,
        .filter = filter,
        .on_entry = see,
        .on_progress = see_progress,
        .context = seen,
    };
    assert_int_equal(filter_resolve(filter, seen->fixture->spool, &message), 0);
    seen->count = 0;
    return walk(&config);
}

static struct seen *new_seen(struct spool_fixture *fixture)
{
    struct seen *seen = calloc(1, sizeof(*seen));
    assert_non_null(seen);
    seen->fixture = fixture;
    return seen;
}

static void walk_shows_each_destination_in_order(void **state)
{
    struct spool_fixture *fixture = *state;
    struct seen *seen = new_seen(fixture);
    struct filter filter = {0};
    for (int i = 0; i < 6; i++) {
        (void)spool_fixture_append(fixture, i % 2 == 0 ? 2 : 1, 100);
    }
    spool_fixture_settle(fixture, SETTLE_DEAD, 1, 4);
    assert_int_equal(run(seen, WALK_QUEUE, &filter), 0);
    static const uint64_t expected[] = {2, 6, 1, 3, 5};
    assert_int_equal(seen->count, 5);
    assert_memory_equal(seen->sequences, expected, sizeof(expected));
    assert_int_equal(seen->destinations[1], 1);
    assert_int_equal(seen->destinations[2], 2);
    assert_int_equal(seen->read_count, 5);
    assert_int_equal(seen->matched_count, 5);
    assert_int_equal(run(seen, WALK_DEAD, &filter), 0);
    assert_int_equal(seen->count, 1);
    assert_int_equal(seen->sequences[0], 4);

    filter = (struct filter){.from_sequence = 3, .to_sequence = 5};
    assert_int_equal(run(seen, WALK_QUEUE, &filter), 0);
    assert_int_equal(seen->count, 2);
    assert_int_equal(seen->sequences[0], 3);
    filter = (struct filter){.destination_texts = {"1"}, .destination_texts_count = 1};
    assert_int_equal(run(seen, WALK_QUEUE, &filter), 0);
    assert_int_equal(seen->count, 2);
    filter = (struct filter){0};
    seen->skip_from = 2;
    assert_int_equal(run(seen, WALK_QUEUE, &filter), 0);
    assert_int_equal(seen->count, 3); /* 2, then 1 and 3 of the other */
    seen->skip_from = 0;
    seen->stop_at = 1;
    assert_int_equal(run(seen, WALK_QUEUE, &filter), 77);
    assert_int_equal(seen->count, 3);
    free(seen);
}

/* More than one transaction, and more than its buffer holds. */
static void walk_goes_on_where_a_transaction_ended(void **state)
{
    struct spool_fixture *fixture = *state;
    struct seen *seen = new_seen(fixture);
    struct filter filter = {0};
    spool_fixture_close(fixture);
    fixture->config.max_bytes = 64U << 20;
    spool_fixture_open(fixture);
    for (int i = 0; i < 12; i++) {
        (void)spool_fixture_append(fixture, 1, i % 3 == 0 ? 3000000 : 700000);
    }
    assert_int_equal(run(seen, WALK_QUEUE, &filter), 0);
    assert_int_equal(seen->count, 12);
    for (uint64_t i = 0; i < 12; i++) {
        assert_int_equal(seen->sequences[i], i + 1);
    }
    filter.smaller_than_bytes = 1000000;
    assert_int_equal(run(seen, WALK_QUEUE, &filter), 0);
    assert_int_equal(seen->count, 8);
    assert_int_equal(seen->read_count, 12);
    free(seen);
}

static void walk_one_finds_one(void **state)
{
    struct spool_fixture *fixture = *state;
    struct walk_entry entry;
    void *copy = NULL;
    (void)spool_fixture_append(fixture, 1, 100);
    (void)spool_fixture_append(fixture, 1, 200);
    spool_fixture_settle(fixture, SETTLE_EXPIRED, 1, 1);
    assert_int_equal(walk_one(fixture->spool, WALK_QUEUE, 1, 1, &copy, &entry), WALK_E_NOT_FOUND);
    assert_int_equal(walk_one(fixture->spool, WALK_QUEUE, 1, 3, &copy, &entry), WALK_E_NOT_FOUND);
    assert_int_equal(walk_one(fixture->spool, WALK_QUEUE, 2, 2, &copy, &entry), WALK_E_NOT_FOUND);
    assert_null(copy);
    assert_int_equal(walk_one(fixture->spool, WALK_QUEUE, 1, 2, &copy, &entry), 0);
    assert_int_equal(entry.encoded.size_bytes, 200);
    assert_true(entry.is_readable);
    assert_false(entry.has_dead);
    spool_free(&copy);
    assert_int_equal(walk_one(fixture->spool, WALK_DEAD, 1, 1, &copy, &entry), 0);
    assert_true(entry.has_dead);
    assert_int_equal(entry.dead.reason, SETTLE_EXPIRED);
    assert_int_equal(entry.encoded.size_bytes, 100);
    spool_free(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up, spool_fixture_tear_down)
        TEST(walk_shows_each_destination_in_order),
        TEST(walk_goes_on_where_a_transaction_ended),
        TEST(walk_one_finds_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
