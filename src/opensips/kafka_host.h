/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host that OpenSIPS is for the pipeline. What the pipeline's threads tell is queued and
 * handled in the main loop: OpenSIPS's log, events and private memory are for one thread of a
 * process.
 */
#ifndef SRC_OPENSIPS_KAFKA_HOST_H
#define SRC_OPENSIPS_KAFKA_HOST_H

#include "src/host.h"

/* The host, ready. In the Kafka process. Static. */
struct host *kafka_host(void);

/* Logs what was told since the last call. In the main loop. */
void kafka_host_step(void);

/* A sink_rdkafka_log: a line of the Kafka client. It repeats itself in an outage: of lines that go
 * on and on few are logged, and fewer and fewer. */
void kafka_host_client_log(void *context, int level, const char *text);

#endif
