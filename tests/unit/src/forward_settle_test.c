/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of a sink's reports: verdicts, poisoned batches, fatal errors, trouble that is told
 * on its edges. */
#include "src/forward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/flow_fixture.h"

#define ADDRESS "[k1]broker:9092/topic"

static int answer_at_once(void *context, const struct fake_record *record)
{
    (void)context;
    (void)record;
    return 0;
}

/* --- Reports ---------------------------------------------------------------------------------- */

static void report_of_persisted_is_delivered_whatever_its_error(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append_many(flow, destination, 2);
    flow_run(flow);
    struct sink_report late = {.error = FAKE_TRANSPORT, .persistence = SINK_PERSISTENCE_YES};
    struct sink_report duplicate = {.error = 46, .partition = -1, .offset = -1};
    fake_sinks_report(&flow->sinks, 0, &late);
    fake_sinks_report(&flow->sinks, 1, &duplicate);
    flow_run(flow);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 2);
}

static void report_of_possibly_persisted_counts_a_possible_duplicate(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append_many(flow, destination, 2);
    flow_run(flow);
    struct sink_report lost = {.error = FAKE_TRANSPORT, .persistence = SINK_PERSISTENCE_POSSIBLY};
    fake_sinks_report(&flow->sinks, 0, &lost);
    fake_sinks_answer(&flow->sinks, 1, FAKE_TRANSPORT);
    flow_run(flow);
    assert_int_equal(flow_status(flow, destination).possible_duplicates_count, 1);
    assert_int_equal(flow_status(flow, destination).retries_count, 2);
}

static void report_remembers_attempts_for_the_dead_letter(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append(flow, destination);
    flow_run(flow);
    uint64_t first_wall_ms = flow->clock.wall_now_ms;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fake_sinks_answer_all(&flow->sinks, FAKE_TRANSPORT), 1);
        flow_run(flow);
        flow_pass(flow, 10000);
    }
    for (int i = 0; i < 2; i++) { /* suspected, then judged alone */
        assert_int_equal(fake_sinks_answer_all(&flow->sinks, FAKE_TOO_LARGE), 1);
        flow_run(flow);
    }
    uint64_t dead;
    struct dead_letter head;
    assert_int_equal(flow_dead(flow, destination, &dead, &head, 1), 1);
    assert_int_equal(head.attempts, 5);
    assert_int_equal(head.first_attempt_wall_ms, first_wall_ms);
    assert_int_equal(head.error, FAKE_TOO_LARGE);
}

static void report_of_a_purge_is_no_attempt(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t one = flow_add(flow, "[a]broker:9092/one");
    uint32_t two = flow_add(flow, "[b]broker:9092/two");
    (void)flow_append_many(flow, one, 2);
    (void)flow_append(flow, two);
    flow_run(flow);
    for (int i = 0; i < 4; i++) {
        fake_sinks_answer(&flow->sinks, flow->sinks.records_count - (i == 0 ? 3 : 2),
                          FAKE_TRANSPORT);
        flow_run(flow);
        flow_pass(flow, 10000);
    }
    uint64_t dead;
    struct dead_letter head;
    for (int i = 0; i < 10 && flow_dead(flow, two, &dead, &head, 1) == 0; i++) {
        (void)fake_sinks_answer_all(&flow->sinks, FAKE_TOO_LARGE);
        flow_run(flow);
    }
    assert_int_equal(flow_dead(flow, two, &dead, &head, 1), 1);
    assert_int_equal(head.attempts, 2);
}

/* --- Poison ----------------------------------------------------------------------------------- */

/* A broker that refuses a batch as a whole: the context is the sequence that is to blame. A batch
 * is all that is unanswered at the time. */
static void answer_batch(struct flow_fixture *flow, uint64_t poison)
{
    bool is_poisoned = false;
    for (size_t i = 0; i < flow->sinks.records_count; i++) {
        const struct fake_record *record = &flow->sinks.records[i];
        is_poisoned = is_poisoned || (record->stage == FAKE_TAKEN && record->sequence == poison);
    }
    (void)fake_sinks_answer_all(&flow->sinks, is_poisoned ? FAKE_TOO_LARGE : 0);
}

/* The lowest sequence that the sink has not answered. */
static uint64_t lowest_unanswered(const struct flow_fixture *flow)
{
    uint64_t lowest = UINT64_MAX;
    for (size_t i = 0; i < flow->sinks.records_count; i++) {
        const struct fake_record *record = &flow->sinks.records[i];
        if (record->stage == FAKE_TAKEN && record->sequence < lowest) {
            lowest = record->sequence;
        }
    }
    return lowest;
}

