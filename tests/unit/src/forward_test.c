/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The forwarder's states: order, retries, waits, expiry in the sink, requeues, stopping. The spool
 * and the committer are real; the Kafka client, the clock and the host are fakes. */
#include "src/forward.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/flow_fixture.h"

#define ADDRESS "[k1]broker:9092/topic"

/* The longest wait of a backoff, and of a destination that is held. */
#define RETRY_MS_MAX 10000ULL
#define HOLD_MS_MAX 60000ULL

/* Asserts that the records from at on are of these many sequences in a row. */
static void assert_produced(const struct flow_fixture *flow, size_t at, uint64_t first,
                            size_t count)
{
    assert_int_equal(flow->sinks.records_count, at + count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(flow->sinks.records[at + i].sequence, first + i);
    }
}

/* Passes as much time as a destination waits, not less. */
static void pass_wait(struct flow_fixture *flow, uint32_t destination)
{
    struct forward_status status = flow_status(flow, destination);
    size_t before = flow->sinks.records_count;
    assert_int_equal(status.state, FORWARD_WAITING);
    flow_pass(flow, status.retry_in_ms - 1);
    assert_int_equal(flow->sinks.records_count, before);
    flow_pass(flow, 1);
}

static int answer_at_once(void *context, const struct fake_record *record)
{
    (void)context;
    (void)record;
    return 0;
}

/* --- Delivery --------------------------------------------------------------------------------- */

static void forward_delivers_each_record_once_and_in_order(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.decide = answer_at_once;
    uint64_t first = flow_append_many(flow, destination, 5000);
    flow_run(flow);
    assert_produced(flow, 0, first, 5000);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 5000);
    assert_int_equal(flow_counter(flow, destination, COUNTER_QUEUE_RECORDS), 0);
    assert_true(forward_is_idle(flow->forward));
    /* Nothing is read again, whatever time passes. */
    flow_pass(flow, HOLD_MS_MAX);
    assert_int_equal(flow->sinks.records_count, 5000);
    assert_int_equal(flow->host.events_count, 0);
}

static void forward_hands_over_all_that_a_record_has(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    struct record record = {
        .published_wall_ms = 1234567,
        .key = {"a\0b", 3},
        .payload = {"\xff\0\n", 3},
    };
    uint64_t sequence = flow_append_record(flow, destination, &record);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 1);
    const struct fake_record *given = &flow->sinks.records[0];
    char spool_id[SPOOL_ID_BYTES];
    spool_id_print(flow->spool, NULL, sequence, spool_id);
    assert_string_equal(given->topic, "topic");
    assert_string_equal(given->spool_id, spool_id);
    assert_int_equal(given->published_wall_ms, 1234567);
    assert_int_equal(given->key_bytes, 3);
    assert_memory_equal(given->key, "a\0b", 3);
    assert_int_equal(given->payload_bytes, 3);
    assert_memory_equal(given->payload, "\xff\0\n", 3);
}

static void forward_keeps_the_origin_of_an_imported_record(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    struct record record = {
        .published_wall_ms = 1,
        .payload = {"x", 1},
        .has_origin = true,
        .origin_uuid = {0xab},
        .origin_sequence = 77,
    };
    (void)flow_append_record(flow, destination, &record);
    flow_run(flow);
    assert_string_equal(flow->sinks.records[0].spool_id, "ab000000-0000-0000-0000-000000000000:77");
}

static void forward_reads_what_a_crash_left_in_flight(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    uint64_t first = flow_append_many(flow, destination, 3);
    flow_run(flow);
    fake_sinks_answer(&flow->sinks, 1, 0);
    flow_run(flow);
    flow_restart(flow);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 5);
    assert_int_equal(flow->sinks.records[3].sequence, first);
    assert_int_equal(flow->sinks.records[4].sequence, first + 2);
    assert_string_equal(flow->sinks.records[0].spool_id, flow->sinks.records[3].spool_id);
}

/* --- Going back ------------------------------------------------------------------------------- */

