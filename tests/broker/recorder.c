/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/broker/recorder.h"

#include "tests/broker/client.h"
#include "tests/broker/record_line.h"
#include "tests/broker/socket_hooks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_RECORDS 4096
#define IDLE_WAIT_MS 5
#define READ_WAIT_MS 100
#define QUERY_WAIT_MS 5000
#define SYNC_WAIT_MS 60000
#define FILE_BUFFER_BYTES (1U << 20)

struct recorder {
    pthread_t thread;
    bool is_started;
    atomic_bool is_stopping;
    atomic_uint_fast64_t recorded_bytes; /* R1's bytes of the last complete round */
    atomic_uint_fast64_t records_count;
    atomic_bool has_failed;
    struct message failure; /* written once, before has_failed */
    rd_kafka_t *consumer;
    rd_kafka_t *asker; /* its answers do not wait behind the consumer's fetches */
    rd_kafka_queue_t *queue;
    rd_kafka_topic_partition_list_t *positions; /* the next offset of each partition */
    FILE *file;
};

static void fail(struct recorder *recorder, const struct message *message)
{
    if (atomic_load(&recorder->has_failed)) {
        return;
    }
    recorder->failure = *message;
    atomic_store(&recorder->has_failed, true);
    fprintf(stderr, "test-broker: record: %s\n", message->text);
    /* The test has failed; it should find out rather than hang. */
    hooks_open_gate();
}

static rd_kafka_topic_partition_list_t *list_partitions(const struct rd_kafka_metadata *metadata)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);

    for (int i = 0; i < metadata->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[i];
        for (int j = 0; j < topic->partition_cnt; j++) {
            rd_kafka_topic_partition_list_add(list, topic->topic, topic->partitions[j].id)->offset =
                RD_KAFKA_OFFSET_END;
        }
    }
    return list;
}