static void dead_is_believed_only_of_a_record_that_was_alone(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    uint64_t first = flow_append_many(flow, destination, 500);
    uint64_t poison = first + 200;
    unsigned batches_count = 0;
    flow_run(flow);
    while (flow->sinks.unanswered_count > 0) {
        /* Nothing passes what was not judged yet. */
        uint64_t settled = flow_counter(flow, destination, COUNTER_DELIVERED) +
                           flow_counter(flow, destination, COUNTER_DEAD);
        assert_int_equal(lowest_unanswered(flow), first + settled);
        answer_batch(flow, poison);
        flow_run(flow);
        batches_count++;
    }
    /* Not one by one: by halves, down to the one, and up again. */
    assert_in_range(batches_count, 9, 40);
    uint64_t dead;
    assert_int_equal(flow_dead(flow, destination, &dead, NULL, 1), 1);
    assert_int_equal(dead, poison);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 499);
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_DEAD_LETTER), 1);
    /* Afterwards they go in crowds again. */
    (void)flow_append_many(flow, destination, 10);
    flow_run(flow);
    assert_int_equal(flow->sinks.unanswered_count, 10);
}

static void batches_that_are_too_large_become_smaller_and_nothing_is_dead(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append_many(flow, destination, 500);
    unsigned batches_count = 0;
    flow_run(flow);
    while (flow->sinks.unanswered_count > 0) {
        int error = flow->sinks.unanswered_count > 50 ? FAKE_TOO_LARGE : 0;
        (void)fake_sinks_answer_all(&flow->sinks, error);
        flow_run(flow);
        batches_count++;
    }
    assert_in_range(batches_count, 10, 50);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 500);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DEAD), 0);
}

static void dead_takes_back_what_is_behind_it(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.wires_all = true;
    uint64_t first = flow_append_many(flow, destination, 6);
    flow_run(flow);
    /* The first batch of three is refused; the second one is under way. */
    for (size_t i = 0; i < 3; i++) {
        fake_sinks_answer(&flow->sinks, i, FAKE_TOO_LARGE);
    }
    flow_run(flow);
    flow->sinks.decide = answer_at_once;
    (void)fake_sinks_answer_all(&flow->sinks, 0);
    flow_run(flow);
    assert_int_equal(flow->sinks.records_count, 12);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(flow->sinks.records[6 + i].sequence, first + i);
    }
}

static void dead_suspect_stays_alone_after_a_retry(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    uint64_t first = flow_append_many(flow, destination, 2);
    flow_run(flow);
    (void)fake_sinks_answer_all(&flow->sinks, FAKE_TOO_LARGE);
    flow_run(flow);
    assert_int_equal(flow->sinks.unanswered_count, 1);
    (void)fake_sinks_answer_all(&flow->sinks, FAKE_TRANSPORT);
    flow_run(flow);
    flow_pass(flow, 10000);
    assert_int_equal(flow->sinks.unanswered_count, 1);
    (void)fake_sinks_answer_all(&flow->sinks, FAKE_TOO_LARGE);
    flow_run(flow);
    uint64_t dead;
    assert_int_equal(flow_dead(flow, destination, &dead, NULL, 1), 1);
    assert_int_equal(dead, first);
}

/* --- Fatal ------------------------------------------------------------------------------------ */

static void fatal_makes_the_producer_again_and_goes_on_from_the_lowest(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    uint64_t first = flow_append_many(flow, destination, 4);
    flow_run(flow);
    flow->sinks.records[0].is_on_wire = true;
    flow->sinks.records[1].is_on_wire = true;
    fake_sinks_fail(&flow->sinks);
    flow_run(flow);
    /* What is on the wire may still be answered, and the sink is fed no more. */
    (void)flow_append(flow, destination);
    flow_pass(flow, 9000);
    assert_int_equal(flow->sinks.unanswered_count, 2);
    assert_int_equal(flow->sinks.opened_count, 1);
    assert_int_equal(flow->sinks.records_count, 4);
    fake_sinks_answer(&flow->sinks, 0, 0);
    fake_sinks_answer(&flow->sinks, 1, FAKE_OUT_OF_ORDER);
    flow_run(flow);
    assert_int_equal(flow->sinks.open_count, 0);
    flow_pass(flow, 500);
    assert_int_equal(flow->sinks.opened_count, 2);
    assert_int_equal(flow->sinks.records_count, 8);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(flow->sinks.records[4 + i].sequence, first + 1 + i);
        assert_int_equal(flow->sinks.records[4 + i].sink_number, 2);
    }
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_PRODUCER_LOST), 1);
    assert_int_equal(flow_status(flow, destination).producers_lost_count, 1);
}