static void forward_goes_back_to_the_lowest_only_when_all_is_reported(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.wires_all = true;
    flow->sinks.ignores_purge = true;
    uint64_t first = flow_append_many(flow, destination, 5);
    flow_run(flow);
    fake_sinks_answer(&flow->sinks, 2, FAKE_TRANSPORT);
    flow_run(flow);
    (void)flow_append_many(flow, destination, 5);
    flow_pass(flow, 10 * RETRY_MS_MAX);
    assert_int_equal(flow_status(flow, destination).state, FORWARD_DRAINING);
    assert_produced(flow, 0, first, 5);
    /* The rest is answered, out of order. */
    fake_sinks_answer(&flow->sinks, 4, FAKE_TRANSPORT);
    fake_sinks_answer(&flow->sinks, 0, 0);
    fake_sinks_answer(&flow->sinks, 3, 0);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 5);
    fake_sinks_answer(&flow->sinks, 1, FAKE_TRANSPORT);
    flow_run(flow);
    pass_wait(flow, destination);
    static const uint64_t expected[] = {1, 2, 4, 5, 6, 7, 8, 9};
    assert_int_equal(flow->sinks.records_count, 5 + SPOOL_COUNT_OF(expected));
    for (size_t i = 0; i < SPOOL_COUNT_OF(expected); i++) {
        assert_int_equal(flow->sinks.records[5 + i].sequence, first + expected[i]);
    }
}

static void forward_takes_back_what_is_behind_a_failed_record(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.wires_all = true;
    uint64_t first = flow_append_many(flow, destination, 4);
    flow_run(flow);
    fake_sinks_answer(&flow->sinks, 0, FAKE_TRANSPORT);
    flow_run(flow);
    assert_int_equal(flow->sinks.purges_count, 1);
    assert_int_equal(flow->sinks.unanswered_count, 0);
    pass_wait(flow, destination);
    assert_produced(flow, 4, first, 4);
}

static void forward_leaves_others_alone_when_a_failure_took_everything(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t failing = flow_add(flow, "[a]broker:9092/gone");
    uint32_t other = flow_add(flow, "[b]broker:9092/there");
    (void)flow_append_many(flow, failing, 10);
    flow_run(flow);
    (void)flow_append_many(flow, other, 10);
    flow_run(flow);
    assert_int_equal(flow->sinks.opened_count, 1);
    for (size_t i = 0; i < 10; i++) {
        fake_sinks_answer(&flow->sinks, i, FAKE_UNKNOWN_TOPIC);
    }
    flow_run(flow);
    assert_int_equal(flow_status(flow, failing).state, FORWARD_WAITING);
    assert_int_equal(flow->sinks.purges_count, 0);
    assert_int_equal(flow->sinks.unanswered_count, 10);
}

static void forward_goes_on_at_once_when_another_had_it_taken_back(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t failing = flow_add(flow, "[a]broker:9092/gone");
    uint32_t other = flow_add(flow, "[b]broker:9092/there");
    (void)flow_append_many(flow, failing, 2);
    uint64_t first = flow_append_many(flow, other, 3);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 5);
    fake_sinks_answer(&flow->sinks, 0, FAKE_TRANSPORT);
    flow_run(flow);
    assert_int_equal(flow_status(flow, failing).state, FORWARD_WAITING);
    assert_produced(flow, 5, first, 3);
    assert_int_equal(flow_status(flow, other).retries_count, 0);
    assert_int_equal(flow_status(flow, other).last_error, 0);
    assert_int_equal(flow_status(flow, other).possible_duplicates_count, 0);
}

static void forward_does_not_read_what_is_delivered_but_not_committed(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    uint64_t first = flow_append_many(flow, destination, 2);
    (void)!forward_step(flow->forward);
    fake_sinks_answer(&flow->sinks, 0, 0);
    fake_sinks_answer(&flow->sinks, 1, FAKE_TRANSPORT);
    for (int i = 0; i < 5; i++) {
        fake_clock_pass(&flow->clock, RETRY_MS_MAX);
        (void)!forward_step(flow->forward);
    }
    assert_int_equal(flow->sinks.records_count, 2);
    assert_false(forward_is_idle(flow->forward));
    assert_int_equal(committer_step(flow->committer, true), 1);
    (void)!forward_step(flow->forward);
    fake_clock_pass(&flow->clock, RETRY_MS_MAX);
    (void)!forward_step(flow->forward);
    assert_produced(flow, 2, first + 1, 1);
}

