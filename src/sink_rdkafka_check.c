/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an address may ask of librdkafka. No producer is made: it has threads, and this runs before
 * forks too. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "src/address.h"
#include "src/rdkafka_conf.h"
#include "src/sink_rdkafka.h"

/* Properties that are the project's own, and why. */
struct owned {
    const char *pattern; /* of fnmatch() */
    const char *reason;
};

static const struct owned owned_table[] = {
    {"bootstrap.servers", "brokers stand at the start of the address"},
    {"metadata.broker.list", "brokers stand at the start of the address"},
    {"transaction*", "records are produced one by one, not in transactions"},
    {"delivery.report.only.error", "every record needs its delivery report"},
    {"enabled_events", "the events of the client are taken by the forwarder"},
    {"log.queue", "the log of the client is taken by the forwarder"},
    {"statistics.interval.ms", "nobody would read the statistics of the client"},
    {"*_cb", "takes code, which an address cannot hold"},
    {"opaque", "takes code, which an address cannot hold"},
    {"default_topic_conf", "takes code, which an address cannot hold"},
    {"interceptors", "takes code, which an address cannot hold"},
    {"ssl_engine_callback_data", "takes code, which an address cannot hold"},
    {"ssl_key", "takes code: use ssl.key.location or ssl.key.pem"},
    {"ssl_certificate", "takes code: use ssl.certificate.location or ssl.certificate.pem"},
    {"ssl_ca", "takes code: use ssl.ca.location or ssl.ca.pem"},
    {"plugin.library.paths", "would load foreign code into this process"},
    {"internal.termination.signal", "would send signals to this process"},
    {"test.mock.*", "would swallow the records in a mock broker inside of this process"},
    {"ut_*", "is for librdkafka's own tests"},
};

/* A value that librdkafka refuses beside enable.idempotence=true when the producer is made. */
struct conflict {
    const char *names[3]; /* of the property; the first is its own, others are aliases */
    bool (*is_conflict)(const char *value);
    const char *remedy;
};

static bool is_not_all(const char *value)
{
    return strcmp(value, "-1") != 0 && strcmp(value, "all") != 0;
}

static bool is_above_5(const char *value)
{
    return strtol(value, NULL, 10) > 5;
}

static bool is_above_1(const char *value)
{
    return strtol(value, NULL, 10) > 1;
}

static bool is_below_1(const char *value)
{
    return strtol(value, NULL, 10) < 1;
}

static bool is_lifo(const char *value)
{
    return strcmp(value, "lifo") == 0;
}

static const struct conflict conflicts[] = {
    {{"request.required.acks", "acks"}, is_not_all, "must be all"},
    {{"max.in.flight.requests.per.connection", "max.in.flight"}, is_above_5, "must be at most 5"},
    {{"message.send.max.retries", "retries"}, is_below_1, "must be at least 1"},
    {{"queuing.strategy"}, is_lifo, "must be fifo"},
    {{"queue.buffering.backpressure.threshold"}, is_above_1, "must be 1"},
};

/* What the address's properties make together. */
struct effective {
    struct rd_kafka_conf_s *conf;
    struct rd_kafka_topic_conf_s *topic_conf;
};

static void effective_deinit(struct effective *effective)
{
    rdkafka_conf_topic_free(&effective->topic_conf);
    rdkafka_conf_free(&effective->conf);
}

static void effective_value(const struct effective *effective, enum address_scope scope,
                            const char *name, char value[RDKAFKA_CONF_VALUE_BYTES_MAX])
{
    if (scope == ADDRESS_SCOPE_GLOBAL) {
        rdkafka_conf_value(effective->conf, name, value);
    } else {
        rdkafka_conf_topic_value(effective->topic_conf, name, value);
    }
}

static int check_allowed(const struct address_property *property, struct message *message)
{
    for (size_t i = 0; i < SPOOL_COUNT_OF(owned_table); i++) {
        if (fnmatch(owned_table[i].pattern, property->name, 0) == 0) {
            rdkafka_conf_refuse(property, message, "may not be set: %s", owned_table[i].reason);
            return SINK_E_REJECTED;
        }
    }
    if (rdkafka_conf_is_for_consumers(property->name)) {
        rdkafka_conf_refuse(property, message, "is for consumers, and this is a producer");
        return SINK_E_REJECTED;
    }
    return 0;
}

