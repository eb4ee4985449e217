/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes into the sink is read back by a consumer; what comes of it, from the reports. */
#include "src/sink_rdkafka.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spool/record.h"
#include "src/verdict.h"
#include "tests/unit/src/sink_rdkafka_fixture.h"

#define PRODUCE_API_KEY 0

static void produce_carries_every_part_of_a_record(void **state)
{
    static const struct record_header headers[] = {
        {{"via", 3}, {"proxy", 5}},
        {{"empty", 5}, {"", 0}},
        {{"null", 4}, {NULL, 0}},
        {{"via", 3}, {"again", 5}},
    };
    const struct record records[] = {
        {.published_wall_ms = PUBLISHED_WALL_MS,
         .key = {"callid", 6},
         .payload = {"{}", 2},
         .headers = headers,
         .headers_count = SPOOL_COUNT_OF(headers)},
        {.published_wall_ms = PUBLISHED_WALL_MS + 1, .key = {"", 0}, .payload = {"", 0}},
        {.published_wall_ms = PUBLISHED_WALL_MS + 2, .key = {NULL, 0}, .payload = {"x", 1}},
    };
    struct sink_fixture *fixture = *state;
    struct sink_outcome outcome = {0};
    rd_kafka_timestamp_type_t type;
    struct topic_reader reader;
    int error;

    sink_open(fixture);
    for (size_t i = 0; i < SPOOL_COUNT_OF(records); i++) {
        assert_int_equal(sink_produce(fixture, &records[i], i + 1, &error), 0);
    }
    sink_take_reports(fixture, &outcome, SPOOL_COUNT_OF(records), 100);
    assert_delivered_in_order(&outcome, 1);

    reader_open(&reader, fixture);
    reader_next(&reader);
    assert_bytes(reader.message->key, reader.message->key_len, "callid");
    assert_bytes(reader.message->payload, reader.message->len, "{}");
    assert_header(reader.message, 0, "spool-id",
                  "0b5f1c2e-1234-4321-aaaa-0123456789ab:00000000000000000001");
    assert_header(reader.message, 1, "via", "proxy");
    assert_header(reader.message, 2, "empty", "");
    assert_header(reader.message, 3, "null", NULL);
    assert_header(reader.message, 4, "via", "again");
    assert_true(rd_kafka_message_timestamp(reader.message, &type) == PUBLISHED_WALL_MS);
    assert_int_equal(type, RD_KAFKA_TIMESTAMP_CREATE_TIME);

    reader_next(&reader);
    assert_bytes(reader.message->key, reader.message->key_len, "");
    assert_bytes(reader.message->payload, reader.message->len, "");
    assert_true(rd_kafka_message_timestamp(reader.message, &type) == PUBLISHED_WALL_MS + 1);

    reader_next(&reader);
    assert_bytes(reader.message->key, reader.message->key_len, NULL);
    assert_bytes(reader.message->payload, reader.message->len, "x");
    reader_close(&reader);
}

static void produce_keeps_the_order(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_outcome outcome = {0};

    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 500);
    sink_take_reports(fixture, &outcome, 500, 500);
    assert_delivered_in_order(&outcome, 1);
    assert_numbered_in_topic(fixture, 1, 500);
}

static void produce_works_without_idempotence(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_outcome outcome = {0};

    sink_set_g(fixture, "enable.idempotence", "false");
    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 100);
    sink_take_reports(fixture, &outcome, 100, 100);
    assert_delivered_in_order(&outcome, 1);
    assert_numbered_in_topic(fixture, 1, 100);
}