static void fatal_report_alone_is_enough(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    uint64_t first = flow_append_many(flow, destination, 3);
    flow_run(flow);
    fake_sinks_answer(&flow->sinks, 0, FAKE_OUT_OF_ORDER);
    flow_run(flow);
    /* The others were not on the wire: they came back, and the sink is gone. */
    assert_int_equal(flow->sinks.open_count, 0);
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_PRODUCER_LOST), 1);
    flow_pass(flow, 500);
    assert_int_equal(flow->sinks.records_count, 6);
    assert_int_equal(flow->sinks.records[3].sequence, first);
}

static void fatal_at_produce_loses_nothing(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t one = flow_add(flow, "[a]broker:9092/one");
    uint32_t two = flow_add(flow, "[b]broker:9092/two");
    flow->sinks.decide = answer_at_once;
    (void)flow_append(flow, one);
    flow_run(flow);
    fake_sinks_fail(&flow->sinks);
    (void)flow_append_many(flow, one, 3);
    (void)flow_append_many(flow, two, 3);
    flow_run(flow);
    flow_pass(flow, 500);
    assert_int_equal(flow_counter(flow, DESTINATION_ALL, COUNTER_DELIVERED), 7);
    assert_int_equal(flow->sinks.records_count, 7);
    assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_PRODUCER_LOST), 1);
}

static void fatal_abandons_what_is_never_answered(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.wires_all = true;
    flow->sinks.ignores_purge = true;
    uint64_t first = flow_append_many(flow, destination, 3);
    flow_run(flow);
    fake_sinks_fail(&flow->sinks);
    flow_run(flow);
    flow_pass(flow, 10000);
    flow_pass(flow, 4999);
    assert_int_equal(flow->sinks.open_count, 1);
    flow_pass(flow, 1);
    assert_int_equal(flow->sinks.open_count, 0);
    assert_int_equal(flow_status(flow, destination).possible_duplicates_count, 3);
    flow_pass(flow, 500);
    assert_int_equal(flow->sinks.records_count, 6);
    assert_int_equal(flow->sinks.records[3].sequence, first);
}

/* A client that answers just when it is given up: its cookies are others' by then. */
static void fatal_takes_no_report_after_abandoning(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.wires_all = true;
    flow->sinks.ignores_purge = true;
    (void)flow_append_many(flow, destination, 3);
    flow_run(flow);
    fake_sinks_fail(&flow->sinks);
    flow_run(flow);
    flow_pass(flow, 10000);
    fake_clock_pass(&flow->clock, 5000);
    (void)!forward_step(flow->forward);
    (void)fake_sinks_answer_all(&flow->sinks, 0);
    flow->sinks.decide = answer_at_once;
    flow_pass(flow, 500);
    assert_int_equal(flow_counter(flow, destination, COUNTER_DELIVERED), 3);
    assert_int_equal(flow->sinks.records_count, 6);
}

/* --- Trouble ---------------------------------------------------------------------------------- */

static void trouble_is_told_once_until_records_are_delivered_again(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    for (size_t round = 1; round <= 2; round++) {
        (void)flow_append_many(flow, destination, 3);
        flow_run(flow);
        for (int i = 0; i < 5; i++) {
            (void)fake_sinks_answer_all(&flow->sinks, FAKE_TRANSPORT);
            flow_run(flow);
            flow_pass(flow, 10000);
        }
        assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_RETRY), round);
        assert_int_equal(flow->host.events_count, 2 * round - 1);
        (void)fake_sinks_answer_all(&flow->sinks, 0);
        flow_run(flow);
        assert_int_equal(fake_host_count(&flow->host, HOST_EVENT_BROKERS_UP), round);
    }
    assert_string_equal(flow->host.events[0].destination, "[k1]topic");
}

static void trouble_that_is_worse_is_news(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append_many(flow, destination, 2);
    flow_run(flow);
    (void)fake_sinks_answer_all(&flow->sinks, FAKE_TRANSPORT);
    flow_run(flow);
    flow_pass(flow, 10000);
    (void)fake_sinks_answer_all(&flow->sinks, FAKE_UNKNOWN_TOPIC);
    flow_run(flow);
    assert_int_equal(flow->host.events_count, 2);
    assert_int_equal(flow->host.events[1].event, HOST_EVENT_HELD);
    assert_string_equal(flow->host.events[1].text.text, "UNKNOWN_TOPIC_OR_PART");
    flow_pass(flow, 60000);
    (void)fake_sinks_answer_all(&flow->sinks, FAKE_TRANSPORT);
    flow_run(flow);
    assert_int_equal(flow->host.events_count, 2);
}