/* The rule for a property, by its name or an alias; NULL: none. */
static const struct conflict *find_conflict(const char *name)
{
    for (size_t i = 0; i < SPOOL_COUNT_OF(conflicts); i++) {
        for (size_t j = 0; j < SPOOL_COUNT_OF(conflicts[i].names); j++) {
            if (conflicts[i].names[j] != NULL && strcmp(conflicts[i].names[j], name) == 0) {
                return &conflicts[i];
            }
        }
    }
    return NULL;
}

static int check_idempotence(const struct address_property *property,
                             const struct effective *effective, struct message *message)
{
    const struct conflict *conflict = find_conflict(property->name);
    char value[RDKAFKA_CONF_VALUE_BYTES_MAX];

    rdkafka_conf_value(effective->conf, "enable.idempotence", value);
    if (conflict == NULL || strcmp(value, "true") != 0) {
        return 0;
    }
    effective_value(effective, property->scope, conflict->names[0], value);
    if (!conflict->is_conflict(value)) {
        return 0;
    }
    rdkafka_conf_refuse(property, message,
                        "%s, since idempotence is on (it keeps order and avoids duplicates; "
                        "g.enable.idempotence=false turns it off)",
                        conflict->remedy);
    return SINK_E_REJECTED;
}

/* A batch is waited for as long as linger.ms says: a record must not have timed out by then. */
static int check_timeout(const struct address_property *property, const struct effective *effective,
                         struct message *message)
{
    char timeout_ms[RDKAFKA_CONF_VALUE_BYTES_MAX];
    char linger_ms[RDKAFKA_CONF_VALUE_BYTES_MAX];

    if (strcmp(property->name, "message.timeout.ms") != 0 &&
        strcmp(property->name, "delivery.timeout.ms") != 0) {
        return 0;
    }
    effective_value(effective, property->scope, "message.timeout.ms", timeout_ms);
    rdkafka_conf_value(effective->conf, "linger.ms", linger_ms);
    if (strtol(timeout_ms, NULL, 10) != 0 && strtod(timeout_ms, NULL) <= strtod(linger_ms, NULL)) {
        rdkafka_conf_refuse(property, message,
                            "must be 0 (no timeout) or greater than g.linger.ms, which is %s",
                            linger_ms);
        return SINK_E_REJECTED;
    }
    return 0;
}

int sink_rdkafka_check(const struct address *address, struct message *message)
{
    SPOOL_CLEANUP(effective_deinit) struct effective effective = {NULL, NULL};
    int r;

    /* First what may not even be tried: some of these act as soon as they are set. */
    for (size_t i = 0; i < address->properties_count; i++) {
        r = check_allowed(&address->properties[i], message);
        if (r != 0) {
            return r;
        }
    }
    r = rdkafka_conf_new(address, &effective.conf, message);
    if (r != 0) {
        return r;
    }
    effective.topic_conf = rdkafka_conf_topic_dup(effective.conf);
    r = rdkafka_conf_topic_set(address, effective.topic_conf, message);
    if (r != 0) {
        return r;
    }
    for (size_t i = 0; i < address->properties_count; i++) {
        r = check_idempotence(&address->properties[i], &effective, message);
        if (r != 0) {
            return r;
        }
        r = check_timeout(&address->properties[i], &effective, message);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* librdkafka compares message.max.bytes with key, payload, serialized headers and this, the most
 * that the fixed fields of a record can take (rdkafka_proto.h). */
#define RECORD_OVERHEAD_BYTES (5 + 1 + 10 + 5 + 5 + 5 + 5)

/* The header "spool-id": its name, the longest value (a uuid, a colon, 20 digits), two lengths. */
#define SPOOL_ID_HEADER_BYTES (8 + (36 + 1 + 20) + 2)

#define MAX_BYTES_DEFAULT 1000000

size_t sink_rdkafka_record_bytes_max(const struct address *address)
{
    SPOOL_CLEANUP(rdkafka_conf_free) struct rd_kafka_conf_s *conf = NULL;
    char value[RDKAFKA_CONF_VALUE_BYTES_MAX];
    struct message message;
    size_t message_bytes_max = MAX_BYTES_DEFAULT;

    if (rdkafka_conf_new(address, &conf, &message) == 0) {
        rdkafka_conf_value(conf, "message.max.bytes", value);
        message_bytes_max = strtoul(value, NULL, 10);
    }
    return message_bytes_max - RECORD_OVERHEAD_BYTES - SPOOL_ID_HEADER_BYTES;
}