static void produce_takes_records_up_to_the_limit_and_no_larger(void **state)
{
    struct sink_fixture *fixture = *state;
    size_t size_bytes = sink_rdkafka_record_bytes_max(&fixture->address);
    char *payload = calloc(1, size_bytes + 1);
    struct record record = {.payload = {payload, size_bytes}};
    struct sink_outcome outcome = {0};
    int error;

    assert_non_null(payload);
    sink_open(fixture);
    assert_int_equal(sink_produce(fixture, &record, 1, &error), 0);
    record.payload.size_bytes = size_bytes + 1;
    assert_int_equal(sink_produce(fixture, &record, 2, &error), SINK_E_REJECTED);
    assert_int_equal(error, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(verdict_of_error(error), VERDICT_DEAD);
    sink_take_reports(fixture, &outcome, 1, 1);
    assert_delivered_in_order(&outcome, 1);
    free(payload);
}

static void produce_is_busy_when_the_client_is_full(void **state)
{
    struct sink_fixture *fixture = *state;
    struct record record = {.payload = {"x", 1}};
    struct sink_outcome outcome = {0};
    int error;

    sink_set_g(fixture, "queue.buffering.max.messages", "2");
    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 2);
    assert_int_equal(sink_produce(fixture, &record, 3, &error), SINK_E_BUSY);
    assert_int_equal(error, RD_KAFKA_RESP_ERR__QUEUE_FULL);
    sink_take_reports(fixture, &outcome, 2, 2);
    assert_int_equal(sink_poll_once(fixture, outcome.reports, 1), 0);
    assert_int_equal(sink_produce(fixture, &record, 3, &error), 0);
    sink_take_reports(fixture, &outcome, 3, 1);
}

static void poll_keeps_the_reports_that_do_not_fit(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_outcome outcome = {0};

    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 200);
    sink_take_reports(fixture, &outcome, 200, 3);
    assert_delivered_in_order(&outcome, 1);
}

static void poll_leaves_the_fd_readable_when_there_is_more(void **state)
{
    struct sink_fixture *fixture = *state;
    struct pollfd wake;
    struct sink_outcome outcome = {0};

    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 10);
    sink_take_reports(fixture, &outcome, 1, 1);
    wake = (struct pollfd){.fd = fixture->sink->ops->fd(fixture->sink), .events = POLLIN};
    assert_int_equal(poll(&wake, 1, 0), 1);
    sink_take_reports(fixture, &outcome, 10, 100);
    /* Once drained, it waits: or the forwarder would spin. */
    while (poll(&wake, 1, 0) == 1) {
        (void)sink_poll_once(fixture, outcome.reports, 1);
    }
}

static void poll_or_produce_reports_a_topic_that_does_not_exist_as_hold(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_outcome outcome = {0};

    rd_kafka_mock_topic_set_error(fixture->cluster, "nowhere",
                                  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    fixture->address.topic = text_of("nowhere");
    sink_set_g(fixture, "topic.metadata.propagation.max.ms", "0");
    sink_open(fixture);
    struct record record = {.payload = {"1", 1}};
    int error = 0;
    int r = sink_produce(fixture, &record, 1, &error);
    if (r == SINK_E_REJECTED) {
        /* The client knew already: it had asked for the topic when that was opened. */
        assert_int_equal(verdict_of_error(error), VERDICT_HOLD);
        return;
    }
    assert_int_equal(r, 0);
    sink_take_reports(fixture, &outcome, 1, 1);
    assert_int_equal(verdict_of_error(outcome.reports[0].error), VERDICT_HOLD);
    assert_int_equal(outcome.reports[0].persistence, SINK_PERSISTENCE_NOT);
    assert_int_equal(outcome.reports[0].offset, -1);
}

static void poll_tells_of_an_outage_and_delivers_after_it(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_outcome outcome = {0};
    uint64_t deadline_ms = now_ms() + WAIT_MS_MAX;

    broker_set_down(fixture);
    sink_set_g(fixture, "reconnect.backoff.max.ms", "100");
    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 100);
    while (!fixture->health.all_brokers_down) {
        assert_true(now_ms() < deadline_ms);
        assert_int_equal(sink_poll_once(fixture, outcome.reports, 1), 0);
    }
    assert_int_equal(verdict_of_error(fixture->health.error), VERDICT_RETRY);
    assert_true(fixture->health.message.text[0] != '\0');
    assert_false(fixture->health.is_fatal);
    broker_set_up(fixture);
    sink_take_reports(fixture, &outcome, 100, 100);
    assert_delivered_in_order(&outcome, 1);
    assert_numbered_in_topic(fixture, 1, 100);
}

