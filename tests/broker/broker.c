/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test-broker: librdkafka's mock cluster as a program, with a control channel for faults. For
 * tests only: plain text, no login, nothing is kept after its end.
 */
#include "tests/broker/client.h"
#include "tests/broker/command.h"
#include "tests/broker/control.h"
#include "tests/broker/recorder.h"
#include "tests/broker/socket_hooks.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS_MAX 64
#define TOPIC_BYTES_MAX 249
#define PARTITIONS_MAX 1000

struct topic_option {
    char name[TOPIC_BYTES_MAX + 1];
    long partitions_count;
};

struct options {
    long brokers_count;
    long port;      /* 0: any */
    long told_port; /* 0: port */
    struct topic_option topics[TOPICS_MAX];
    size_t topics_count;
    const char *control_path;
    const char *record_path;
};

static const char usage[] =
    "usage: test-broker [--brokers N] [--port FIRST] [--topic NAME[:PARTITIONS]]...\n"
    "                   [--control PATH] [--record FILE] [--tell-port FIRST]\n"
    "\n"
    "  --brokers N      1 to 16 brokers on 127.0.0.1 (default 1)\n"
    "  --port FIRST     the brokers' ports are FIRST, FIRST + 1, ... (default: any free ones)\n"
    "  --tell-port FIRST  with --port: tell clients these ports, where a proxy listens\n"
    "  --topic NAME[:PARTITIONS]  create a topic (default 1 partition); other topics are created\n"
    "                   with 4 partitions when a client asks for them\n"
    "  --control PATH   take commands at this unix socket too; without it, the end of standard\n"
    "                   input ends the program\n"
    "  --record FILE    write each accepted record as a line (see record_line.h); the brokers\n"
    "                   take records no faster than they are written\n"
    "\n"
    "Prints \"bootstrap HOST:PORT,...\" once it is ready. Then one command a line:\n";

static const char exit_codes[] =
    "\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 a record was lost by the recorder\n";

static bool add_topic(struct options *options, const char *text, struct message *message)
{
    const char *colon = strchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);

    if (options->topics_count == TOPICS_MAX || length == 0 || length > TOPIC_BYTES_MAX) {
        message_set(message, "--topic: at most %d names of 1 to %d characters", TOPICS_MAX,
                    TOPIC_BYTES_MAX);
        return false;
    }
    struct topic_option *topic = &options->topics[options->topics_count];
    memcpy(topic->name, text, length);
    topic->name[length] = '\0';
    topic->partitions_count = 1;
    if (colon != NULL &&
        !client_parse_number(colon + 1, 1, PARTITIONS_MAX, &topic->partitions_count)) {
        message_set(message, "--topic %s: partitions must be 1 to %d", text, PARTITIONS_MAX);
        return false;
    }
    options->topics_count++;
    return true;
}

static bool take_option(struct options *options, int letter, struct message *message)
{
    switch (letter) {
    case 'b':
        if (!client_parse_number(optarg, 1, HOOKS_BROKERS_MAX, &options->brokers_count)) {
            message_set(message, "--brokers must be 1 to %d", HOOKS_BROKERS_MAX);
            return false;
        }
        return true;
    case 'p':
        if (!client_parse_number(optarg, 1, 65535 - HOOKS_BROKERS_MAX, &options->port)) {
            message_set(message, "--port must be 1 to %d", 65535 - HOOKS_BROKERS_MAX);
            return false;
        }
        return true;
    case 'T':
        if (!client_parse_number(optarg, 1, 65535 - HOOKS_BROKERS_MAX, &options->told_port)) {
            message_set(message, "--tell-port must be 1 to %d", 65535 - HOOKS_BROKERS_MAX);
            return false;
        }
        return true;
    case 't':
        return add_topic(options, optarg, message);
    case 'c':
        options->control_path = optarg;
        return true;
    case 'r':
        options->record_path = optarg;
        return true;
    default:
        message_set(message, "see test-broker --help");
        return false;
    }
}

