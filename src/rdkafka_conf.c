/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/rdkafka_conf.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spool/limits.h"
#include "src/address.h"
#include "src/sink.h"

#define STRING(number) STRING_OF(number)
#define STRING_OF(number) #number

/* What the client may hold: each record that the forwarder has in flight, and as many whose
 * reports wait to be taken. */
#define QUEUE_RECORDS_MAX 65536
#define QUEUE_KBYTES_MAX 32768

static_assert(QUEUE_RECORDS_MAX >= 2 * INFLIGHT_RECORDS_MAX, "the client's queue holds the window");
static_assert(QUEUE_KBYTES_MAX >= 2 * (INFLIGHT_BYTES_MAX >> 10), "and its bytes");

struct setting {
    const char *name;
    const char *value;
};

/* What holds where the user says nothing else. */
static const struct setting defaults[] = {
    {"client.id", "kafka-spool"},
    {"enable.idempotence", "true"},
    /* Nothing is on the wire behind a batch that a broker may still reject, or, for want of
     * anything to compare its sequence with, take out of order. */
    {"max.in.flight", "1"},
    /* The spool owns expiry: a timeout in the client would leave a gap in the order. */
    {"message.timeout.ms", "0"},
    {"linger.ms", "5"},
    {"queue.buffering.max.messages", STRING(QUEUE_RECORDS_MAX)},
    {"queue.buffering.max.kbytes", STRING(QUEUE_KBYTES_MAX)},
    /* Log lines wait in the event queue until the sink is polled, so that they come on the
     * forwarder's thread. */
    {"log.queue", "true"},
    {"log_level", "5"},
};

void rdkafka_conf_refuse(const struct address_property *property, struct message *message,
                         const char *format, ...)
{
    char reason[MESSAGE_BYTES_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    message_set(message, "%c.%s (position %zu): %s",
                property->scope == ADDRESS_SCOPE_GLOBAL ? 'g' : 't', property->name,
                property->position, reason);
}

void rdkafka_conf_free(struct rd_kafka_conf_s **conf)
{
    if (*conf != NULL) {
        rd_kafka_conf_destroy(*conf);
        *conf = NULL;
    }
}

void rdkafka_conf_topic_free(struct rd_kafka_topic_conf_s **topic_conf)
{
    if (*topic_conf != NULL) {
        rd_kafka_topic_conf_destroy(*topic_conf);
        *topic_conf = NULL;
    }
}

struct rd_kafka_topic_conf_s *rdkafka_conf_topic_dup(struct rd_kafka_conf_s *conf)
{
    /* There is one: message.timeout.ms, one of our defaults, made it. */
    return rd_kafka_topic_conf_dup(rd_kafka_conf_get_default_topic_conf(conf));
}

/* Whether librdkafka has a global property, or a topic's, of this name. */
static bool is_known(const char *name)
{
    SPOOL_CLEANUP(rdkafka_conf_free) rd_kafka_conf_t *conf = rd_kafka_conf_new();
    size_t size = 0;

    return rd_kafka_conf_get(conf, name, NULL, &size) != RD_KAFKA_CONF_UNKNOWN;
}

/* Turns librdkafka's answer to a property into ours. Its text may quote the value. */
static int result_of(rd_kafka_conf_res_t result, const struct address_property *property,
                     const char *text, struct message *message)
{
    if (result == RD_KAFKA_CONF_OK) {
        return 0;
    }
    if (result == RD_KAFKA_CONF_INVALID && property->is_secret) {
        rdkafka_conf_refuse(property, message,
                            "librdkafka %s does not take this value (a secret, so not shown)",
                            rd_kafka_version_str());
    } else if (result == RD_KAFKA_CONF_INVALID) {
        rdkafka_conf_refuse(property, message, "librdkafka %s does not take \"%s\": %s",
                            rd_kafka_version_str(), property->value, text);
    } else if (property->scope == ADDRESS_SCOPE_TOPIC && is_known(property->name)) {
        rdkafka_conf_refuse(property, message, "is not a property of topics: write g.%s",
                            property->name);
    } else {
        rdkafka_conf_refuse(property, message,
                            "librdkafka %s has no property of this name (its CONFIGURATION.md "
                            "lists them)",
                            rd_kafka_version_str());
    }
    return SINK_E_REJECTED;
}

int rdkafka_conf_new(const struct address *address, struct rd_kafka_conf_s **ret_conf,
                     struct message *message)
{
    SPOOL_CLEANUP(rdkafka_conf_free) rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];

    for (size_t i = 0; i < SPOOL_COUNT_OF(defaults); i++) {
        rd_kafka_conf_res_t result =
            rd_kafka_conf_set(conf, defaults[i].name, defaults[i].value, text, sizeof(text));
        assert(result == RD_KAFKA_CONF_OK);
        (void)result;
    }
    if (rd_kafka_conf_set(conf, "bootstrap.servers", address->brokers, text, sizeof(text)) !=
        RD_KAFKA_CONF_OK) {
        message_set(message, "brokers: librdkafka %s does not take them: %s",
                    rd_kafka_version_str(), text);
        return SINK_E_REJECTED;
    }
    for (size_t i = 0; i < address->properties_count; i++) {
        const struct address_property *property = &address->properties[i];
        int r;

        if (property->scope != ADDRESS_SCOPE_GLOBAL) {
            continue;
        }
        r = result_of(rd_kafka_conf_set(conf, property->name, property->value, text, sizeof(text)),
                      property, text, message);
        if (r != 0) {
            return r;
        }
    }
    *ret_conf = SPOOL_TAKE(conf);
    return 0;
}