static void texts_come_without_secrets(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_report report;
    uint64_t deadline_ms = now_ms() + WAIT_MS_MAX;

    /* Make a secret of a word that librdkafka uses when it cannot connect. */
    sink_set(fixture, ADDRESS_SCOPE_GLOBAL, "client.id", "refused")->is_secret = true;
    sink_set_g(fixture, "log_level", "7");
    broker_set_down(fixture);
    sink_open(fixture);
    while (fixture->log_lines_count == 0 || fixture->health.error == 0) {
        assert_true(now_ms() < deadline_ms);
        assert_int_equal(sink_poll_once(fixture, &report, 1), 0);
    }
    assert_false(fixture->log_shows_secret);
    assert_null(strstr(fixture->health.message.text, "refused"));
    assert_non_null(strstr(fixture->health.message.text, "***"));
}

static void a_fatal_error_stops_the_sink_and_gives_everything_back(void **state)
{
    struct sink_fixture *fixture = *state;
    struct record record = {.payload = {"x", 1}};
    struct sink_outcome outcome = {0};
    int error;
    int r;

    rd_kafka_mock_push_request_errors(fixture->cluster, PRODUCE_API_KEY, 1,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 1);
    sink_take_reports(fixture, &outcome, 1, 1);
    assert_int_equal(verdict_of_error(outcome.reports[0].error), VERDICT_FATAL);
    assert_int_equal(outcome.reports[0].persistence, SINK_PERSISTENCE_POSSIBLY);
    r = sink_produce(fixture, &record, 2, &error);
    assert_int_equal(r, SINK_E_FATAL);
    assert_int_equal(verdict_of_error(error), VERDICT_FATAL);
    while (!fixture->health.is_fatal) {
        assert_int_equal(sink_poll_once(fixture, outcome.reports, 1), 0);
    }
}

static void purge_gives_back_what_is_queued_and_lets_nothing_overtake_it(void **state)
{
    struct sink_fixture *fixture = *state;
    struct record record = {.payload = {"x", 1}};
    struct sink_outcome outcome = {0};
    struct sink_outcome later = {0};
    int error;
    int r;

    broker_set_down(fixture);
    sink_set_g(fixture, "reconnect.backoff.max.ms", "100");
    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 100);
    fixture->sink->ops->purge(fixture->sink, false);
    assert_int_equal(sink_produce(fixture, &record, 101, &error), SINK_E_BUSY);
    assert_int_equal(verdict_of_error(error), VERDICT_RETRY);
    sink_take_reports(fixture, &outcome, 100, 10);
    for (size_t i = 0; i < 100; i++) {
        assert_ptr_equal(outcome.reports[i].cookie, cookie_of(i + 1));
        assert_int_equal(verdict_of_error(outcome.reports[i].error), VERDICT_RETURNED);
        assert_int_equal(outcome.reports[i].persistence, SINK_PERSISTENCE_NOT);
    }
    do {
        assert_int_equal(sink_poll_once(fixture, later.reports, 1), 0);
        r = sink_produce(fixture, &record, 101, &error);
    } while (r == SINK_E_BUSY);
    assert_int_equal(r, 0);
    broker_set_up(fixture);
    sink_take_reports(fixture, &later, 1, 1);
    assert_delivered_in_order(&later, 101);
}

static void purge_gives_back_what_is_on_the_wire_when_asked(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_outcome outcome = {0};

    sink_set_g(fixture, "linger.ms", "0");
    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 1);
    sink_take_reports(fixture, &outcome, 1, 1); /* connected, and with a producer id */
    broker_answer_late(fixture);
    outcome.reports_count = 0;
    sink_produce_numbered(fixture, 2, 10);
    /* Asked for twice, since the first may come before the record is on the wire. */
    fixture->sink->ops->purge(fixture->sink, false);
    fixture->sink->ops->purge(fixture->sink, true);
    sink_take_reports(fixture, &outcome, 10, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(verdict_of_error(outcome.reports[i].error), VERDICT_RETURNED);
    }
}