/* --- Waits ------------------------------------------------------------------------------------ */

static void forward_waits_longer_for_each_retry_until_a_delivery(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append(flow, destination);
    uint64_t longest_ms = 0;
    uint64_t last_ms = 0;
    bool differs = false;
    flow_run(flow);
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(fake_sinks_answer_all(&flow->sinks, FAKE_TRANSPORT), 1);
        flow_run(flow);
        uint64_t wait_ms = flow_status(flow, destination).retry_in_ms;
        uint64_t cap_ms = i < 7 ? 100ULL << i : RETRY_MS_MAX;
        assert_in_range(wait_ms, 1, cap_ms);
        differs = differs || (i > 7 && wait_ms != last_ms);
        last_ms = wait_ms;
        longest_ms = wait_ms > longest_ms ? wait_ms : longest_ms;
        pass_wait(flow, destination);
    }
    assert_true(longest_ms > RETRY_MS_MAX / 2);
    assert_true(differs);
    assert_int_equal(flow_status(flow, destination).retries_count, 40);
    /* After a delivery the next wait is short again. */
    assert_int_equal(fake_sinks_answer_all(&flow->sinks, 0), 1);
    (void)flow_append(flow, destination);
    flow_run(flow);
    (void)fake_sinks_answer_all(&flow->sinks, FAKE_TRANSPORT);
    flow_run(flow);
    assert_in_range(flow_status(flow, destination).retry_in_ms, 1, 100);
}

static void forward_asks_to_be_called_when_a_wait_is_over(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append(flow, destination);
    flow_run(flow);
    (void)fake_sinks_answer_all(&flow->sinks, FAKE_TRANSPORT);
    flow_run(flow);
    uint64_t wait_ms = flow_status(flow, destination).retry_in_ms;
    uint64_t asked_ms = forward_step(flow->forward);
    assert_int_equal(asked_ms, wait_ms < 100 ? wait_ms : 100);
}

static void forward_retry_now_ends_the_wait(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t held = flow_add(flow, ADDRESS);
    uint32_t other = flow_add(flow, "[two]two:9092/t");
    (void)flow_append(flow, held);
    (void)flow_append(flow, other);
    flow_run(flow);
    assert_int_equal(fake_sinks_answer_all(&flow->sinks, FAKE_UNKNOWN_TOPIC), 2);
    flow_run(flow);
    assert_true(flow_status(flow, held).retry_in_ms > 0);
    forward_retry_now(flow->forward, held);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 3);
    assert_int_equal(fake_sinks_answer_all(&flow->sinks, 0), 1);
    flow_run(flow);
    assert_int_equal(flow_counter(flow, held, COUNTER_DELIVERED), 1);
    assert_int_equal(flow_counter(flow, other, COUNTER_DELIVERED), 0);
    forward_retry_now(flow->forward, 0);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 4);
}

static void forward_holds_an_unknown_topic_slowly_and_never_drops_it(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    uint64_t first = flow_append_many(flow, destination, 3);
    uint64_t waited_ms = 0;
    flow_run(flow);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(fake_sinks_answer_all(&flow->sinks, FAKE_UNKNOWN_TOPIC), 3);
        flow_run(flow);
        assert_true(flow_status(flow, destination).is_held);
        assert_in_range(flow_status(flow, destination).retry_in_ms, 1, HOLD_MS_MAX);
        waited_ms += flow_status(flow, destination).retry_in_ms;
        pass_wait(flow, destination);
    }
    assert_true(waited_ms > 100 * HOLD_MS_MAX / 4);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DEAD_RECORDS), 0);
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_HELD), 1);
    assert_int_equal(fake_sinks_answer_all(&flow->sinks, 0), 3);
    flow_run(flow);
    assert_false(flow_status(flow, destination).is_held);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 3);
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_BROKERS_UP), 1);
    assert_produced(flow, 300, first, 3);
}

/* --- Expiry in the sink ----------------------------------------------------------------------- */

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

