/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the test programs share as Kafka clients: configuration from options, cleanup functions. */
#ifndef TESTS_BROKER_CLIENT_H
#define TESTS_BROKER_CLIENT_H

#include "spool/base.h"
#include "spool/message.h"

#include <librdkafka/rdkafka.h>

#include <stdio.h>

/* Exit codes of the test programs. */
enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_INCOMPLETE = 3,
};

/* Sets one "name=value" property. "sasl.password.file=PATH" sets sasl.password to the first line
 * of that file, so that the password is never an argument. Returns false with a message. */
bool client_set_property(rd_kafka_conf_t *conf, const char *property, struct message *message);

/* Sets a property that this program chose itself: one that librdkafka refuses is our mistake. */
void client_set(rd_kafka_conf_t *conf, const char *name, const char *value);

/* Creates a handle of the given type; *conf is NULL afterwards in any case. Returns NULL with a
 * message. */
rd_kafka_t *client_new(rd_kafka_type_t type, rd_kafka_conf_t **conf, struct message *message);

/* Reads a whole decimal number within [low, high]. */
bool client_parse_number(const char *text, long low, long high, long *ret_number);

/* Waits for a record and takes what else is there: unlike librdkafka's own batch function it does
 * not wait until the batch is full. Returns how many; each must be destroyed. */
size_t client_read(rd_kafka_queue_t *queue, int wait_ms, rd_kafka_message_t **ret_records,
                   size_t records_max);

/* Milliseconds of a clock that only goes forward. */
uint64_t client_now_ms(void);

void client_sleep_us(long sleep_us);

void client_conf_free(rd_kafka_conf_t **conf);
void client_free(rd_kafka_t **client);
void client_queue_free(rd_kafka_queue_t **queue);
void client_partitions_free(rd_kafka_topic_partition_list_t **partitions);
void client_metadata_free(const struct rd_kafka_metadata **metadata);
void client_error_free(rd_kafka_error_t **error);
void client_file_close(FILE **file);

#endif
