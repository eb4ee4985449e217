/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/src/sink_rdkafka_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "spool/record.h"

#define RECORD_BYTES 1200000

char *text_of(const char *literal)
{
    return (char *)(uintptr_t)literal;
}

void *cookie_of(size_t number)
{
    return (void *)(uintptr_t)number;
}

static void log_line(void *context, int level, const char *line)
{
    struct sink_fixture *fixture = context;

    assert_in_range(level, 0, 7);
    fixture->log_lines_count++;
    fixture->log_shows_secret |= strstr(line, "refused") != NULL;
}

uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- The cluster and the sink ---------------------------------------------------------------- */

int sink_setup(void **state)
{
    struct sink_fixture *fixture = calloc(1, sizeof(*fixture));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char reason[256];

    assert_non_null(fixture);
    fixture->encoded = malloc(RECORD_BYTES);
    assert_non_null(fixture->encoded);
    (void)rd_kafka_conf_set(conf, "log_level", "0", reason, sizeof(reason));
    fixture->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    assert_non_null(fixture->host);
    fixture->cluster = rd_kafka_mock_cluster_new(fixture->host, 1);
    assert_non_null(fixture->cluster);
    assert_int_equal(rd_kafka_mock_topic_create(fixture->cluster, "cdr", 1, 1), 0);
    sink_rdkafka_maker_init(&fixture->maker, log_line, fixture);
    fixture->address = (struct address){
        .brokers = text_of(rd_kafka_mock_cluster_bootstraps(fixture->cluster)),
        .topic = text_of("cdr"),
        .properties = fixture->properties,
    };
    *state = fixture;
    return 0;
}

int sink_teardown(void **state)
{
    struct sink_fixture *fixture = *state;

    if (fixture->sink != NULL) {
        fixture->sink->ops->close(fixture->sink);
    }
    assert_true(sink_rdkafka_settle(WAIT_MS_MAX));
    rd_kafka_mock_cluster_destroy(fixture->cluster);
    rd_kafka_destroy(fixture->host);
    free(fixture->encoded);
    free(fixture);
    return 0;
}

struct address_property *sink_set(struct sink_fixture *fixture, enum address_scope scope,
                                  const char *name, const char *value)
{
    struct address_property *property = &fixture->properties[fixture->address.properties_count++];

    assert_true(fixture->address.properties_count <= PROPERTIES_MAX);
    *property = (struct address_property){
        .scope = scope,
        .name = text_of(name),
        .value = text_of(value),
    };
    return property;
}

void sink_set_g(struct sink_fixture *fixture, const char *name, const char *value)
{
    (void)sink_set(fixture, ADDRESS_SCOPE_GLOBAL, name, value);
}

void sink_open(struct sink_fixture *fixture)
{
    struct message message = {""};
    int r = fixture->maker.maker.open(&fixture->maker.maker, &fixture->address, &fixture->sink,
                                      &message);

    if (r != 0) {
        print_error("%s\n", message.text);
    }
    assert_int_equal(r, 0);
    r = fixture->sink->ops->open_topic(fixture->sink, &fixture->address, &fixture->topic, &message);
    if (r != 0) {
        print_error("%s\n", message.text);
    }
    assert_int_equal(r, 0);
}

void broker_set_down(struct sink_fixture *fixture)
{
    assert_int_equal(rd_kafka_mock_broker_set_down(fixture->cluster, 1), 0);
}

void broker_set_up(struct sink_fixture *fixture)
{
    assert_int_equal(rd_kafka_mock_broker_set_up(fixture->cluster, 1), 0);
}

void broker_answer_late(struct sink_fixture *fixture)
{
    assert_int_equal(rd_kafka_mock_broker_set_rtt(fixture->cluster, 1, WAIT_MS_MAX), 0);
}

/* --- Records --------------------------------------------------------------------------------- */

int sink_produce(struct sink_fixture *fixture, const struct record *record, size_t number,
                 int *ret_error)
{
    struct record decoded;
    char spool_id[64];
    size_t size_bytes;

    (void)snprintf(spool_id, sizeof(spool_id), "0b5f1c2e-1234-4321-aaaa-0123456789ab:%020zu",
                   number);
    assert_int_equal(record_size(record, &size_bytes), 0);
    assert_true(size_bytes <= RECORD_BYTES);
    record_encode(record, fixture->encoded);
    assert_int_equal(record_decode((struct span){fixture->encoded, size_bytes}, &decoded), 0);
    *ret_error = 0;
    return fixture->sink->ops->produce(fixture->sink, fixture->topic, &decoded, spool_id,
                                       cookie_of(number), ret_error);
}

