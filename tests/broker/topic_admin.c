/* SPDX-License-Identifier: GPL-2.0-or-later */
/* topic-admin: creates, deletes, changes and describes topics; faster than the brokers' own Java
 * tools. */
#include "tests/broker/admin_change.h"
#include "tests/broker/client.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_WAIT_MS 2000
#define TEXT_BYTES_MAX 512

struct options {
    const char *brokers;
    rd_kafka_conf_t *conf;
    long timeout_s;
    char **words;
    int words_count;
};

/* Set by on_error: login or TLS failed, waiting does not help. */
struct refusal {
    bool is_refused;
    struct message message;
};

static const char usage[] =
    "usage: topic-admin --brokers LIST [--property NAME=VALUE]... [--timeout SECONDS] COMMAND\n"
    "\n"
    "  brokers                              one line a broker: id host port\n"
    "  create TOPIC PARTITIONS REPLICATION  wait until the partitions have leaders\n"
    "  delete TOPIC\n"
    "  describe TOPIC                       one line a partition: partition, leader (-1: none),\n"
    "                                       replicas, in-sync replicas (comma-separated)\n"
    "  partitions TOPIC COUNT               more than there are; wait until they have leaders\n"
    "  set TOPIC NAME=VALUE                 its only setting of its own; -: none\n"
    "  set-broker ID NAME=VALUE             the same for a broker, without a restart\n"
    "  allow TOPIC USER                     the user may write to the topic\n"
    "  forbid TOPIC USER                    takes back what \"allow\" gave\n"
    "\n"
    "Tries again until it is done or the time (30 seconds by default) is over. A property is\n"
    "librdkafka's, or sasl.password.file=PATH.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not done in time\n";

static bool take_option(struct options *options, int letter, struct message *message)
{
    switch (letter) {
    case 'b':
        options->brokers = optarg;
        return true;
    case 'X':
        return client_set_property(options->conf, optarg, message);
    case 'w':
        if (!client_parse_number(optarg, 1, 86400, &options->timeout_s)) {
            message_set(message, "--timeout must be 1 to 86400 seconds");
            return false;
        }
        return true;
    default:
        message_set(message, "see topic-admin --help");
        return false;
    }
}

static bool parse_options(struct options *options, int argc, char **argv, struct message *message)
{
    static const struct option names[] = {
        {"brokers", required_argument, NULL, 'b'},
        {"property", required_argument, NULL, 'X'},
        {"timeout", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
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
    options->words = argv + optind;
    options->words_count = argc - optind;
    if (options->brokers == NULL || options->words_count == 0) {
        message_set(message, "--brokers and a command are needed; see topic-admin --help");
        return false;
    }
    return true;
}

static void on_error(rd_kafka_t *client, int error, const char *reason, void *opaque)
{
    struct refusal *refusal = opaque;
    (void)client;

    if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION || error == RD_KAFKA_RESP_ERR__SSL) {
        refusal->is_refused = true;
        message_set(&refusal->message, "%s", reason);
    }
}

static const struct rd_kafka_metadata *ask(rd_kafka_t *client)
{
    const struct rd_kafka_metadata *metadata = NULL;

    if (rd_kafka_metadata(client, 1, NULL, &metadata, REQUEST_WAIT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        metadata = NULL;
    }
    rd_kafka_poll(client, 0);
    return metadata;
}

static const struct rd_kafka_metadata_topic *find_topic(const struct rd_kafka_metadata *metadata,
                                                        const char *name)
{
    for (int i = 0; i < metadata->topic_cnt; i++) {
        if (strcmp(metadata->topics[i].topic, name) == 0) {
            return &metadata->topics[i];
        }
    }
    return NULL;
}

static void print_ids(const int32_t *ids, int count)
{
    for (int i = 0; i < count; i++) {
        printf("%s%d", i > 0 ? "," : "", ids[i]);
    }
}

static bool has_leaders(const struct rd_kafka_metadata_topic *topic, long partitions_count)
{
    for (int i = 0; i < topic->partition_cnt; i++) {
        if (topic->partitions[i].leader < 0) {
            return false;
        }
    }
    return topic->partition_cnt == partitions_count;
}

/* The steps below: 0 done, EXIT_FAILED with a message, or EXIT_INCOMPLETE to be tried again. */

static int step_brokers(rd_kafka_t *client, char **words, struct message *message)
{
    SPOOL_CLEANUP(client_metadata_free) const struct rd_kafka_metadata *metadata = ask(client);
    (void)words;
    (void)message;

    if (metadata == NULL) {
        return EXIT_INCOMPLETE;
    }
    for (int i = 0; i < metadata->broker_cnt; i++) {
        printf("%d %s %d\n", metadata->brokers[i].id, metadata->brokers[i].host,
               metadata->brokers[i].port);
    }
    return EXIT_DONE;
}

static int step_describe(rd_kafka_t *client, char **words, struct message *message)
{
    SPOOL_CLEANUP(client_metadata_free) const struct rd_kafka_metadata *metadata = ask(client);

    if (metadata == NULL) {
        return EXIT_INCOMPLETE;
    }
    const struct rd_kafka_metadata_topic *topic = find_topic(metadata, words[1]);
    if (topic == NULL) {
        message_set(message, "there is no topic %s", words[1]);
        return EXIT_FAILED;
    }
    for (int i = 0; i < topic->partition_cnt; i++) {
        const struct rd_kafka_metadata_partition *partition = &topic->partitions[i];
        printf("%d\t%d\t", partition->id, partition->leader);
        print_ids(partition->replicas, partition->replica_cnt);
        putchar('\t');
        print_ids(partition->isrs, partition->isr_cnt);
        putchar('\n');
    }
    return EXIT_DONE;
}

static void free_event(rd_kafka_event_t **event)
{
    if (*event != NULL) {
        rd_kafka_event_destroy(SPOOL_TAKE(*event));
    }
}

static void free_new_topic(rd_kafka_NewTopic_t **topic)
{
    if (*topic != NULL) {
        rd_kafka_NewTopic_destroy(SPOOL_TAKE(*topic));
    }
}

static int judge_result(rd_kafka_event_t *event, rd_kafka_resp_err_t accepted,
                        struct message *message)
{
    const rd_kafka_topic_result_t **results = NULL;
    size_t count = 0;

    if (event == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return EXIT_INCOMPLETE;
    }
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_CREATETOPICS_RESULT) {
        results =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    } else {
        results =
            rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    }
    rd_kafka_resp_err_t error =
        count > 0 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR_UNKNOWN;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == accepted) {
        return EXIT_DONE;
    }
    message_set(message, "%s: %s", rd_kafka_err2name(error), rd_kafka_err2str(error));
    /* Right after its start a cluster may not have registered enough brokers yet. */
    return error == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR ||
                   error == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT ||
                   error == RD_KAFKA_RESP_ERR_NOT_CONTROLLER
               ? EXIT_INCOMPLETE
               : EXIT_FAILED;
}

