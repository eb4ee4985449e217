/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What topic-admin changes of topics that are there already. Each function is tried again until it
 * gives EXIT_DONE, or EXIT_FAILED with a message; EXIT_INCOMPLETE says that it may yet succeed.
 * What was done by an earlier try whose answer was lost is done.
 */
#ifndef TESTS_BROKER_ADMIN_CHANGE_H
#define TESTS_BROKER_ADMIN_CHANGE_H

#include "spool/base.h"
#include "spool/message.h"

#include <librdkafka/rdkafka.h>

/* words: partitions TOPIC COUNT. More than there are; waits until all have leaders. */
int change_partitions(rd_kafka_t *client, char **words, struct message *message);

/* words: set TOPIC NAME=VALUE. Replaces all settings that the topic has of its own; "-": none. */
int change_topic(rd_kafka_t *client, char **words, struct message *message);

/* words: set-broker ID NAME=VALUE. The same for a broker, without a restart. */
int change_broker(rd_kafka_t *client, char **words, struct message *message);

/* words: allow TOPIC USER. The user may write to the topic. */
int change_allow(rd_kafka_t *client, char **words, struct message *message);

/* words: forbid TOPIC USER. Takes back what "allow" gave. */
int change_forbid(rd_kafka_t *client, char **words, struct message *message);

#endif
