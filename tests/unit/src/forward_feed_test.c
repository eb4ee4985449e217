/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the spool into the sink: windows, what is settled without being produced, sinks and topics
 * that cannot be had. */
#include "src/forward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "spool/limits.h"
#include "tests/harness/flow_fixture.h"

#define ADDRESS "[k1]broker:9092/topic"

static int answer_at_once(void *context, const struct fake_record *record)
{
    (void)context;
    (void)record;
    return 0;
}

/* --- Windows ---------------------------------------------------------------------------------- */

static void feed_keeps_to_the_window_of_records(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    for (int i = 0; i < 5; i++) {
        (void)flow_append_many(flow, destination, 8000);
    }
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, INFLIGHT_RECORDS_MAX);
    fake_sinks_answer(&flow->sinks, 7, 0);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, INFLIGHT_RECORDS_MAX + 1);
    flow->sinks.decide = answer_at_once;
    (void)fake_sinks_answer_all(&flow->sinks, 0);
    flow_run(flow);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 40000);
}

static void feed_keeps_to_the_window_of_bytes(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    static char payload[3U << 20];
    struct record record = {.published_wall_ms = 1, .payload = {payload, sizeof(payload)}};
    for (int i = 0; i < 8; i++) {
        (void)flow_append_record(flow, destination, &record);
    }
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 6);
    fake_sinks_answer(&flow->sinks, 0, 0);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 7);
}

static void feed_shares_the_window_and_lets_nobody_take_anothers(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t hung = flow_add(flow, "[a]hung:9092/one");
    uint32_t flows = flow_add(flow, "[b]broker:9092/two");
    for (int i = 0; i < 4; i++) {
        (void)flow_append_many(flow, hung, 8000);
    }
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, INFLIGHT_RECORDS_MAX / 2);
    /* The other one is not slower for it. */
    flow->sinks.decide = answer_at_once;
    for (uint64_t i = 1; i <= 5; i++) {
        (void)flow_append_many(flow, flows, 8000);
        flow_run(flow);
        assert_int_equal(flow_counter(flow, flows, COUNTER_DELIVERED), 8000 * i);
    }
    assert_int_equal(flow_counter(flow, hung, COUNTER_DELIVERED), 0);
}

static void feed_window_shrinks_when_a_destination_comes(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t first = flow_add(flow, "[a]one:9092/t");
    for (int i = 0; i < 5; i++) {
        (void)flow_append_many(flow, first, 8000);
    }
    flow_run(flow);
    /* The first one has the whole window: the others have what the pool has over, and go on. */
    uint32_t others[3] = {
        flow_add(flow, "[b]two:9092/t"),
        flow_add(flow, "[c]three:9092/t"),
        flow_add(flow, "[d]four:9092/t"),
    };
    for (size_t i = 0; i < SPOOL_COUNT_OF(others); i++) {
        (void)flow_append_many(flow, others[i], 4000);
    }
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, INFLIGHT_RECORDS_MAX + READ_RECORDS_MAX);
    flow->sinks.decide = answer_at_once;
    (void)fake_sinks_answer_all(&flow->sinks, 0);
    flow_run(flow);
    assert_int_equal(flow_counter(flow, DESTINATION_ALL, COUNTER_DELIVERED), 52000);
}

static void feed_tries_a_busy_sink_again(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.unanswered_max = 3;
    uint64_t first = flow_append_many(flow, destination, 10);
    flow_run(flow);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(flow->sinks.records_count, i + 3 < 10 ? i + 3 : 10);
        assert_int_equal(flow->sinks.records[i].sequence, first + i);
        fake_sinks_answer(&flow->sinks, i, 0);
        flow_run(flow);
    }
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 10);
}

static void feed_waits_for_the_end_of_a_purge(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.is_purge_slow = true;
    uint64_t first = flow_append_many(flow, destination, 3);
    flow_run(flow);
    fake_sinks_answer(&flow->sinks, 0, FAKE_TRANSPORT);
    flow_run(flow);
    flow_pass(flow, 10000);
    assert_int_equal(flow->sinks.records_count, 3);
    fake_sinks_end_purge(&flow->sinks);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 6);
    assert_int_equal(flow->sinks.records[3].sequence, first);
}

/* --- Without being produced ------------------------------------------------------------------- */

static int refuse_odd(void *context, const struct record *record, uint64_t sequence, int *ret_error)
{
    (void)context;
    (void)record;
    *ret_error = FAKE_TOO_LARGE;
    return sequence % 2 == 1 ? SINK_E_REJECTED : 0;
}