static bool parse_options(struct options *options, int argc, char **argv, struct message *message)
{
    static const struct option names[] = {
        {"brokers", required_argument, NULL, 'b'},
        {"port", required_argument, NULL, 'p'},
        {"tell-port", required_argument, NULL, 'T'},
        {"topic", required_argument, NULL, 't'},
        {"control", required_argument, NULL, 'c'},
        {"record", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int letter;

    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (letter == 'h') {
            printf("%s%s%s", usage, command_help, exit_codes);
            exit(EXIT_DONE);
        }
        if (!take_option(options, letter, message)) {
            return false;
        }
    }
    if (optind != argc) {
        message_set(message, "\"%s\" is not an option", argv[optind]);
        return false;
    }
    if (options->told_port != 0 && options->port == 0) {
        message_set(message, "--tell-port needs --port");
        return false;
    }
    if (options->told_port == 0) {
        options->told_port = options->port;
    }
    return true;
}

/* Reads the ports from "127.0.0.1:PORT,127.0.0.1:PORT". */
static bool read_ports(const struct options *options, const char *bootstraps,
                       uint16_t ret_ports[HOOKS_BROKERS_MAX], struct message *message)
{
    const char *at = bootstraps;

    for (int i = 0; i < options->brokers_count; i++) {
        at = strchr(at, ':');
        if (at == NULL) {
            message_set(message, "cannot read the ports from \"%s\"", bootstraps);
            return false;
        }
        ret_ports[i] = (uint16_t)strtoul(++at, NULL, 10);
        if (options->port != 0 && ret_ports[i] < options->told_port) {
            message_set(message, "fixed ports do not work with this librdkafka (%s)",
                        rd_kafka_version_str());
            return false;
        }
    }
    return true;
}

static void cluster_free(rd_kafka_mock_cluster_t **cluster)
{
    if (*cluster != NULL) {
        rd_kafka_mock_cluster_destroy(SPOOL_TAKE(*cluster));
    }
}

static rd_kafka_mock_cluster_t *open_cluster(rd_kafka_t *client, const struct options *options,
                                             struct message *message)
{
    if (options->port != 0) {
        hooks_fix_ports((uint16_t)options->port, (uint16_t)options->told_port,
                        (int)options->brokers_count);
    }
    SPOOL_CLEANUP(cluster_free)
    rd_kafka_mock_cluster_t *cluster =
        rd_kafka_mock_cluster_new(client, (int)options->brokers_count);
    if (cluster == NULL) {
        message_set(message, "cannot start the mock cluster: is a port in use?");
        return NULL;
    }
    uint16_t ports[HOOKS_BROKERS_MAX];
    if (!read_ports(options, rd_kafka_mock_cluster_bootstraps(cluster), ports, message)) {
        return NULL;
    }
    hooks_set_cluster(cluster, ports, (int)options->brokers_count);

    for (size_t i = 0; i < options->topics_count; i++) {
        const struct topic_option *topic = &options->topics[i];
        rd_kafka_resp_err_t error = rd_kafka_mock_topic_create(
            cluster, topic->name, (int)topic->partitions_count, (int)options->brokers_count);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
            message_set(message, "cannot create topic %s: %s", topic->name,
                        rd_kafka_err2str(error));
            return NULL;
        }
    }
    return SPOOL_TAKE(cluster);
}

static void block_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* The recorder reads the rest, which it can only from brokers that answer. */
static bool finish_record(const struct embedded_broker *broker, struct message *message)
{
    uint64_t records_count;

    for (int i = 1; i <= broker->brokers_count; i++) {
        rd_kafka_mock_broker_set_up(broker->cluster, i);
        rd_kafka_mock_broker_set_rtt(broker->cluster, i, 0);
    }
    return recorder_sync(broker->recorder, &records_count, message);
}

static int serve(const struct options *options, struct message *message)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    client_set(conf, "log_level", "4"); /* not that this client has no brokers: it needs none */
    SPOOL_CLEANUP(client_free) rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, &conf, message);
    if (client == NULL) {
        return EXIT_FAILED;
    }
    SPOOL_CLEANUP(cluster_free)
    rd_kafka_mock_cluster_t *cluster = open_cluster(client, options, message);
    if (cluster == NULL) {
        return EXIT_FAILED;
    }
    const char *bootstraps = rd_kafka_mock_cluster_bootstraps(cluster);
    SPOOL_CLEANUP(recorder_close) struct recorder *recorder = NULL;
    if (options->record_path != NULL) {
        recorder = recorder_open(bootstraps, options->record_path, message);
        if (recorder == NULL) {
            return EXIT_FAILED;
        }
    }
    struct embedded_broker broker = {
        .cluster = cluster, .brokers_count = (int)options->brokers_count, .recorder = recorder};
    printf("bootstrap %s\n", bootstraps);
    fflush(stdout);

    if (!control_serve(&broker, options->control_path, message)) {
        return EXIT_FAILED;
    }
    if (recorder != NULL && !finish_record(&broker, message)) {
        return EXIT_INCOMPLETE;
    }
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    struct options options = {.brokers_count = 1};
    struct message message = {.text = ""};

    if (!parse_options(&options, argc, argv, &message)) {
        fprintf(stderr, "test-broker: %s\n", message.text);
        return EXIT_USAGE;
    }
    block_signals();
    int result = serve(&options, &message);
    if (result != EXIT_DONE) {
        fprintf(stderr, "test-broker: %s\n", message.text);
    }
    return result;
}
