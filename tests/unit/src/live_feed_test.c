/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/live_feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spool/live.h"
#include "spool/pause.h"
#include "tests/harness/flow_fixture.h"

static int answer_at_once(void *context, const struct fake_record *record)
{
    (void)context;
    (void)record;
    return 0;
}

static int answer_down(void *context, const struct fake_record *record)
{
    (void)context;
    (void)record;
    return FAKE_TRANSPORT;
}

static struct live_feed *new_feed(struct flow_fixture *flow)
{
    struct live_feed *feed = NULL;
    struct live_feed_config config = {
        .spool = flow->spool,
        .committer = flow->committer,
        .forward = flow->forward,
        .clock = &flow->clock.clock,
    };
    assert_int_equal(live_feed_new(&config, &feed), 0);
    return feed;
}

/* What others read after a step. The next call overwrites it. */
static const struct live *step(struct flow_fixture *flow, struct live_feed *feed, bool is_last)
{
    static struct live live;
    live_feed_step(feed, is_last);
    assert_int_equal(live_read(flow->dir, &live), 0);
    return &live;
}

static void live_feed_tells_states_and_errors(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t id = flow_add(flow, "[k1]broker:9092/topic");
    uint32_t other;
    struct message message;
    assert_int_equal(spool_destination_open(flow->spool, "[old]topic", "old", &other, &message), 0);
    struct live_feed *feed = new_feed(flow);
    flow->sinks.decide = NULL;
    (void)flow_append_many(flow, id, 3);
    flow_run(flow);
    const struct live *live = step(flow, feed, false);
    assert_int_equal(live->written_wall_ms, flow->clock.wall_now_ms);
    assert_false(live->is_stopped);
    assert_int_equal(live->destinations_count, 2);
    assert_int_equal(live->destinations[id].state, LIVE_FLOWING);
    assert_int_equal(live->destinations[id].inflight_records, 3);
    assert_true(live->destinations[id].inflight_bytes > 0);
    assert_int_equal(live->destinations[other].state, LIVE_NOT_CONFIGURED);
    assert_int_equal(live->destinations[id].last_error, 0);
    live_feed_free(&feed);
    live_feed_free(&feed); /* NULL is fine */
    live_feed_step(feed, false);

    flow_restart(flow);
    feed = new_feed(flow);
    flow->sinks.decide = answer_down;
    flow_run(flow);
    live = step(flow, feed, false);
    assert_int_equal(live->destinations[id].state, LIVE_WAITING);
    assert_int_equal(live->destinations[id].last_error, FAKE_TRANSPORT);
    assert_true(strlen(live->destinations[id].last_error_text) > 0);
    assert_true(live->destinations[id].retry_at_wall_ms >= live->written_wall_ms);
    assert_int_equal(spool_pause(flow->spool, id, true, &message), 0);
    flow_pass(flow, 1000);
    live = step(flow, feed, true);
    assert_true(live->destinations[id].is_paused);
    assert_true(live->is_stopped);
    live_feed_free(&feed);
}

static void live_feed_averages_rates(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t id = flow_add(flow, "[k1]broker:9092/topic");
    struct live_feed *feed = new_feed(flow);
    const struct live *live;
    flow->sinks.decide = answer_at_once;
    (void)flow_append_many(flow, id, 500);
    flow_run(flow);
    live = step(flow, feed, false);
    /* What was there before is no rate. */
    assert_int_equal(live->destinations[id].in_per_ks, 0);
    for (int i = 0; i < 120; i++) {
        (void)flow_append_many(flow, id, 50);
        flow_pass(flow, 500);
        live = step(flow, feed, false);
    }
    /* 100 a second, for a minute. */
    assert_in_range(live->destinations[id].in_per_ks, 99000, 101000);
    assert_in_range(live->destinations[id].out_per_ks, 95000, 105000);
    for (int i = 0; i < 120; i++) {
        flow_pass(flow, 500);
        live = step(flow, feed, false);
    }
    assert_in_range(live->destinations[id].in_per_ks, 0, 100);
    assert_true(live->commits_count > 0);
    live_feed_free(&feed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(live_feed_tells_states_and_errors, flow_fixture_setup,
                                        flow_fixture_teardown),
        cmocka_unit_test_setup_teardown(live_feed_averages_rates, flow_fixture_setup,
                                        flow_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
