/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * librdkafka's configuration objects, made from an address. Each call names the property that it
 * failed on, as the user wrote it, and never shows a secret's value.
 */
#ifndef SRC_RDKAFKA_CONF_H
#define SRC_RDKAFKA_CONF_H

#include "spool/base.h"
#include "spool/message.h"

struct address;
struct address_property;
struct rd_kafka_conf_s;
struct rd_kafka_topic_conf_s;

#define RDKAFKA_CONF_VALUE_BYTES_MAX 512

/* Makes the configuration of a producer: the project's defaults, then the address's brokers and
 * its g. properties. A g. property may also be one of topics: it is then every topic's default.
 * Starts nothing. 0, SINK_E_REJECTED with a message. */
SPOOL_MUST_CHECK int rdkafka_conf_new(const struct address *address,
                                      struct rd_kafka_conf_s **ret_conf, struct message *message);

void rdkafka_conf_free(struct rd_kafka_conf_s **conf);

/* A copy of the topic defaults in a producer's configuration. */
SPOOL_MUST_CHECK struct rd_kafka_topic_conf_s *rdkafka_conf_topic_dup(struct rd_kafka_conf_s *conf);

void rdkafka_conf_topic_free(struct rd_kafka_topic_conf_s **topic_conf);

/* Applies the address's t. properties to a topic's configuration. 0, SINK_E_REJECTED with a
 * message. */
SPOOL_MUST_CHECK int rdkafka_conf_topic_set(const struct address *address,
                                            struct rd_kafka_topic_conf_s *topic_conf,
                                            struct message *message);

/* The value in force, as librdkafka spells it; "" for one without a value. conf's topic defaults
 * are looked at too. */
void rdkafka_conf_value(const struct rd_kafka_conf_s *conf, const char *name,
                        char value[RDKAFKA_CONF_VALUE_BYTES_MAX]);
void rdkafka_conf_topic_value(const struct rd_kafka_topic_conf_s *topic_conf, const char *name,
                              char value[RDKAFKA_CONF_VALUE_BYTES_MAX]);

/* Whether librdkafka has a property of this name that only consumers use. */
SPOOL_MUST_CHECK bool rdkafka_conf_is_for_consumers(const char *name);

/* Sets message to "g.acks (position 31): reason". */
void rdkafka_conf_refuse(const struct address_property *property, struct message *message,
                         const char *format, ...) SPOOL_PRINTF(3, 4);

#endif