static void feed_makes_a_refused_record_a_dead_letter_at_once(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.refuse = refuse_odd;
    flow->sinks.decide = answer_at_once;
    uint64_t first = flow_append_many(flow, destination, 10);
    flow_run(flow);
    uint64_t dead[5];
    struct dead_letter heads[5];
    assert_int_equal(flow_dead(flow, destination, dead, heads, 5), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(dead[i], first + first % 2 - 1 + 2 * i + (first % 2 == 0 ? 2 : 0));
        assert_int_equal(heads[i].reason, SETTLE_DEAD);
        assert_int_equal(heads[i].error, FAKE_TOO_LARGE);
    }
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 5);
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_DEAD_LETTER), 5);
}

static int refuse_topic(void *context, const struct record *record, uint64_t sequence,
                        int *ret_error)
{
    (void)record;
    (void)sequence;
    *ret_error = *(const int *)context;
    return *ret_error != 0 ? SINK_E_REJECTED : 0;
}

static void feed_holds_when_the_sink_refuses_every_record(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    int error = FAKE_UNKNOWN_TOPIC;
    flow->sinks.context = &error;
    flow->sinks.refuse = refuse_topic;
    (void)flow_append_many(flow, destination, 2);
    flow_run(flow);
    flow_run(flow);
    assert_int_equal(flow_status(flow, destination).state, FORWARD_WAITING);
    assert_true(flow_status(flow, destination).is_held);
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_HELD), 1);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DEAD_RECORDS), 0);
    error = 0;
    flow_pass(flow, 60000);
    assert_int_equal(flow->sinks.records_count, 2);
}

/* A refusal that says nothing about the record or the destination must not make it spin. */
static void feed_waits_when_the_sink_refuses_without_a_reason(void **state)
{
    static const int errors[] = {FAKE_FATAL, FAKE_PURGED_QUEUE, FAKE_TRANSPORT};
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    int error = 0;
    flow->sinks.context = &error;
    flow->sinks.refuse = refuse_topic;
    for (size_t i = 0; i < SPOOL_COUNT_OF(errors); i++) {
        error = errors[i];
        (void)flow_append(flow, destination);
        flow_run(flow);
        flow_pass(flow, 10000);
        assert_int_equal(flow_status(flow, destination).state, FORWARD_WAITING);
        assert_true(flow_status(flow, destination).retry_in_ms > 0);
    }
    assert_int_equal(flow->sinks.records_count, 0);
}

static void feed_moves_a_damaged_record_aside_and_goes_on(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.decide = answer_at_once;
    uint64_t first = flow_append(flow, destination);
    struct record record = {.published_wall_ms = 1, .payload = {"precious cargo", 14}};
    uint64_t damaged = flow_append_record(flow, destination, &record);
    uint64_t last = flow_append(flow, destination);
    flow_damage_record(flow, destination, damaged, 40);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 2);
    assert_int_equal(flow->sinks.records[0].sequence, first);
    assert_int_equal(flow->sinks.records[1].sequence, last);
    uint64_t dead;
    struct dead_letter head;
    assert_int_equal(flow_dead(flow, destination, &dead, &head, 1), 1);
    assert_int_equal(dead, damaged);
    assert_int_equal(head.reason, SETTLE_CORRUPT);
    assert_int_equal(flow_counter(flow, destination, COUNTER_CORRUPT), 1);
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_DEAD_LETTER), 1);
    assert_non_null(strstr(fake_host_last(&flow->host)->text.text, "checksum"));
}

static void append_expired(struct flow_fixture *flow, uint32_t destination)
{
    struct record record = {
        .published_wall_ms = 1,
        .expires_wall_ms = flow->clock.wall_now_ms,
        .payload = {"x", 1},
    };
    (void)flow_append_record(flow, destination, &record);
}

static void feed_settles_expired_records_as_configured(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t keeps = flow_add(flow, "[a]broker:9092/one");
    uint32_t drops = flow_add(flow, "[b]broker:9092/two?s.on.expire=drop");
    append_expired(flow, keeps);
    append_expired(flow, drops);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 0);
    assert_int_equal(flow_counter(flow, keeps, COUNTER_EXPIRED), 1);
    assert_int_equal(flow_counter(flow, keeps, COUNTER_DEAD_RECORDS), 1);
    assert_int_equal(flow_counter(flow, drops, COUNTER_EXPIRED), 1);
    assert_int_equal(flow_counter(flow, drops, COUNTER_DEAD_RECORDS), 0);
    assert_int_equal(flow_counter(flow, DESTINATION_ALL, COUNTER_QUEUE_RECORDS), 0);
}