static void forward_expires_records_while_no_broker_can_be_reached(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    uint64_t lasting = flow_append(flow, destination);
    uint64_t expiring = append_expiring(flow, destination, 5000);
    flow_run(flow);
    flow_pass(flow, 4999);
    assert_int_equal(flow->sinks.purges_count, 0);
    for (int i = 0; i < 30; i++) {
        flow_pass(flow, 500);
    }
    uint64_t dead;
    struct dead_letter head;
    assert_int_equal(flow_dead(flow, destination, &dead, &head, 1), 1);
    assert_int_equal(dead, expiring);
    assert_int_equal(head.reason, SETTLE_EXPIRED);
    assert_int_equal(flow_counter(flow, destination, COUNTER_EXPIRED), 1);
    /* The other one is in the sink again. */
    assert_produced(flow, 2, lasting, 1);
    assert_int_equal(flow->sinks.unanswered_count, 1);
}

static void forward_takes_nothing_back_while_records_are_delivered(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    for (int i = 0; i < 20; i++) {
        (void)append_expiring(flow, destination, 100);
    }
    flow_run(flow);
    for (size_t i = 0; i < 20; i++) {
        flow_pass(flow, 600);
        fake_sinks_answer(&flow->sinks, i, 0);
        flow_run(flow);
    }
    assert_int_equal(flow->sinks.purges_count, 0);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 20);
}

static void forward_takes_back_ever_more_rarely_in_an_outage(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    for (uint64_t i = 0; i < 200; i++) {
        (void)append_expiring(flow, destination, 2000 + 500 * i);
    }
    flow_run(flow);
    for (int i = 0; i < 250; i++) {
        flow_pass(flow, 500);
    }
    assert_int_equal(flow_counter(flow, destination, COUNTER_EXPIRED), 200);
    assert_in_range(flow->sinks.purges_count, 2, 60);
}

/* --- Stopping --------------------------------------------------------------------------------- */

static void forward_stop_reads_no_more_and_takes_reports(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append_many(flow, destination, 2);
    flow_run(flow);
    forward_stop(flow->forward);
    (void)flow_append(flow, destination);
    assert_false(forward_is_idle(flow->forward));
    fake_sinks_answer(&flow->sinks, 0, 0);
    fake_sinks_answer(&flow->sinks, 1, FAKE_TRANSPORT);
    flow_pass(flow, RETRY_MS_MAX);
    assert_int_equal(flow->sinks.records_count, 2);
    assert_true(forward_is_idle(flow->forward));
    assert_int_equal(flow_counter(flow, destination, COUNTER_QUEUE_RECORDS), 2);
}

static void forward_is_not_idle_before_the_commit(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append(flow, destination);
    (void)!forward_step(flow->forward);
    fake_sinks_answer(&flow->sinks, 0, 0);
    (void)!forward_step(flow->forward);
    assert_false(forward_is_idle(flow->forward));
    assert_int_equal(committer_step(flow->committer, true), 1);
    assert_true(forward_is_idle(flow->forward));
}

static void forward_purge_takes_everything_back_and_keeps_it(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t one = flow_add(flow, "[a]broker:9092/one");
    uint32_t two = flow_add(flow, "[b]other:9092/two");
    flow->sinks.wires_all = true;
    (void)flow_append_many(flow, one, 5);
    (void)flow_append_many(flow, two, 5);
    flow_run(flow);
    forward_stop(flow->forward);
    forward_purge(flow->forward);
    flow_run(flow);
    assert_true(forward_is_idle(flow->forward));
    assert_int_equal(flow_counter(flow, DESTINATION_ALL, COUNTER_QUEUE_RECORDS), 10);
    /* They were on the wire: each may be there twice. */
    assert_int_equal(flow_status(flow, one).possible_duplicates_count, 5);
    flow_restart(flow);
    flow->sinks.decide = answer_at_once;
    flow_run(flow);
    assert_int_equal(flow_counter(flow, DESTINATION_ALL, COUNTER_DELIVERED), 10);
}

/* --- Questions -------------------------------------------------------------------------------- */

