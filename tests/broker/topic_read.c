/* SPDX-License-Identifier: GPL-2.0-or-later */
/* topic-read: prints every record of a topic, from the beginning, one a line (record_line.h). */
#include "tests/broker/client.h"
#include "tests/broker/record_line.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_RECORDS 4096
#define POLL_MS 100
#define QUIET_MS 500
#define METADATA_WAIT_MS 2000
#define OUTPUT_BUFFER_BYTES (1U << 20)

struct options {
    const char *brokers;
    const char *topic;
    rd_kafka_conf_t *conf;
    long expect_count; /* -1: read to the end */
    long timeout_s;
    enum payload_form payload;
};

struct reading {
    const struct options *options;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_partition_list_t *ends; /* offset: 0 until the end was seen, then 1 */
    int ends_count;
    long records_count;
    uint64_t last_record_ms;
    bool is_refused; /* login or TLS failed: waiting does not help */
    struct message refusal;
};

static const char usage[] =
    "usage: topic-read --brokers LIST --topic NAME [--property NAME=VALUE]... [--expect COUNT]\n"
    "                  [--timeout SECONDS] [--payload base64|crc32|length]\n"
    "\n"
    "Reads all partitions from the beginning to their end; with --expect, until COUNT records\n"
    "were read and none followed for half a second. Prints one line a record, between tabs:\n"
    "  topic partition offset timestamp_ms key spool-id headers payload\n"
    "key and header values are base64, \"-\" is none; headers are name=value,...; the payload is\n"
    "base64 (default), LENGTH:CRC32, or LENGTH. A property is librdkafka's, or\n"
    "sasl.password.file=PATH. --timeout is 30 seconds by default.\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the end or COUNT was not reached in time\n";

static bool take_option(struct options *options, int letter, struct message *message)
{
    switch (letter) {
    case 'b':
        options->brokers = optarg;
        return true;
    case 't':
        options->topic = optarg;
        return true;
    case 'X':
        return client_set_property(options->conf, optarg, message);
    case 'e':
        if (!client_parse_number(optarg, 0, 1000000000, &options->expect_count)) {
            message_set(message, "--expect must be a number of records");
            return false;
        }
        return true;
    case 'w':
        if (!client_parse_number(optarg, 1, 86400, &options->timeout_s)) {
            message_set(message, "--timeout must be 1 to 86400 seconds");
            return false;
        }
        return true;
    case 'p':
        if (!payload_form_parse(optarg, &options->payload)) {
            message_set(message, "--payload must be base64, crc32 or length");
            return false;
        }
        return true;
    default:
        message_set(message, "see topic-read --help");
        return false;
    }
}

static bool parse_options(struct options *options, int argc, char **argv, struct message *message)
{
    static const struct option names[] = {
        {"brokers", required_argument, NULL, 'b'},  {"topic", required_argument, NULL, 't'},
        {"property", required_argument, NULL, 'X'}, {"expect", required_argument, NULL, 'e'},
        {"timeout", required_argument, NULL, 'w'},  {"payload", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    int letter;

    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (letter == 'h') {
            fputs(usage, stdout);
            client_conf_free(&options->conf);
            exit(EXIT_DONE);
        }
        if (!take_option(options, letter, message)) {
            return false;
        }
    }
    if (optind != argc || options->brokers == NULL || options->topic == NULL) {
        message_set(message, "--brokers and --topic are needed, and options only");
        return false;
    }
    return true;
}

static void on_error(rd_kafka_t *client, int error, const char *reason, void *opaque)
{
    struct reading *reading = opaque;
    (void)client;

    if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION || error == RD_KAFKA_RESP_ERR__SSL) {
        reading->is_refused = true;
        message_set(&reading->refusal, "%s", reason);
    }
}

/* Asks for the topic's partitions until they are all known or the time is over. */
static rd_kafka_topic_partition_list_t *find_partitions(rd_kafka_t *client, struct reading *reading,
                                                        uint64_t deadline_ms,
                                                        struct message *message)
{
    SPOOL_CLEANUP(client_metadata_free) const struct rd_kafka_metadata *metadata = NULL;

    message_set(message, "no broker answered");
    while (client_now_ms() < deadline_ms && !reading->is_refused) {
        client_metadata_free(&metadata);
        rd_kafka_resp_err_t error = rd_kafka_metadata(client, 1, NULL, &metadata, METADATA_WAIT_MS);
        rd_kafka_poll(client, POLL_MS);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
            continue;
        }
        message_set(message, "there is no topic %s", reading->options->topic);
        for (int i = 0; i < metadata->topic_cnt; i++) {
            const struct rd_kafka_metadata_topic *topic = &metadata->topics[i];
            if (strcmp(topic->topic, reading->options->topic) != 0 || topic->partition_cnt == 0) {
                continue;
            }
            rd_kafka_topic_partition_list_t *list =
                rd_kafka_topic_partition_list_new(topic->partition_cnt);
            for (int j = 0; j < topic->partition_cnt; j++) {
                rd_kafka_topic_partition_list_add(list, topic->topic, topic->partitions[j].id)
                    ->offset = RD_KAFKA_OFFSET_BEGINNING;
            }
            return list;
        }
    }
    if (reading->is_refused) {
        *message = reading->refusal;
    }
    return NULL;
}