int rdkafka_conf_topic_set(const struct address *address, struct rd_kafka_topic_conf_s *topic_conf,
                           struct message *message)
{
    char text[512];

    for (size_t i = 0; i < address->properties_count; i++) {
        const struct address_property *property = &address->properties[i];
        int r;

        if (property->scope != ADDRESS_SCOPE_TOPIC) {
            continue;
        }
        r = result_of(rd_kafka_topic_conf_set(topic_conf, property->name, property->value, text,
                                              sizeof(text)),
                      property, text, message);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

void rdkafka_conf_value(const struct rd_kafka_conf_s *conf, const char *name,
                        char value[RDKAFKA_CONF_VALUE_BYTES_MAX])
{
    size_t size_bytes = RDKAFKA_CONF_VALUE_BYTES_MAX;

    value[0] = '\0';
    if (rd_kafka_conf_get(conf, name, value, &size_bytes) != RD_KAFKA_CONF_OK) {
        value[0] = '\0';
    }
}

void rdkafka_conf_topic_value(const struct rd_kafka_topic_conf_s *topic_conf, const char *name,
                              char value[RDKAFKA_CONF_VALUE_BYTES_MAX])
{
    size_t size_bytes = RDKAFKA_CONF_VALUE_BYTES_MAX;

    value[0] = '\0';
    if (rd_kafka_topic_conf_get(topic_conf, name, value, &size_bytes) != RD_KAFKA_CONF_OK) {
        value[0] = '\0';
    }
}

/* librdkafka's manual of itself: a line a property, "name | C/P | ...", where C stands for a
 * property of consumers, P of producers, * of both. */
static bool manual_says_consumer(char *manual, const char *name)
{
    char *rest = NULL;

    for (char *line = strtok_r(manual, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *cell_rest = NULL;
        const char *found = strtok_r(line, " |", &cell_rest);
        const char *clients = found != NULL ? strtok_r(NULL, " |", &cell_rest) : NULL;

        if (clients != NULL && strcmp(found, name) == 0) {
            return strcmp(clients, "C") == 0;
        }
    }
    return false;
}

bool rdkafka_conf_is_for_consumers(const char *name)
{
    char *manual = NULL;
    size_t size_bytes = 0;
    FILE *stream = open_memstream(&manual, &size_bytes);
    bool is_for_consumers = false;

    if (stream != NULL) {
        rd_kafka_conf_properties_show(stream);
        if (fclose(stream) == 0) {
            is_for_consumers = manual_says_consumer(manual, name);
        }
    }
    free(manual);
    return is_for_consumers;
}
