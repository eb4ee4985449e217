/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the embedded broker's control channel, one a line. */
#ifndef TESTS_BROKER_COMMAND_H
#define TESTS_BROKER_COMMAND_H

#include "spool/base.h"
#include "spool/message.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

struct recorder;

struct embedded_broker {
    rd_kafka_mock_cluster_t *cluster;
    int brokers_count;
    struct recorder *recorder; /* NULL when nothing is recorded */
    bool is_quitting;
};

/* What the commands are and do, for --help. */
extern const char command_help[];

/* Runs one command line, which it cuts into words. answer is "ok", "ok ..." or "error ...". */
void command_run(struct embedded_broker *broker, char *line, struct message *answer);

#endif
