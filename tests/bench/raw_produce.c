/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-produce: what librdkafka alone can do: a loop of producev() and delivery reports, nothing
 * stored, with the settings that the project's sink uses where they bear on speed. --count asks
 * how many records a topic has instead.
 */
#include "tests/bench/measure.h"

#include <getopt.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS 30000
#define PARTITIONS_MAX 64

struct options {
    const char *brokers;
    const char *topic;
    unsigned long records;
    bool counts;
};

/* Records whose reports came, and how many of them failed. */
struct progress {
    unsigned long reported;
    unsigned long failed;
};

static struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"brokers", required_argument, NULL, 'b'},
        {"topic", required_argument, NULL, 't'},
        {"records", required_argument, NULL, 'n'},
        {"count", no_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.topic = "bench", .records = 100000};
    int letter;

    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (letter) {
        case 'b':
            options.brokers = optarg;
            break;
        case 't':
            options.topic = optarg;
            break;
        case 'n':
            options.records = strtoul(optarg, NULL, 10);
            break;
        case 'c':
            options.counts = true;
            break;
        default:
            measure_fail("--brokers LIST [--topic NAME] [--records N] | --count");
        }
    }
    if (options.brokers == NULL) {
        measure_fail("--brokers is needed");
    }
    return options;
}

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *context)
{
    struct progress *progress = context;
    (void)client;

    progress->reported++;
    progress->failed += message->err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_t *open_client(const struct options *options, struct progress *progress)
{
    static const char *const settings[][2] = {
        {"enable.idempotence", "true"},
        {"message.timeout.ms", "0"},
        {"linger.ms", "5"},
        {"queue.buffering.max.messages", "65536"},
        {"queue.buffering.max.kbytes", "32768"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];

    for (size_t i = 0; i < SPOOL_COUNT_OF(settings); i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text)) !=
            RD_KAFKA_CONF_OK) {
            measure_fail("%s", text);
        }
    }
    if (rd_kafka_conf_set(conf, "bootstrap.servers", options->brokers, text, sizeof(text)) !=
        RD_KAFKA_CONF_OK) {
        measure_fail("%s", text);
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, progress);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (client == NULL) {
        measure_fail("%s", text);
    }
    return client;
}

static void produce(rd_kafka_t *client, const struct options *options, uint64_t number)
{
    static char payload[PAYLOAD_BYTES];
    rd_kafka_resp_err_t error;

    if (payload[0] == '\0') {
        measure_payload(payload);
    }
    measure_stamp(payload, number);
    do {
        error = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(options->topic),
                                  RD_KAFKA_V_VALUE(payload, sizeof(payload)),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        rd_kafka_poll(client, error == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 10 : 0);
    } while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        measure_fail("produce: %s", rd_kafka_err2str(error));
    }
}

static void wait_reported(rd_kafka_t *client, const struct progress *progress, unsigned long count)
{
    uint64_t until_us = measure_now_us() + WAIT_MS * 1000ULL;

    while (progress->reported < count && measure_now_us() < until_us) {
        rd_kafka_poll(client, 10);
    }
    if (progress->reported < count || progress->failed > 0) {
        measure_fail("%lu of %lu records were reported, %lu as failed", progress->reported, count,
                     progress->failed);
    }
}

/* The records of all partitions together. */
static unsigned long count_records(rd_kafka_t *client, const char *topic)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    unsigned long count = 0;

    if (rd_kafka_metadata(client, 0, handle, &metadata, WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        measure_fail("no metadata of topic %s", topic);
    }
    for (int i = 0; i < metadata->topics[0].partition_cnt; i++) {
        int64_t low = 0;
        int64_t high = 0;
        if (rd_kafka_query_watermark_offsets(client, topic, i, &low, &high, WAIT_MS) ==
            RD_KAFKA_RESP_ERR_NO_ERROR) {
            count += (unsigned long)high;
        }
    }
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return count;
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    struct progress progress = {0};
    rd_kafka_t *client = open_client(&options, &progress);

    if (options.counts) {
        printf("{\"records\": %lu}\n", count_records(client, options.topic));
    } else {
        /* The first record pays for the connection. */
        produce(client, &options, 0);
        wait_reported(client, &progress, 1);
        uint64_t begin_us = measure_now_us();
        for (unsigned long i = 1; i <= options.records; i++) {
            produce(client, &options, i);
        }
        wait_reported(client, &progress, options.records + 1);
        printf("{\"rate\": %.1f}\n",
               (double)options.records * 1e6 / (double)(measure_now_us() - begin_us));
    }
    rd_kafka_destroy(client);
    return 0;
}