static void feed_settles_more_expired_records_than_a_window_has(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    struct record record = {.published_wall_ms = 1, .expires_wall_ms = 2, .payload = {"x", 1}};
    size_t count = 3UL * READ_RECORDS_MAX;
    flow_begin(flow, count * FLOW_RECORD_BYTES, count);
    for (size_t i = 0; i < count; i++) {
        (void)flow_put(flow, destination, &record);
    }
    flow_commit(flow);
    flow->sinks.decide = answer_at_once;
    uint64_t last = flow_append(flow, destination);
    flow_run(flow);
    assert_int_equal(flow_counter(flow, destination, COUNTER_EXPIRED), count);
    assert_int_equal(flow->sinks.records_count, 1);
    assert_int_equal(flow->sinks.records[0].sequence, last);
}

/* --- Opening ---------------------------------------------------------------------------------- */

static void feed_opens_the_sink_when_there_is_something_to_send(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow_pass(flow, 10000);
    assert_int_equal(flow->sinks.opened_count, 0);
    (void)flow_append(flow, destination);
    flow_run(flow);
    assert_int_equal(flow->sinks.opened_count, 1);
}

static void feed_holds_all_destinations_of_a_sink_that_cannot_be_opened(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t one = flow_add(flow, "[a]broker:9092/one");
    uint32_t two = flow_add(flow, "[b]broker:9092/two");
    flow->sinks.open_result = SINK_E_REJECTED;
    (void)flow_append(flow, one);
    (void)flow_append(flow, two);
    for (int i = 0; i < 20; i++) {
        flow_run(flow);
        assert_int_equal(flow_status(flow, one).state, FORWARD_WAITING);
        assert_true(flow_status(flow, one).is_held);
        assert_true(flow_status(flow, two).is_held);
        assert_string_equal(flow_status(flow, two).last_error_text.text,
                            "no such client can be had");
        flow_pass(flow, 999);
    }
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_HELD), 2);
    flow->sinks.open_result = 0;
    flow->sinks.decide = answer_at_once;
    flow_pass(flow, 30000);
    assert_int_equal(flow_counter(flow, DESTINATION_ALL, COUNTER_DELIVERED), 2);
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_BROKERS_UP), 2);
}

static void feed_says_what_the_system_lacks_without_the_secrets(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, "[a]broker:9092/one?g.sasl.password=hush-hush");
    flow->sinks.open_result = -24; /* EMFILE */
    (void)flow_append(flow, destination);
    flow_run(flow);
    const char *text = flow_status(flow, destination).last_error_text.text;
    assert_non_null(strstr(text, "Too many open files"));
    assert_non_null(strstr(text, "g.sasl.password=***"));
    assert_null(strstr(text, "hush"));
}

static void feed_holds_a_topic_that_cannot_be_had_and_no_other(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t one = flow_add(flow, "[a]broker:9092/one");
    uint32_t two = flow_add(flow, "[b]broker:9092/two");
    flow->sinks.decide = answer_at_once;
    (void)flow_append(flow, two);
    flow_run(flow);
    flow->sinks.topic_result = SINK_E_REJECTED;
    (void)flow_append(flow, one);
    (void)flow_append(flow, two);
    flow_run(flow);
    assert_true(flow_status(flow, one).is_held);
    assert_false(flow_status(flow, two).is_held);
    assert_int_equal(flow_counter(flow, two, COUNTER_DELIVERED), 2);
    flow->sinks.topic_result = 0;
    flow_pass(flow, 1000);
    assert_int_equal(flow_counter(flow, one, COUNTER_DELIVERED), 1);
}

#define FLOW_TEST(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, flow_fixture_setup, flow_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLOW_TEST(feed_keeps_to_the_window_of_records),
        FLOW_TEST(feed_keeps_to_the_window_of_bytes),
        FLOW_TEST(feed_shares_the_window_and_lets_nobody_take_anothers),
        FLOW_TEST(feed_window_shrinks_when_a_destination_comes),
        FLOW_TEST(feed_tries_a_busy_sink_again),
        FLOW_TEST(feed_waits_for_the_end_of_a_purge),
        FLOW_TEST(feed_makes_a_refused_record_a_dead_letter_at_once),
        FLOW_TEST(feed_holds_when_the_sink_refuses_every_record),
        FLOW_TEST(feed_waits_when_the_sink_refuses_without_a_reason),
        FLOW_TEST(feed_moves_a_damaged_record_aside_and_goes_on),
        FLOW_TEST(feed_settles_expired_records_as_configured),
        FLOW_TEST(feed_settles_more_expired_records_than_a_window_has),
        FLOW_TEST(feed_opens_the_sink_when_there_is_something_to_send),
        FLOW_TEST(feed_holds_all_destinations_of_a_sink_that_cannot_be_opened),
        FLOW_TEST(feed_says_what_the_system_lacks_without_the_secrets),
        FLOW_TEST(feed_holds_a_topic_that_cannot_be_had_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
