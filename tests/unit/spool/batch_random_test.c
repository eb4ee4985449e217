/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random batches of everything that a batch can do, counted in full after each (S2, S4). */
#include "spool/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

/* One of the destination's waiting or dead sequences, or one that is not there. */
static uint64_t random_sequence(struct spool_fixture *fixture, uint32_t destination, bool is_dead)
{
    static uint64_t sequences[512];
    size_t count = spool_fixture_sequences(fixture, destination, is_dead, sequences, 512);
    if (count == 0 || random_below(20) == 0) {
        return random_below(1000) + 1;
    }
    return sequences[random_below(count)];
}

static struct settlement random_settlement(struct spool_fixture *fixture)
{
    struct settlement settlement = {
        .action = (enum settle_action)random_below(SETTLE_ACTION_COUNT),
        .destination = (uint32_t)random_below(2) + 1,
        .to_destination = (uint32_t)random_below(2) + 1,
        .partition = -1,
        .offset = -1,
    };
    uint64_t next = spool_fixture_counter(fixture, DESTINATION_ALL, COUNTER_REPORTS_RUN) +
                    spool_fixture_counter(fixture, DESTINATION_ALL, COUNTER_REPORT_RECORDS) + 1;
    bool is_dead = settlement.action == SETTLE_REQUEUE || settlement.action == SETTLE_DEAD_DROP;
    settlement.sequence = settlement.action == SETTLE_REPORT_RUN
                              ? random_below(next) + 1
                              : random_sequence(fixture, settlement.destination, is_dead);
    return settlement;
}

static void random_batch(struct spool_fixture *fixture)
{
    struct settlement settlements[16];
    size_t settlements_count = random_below(SPOOL_COUNT_OF(settlements) + 1);
    size_t appends_count = random_below(24);
    for (size_t i = 0; i < settlements_count; i++) {
        settlements[i] = random_settlement(fixture);
    }
    int r = batch_begin(fixture->batch, appends_count * 3000, appends_count);
    assert_int_equal(r, 0);
    for (size_t i = 0; r == 0 && i < settlements_count; i++) {
        r = batch_settle(fixture->batch, &settlements[i]);
    }
    for (size_t i = 0; r == 0 && i < appends_count; i++) {
        size_t size = 64 + random_below(random_below(10) == 0 ? 9000 : 900);
        struct span record =
            spool_fixture_record(size, (uint32_t)random_state, random_below(3) == 0 ? "r" : NULL);
        uint64_t sequence;
        int refusal;
        r = batch_append(fixture->batch, (uint32_t)random_below(2) + 1, record, &sequence,
                         &refusal);
        r = r == BATCH_E_REFUSED ? 0 : r;
        spool_fixture_free_record(&record);
    }
    if (r == 0 && random_below(10) == 0) {
        batch_abort(fixture->batch);
    } else if (r == 0) {
        r = batch_commit(fixture->batch);
    }
    assert_int_equal(r, 0);
}

/* Random batches; after each one everything is counted in full. */
static void batch_counters_equal_a_full_count_after_anything(void **state)
{
    struct spool_fixture *fixture = *state;
    const char *given = getenv("SPOOL_TEST_SEED");
    random_state = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("seed: SPOOL_TEST_SEED=%llu\n", (unsigned long long)random_state);
    random_state = random_state * 2 + 1;
    struct destination_limits drops = {.max_records = 60, .drops_oldest = true};
    struct destination_limits refuses = {.max_bytes = 200000};
    spool_destination_limit(fixture->spool, 1, &drops);
    spool_destination_limit(fixture->spool, 2, &refuses);
    for (int i = 0; i < 300; i++) {
        random_batch(fixture);
        spool_fixture_check(fixture);
        if (i % 50 == 49) {
            spool_fixture_close(fixture);
            spool_fixture_open(fixture);
            spool_destination_limit(fixture->spool, 1, &drops);
            spool_destination_limit(fixture->spool, 2, &refuses);
            spool_fixture_check(fixture);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batch_counters_equal_a_full_count_after_anything,
                                        spool_fixture_set_up, spool_fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
