/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot.c on a spool, and judge.c on snapshots of every kind. */
#include "tools/inspect/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include <sys/stat.h>

#define NO_LIMITS (&(struct snapshot_limits){0})

/* A spool with one destination that has nothing to be said of. */
static int set_up(void **state)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    assert_non_null(snapshot);
    snapshot->taken_wall_ms = 1000000;
    snapshot->is_owned = true;
    snapshot->is_live = true;
    snapshot->has_live = true;
    (void)snprintf(snapshot->owner, sizeof(snapshot->owner), "owner, pid 1");
    snapshot->live.written_wall_ms = 1000000;
    snapshot->space.limit_bytes = 1U << 30;
    snapshot->space.room_bytes = 1U << 29;
    snapshot->destinations_count = 1;
    snapshot->destinations[1].identity = "[k1]t";
    snapshot->destinations[1].live.state = LIVE_FLOWING;
    *state = snapshot;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void set_waiting(struct snapshot *snapshot, uint64_t count)
{
    snapshot->destinations[1].counters.values[COUNTER_QUEUE_RECORDS] = count;
    snapshot->destinations[1].counters.values[COUNTER_QUEUE_BYTES] = 100 * count;
    snapshot->all.values[COUNTER_QUEUE_RECORDS] = count;
}

static void assert_judged(struct snapshot *snapshot, const struct snapshot_limits *limits,
                          enum verdict_kind verdict, const char *text)
{
    snapshot_judge(snapshot, limits);
    const char *first = snapshot->reasons_count > 0 ? snapshot->reasons[0].text.text : "";
    if (snapshot_verdict(snapshot) != verdict || strstr(first, text) == NULL) {
        fail_msg("%s: %s", snapshot_verdict_name(snapshot_verdict(snapshot)), first);
    }
}

static void judge_finds_nothing_wrong_with_what_flows(void **state)
{
    struct snapshot *snapshot = *state;
    assert_judged(snapshot, NO_LIMITS, VERDICT_HEALTHY, "");
    set_waiting(snapshot, 100000);
    assert_judged(snapshot, NO_LIMITS, VERDICT_HEALTHY, "");
    assert_string_equal(snapshot_state(snapshot, 1), "flowing");
    /* Without an owner nothing is missing as long as nothing waits. */
    set_waiting(snapshot, 0);
    snapshot->is_owned = false;
    snapshot->is_live = false;
    assert_judged(snapshot, NO_LIMITS, VERDICT_HEALTHY, "");
    assert_string_equal(snapshot_state(snapshot, 1), "no owner");
    set_waiting(snapshot, 1);
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "no process owns the spool");
}

static void judge_tells_waiting_from_stalled_and_held(void **state)
{
    struct snapshot *snapshot = *state;
    struct live_destination *live = &snapshot->destinations[1].live;
    set_waiting(snapshot, 10);
    live->last_error = -195;
    (void)snprintf(live->last_error_text, sizeof(live->last_error_text), "refused");
    assert_judged(snapshot, NO_LIMITS, VERDICT_WAITING, "tried again: refused");
    assert_string_equal(snapshot_state(snapshot, 1), "retrying");
    live->state = LIVE_WAITING;
    assert_judged(snapshot, NO_LIMITS, VERDICT_WAITING, "tried again: refused");
    assert_string_equal(snapshot_state(snapshot, 1), "waiting");
    live->is_stalled = true;
    live->inflight_records = 7;
    assert_judged(snapshot, NO_LIMITS, VERDICT_STALLED, "7 records in-flight");
    assert_string_equal(snapshot_state(snapshot, 1), "stalled");
    live->is_held = true;
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "only an operator can mend it: refused");
    assert_string_equal(snapshot_state(snapshot, 1), "held");
    live->state = LIVE_NOT_CONFIGURED;
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "not configured");
    snapshot->destinations[1].paused_since_wall_ms = 1;
    assert_judged(snapshot, NO_LIMITS, VERDICT_WAITING, "paused");
    assert_string_equal(snapshot_state(snapshot, 1), "paused");
    /* Of what has no records nobody needs to hear. */
    set_waiting(snapshot, 0);
    assert_judged(snapshot, NO_LIMITS, VERDICT_HEALTHY, "");
}

static void judge_finds_what_is_full(void **state)
{
    struct snapshot *snapshot = *state;
    set_waiting(snapshot, 10);
    snapshot->live.max_records = 11;
    assert_judged(snapshot, NO_LIMITS, VERDICT_HEALTHY, "");
    snapshot->live.max_records = 10;
    assert_judged(snapshot, NO_LIMITS, VERDICT_FULL, "10 records wait, which is the limit");
    snapshot->live.max_records = 0;
    snapshot->destinations[1].live.limits.max_records = 10;
    assert_judged(snapshot, NO_LIMITS, VERDICT_FULL, "limit of 10 records: publishes are refused");
    snapshot->destinations[1].live.limits.drops_oldest = true;
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "the oldest are dropped");
    snapshot->destinations[1].live.limits = (struct destination_limits){.max_bytes = 1050};
    assert_judged(snapshot, NO_LIMITS, VERDICT_FULL, "limit of 1050 bytes");
    snapshot->destinations[1].live.limits.max_bytes = 2000;
    assert_judged(snapshot, NO_LIMITS, VERDICT_HEALTHY, "");
    snapshot->space.room_bytes = 0;
    assert_judged(snapshot, NO_LIMITS, VERDICT_FULL, "reached its limit of 1.0 GiB");
    snapshot->space.is_disk_full = true;
    assert_judged(snapshot, NO_LIMITS, VERDICT_FULL, "the disk is full");
}

