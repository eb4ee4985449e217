/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The forwarder's look at what operators and other programs changed in the spool. */
#include "src/forward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spool/pause.h"
#include "tests/harness/flow_fixture.h"

#define ADDRESS "[k1]broker:9092/topic"

static uint64_t append_expiring(struct flow_fixture *flow, uint32_t destination, uint64_t ttl_ms)
{
    uint64_t now_ms = flow->clock.wall_now_ms;
    struct record record = {
        .published_wall_ms = now_ms,
        .expires_wall_ms = now_ms + ttl_ms,
        .payload = {"soon stale", 10},
    };
    return flow_append_record(flow, destination, &record);
}

static int answer_at_once(void *context, const struct fake_record *record)
{
    (void)context;
    (void)record;
    return 0;
}

static void forward_notices_a_requeue(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    uint64_t first = append_expiring(flow, destination, 1);
    flow->sinks.decide = answer_at_once;
    flow_pass(flow, 1000);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DEAD_RECORDS), 1);
    (void)flow_append_many(flow, destination, 3);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 3);
    struct settlement requeue = {
        .action = SETTLE_REQUEUE,
        .destination = destination,
        .to_destination = destination,
        .sequence = first,
    };
    assert_int_equal(batch_begin(flow->batch, 0, 0), 0);
    assert_int_equal(batch_settle(flow->batch, &requeue), 0);
    assert_int_equal(batch_commit(flow->batch), 0);
    flow_pass(flow, 1000);
    /* It is read again, and expires no more. */
    assert_int_equal(flow_counter(flow, destination, COUNTER_EXPIRED), 1);
    assert_int_equal(flow_counter(flow, destination, COUNTER_QUEUE_RECORDS), 0);
    assert_int_equal(flow->sinks.records_count, 4);
    assert_int_equal(flow->sinks.records[3].sequence, first);
}

static void forward_goes_back_to_a_record_that_was_moved_here(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t from = flow_add(flow, ADDRESS);
    uint32_t to = flow_add(flow, "[k2]broker:9092/topic");
    struct message message;
    assert_int_equal(spool_pause(flow->spool, from, true, &message), 0);
    flow_pass(flow, 500);
    uint64_t first = flow_append(flow, from);
    (void)flow_append_many(flow, to, 3);
    flow->sinks.decide = answer_at_once;
    flow_pass(flow, 500);
    assert_int_equal(flow->sinks.records_count, 3);
    struct settlement move = {
        .action = SETTLE_MOVE,
        .destination = from,
        .to_destination = to,
        .sequence = first,
    };
    assert_int_equal(batch_begin(flow->batch, 0, 0), 0);
    assert_int_equal(batch_settle(flow->batch, &move), 0);
    assert_int_equal(batch_commit(flow->batch), 0);
    flow_pass(flow, 1000);
    assert_int_equal(flow->sinks.records_count, 4);
    assert_int_equal(flow->sinks.records[3].sequence, first);
    assert_int_equal(flow_counter(flow, to, COUNTER_DELIVERED), 4);
    assert_int_equal(flow_counter(flow, from, COUNTER_QUEUE_RECORDS), 0);
}

/* As an operator does; the forwarder has looked when it returns. */
static void pause_destination(struct flow_fixture *flow, uint32_t destination, bool pauses)
{
    struct message message;
    assert_int_equal(spool_pause(flow->spool, destination, pauses, &message), 0);
    flow_pass(flow, 500);
}

static void forward_pause_stops_reading_and_goes_on(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append(flow, destination);
    flow_run(flow);
    pause_destination(flow, destination, true);
    assert_true(flow_status(flow, destination).is_paused);
    (void)flow_append(flow, destination);
    flow_pass(flow, 1000);
    assert_int_equal(flow->sinks.records_count, 1);
    /* Reports are taken all the same. */
    fake_sinks_answer(&flow->sinks, 0, 0);
    flow_run(flow);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 1);
    pause_destination(flow, destination, false);
    assert_int_equal(flow->sinks.records_count, 2);
}

static void forward_pause_is_kept_across_a_restart(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    pause_destination(flow, destination, true);
    flow_restart(flow);
    (void)flow_append(flow, destination);
    flow_run(flow);
    assert_true(flow_status(flow, destination).is_paused);
    assert_int_equal(flow->sinks.records_count, 0);
    pause_destination(flow, destination, false);
    assert_int_equal(flow->sinks.records_count, 1);
}

/* The forwarder could not look while the spool could not be read: it looks before it reads on. */
static void forward_sees_a_pause_once_the_spool_is_opened_again(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    struct message message;
    char moved[sizeof(flow->dir) + 8];
    flow_run(flow);
    (void)flow_append(flow, destination);
    assert_int_equal(spool_pause(flow->spool, destination, true, &message), 0);
    (void)snprintf(moved, sizeof(moved), "%s.moved", flow->dir);
    assert_int_equal(rename(flow->dir, moved), 0);
    assert_int_not_equal(spool_reopen(flow->spool, &message), 0);
    flow_pass(flow, 1000);
    assert_int_equal(rename(moved, flow->dir), 0);
    assert_int_equal(spool_reopen(flow->spool, &message), 0);
    flow_run(flow);
    assert_true(flow_status(flow, destination).is_paused);
    assert_int_equal(flow->sinks.records_count, 0);
}

#define FLOW_TEST(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, flow_fixture_setup, flow_fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        FLOW_TEST(forward_notices_a_requeue),
        FLOW_TEST(forward_goes_back_to_a_record_that_was_moved_here),
        FLOW_TEST(forward_pause_stops_reading_and_goes_on),
        FLOW_TEST(forward_pause_is_kept_across_a_restart),
        FLOW_TEST(forward_sees_a_pause_once_the_spool_is_opened_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