static int step_create(rd_kafka_t *client, char **words, struct message *message)
{
    long partitions_count;
    long replication;
    char text[TEXT_BYTES_MAX];

    if (!client_parse_number(words[2], 1, 10000, &partitions_count) ||
        !client_parse_number(words[3], 1, 100, &replication)) {
        message_set(message, "PARTITIONS and REPLICATION must be positive numbers");
        return EXIT_FAILED;
    }
    SPOOL_CLEANUP(free_new_topic)
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(words[1], (int)partitions_count,
                                                       (int)replication, text, sizeof(text));
    if (topic == NULL) {
        message_set(message, "%s", text);
        return EXIT_FAILED;
    }
    SPOOL_CLEANUP(client_queue_free) rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
    SPOOL_CLEANUP(free_event)
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, REQUEST_WAIT_MS);
    /* An earlier try may have created it without our hearing so. */
    int result = judge_result(event, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, message);
    if (result != EXIT_DONE) {
        return result;
    }
    SPOOL_CLEANUP(client_metadata_free) const struct rd_kafka_metadata *metadata = ask(client);
    const struct rd_kafka_metadata_topic *made =
        metadata != NULL ? find_topic(metadata, words[1]) : NULL;
    return made != NULL && has_leaders(made, partitions_count) ? EXIT_DONE : EXIT_INCOMPLETE;
}

static int step_delete(rd_kafka_t *client, char **words, struct message *message)
{
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(words[1]);
    SPOOL_CLEANUP(client_queue_free) rd_kafka_queue_t *queue = rd_kafka_queue_new(client);

    rd_kafka_DeleteTopics(client, &topic, 1, NULL, queue);
    rd_kafka_DeleteTopic_destroy(topic);
    SPOOL_CLEANUP(free_event)
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, REQUEST_WAIT_MS);
    return judge_result(event, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, message);
}

struct command {
    const char *name;
    int words_count;
    int (*step)(rd_kafka_t *client, char **words, struct message *message);
};

static const struct command *find_command(const struct options *options, struct message *message)
{
    static const struct command commands[] = {
        {"brokers", 1, step_brokers},         {"create", 4, step_create},
        {"delete", 2, step_delete},           {"describe", 2, step_describe},
        {"partitions", 3, change_partitions}, {"set", 3, change_topic},
        {"set-broker", 3, change_broker},     {"allow", 3, change_allow},
        {"forbid", 3, change_forbid},
    };

    for (size_t i = 0; i < SPOOL_COUNT_OF(commands); i++) {
        if (strcmp(commands[i].name, options->words[0]) == 0 &&
            commands[i].words_count == options->words_count) {
            return &commands[i];
        }
    }
    message_set(message, "no such command with that many arguments; see topic-admin --help");
    return NULL;
}

static int run(struct options *options, const struct command *command, struct message *message)
{
    struct refusal refusal = {.is_refused = false};
    rd_kafka_conf_t *conf = SPOOL_TAKE(options->conf);
    uint64_t deadline_ms = client_now_ms() + (uint64_t)options->timeout_s * 1000;

    client_set(conf, "bootstrap.servers", options->brokers);
    client_set(conf, "reconnect.backoff.max.ms", "500");
    client_set(conf, "log_level", "2");
    rd_kafka_conf_set_opaque(conf, &refusal);
    rd_kafka_conf_set_error_cb(conf, on_error);
    SPOOL_CLEANUP(client_free) rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, &conf, message);
    if (client == NULL) {
        return EXIT_FAILED;
    }
    message_set(message, "no broker answered");
    int result;
    while ((result = command->step(client, options->words, message)) == EXIT_INCOMPLETE &&
           client_now_ms() < deadline_ms && !refusal.is_refused) {
        rd_kafka_poll(client, 50);
    }
    if (refusal.is_refused) {
        *message = refusal.message;
        return EXIT_FAILED;
    }
    return result;
}

int main(int argc, char **argv)
{
    struct options options = {.conf = rd_kafka_conf_new(), .timeout_s = 30};
    struct message message = {.text = ""};
    const struct command *command = NULL;

    if (parse_options(&options, argc, argv, &message)) {
        command = find_command(&options, &message);
    }
    int result = command != NULL ? run(&options, command, &message) : EXIT_USAGE;
    client_conf_free(&options.conf);
    if (result != EXIT_DONE) {
        fprintf(stderr, "topic-admin: %s\n", message.text);
    }
    return result;
}