/* How many of the outcome's reports have the verdict. */
static size_t count_verdicts(const struct sink_outcome *outcome, enum verdict verdict)
{
    size_t count = 0;

    for (size_t i = 0; i < outcome->reports_count; i++) {
        count += verdict_of_error(outcome->reports[i].error) == verdict;
    }
    return count;
}

/* Produces records numbered from 1 on until the sink has no more of them, at most 500. */
static size_t produce_until_busy(struct sink_fixture *fixture)
{
    struct record record = {.key = {"key", 3}, .payload = {"x", 1}};
    size_t count = 0;
    int error;
    int r = 0;

    while (count < 500 && (r = sink_produce(fixture, &record, count + 1, &error)) == 0) {
        count++;
    }
    assert_true(r == 0 || r == SINK_E_BUSY);
    return count;
}

static void assert_nothing_passes_a_rejected_batch(struct sink_fixture *fixture)
{
    struct record record = {.key = {"key", 3}, .payload = {"x", 1}};
    struct sink_outcome outcome = {0};
    struct sink_outcome later = {0};
    size_t count;
    int error;

    sink_set_g(fixture, "linger.ms", "0");
    sink_set_g(fixture, "batch.num.messages", "10");
    sink_open(fixture);
    rd_kafka_mock_push_request_errors(fixture->cluster, PRODUCE_API_KEY, 1,
                                      RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    count = produce_until_busy(fixture);
    sink_take_reports(fixture, &outcome, count, 10);
    /* How many the first batch has is the client's affair. */
    assert_in_range(count_verdicts(&outcome, VERDICT_DEAD), 1, 10);
    assert_int_equal(
        count_verdicts(&outcome, VERDICT_DEAD) + count_verdicts(&outcome, VERDICT_RETURNED), count);
    while (sink_produce(fixture, &record, 1, &error) == SINK_E_BUSY) {
        assert_int_equal(sink_poll_once(fixture, outcome.reports, 1), 0);
    }
    sink_take_reports(fixture, &later, 1, 1);
    assert_delivered_in_order(&later, 1);
    assert_int_equal(later.reports[0].offset, 0);
}

static void nothing_passes_a_batch_that_the_broker_rejects(void **state)
{
    assert_nothing_passes_a_rejected_batch(*state);
}

static void nothing_passes_a_rejected_batch_without_idempotence(void **state)
{
    struct sink_fixture *fixture = *state;

    sink_set_g(fixture, "enable.idempotence", "false");
    assert_nothing_passes_a_rejected_batch(fixture);
}

static void close_does_not_wait_for_a_broker_that_is_down(void **state)
{
    struct sink_fixture *fixture = *state;

    broker_set_down(fixture);
    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 100);
    fixture->sink->ops->close(fixture->sink);
    fixture->sink = NULL;
    assert_true(sink_rdkafka_settle(WAIT_MS_MAX));
}

static void close_does_not_wait_for_a_broker_that_hangs(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_outcome outcome = {0};

    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 1);
    sink_take_reports(fixture, &outcome, 1, 1);
    broker_answer_late(fixture);
    sink_produce_numbered(fixture, 2, 100);
    fixture->sink->ops->purge(fixture->sink, false); /* even in the middle of a purge */
    fixture->sink->ops->close(fixture->sink);
    fixture->sink = NULL;
    /* The late answers would come after WAIT_MS_MAX. */
    assert_true(sink_rdkafka_settle(WAIT_MS_MAX / 2));
}

static void close_takes_a_sink_with_reports_that_nobody_took(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_outcome outcome = {0};

    sink_open(fixture);
    sink_produce_numbered(fixture, 1, 100);
    sink_take_reports(fixture, &outcome, 1, 1);
    /* teardown closes it with an event half taken */
}

static void settle_says_when_it_is_not_done(void **state)
{
    struct sink_fixture *fixture = *state;

    assert_true(sink_rdkafka_settle(0)); /* nothing was closed */
    sink_open(fixture);
    fixture->sink->ops->close(fixture->sink);
    fixture->sink = NULL;
    (void)sink_rdkafka_settle(0); /* either is right; it must come back */
    assert_true(sink_rdkafka_settle(WAIT_MS_MAX));
    assert_true(sink_rdkafka_settle(0));
}