static void take_record(struct reading *reading, const rd_kafka_message_t *record)
{
    if (record->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        record_line_write(stdout, record, reading->options->payload);
        reading->records_count++;
        reading->last_record_ms = client_now_ms();
    }
    if (record->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        rd_kafka_topic_partition_t *end = rd_kafka_topic_partition_list_find(
            reading->ends, reading->options->topic, record->partition);
        if (end != NULL && end->offset == 0) {
            end->offset = 1;
            reading->ends_count++;
        }
    }
}

static bool is_complete(const struct reading *reading)
{
    if (reading->options->expect_count < 0) {
        return reading->ends_count == reading->ends->cnt;
    }
    return reading->records_count >= reading->options->expect_count &&
           client_now_ms() - reading->last_record_ms >= QUIET_MS;
}

static int read_records(struct reading *reading, uint64_t deadline_ms, struct message *message)
{
    rd_kafka_message_t *records[BATCH_RECORDS];

    reading->last_record_ms = client_now_ms();
    while (!is_complete(reading)) {
        if (reading->is_refused) {
            *message = reading->refusal;
            return EXIT_FAILED;
        }
        if (client_now_ms() > deadline_ms) {
            message_set(message, "timed out after %ld records and %d of %d ends",
                        reading->records_count, reading->ends_count, reading->ends->cnt);
            return EXIT_INCOMPLETE;
        }
        size_t count = client_read(reading->queue, POLL_MS, records, SPOOL_COUNT_OF(records));
        for (size_t i = 0; i < count; i++) {
            if (records[i]->rkt != NULL) {
                take_record(reading, records[i]);
            }
            rd_kafka_message_destroy(records[i]);
        }
    }
    if (fflush(stdout) != 0) {
        message_set(message, "cannot write: %m");
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

static rd_kafka_t *open_consumer(struct options *options, struct reading *reading,
                                 struct message *message)
{
    rd_kafka_conf_t *conf = SPOOL_TAKE(options->conf);

    client_set(conf, "bootstrap.servers", options->brokers);
    client_set(conf, "group.id", "topic-read");
    client_set(conf, "enable.auto.commit", "false");
    client_set(conf, "enable.partition.eof", "true");
    client_set(conf, "auto.offset.reset", "error");
    client_set(conf, "check.crcs", "true");
    client_set(conf, "fetch.wait.max.ms", "50");
    client_set(conf, "log_level", "2");
    rd_kafka_conf_set_opaque(conf, reading);
    rd_kafka_conf_set_error_cb(conf, on_error);
    return client_new(RD_KAFKA_CONSUMER, &conf, message);
}

static int read_topic(struct options *options, struct message *message)
{
    struct reading reading = {.options = options};
    uint64_t deadline_ms = client_now_ms() + (uint64_t)options->timeout_s * 1000;
    SPOOL_CLEANUP(client_free)
    rd_kafka_t *consumer = open_consumer(options, &reading, message);
    if (consumer == NULL) {
        return EXIT_FAILED;
    }
    SPOOL_CLEANUP(client_partitions_free)
    rd_kafka_topic_partition_list_t *partitions =
        find_partitions(consumer, &reading, deadline_ms, message);
    if (partitions == NULL) {
        return EXIT_FAILED;
    }
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_resp_err_t error = rd_kafka_assign(consumer, partitions);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        message_set(message, "cannot read the partitions: %s", rd_kafka_err2str(error));
        return EXIT_FAILED;
    }
    for (int i = 0; i < partitions->cnt; i++) {
        partitions->elems[i].offset = 0;
    }
    reading.ends = partitions;
    reading.queue = rd_kafka_queue_get_consumer(consumer);
    int result = read_records(&reading, deadline_ms, message);
    client_queue_free(&reading.queue);
    rd_kafka_consumer_close(consumer);
    return result;
}

int main(int argc, char **argv)
{
    struct options options = {.conf = rd_kafka_conf_new(), .expect_count = -1, .timeout_s = 30};
    struct message message = {.text = ""};
    int result = EXIT_USAGE;

    setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER_BYTES);
    if (parse_options(&options, argc, argv, &message)) {
        result = read_topic(&options, &message);
    }
    client_conf_free(&options.conf);
    if (result != EXIT_DONE) {
        fprintf(stderr, "topic-read: %s\n", message.text);
    }
    return result;
}