static void forward_status_says_how_a_destination_is(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    struct forward_status status;
    assert_int_equal(forward_status(flow->forward, destination + 1, &status), -ENOENT);
    (void)flow_append_many(flow, destination, 2);
    flow_run(flow);
    status = flow_status(flow, destination);
    assert_int_equal(status.state, FORWARD_FLOWING);
    assert_int_equal(status.inflight_records, 2);
    assert_true(status.inflight_bytes > 12);
    assert_int_equal(status.last_delivered_wall_ms, 0);
    flow_pass(flow, 10000);
    assert_false(flow_status(flow, destination).is_stalled);
    flow_pass(flow, 1);
    assert_true(flow_status(flow, destination).is_stalled);
    fake_sinks_answer(&flow->sinks, 0, FAKE_TRANSPORT);
    flow_run(flow);
    status = flow_status(flow, destination);
    assert_false(status.is_stalled);
    assert_int_equal(status.last_error, FAKE_TRANSPORT);
    assert_string_equal(status.last_error_text.text, "_TRANSPORT");
    pass_wait(flow, destination);
    (void)fake_sinks_answer_all(&flow->sinks, 0);
    flow_run(flow);
    status = flow_status(flow, destination);
    assert_int_equal(status.inflight_records, 0);
    assert_int_equal(status.last_error, 0);
    assert_string_equal(status.last_error_text.text, "");
    assert_int_equal(status.last_delivered_wall_ms, flow->clock.wall_now_ms);
}

static void forward_add_refuses_a_second_address(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    assert_int_equal(forward_add(flow->forward, destination, flow->addresses[0]), -EEXIST);
}

static void forward_fds_wake_for_reports(void **state)
{
    struct flow_fixture *flow = *state;
    int fds[4];
    uint32_t one = flow_add(flow, "[a]broker:9092/one");
    uint32_t two = flow_add(flow, "[b]other:9092/two");
    assert_int_equal(forward_fds(flow->forward, fds, SPOOL_COUNT_OF(fds)), 0);
    (void)flow_append(flow, one);
    (void)flow_append(flow, two);
    flow_run(flow);
    assert_int_equal(forward_fds(flow->forward, fds, 1), 1);
    assert_int_equal(forward_fds(flow->forward, fds, SPOOL_COUNT_OF(fds)), 2);
    struct pollfd polled = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 0), 0);
    fake_sinks_answer(&flow->sinks, 0, 0);
    assert_int_equal(poll(&polled, 1, 0), 1);
}

static void forward_state_name_has_each(void **state)
{
    (void)state;
    assert_string_equal(forward_state_name(FORWARD_FLOWING), "flowing");
    assert_string_equal(forward_state_name(FORWARD_DRAINING), "draining");
    assert_string_equal(forward_state_name(FORWARD_WAITING), "waiting");
}

#define FLOW_TEST(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, flow_fixture_setup, flow_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLOW_TEST(forward_delivers_each_record_once_and_in_order),
        FLOW_TEST(forward_hands_over_all_that_a_record_has),
        FLOW_TEST(forward_keeps_the_origin_of_an_imported_record),
        FLOW_TEST(forward_reads_what_a_crash_left_in_flight),
        FLOW_TEST(forward_goes_back_to_the_lowest_only_when_all_is_reported),
        FLOW_TEST(forward_takes_back_what_is_behind_a_failed_record),
        FLOW_TEST(forward_leaves_others_alone_when_a_failure_took_everything),
        FLOW_TEST(forward_goes_on_at_once_when_another_had_it_taken_back),
        FLOW_TEST(forward_does_not_read_what_is_delivered_but_not_committed),
        FLOW_TEST(forward_waits_longer_for_each_retry_until_a_delivery),
        FLOW_TEST(forward_retry_now_ends_the_wait),
        FLOW_TEST(forward_asks_to_be_called_when_a_wait_is_over),
        FLOW_TEST(forward_holds_an_unknown_topic_slowly_and_never_drops_it),
        FLOW_TEST(forward_expires_records_while_no_broker_can_be_reached),
        FLOW_TEST(forward_takes_nothing_back_while_records_are_delivered),
        FLOW_TEST(forward_takes_back_ever_more_rarely_in_an_outage),
        FLOW_TEST(forward_stop_reads_no_more_and_takes_reports),
        FLOW_TEST(forward_is_not_idle_before_the_commit),
        FLOW_TEST(forward_purge_takes_everything_back_and_keeps_it),
        FLOW_TEST(forward_status_says_how_a_destination_is),
        FLOW_TEST(forward_add_refuses_a_second_address),
        FLOW_TEST(forward_fds_wake_for_reports),
        cmocka_unit_test(forward_state_name_has_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