static void trouble_is_not_over_by_what_was_under_way_before(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append_many(flow, destination, 2);
    flow_run(flow);
    fake_sinks_answer(&flow->sinks, 0, FAKE_TRANSPORT);
    fake_sinks_answer(&flow->sinks, 1, 0);
    flow_run(flow);
    assert_int_equal(flow->host.events_count, 1);
    assert_int_equal(flow_status(flow, destination).last_error, FAKE_TRANSPORT);
}

static void brokers_down_is_told_when_a_record_is_stuck(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    (void)flow_append(flow, destination);
    flow_run(flow);
    fake_sinks_say(&flow->sinks, FAKE_TRANSPORT, true, "connection refused");
    flow_run(flow);
    flow_pass(flow, 999);
    assert_int_equal(flow->host.events_count, 0);
    flow_pass(flow, 1);
    assert_int_equal(flow->host.events_count, 1);
    assert_int_equal(flow->host.events[0].event, HOST_EVENT_BROKERS_DOWN);
    assert_string_equal(flow->host.events[0].text.text, "_TRANSPORT: connection refused");
    assert_false(flow_status(flow, destination).is_held);
    (void)fake_sinks_answer_all(&flow->sinks, 0);
    flow_run(flow);
    assert_int_equal(flow->host.events_count, 2);
    assert_int_equal(flow->host.events[1].event, HOST_EVENT_BROKERS_UP);
}

static void brokers_down_of_an_idle_connection_is_no_news(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t destination = flow_add(flow, ADDRESS);
    flow->sinks.decide = answer_at_once;
    (void)flow_append(flow, destination);
    flow_run(flow);
    fake_sinks_say(&flow->sinks, FAKE_TRANSPORT, true, "closed");
    flow_pass(flow, 100000);
    (void)flow_append(flow, destination);
    flow_pass(flow, 100000);
    assert_int_equal(flow->host.events_count, 0);
}

static void client_that_is_not_let_in_holds_all_its_destinations(void **state)
{
    struct flow_fixture *flow = *state;
    uint32_t one = flow_add(flow, "[a]broker:9092/one");
    uint32_t two = flow_add(flow, "[b]broker:9092/two");
    uint32_t other = flow_add(flow, "[c]other:9092/three");
    (void)flow_append(flow, one);
    flow_run(flow);
    fake_sinks_say(&flow->sinks, -169, false, "wrong password");
    flow_run(flow);
    assert_true(flow_status(flow, one).is_held);
    assert_true(flow_status(flow, two).is_held);
    assert_false(flow_status(flow, other).is_held);
    assert_string_equal(flow_status(flow, one).last_error_text.text,
                        "_AUTHENTICATION: wrong password");
    (void)fake_sinks_answer_all(&flow->sinks, 0);
    flow_run(flow);
    assert_false(flow_status(flow, one).is_held);
}

#define FLOW_TEST(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, flow_fixture_setup, flow_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLOW_TEST(report_of_persisted_is_delivered_whatever_its_error),
        FLOW_TEST(report_of_possibly_persisted_counts_a_possible_duplicate),
        FLOW_TEST(report_remembers_attempts_for_the_dead_letter),
        FLOW_TEST(report_of_a_purge_is_no_attempt),
        FLOW_TEST(dead_is_believed_only_of_a_record_that_was_alone),
        FLOW_TEST(dead_takes_back_what_is_behind_it),
        FLOW_TEST(batches_that_are_too_large_become_smaller_and_nothing_is_dead),
        FLOW_TEST(dead_suspect_stays_alone_after_a_retry),
        FLOW_TEST(fatal_makes_the_producer_again_and_goes_on_from_the_lowest),
        FLOW_TEST(fatal_report_alone_is_enough),
        FLOW_TEST(fatal_at_produce_loses_nothing),
        FLOW_TEST(fatal_abandons_what_is_never_answered),
        FLOW_TEST(fatal_takes_no_report_after_abandoning),
        FLOW_TEST(trouble_is_told_once_until_records_are_delivered_again),
        FLOW_TEST(trouble_that_is_worse_is_news),
        FLOW_TEST(trouble_is_not_over_by_what_was_under_way_before),
        FLOW_TEST(brokers_down_is_told_when_a_record_is_stuck),
        FLOW_TEST(brokers_down_of_an_idle_connection_is_no_news),
        FLOW_TEST(client_that_is_not_let_in_holds_all_its_destinations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
