/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/broker/command.h"

#include "tests/broker/client.h"
#include "tests/broker/recorder.h"
#include "tests/broker/socket_hooks.h"

#include <string.h>
#include <strings.h>

#define WORDS_MAX 8
#define ERRORS_MAX 100000
#define RTT_MS_MAX 3600000
#define PARTITIONS_MAX 1000
#define PRODUCE_REQUEST 0

const char command_help[] =
    "  down N|all              close broker N's connections and refuse new ones\n"
    "  up N|all                accept again, at the same port\n"
    "  hang N|all              take connections and bytes, and never look at them\n"
    "  unhang N|all            go on with what came in meanwhile\n"
    "  rtt N|all MS            answer MS milliseconds late\n"
    "  error REQUEST COUNT CODE [N|all [MS]]\n"
    "                          answer the next COUNT requests of each named broker with CODE, MS\n"
    "                          late. After COUNT Produce errors the connection is closed once\n"
    "  topic-error TOPIC CODE  say CODE for the topic in metadata; NO_ERROR ends it\n"
    "  leader TOPIC PARTITION N  make broker N the leader; -1: there is none\n"
    "  create TOPIC PARTITIONS\n"
    "  sync                    with --record: wait until all that came in is in the file,\n"
    "                          answer \"ok RECORDS\"\n"
    "  quit\n";

struct words {
    char *at[WORDS_MAX];
    size_t count;
};

struct request_name {
    const char *name;
    int16_t key;
};

static const struct request_name requests[] = {
    {"Produce", PRODUCE_REQUEST}, {"Fetch", 1},        {"ListOffsets", 2},     {"Metadata", 3},
    {"FindCoordinator", 10},      {"ApiVersions", 18}, {"InitProducerId", 22},
};

struct command {
    const char *name;
    size_t words_min;
    size_t words_max;
    bool (*run)(struct embedded_broker *broker, const struct words *words, struct message *answer);
};

static bool answer_error(struct message *answer, rd_kafka_resp_err_t error)
{
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        message_set(answer, "error %s", rd_kafka_err2str(error));
        return false;
    }
    return true;
}

static bool parse_range(const struct embedded_broker *broker, const char *word, int ret_range[2],
                        struct message *answer)
{
    long number;

    if (strcmp(word, "all") == 0) {
        ret_range[0] = 1;
        ret_range[1] = broker->brokers_count;
        return true;
    }
    if (!client_parse_number(word, 1, broker->brokers_count, &number)) {
        message_set(answer, "error no broker \"%s\": there are 1 to %d, or all", word,
                    broker->brokers_count);
        return false;
    }
    ret_range[0] = ret_range[1] = (int)number;
    return true;
}

static bool parse_number(const char *word, long low, long high, long *ret_number,
                         struct message *answer)
{
    if (!client_parse_number(word, low, high, ret_number)) {
        message_set(answer, "error \"%s\" is not a number from %ld to %ld", word, low, high);
        return false;
    }
    return true;
}

static bool parse_error(const char *word, rd_kafka_resp_err_t *ret_error, struct message *answer)
{
    const struct rd_kafka_err_desc *descriptions;
    size_t count;

    rd_kafka_get_err_descs(&descriptions, &count);
    for (size_t i = 0; i < count; i++) {
        if (descriptions[i].name != NULL && strcmp(descriptions[i].name, word) == 0) {
            *ret_error = descriptions[i].code;
            return true;
        }
    }
    message_set(answer,
                "error no error code \"%s\": use librdkafka's names, such as "
                "NOT_LEADER_FOR_PARTITION or _TRANSPORT",
                word);
    return false;
}

static bool parse_request(const char *word, int16_t *ret_key, struct message *answer)
{
    for (size_t i = 0; i < SPOOL_COUNT_OF(requests); i++) {
        if (strcasecmp(requests[i].name, word) == 0) {
            *ret_key = requests[i].key;
            return true;
        }
    }
    message_set(answer,
                "error no request \"%s\": Produce, Fetch, ListOffsets, Metadata, "
                "FindCoordinator, ApiVersions or InitProducerId",
                word);
    return false;
}

static bool run_updown(struct embedded_broker *broker, const struct words *words,
                       struct message *answer)
{
    bool is_up = strcmp(words->at[0], "up") == 0;
    int range[2];

    if (!parse_range(broker, words->at[1], range, answer)) {
        return false;
    }
    for (int i = range[0]; i <= range[1]; i++) {
        rd_kafka_resp_err_t error = is_up ? rd_kafka_mock_broker_set_up(broker->cluster, i)
                                          : rd_kafka_mock_broker_set_down(broker->cluster, i);
        if (!answer_error(answer, error)) {
            return false;
        }
    }
    return true;
}

static bool run_hang(struct embedded_broker *broker, const struct words *words,
                     struct message *answer)
{
    int range[2];

    if (!parse_range(broker, words->at[1], range, answer)) {
        return false;
    }
    for (int i = range[0]; i <= range[1]; i++) {
        hooks_set_hung(i, strcmp(words->at[0], "hang") == 0);
    }
    return true;
}

static bool run_rtt(struct embedded_broker *broker, const struct words *words,
                    struct message *answer)
{
    int range[2];
    long rtt_ms;

    if (!parse_range(broker, words->at[1], range, answer) ||
        !parse_number(words->at[2], 0, RTT_MS_MAX, &rtt_ms, answer)) {
        return false;
    }
    for (int i = range[0]; i <= range[1]; i++) {
        if (!answer_error(answer, rd_kafka_mock_broker_set_rtt(broker->cluster, i, (int)rtt_ms))) {
            return false;
        }
    }
    return true;
}