/* R2. Returns NULL when the brokers do not answer: they may be down. */
static rd_kafka_topic_partition_list_t *ask_targets(struct recorder *recorder)
{
    SPOOL_CLEANUP(client_metadata_free) const struct rd_kafka_metadata *metadata = NULL;

    if (rd_kafka_metadata(recorder->asker, 1, NULL, &metadata, QUERY_WAIT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        return NULL;
    }
    SPOOL_CLEANUP(client_partitions_free)
    rd_kafka_topic_partition_list_t *targets = list_partitions(metadata);
    if (targets->cnt == 0) {
        return SPOOL_TAKE(targets);
    }
    if (rd_kafka_offsets_for_times(recorder->asker, targets, QUERY_WAIT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        return NULL;
    }
    for (int i = 0; i < targets->cnt; i++) {
        if (targets->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR || targets->elems[i].offset < 0) {
            return NULL;
        }
    }
    return SPOOL_TAKE(targets);
}

/* Starts to read partitions that were not there before. */
static void follow(struct recorder *recorder, const rd_kafka_topic_partition_list_t *targets)
{
    SPOOL_CLEANUP(client_metadata_free) const struct rd_kafka_metadata *metadata = NULL;
    SPOOL_CLEANUP(client_partitions_free)
    rd_kafka_topic_partition_list_t *added = rd_kafka_topic_partition_list_new(16);

    for (int i = 0; i < targets->cnt; i++) {
        const rd_kafka_topic_partition_t *target = &targets->elems[i];
        if (rd_kafka_topic_partition_list_find(recorder->positions, target->topic,
                                               target->partition) == NULL) {
            rd_kafka_topic_partition_list_add(recorder->positions, target->topic, target->partition)
                ->offset = 0;
            rd_kafka_topic_partition_list_add(added, target->topic, target->partition)->offset = 0;
        }
    }
    if (added->cnt == 0) {
        return;
    }
    /* A consumer that knows a new partition's leader reads it at once. Else it asks when it next
     * looks at its topics, which is each second. */
    (void)rd_kafka_metadata(recorder->consumer, 1, NULL, &metadata, QUERY_WAIT_MS);
    SPOOL_CLEANUP(client_error_free)
    rd_kafka_error_t *error = rd_kafka_incremental_assign(recorder->consumer, added);
    if (error != NULL) {
        struct message message;
        message_set(&message, "cannot read new partitions: %s", rd_kafka_error_string(error));
        fail(recorder, &message);
    }
}

static void take_record(struct recorder *recorder, const rd_kafka_message_t *record)
{
    const char *topic = rd_kafka_topic_name(record->rkt);
    struct message message;

    if (record->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        message_set(&message, "topic %s partition %d: records were dropped before they were read",
                    topic, record->partition);
        fail(recorder, &message);
    }
    if (record->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    rd_kafka_topic_partition_t *position =
        rd_kafka_topic_partition_list_find(recorder->positions, topic, record->partition);
    if (position == NULL || record->offset < position->offset) {
        return;
    }
    if (record->offset > position->offset) {
        message_set(&message, "topic %s partition %d: offsets %lld to %lld were lost", topic,
                    record->partition, (long long)position->offset, (long long)record->offset - 1);
        fail(recorder, &message);
    }
    position->offset = record->offset + 1;
    record_line_write(recorder->file, record, PAYLOAD_BASE64);
    atomic_fetch_add(&recorder->records_count, 1);
}

static void read_batch(struct recorder *recorder, int wait_ms)
{
    rd_kafka_message_t *records[BATCH_RECORDS];
    size_t count = client_read(recorder->queue, wait_ms, records, SPOOL_COUNT_OF(records));

    for (size_t i = 0; i < count; i++) {
        if (records[i]->rkt != NULL) {
            take_record(recorder, records[i]);
        }
        rd_kafka_message_destroy(records[i]);
    }
}

static bool has_reached(const struct recorder *recorder,
                        const rd_kafka_topic_partition_list_t *targets)
{
    for (int i = 0; i < targets->cnt; i++) {
        const rd_kafka_topic_partition_t *target = &targets->elems[i];
        const rd_kafka_topic_partition_t *position = rd_kafka_topic_partition_list_find(
            recorder->positions, target->topic, target->partition);
        if (position->offset < target->offset) {
            return false;
        }
    }
    return true;
}

/* One round R1 to R4. */
static void record_round(struct recorder *recorder)
{
    uint64_t received_bytes = hooks_received_bytes();
    SPOOL_CLEANUP(client_partitions_free)
    rd_kafka_topic_partition_list_t *targets = ask_targets(recorder);

    if (targets == NULL) {
        read_batch(recorder, IDLE_WAIT_MS);
        return;
    }
    follow(recorder, targets);
    while (!has_reached(recorder, targets)) {
        if (atomic_load(&recorder->is_stopping) || atomic_load(&recorder->has_failed)) {
            return;
        }
        read_batch(recorder, READ_WAIT_MS);
    }
    if (fflush(recorder->file) != 0 || ferror(recorder->file)) {
        struct message message;
        message_set(&message, "the file cannot be written: %m");
        fail(recorder, &message);
        return;
    }
    hooks_release(received_bytes);
    atomic_store(&recorder->recorded_bytes, received_bytes);
}

static void *record_main(void *argument)
{
    struct recorder *recorder = argument;

    while (!atomic_load(&recorder->is_stopping) && !atomic_load(&recorder->has_failed)) {
        if (hooks_received_bytes() != atomic_load(&recorder->recorded_bytes)) {
            record_round(recorder);
        } else {
            read_batch(recorder, IDLE_WAIT_MS);
        }
    }
    return NULL;
}

static rd_kafka_t *open_client(rd_kafka_type_t type, const char *bootstraps,
                               struct message *message)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_connect_cb(conf, hooks_connect_privately);
    client_set(conf, "bootstrap.servers", bootstraps);
    client_set(conf, "log_level", "2");
    client_set(conf, "reconnect.backoff.ms", "10");
    client_set(conf, "reconnect.backoff.max.ms", "100");
    if (type == RD_KAFKA_CONSUMER) {
        client_set(conf, "group.id", "test-broker");
        client_set(conf, "auto.offset.reset", "error");
        client_set(conf, "enable.auto.commit", "false");
        client_set(conf, "fetch.wait.max.ms", "2");
        client_set(conf, "fetch.error.backoff.ms", "10");
        client_set(conf, "check.crcs", "true");
        client_set(conf, "topic.metadata.refresh.interval.ms", "1000");
    }
    return client_new(type, &conf, message);
}

static bool open_parts(struct recorder *recorder, const char *bootstraps, const char *path,
                       struct message *message)
{
    recorder->file = fopen(path, "we");
    if (recorder->file == NULL) {
        message_set(message, "cannot write \"%s\": %m", path);
        return false;
    }
    setvbuf(recorder->file, NULL, _IOFBF, FILE_BUFFER_BYTES);
    recorder->asker = open_client(RD_KAFKA_PRODUCER, bootstraps, message);
    recorder->consumer = open_client(RD_KAFKA_CONSUMER, bootstraps, message);
    if (recorder->asker == NULL || recorder->consumer == NULL) {
        return false;
    }
    rd_kafka_poll_set_consumer(recorder->consumer);
    recorder->queue = rd_kafka_queue_get_consumer(recorder->consumer);
    recorder->positions = rd_kafka_topic_partition_list_new(16);

    SPOOL_CLEANUP(client_metadata_free) const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t error =
        rd_kafka_metadata(recorder->asker, 0, NULL, &metadata, QUERY_WAIT_MS);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR || !hooks_are_called()) {
        message_set(message, "recording does not work with this librdkafka (%s): %s",
                    rd_kafka_version_str(), rd_kafka_err2str(error));
        return false;
    }
    return true;
}

struct recorder *recorder_open(const char *bootstraps, const char *path, struct message *message)
{
    SPOOL_CLEANUP(recorder_close) struct recorder *recorder = calloc(1, sizeof(*recorder));

    if (recorder == NULL) {
        message_set(message, "out of memory");
        return NULL;
    }
    if (!open_parts(recorder, bootstraps, path, message)) {
        return NULL;
    }
    hooks_close_gate();
    if (pthread_create(&recorder->thread, NULL, record_main, recorder) != 0) {
        message_set(message, "cannot start the recorder's thread");
        return NULL;
    }
    recorder->is_started = true;
    return SPOOL_TAKE(recorder);
}

bool recorder_sync(struct recorder *recorder, uint64_t *ret_records_count, struct message *message)
{
    uint64_t wanted_bytes = hooks_received_bytes();
    uint64_t deadline_ms = client_now_ms() + SYNC_WAIT_MS;

    while (atomic_load(&recorder->recorded_bytes) < wanted_bytes) {
        if (atomic_load(&recorder->has_failed)) {
            break;
        }
        if (client_now_ms() > deadline_ms) {
            message_set(message, "not everything was recorded within %d s: are the brokers up?",
                        SYNC_WAIT_MS / 1000);
            return false;
        }
        client_sleep_us(1000);
    }
    if (atomic_load(&recorder->has_failed)) {
        *message = recorder->failure;
        return false;
    }
    *ret_records_count = atomic_load(&recorder->records_count);
    return true;
}

void recorder_close(struct recorder **recorder)
{
    struct recorder *closing = SPOOL_TAKE(*recorder);

    if (closing == NULL) {
        return;
    }
    if (closing->is_started) {
        atomic_store(&closing->is_stopping, true);
        pthread_join(closing->thread, NULL);
    }
    client_queue_free(&closing->queue);
    if (closing->consumer != NULL) {
        rd_kafka_consumer_close(closing->consumer);
    }
    client_free(&closing->consumer);
    client_free(&closing->asker);
    client_partitions_free(&closing->positions);
    client_file_close(&closing->file);
    free(closing);
}
