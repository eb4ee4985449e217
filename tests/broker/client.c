/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/broker/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROPERTY_NAME_BYTES_MAX 128
#define SECRET_BYTES_MAX 1024

static const char secret_file_property[] = "sasl.password.file";

static bool set_value(rd_kafka_conf_t *conf, const char *name, const char *value,
                      struct message *message)
{
    char text[512];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        message_set(message, "property \"%s\": %s", name, text);
        return false;
    }
    return true;
}

static bool set_password_from_file(rd_kafka_conf_t *conf, const char *path, struct message *message)
{
    SPOOL_CLEANUP(client_file_close) FILE *file = fopen(path, "re");
    char password[SECRET_BYTES_MAX];

    if (file == NULL || fgets(password, sizeof(password), file) == NULL) {
        message_set(message, "%s: no password can be read from \"%s\"", secret_file_property, path);
        return false;
    }
    password[strcspn(password, "\r\n")] = '\0';
    char text[512];
    /* librdkafka's text could repeat the value, so it is not shown. */
    if (rd_kafka_conf_set(conf, "sasl.password", password, text, sizeof(text)) !=
        RD_KAFKA_CONF_OK) {
        message_set(message, "sasl.password was refused");
        return false;
    }
    return true;
}

bool client_set_property(rd_kafka_conf_t *conf, const char *property, struct message *message)
{
    const char *equals = strchr(property, '=');
    char name[PROPERTY_NAME_BYTES_MAX];

    if (equals == NULL || equals == property || (size_t)(equals - property) >= sizeof(name)) {
        message_set(message, "a property must be name=value");
        return false;
    }
    memcpy(name, property, (size_t)(equals - property));
    name[equals - property] = '\0';

    if (strcmp(name, secret_file_property) == 0) {
        return set_password_from_file(conf, equals + 1, message);
    }
    return set_value(conf, name, equals + 1, message);
}

void client_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    struct message message;
    bool is_set = set_value(conf, name, value, &message);
    assert(is_set);
    (void)is_set;
}

rd_kafka_t *client_new(rd_kafka_type_t type, rd_kafka_conf_t **conf, struct message *message)
{
    char text[512];
    rd_kafka_t *client = rd_kafka_new(type, *conf, text, sizeof(text));

    if (client == NULL) {
        client_conf_free(conf);
        message_set(message, "cannot create a Kafka client: %s", text);
        return NULL;
    }
    *conf = NULL;
    return client;
}

bool client_parse_number(const char *text, long low, long high, long *ret_number)
{
    char *end;

    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < low || number > high) {
        return false;
    }
    *ret_number = number;
    return true;
}

size_t client_read(rd_kafka_queue_t *queue, int wait_ms, rd_kafka_message_t **ret_records,
                   size_t records_max)
{
    ret_records[0] = rd_kafka_consume_queue(queue, wait_ms);
    if (ret_records[0] == NULL) {
        return 0;
    }
    ssize_t more_count = rd_kafka_consume_batch_queue(queue, 0, ret_records + 1, records_max - 1);
    return more_count > 0 ? (size_t)more_count + 1 : 1;
}

uint64_t client_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void client_sleep_us(long sleep_us)
{
    struct timespec length = {sleep_us / 1000000, sleep_us % 1000000 * 1000};

    clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
}

void client_conf_free(rd_kafka_conf_t **conf)
{
    if (*conf != NULL) {
        rd_kafka_conf_destroy(SPOOL_TAKE(*conf));
    }
}

void client_free(rd_kafka_t **client)
{
    if (*client != NULL) {
        rd_kafka_destroy(SPOOL_TAKE(*client));
    }
}

void client_queue_free(rd_kafka_queue_t **queue)
{
    if (*queue != NULL) {
        rd_kafka_queue_destroy(SPOOL_TAKE(*queue));
    }
}

void client_partitions_free(rd_kafka_topic_partition_list_t **partitions)
{
    if (*partitions != NULL) {
        rd_kafka_topic_partition_list_destroy(SPOOL_TAKE(*partitions));
    }
}

void client_metadata_free(const struct rd_kafka_metadata **metadata)
{
    if (*metadata != NULL) {
        rd_kafka_metadata_destroy(SPOOL_TAKE(*metadata));
    }
}

void client_error_free(rd_kafka_error_t **error)
{
    if (*error != NULL) {
        rd_kafka_error_destroy(SPOOL_TAKE(*error));
    }
}

void client_file_close(FILE **file)
{
    if (*file != NULL) {
        fclose(SPOOL_TAKE(*file));
    }
}