void sink_produce_numbered(struct sink_fixture *fixture, size_t first, size_t count)
{
    for (size_t number = first; number < first + count; number++) {
        char payload[32];
        int length = snprintf(payload, sizeof(payload), "%zu", number);
        struct record record = {
            .published_wall_ms = PUBLISHED_WALL_MS,
            .key = {"key", 3},
            .payload = {payload, (size_t)length},
        };
        int error;

        assert_int_equal(sink_produce(fixture, &record, number, &error), 0);
    }
}

size_t sink_poll_once(struct sink_fixture *fixture, struct sink_report *reports, size_t reports_max)
{
    struct pollfd wake = {.fd = fixture->sink->ops->fd(fixture->sink), .events = POLLIN};
    struct sink_health health;
    size_t count;

    assert_true(poll(&wake, 1, 100) >= 0);
    count = fixture->sink->ops->poll(fixture->sink, reports, reports_max, &health);
    assert_true(count <= reports_max);
    fixture->health.is_fatal |= health.is_fatal;
    fixture->health.all_brokers_down |= health.all_brokers_down;
    if (health.error != 0) {
        fixture->health.error = health.error;
        fixture->health.message = health.message;
    }
    return count;
}

void sink_take_reports(struct sink_fixture *fixture, struct sink_outcome *outcome, size_t count,
                       size_t at_once)
{
    uint64_t deadline_ms = now_ms() + WAIT_MS_MAX;

    assert_true(count <= SPOOL_COUNT_OF(outcome->reports));
    while (outcome->reports_count < count) {
        size_t room = count - outcome->reports_count;

        assert_true(now_ms() < deadline_ms);
        outcome->reports_count += sink_poll_once(fixture, &outcome->reports[outcome->reports_count],
                                                 room < at_once ? room : at_once);
    }
}

void assert_delivered_in_order(const struct sink_outcome *outcome, size_t first)
{
    for (size_t i = 0; i < outcome->reports_count; i++) {
        assert_int_equal(outcome->reports[i].error, 0);
        assert_ptr_equal(outcome->reports[i].cookie, cookie_of(first + i));
        assert_int_equal(outcome->reports[i].partition, 0);
        assert_true(outcome->reports[i].offset >= 0);
    }
}

/* --- What is in the topic -------------------------------------------------------------------- */

void reader_open(struct topic_reader *reader, const struct sink_fixture *fixture)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char reason[256];

    (void)rd_kafka_conf_set(conf, "bootstrap.servers", fixture->address.brokers, reason,
                            sizeof(reason));
    reader->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
    assert_non_null(reader->client);
    reader->topic = rd_kafka_topic_new(reader->client, "cdr", NULL);
    reader->message = NULL;
    assert_int_equal(rd_kafka_consume_start(reader->topic, 0, RD_KAFKA_OFFSET_BEGINNING), 0);
}

void reader_next(struct topic_reader *reader)
{
    if (reader->message != NULL) {
        rd_kafka_message_destroy(reader->message);
    }
    reader->message = rd_kafka_consume(reader->topic, 0, WAIT_MS_MAX);
    assert_non_null(reader->message);
    assert_int_equal(reader->message->err, 0);
}

void reader_close(struct topic_reader *reader)
{
    rd_kafka_message_destroy(reader->message);
    assert_int_equal(rd_kafka_consume_stop(reader->topic, 0), 0);
    rd_kafka_topic_destroy(reader->topic);
    rd_kafka_destroy(reader->client);
}

void assert_bytes(const void *data, size_t size_bytes, const char *expected)
{
    if (expected == NULL) {
        assert_null(data);
        return;
    }
    assert_non_null(data);
    assert_int_equal(size_bytes, strlen(expected));
    assert_memory_equal(data, expected, size_bytes);
}

void assert_header(const rd_kafka_message_t *message, size_t index, const char *name,
                   const char *value)
{
    rd_kafka_headers_t *headers = NULL;
    const char *found_name = NULL;
    const void *found = NULL;
    size_t found_size_bytes = 0;

    assert_int_equal(rd_kafka_message_headers(message, &headers), 0);
    assert_int_equal(
        rd_kafka_header_get_all(headers, index, &found_name, &found, &found_size_bytes), 0);
    assert_string_equal(found_name, name);
    assert_bytes(found, found_size_bytes, value);
}

void assert_numbered_in_topic(struct sink_fixture *fixture, size_t first, size_t count)
{
    struct topic_reader reader;

    reader_open(&reader, fixture);
    for (size_t number = first; number < first + count; number++) {
        char payload[32];

        (void)snprintf(payload, sizeof(payload), "%zu", number);
        reader_next(&reader);
        assert_bytes(reader.message->payload, reader.message->len, payload);
    }
    reader_close(&reader);
}