static bool push_errors(struct embedded_broker *broker, int id, int16_t key, long count,
                        const int error_and_rtt[2], struct message *answer)
{
    for (long i = 0; i < count; i++) {
        rd_kafka_resp_err_t result = rd_kafka_mock_broker_push_request_error_rtts(
            broker->cluster, id, key, 1, (rd_kafka_resp_err_t)error_and_rtt[0], error_and_rtt[1]);
        if (!answer_error(answer, result)) {
            return false;
        }
    }
    if (key != PRODUCE_REQUEST) {
        return true;
    }
    /* The last one is the cut itself, so that the answers before it go out. */
    rd_kafka_resp_err_t result = rd_kafka_mock_broker_push_request_error_rtts(
        broker->cluster, id, key, 1, RD_KAFKA_RESP_ERR__TRANSPORT, 0);
    hooks_cut_after_errors(id);
    return answer_error(answer, result);
}

static bool run_error(struct embedded_broker *broker, const struct words *words,
                      struct message *answer)
{
    int16_t key;
    long count;
    rd_kafka_resp_err_t error;
    int range[2] = {1, broker->brokers_count};
    long rtt_ms = 0;

    if (!parse_request(words->at[1], &key, answer) ||
        !parse_number(words->at[2], 1, ERRORS_MAX, &count, answer) ||
        !parse_error(words->at[3], &error, answer) ||
        (words->count > 4 && !parse_range(broker, words->at[4], range, answer)) ||
        (words->count > 5 && !parse_number(words->at[5], 0, RTT_MS_MAX, &rtt_ms, answer))) {
        return false;
    }
    bool is_pushed = true;
    hooks_set_holding(true);
    for (int i = range[0]; is_pushed && i <= range[1]; i++) {
        is_pushed =
            push_errors(broker, i, key, count, (const int[]){(int)error, (int)rtt_ms}, answer);
    }
    hooks_set_holding(false);
    return is_pushed;
}

static bool run_topic_error(struct embedded_broker *broker, const struct words *words,
                            struct message *answer)
{
    rd_kafka_resp_err_t error;

    if (!parse_error(words->at[2], &error, answer)) {
        return false;
    }
    rd_kafka_mock_topic_set_error(broker->cluster, words->at[1], error);
    return true;
}

static bool run_leader(struct embedded_broker *broker, const struct words *words,
                       struct message *answer)
{
    long partition;
    long id;

    return parse_number(words->at[2], 0, PARTITIONS_MAX, &partition, answer) &&
           parse_number(words->at[3], -1, broker->brokers_count, &id, answer) &&
           answer_error(answer,
                        rd_kafka_mock_partition_set_leader(broker->cluster, words->at[1],
                                                           (int32_t)partition, (int32_t)id));
}

static bool run_create(struct embedded_broker *broker, const struct words *words,
                       struct message *answer)
{
    long partitions_count;

    return parse_number(words->at[2], 1, PARTITIONS_MAX, &partitions_count, answer) &&
           answer_error(answer,
                        rd_kafka_mock_topic_create(broker->cluster, words->at[1],
                                                   (int)partitions_count, broker->brokers_count));
}

static bool run_sync(struct embedded_broker *broker, const struct words *words,
                     struct message *answer)
{
    struct message failure;
    uint64_t records_count;
    (void)words;

    if (broker->recorder == NULL) {
        message_set(answer, "error nothing is recorded: start with --record FILE");
        return false;
    }
    if (!recorder_sync(broker->recorder, &records_count, &failure)) {
        message_set(answer, "error %s", failure.text);
        return false;
    }
    message_set(answer, "ok %llu", (unsigned long long)records_count);
    return true;
}

static bool run_quit(struct embedded_broker *broker, const struct words *words,
                     struct message *answer)
{
    (void)words;
    (void)answer;
    broker->is_quitting = true;
    return true;
}

static const struct command commands[] = {
    {"down", 2, 2, run_updown},
    {"up", 2, 2, run_updown},
    {"hang", 2, 2, run_hang},
    {"unhang", 2, 2, run_hang},
    {"rtt", 3, 3, run_rtt},
    {"error", 4, 6, run_error},
    {"topic-error", 3, 3, run_topic_error},
    {"leader", 4, 4, run_leader},
    {"create", 3, 3, run_create},
    {"sync", 1, 1, run_sync},
    {"quit", 1, 1, run_quit},
};

static bool split(char *line, struct words *words)
{
    char *rest = NULL;

    words->count = 0;
    for (char *word = strtok_r(line, " \t\r\n", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r\n", &rest)) {
        if (words->count == WORDS_MAX) {
            return false;
        }
        words->at[words->count++] = word;
    }
    return words->count > 0;
}

void command_run(struct embedded_broker *broker, char *line, struct message *answer)
{
    struct words words;

    if (!split(line, &words)) {
        message_set(answer, "error a command and at most %d words in all are expected", WORDS_MAX);
        return;
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(commands); i++) {
        if (strcmp(commands[i].name, words.at[0]) != 0) {
            continue;
        }
        if (words.count < commands[i].words_min || words.count > commands[i].words_max) {
            message_set(answer, "error wrong number of arguments to \"%s\"", words.at[0]);
            return;
        }
        message_set(answer, "ok");
        commands[i].run(broker, &words, answer);
        return;
    }
    message_set(answer, "error no command \"%s\"", words.at[0]);
}