static void open_topic_shares_a_topic_of_the_same_properties_only(void **state)
{
    struct sink_fixture *fixture = *state;
    struct sink_topic *other = NULL;
    struct message message = {""};

    sink_set(fixture, ADDRESS_SCOPE_TOPIC, "compression.codec", "lz4");
    sink_open(fixture);
    assert_int_equal(
        fixture->sink->ops->open_topic(fixture->sink, &fixture->address, &other, &message), 0);
    assert_ptr_equal(other, fixture->topic);
    fixture->properties[0].value = text_of("gzip");
    assert_int_equal(
        fixture->sink->ops->open_topic(fixture->sink, &fixture->address, &other, &message),
        SINK_E_REJECTED);
    assert_non_null(strstr(message.text, "topic cdr"));
    fixture->address.topic = text_of("another");
    assert_int_equal(
        fixture->sink->ops->open_topic(fixture->sink, &fixture->address, &other, &message), 0);
    assert_ptr_not_equal(other, fixture->topic);
}

static void open_refuses_what_the_check_refuses(void **state)
{
    struct sink_fixture *fixture = *state;
    struct message message = {""};

    sink_set_g(fixture, "foo", "1");
    assert_int_equal(fixture->maker.maker.open(&fixture->maker.maker, &fixture->address,
                                               &fixture->sink, &message),
                     SINK_E_REJECTED);
    assert_null(fixture->sink);
    assert_non_null(strstr(message.text, "g.foo"));
}

static void open_says_why_librdkafka_makes_no_producer(void **state)
{
    struct sink_fixture *fixture = *state;
    struct message message = {""};

    sink_set_g(fixture, "security.protocol", "ssl");
    sink_set_g(fixture, "ssl.ca.location", "/nonexistent/ca.pem");
    assert_int_equal(fixture->maker.maker.open(&fixture->maker.maker, &fixture->address,
                                               &fixture->sink, &message),
                     SINK_E_REJECTED);
    assert_null(fixture->sink);
    assert_non_null(strstr(message.text, "ssl.ca.location"));
}

static void sink_rdkafka_version_is_that_of_the_library(void **state)
{
    (void)state;
    assert_string_equal(sink_rdkafka_version(), rd_kafka_version_str());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sink_setup, sink_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(produce_carries_every_part_of_a_record),
        TEST(produce_keeps_the_order),
        TEST(produce_works_without_idempotence),
        TEST(produce_takes_records_up_to_the_limit_and_no_larger),
        TEST(produce_is_busy_when_the_client_is_full),
        TEST(poll_keeps_the_reports_that_do_not_fit),
        TEST(poll_leaves_the_fd_readable_when_there_is_more),
        TEST(poll_or_produce_reports_a_topic_that_does_not_exist_as_hold),
        TEST(poll_tells_of_an_outage_and_delivers_after_it),
        TEST(texts_come_without_secrets),
        TEST(a_fatal_error_stops_the_sink_and_gives_everything_back),
        TEST(purge_gives_back_what_is_queued_and_lets_nothing_overtake_it),
        TEST(purge_gives_back_what_is_on_the_wire_when_asked),
        TEST(nothing_passes_a_batch_that_the_broker_rejects),
        TEST(nothing_passes_a_rejected_batch_without_idempotence),
        TEST(close_does_not_wait_for_a_broker_that_is_down),
        TEST(close_does_not_wait_for_a_broker_that_hangs),
        TEST(close_takes_a_sink_with_reports_that_nobody_took),
        TEST(settle_says_when_it_is_not_done),
        TEST(open_topic_shares_a_topic_of_the_same_properties_only),
        TEST(open_refuses_what_the_check_refuses),
        TEST(open_says_why_librdkafka_makes_no_producer),
        cmocka_unit_test(sink_rdkafka_version_is_that_of_the_library),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
