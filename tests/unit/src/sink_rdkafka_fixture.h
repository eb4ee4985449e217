/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sink on librdkafka's own mock cluster, in this process, and a reader of what arrives there.
 * Waits end on what they wait for; their limit only makes a failure of a hang. */
#ifndef TESTS_UNIT_SRC_SINK_RDKAFKA_FIXTURE_H
#define TESTS_UNIT_SRC_SINK_RDKAFKA_FIXTURE_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "src/address.h"
#include "src/sink_rdkafka.h"

struct record;

#define WAIT_MS_MAX 60000
#define PROPERTIES_MAX 4
#define PUBLISHED_WALL_MS 1700000000123

struct sink_fixture {
    rd_kafka_t *host; /* the mock cluster lives in it */
    rd_kafka_mock_cluster_t *cluster;
    struct sink_rdkafka_maker maker;
    struct address address;
    struct address_property properties[PROPERTIES_MAX];
    struct sink *sink;
    struct sink_topic *topic;
    struct sink_health health; /* what all polls together said */
    size_t log_lines_count;
    bool log_shows_secret;
    char *encoded;
};

/* What the reports said, by cookie: cookies are 1, 2, 3... */
struct sink_outcome {
    size_t reports_count;
    struct sink_report reports[512]; /* in the order of their arrival */
};

struct topic_reader {
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    rd_kafka_message_t *message; /* the last that was read */
};

/* --- The cluster and the sink ---------------------------------------------------------------- */

int sink_setup(void **state);
int sink_teardown(void **state);

/* Properties, before sink_open(). */
struct address_property *sink_set(struct sink_fixture *fixture, enum address_scope scope,
                                  const char *name, const char *value);
void sink_set_g(struct sink_fixture *fixture, const char *name, const char *value);

void sink_open(struct sink_fixture *fixture);

void broker_set_down(struct sink_fixture *fixture);
void broker_set_up(struct sink_fixture *fixture);

/* From now on, the broker answers after WAIT_MS_MAX: it hangs. */
void broker_answer_late(struct sink_fixture *fixture);

/* --- Records --------------------------------------------------------------------------------- */

/* Produces a record as the spool would give it: encoded and decoded. Its cookie is the number. */
int sink_produce(struct sink_fixture *fixture, const struct record *record, size_t number,
                 int *ret_error);

/* Produces records numbered from first on, with the number as payload. */
void sink_produce_numbered(struct sink_fixture *fixture, size_t first, size_t count);

/* Polls once; waits for the fd first, as the forwarder does. */
size_t sink_poll_once(struct sink_fixture *fixture, struct sink_report *reports,
                      size_t reports_max);

/* Polls, at_once reports at most a time, until there are count reports in the outcome. */
void sink_take_reports(struct sink_fixture *fixture, struct sink_outcome *outcome, size_t count,
                       size_t at_once);

void assert_delivered_in_order(const struct sink_outcome *outcome, size_t first);

/* --- What is in the topic -------------------------------------------------------------------- */

void reader_open(struct topic_reader *reader, const struct sink_fixture *fixture);
void reader_next(struct topic_reader *reader);
void reader_close(struct topic_reader *reader);

/* expected NULL: there is no value, which is not an empty one. */
void assert_bytes(const void *data, size_t size_bytes, const char *expected);
void assert_header(const rd_kafka_message_t *message, size_t index, const char *name,
                   const char *value);

void assert_numbered_in_topic(struct sink_fixture *fixture, size_t first, size_t count);

/* --- Words ------------------------------------------------------------------------------------ */

char *text_of(const char *literal);
void *cookie_of(size_t number);
uint64_t now_ms(void);

#endif