static void judge_finds_what_needs_attention(void **state)
{
    struct snapshot *snapshot = *state;
    snapshot->destinations[1].counters.values[COUNTER_DEAD_RECORDS] = 1;
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "1 dead letter:");
    snapshot->destinations[1].counters.values[COUNTER_DEAD_RECORDS] = 0;
    snapshot->set_aside_count = 2;
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "2 damaged spools were set aside");
    snapshot->set_aside_count = 0;
    snapshot->readers = (struct spool_readers){.count = 1, .behind_count = 5000, .oldest_pid = 77};
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "process 77 reads the spool");
    snapshot->readers.behind_count = 3;
    (void)snprintf(snapshot->live.trouble, sizeof(snapshot->live.trouble), "no space");
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "has trouble: no space");
    snapshot->live.is_latched = true;
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "cannot write the spool: no space");
    snapshot->is_live = false;
    snapshot->live.written_wall_ms = 1000000 - 60000;
    assert_judged(snapshot, NO_LIMITS, VERDICT_ATTENTION, "has said nothing for 1m 0s");
    assert_string_equal(snapshot_state(snapshot, 1), "unknown");
}

static void judge_takes_limits_instead_of_waiting(void **state)
{
    struct snapshot *snapshot = *state;
    struct snapshot_limits limits = {.max_age_ms = 60000, .max_depth_records = 10};
    set_waiting(snapshot, 10);
    snapshot->destinations[1].live.state = LIVE_WAITING;
    snapshot->destinations[1].oldest_wall_ms = 1000000 - 60000;
    assert_int_equal(snapshot_age_ms(snapshot, 1), 60000);
    assert_judged(snapshot, &limits, VERDICT_HEALTHY, "");
    limits.max_age_ms = 59999;
    assert_judged(snapshot, &limits, VERDICT_ATTENTION, "the oldest record waits for 1m 0s");
    limits.max_age_ms = 0;
    set_waiting(snapshot, 11);
    assert_judged(snapshot, &limits, VERDICT_ATTENTION, "11 records wait (limit 10)");
    /* A clock that was set back makes nothing old. */
    snapshot->destinations[1].oldest_wall_ms = 2000000;
    assert_int_equal(snapshot_age_ms(snapshot, 1), 0);
}

static void judge_keeps_the_worst_reasons_in_order(void **state)
{
    struct snapshot *snapshot = *state;
    snapshot->destinations_count = DESTINATIONS_MAX;
    for (uint32_t i = 1; i <= DESTINATIONS_MAX; i++) {
        snapshot->destinations[i].identity = "[k]t";
        snapshot->destinations[i].paused_since_wall_ms = 1;
        snapshot->destinations[i].counters.values[COUNTER_QUEUE_RECORDS] = 1;
    }
    snapshot->destinations[200].counters.values[COUNTER_DEAD_RECORDS] = 3;
    snapshot->destinations[201].live.limits.max_records = 1;
    snapshot_judge(snapshot, NO_LIMITS);
    assert_int_equal(snapshot->reasons_count, SNAPSHOT_REASONS_MAX);
    assert_int_equal(snapshot->reasons[0].kind, VERDICT_FULL);
    assert_int_equal(snapshot->reasons[1].kind, VERDICT_ATTENTION);
    for (size_t i = 2; i < SNAPSHOT_REASONS_MAX; i++) {
        assert_int_equal(snapshot->reasons[i].kind, VERDICT_WAITING);
    }
}

static void snapshot_take_sees_what_is_in_the_spool(void **state)
{
    struct spool_fixture *fixture = *state;
    struct snapshot *snapshot = malloc(sizeof(*snapshot));
    assert_non_null(snapshot);
    (void)spool_fixture_append(fixture, 2, 100);
    (void)spool_fixture_append(fixture, 2, 200);
    spool_fixture_settle(fixture, SETTLE_DEAD, 2, 1);
    (void)mkdir(spool_fixture_path(fixture, "damaged-20261121T000000Z"), 0700);
    assert_int_equal(snapshot_take(fixture->spool, snapshot), 0);
    assert_int_equal(snapshot->destinations_count, 2);
    assert_true(snapshot->is_owned);
    assert_false(snapshot->has_live);
    assert_int_equal(snapshot->destinations[2].counters.values[COUNTER_QUEUE_RECORDS], 1);
    assert_int_equal(snapshot->destinations[2].counters.values[COUNTER_DEAD_RECORDS], 1);
    assert_true(snapshot->destinations[2].oldest_wall_ms > 0);
    assert_int_equal(snapshot->destinations[1].oldest_wall_ms, 0);
    assert_int_equal(snapshot->set_aside_count, 1);
    assert_int_equal(snapshot->next_sequence, 3);
    assert_int_equal(snapshot->readers.count, 0);
    assert_true(snapshot->space.room_bytes > 0);
    assert_true(snapshot->space.room_bytes < snapshot->space.limit_bytes);
    assert_true(snapshot->disk_free_bytes > 0);
    free(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(judge_finds_nothing_wrong_with_what_flows),
        TEST(judge_tells_waiting_from_stalled_and_held),
        TEST(judge_finds_what_is_full),
        TEST(judge_finds_what_needs_attention),
        TEST(judge_takes_limits_instead_of_waiting),
        TEST(judge_keeps_the_worst_reasons_in_order),
        cmocka_unit_test_setup_teardown(snapshot_take_sees_what_is_in_the_spool,
                                        spool_fixture_set_up, spool_fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
