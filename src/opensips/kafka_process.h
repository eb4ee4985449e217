/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Kafka process: it owns the spool and runs the pipeline, whose two threads know nothing of
 * OpenSIPS. Its main loop is OpenSIPS's reactor: it opens destinations, hands out reports, and logs
 * what the threads tell.
 */
#ifndef SRC_OPENSIPS_KAFKA_PROCESS_H
#define SRC_OPENSIPS_KAFKA_PROCESS_H

#include "spool/base.h"

#define KAFKA_PROCESS_NAME "Kafka"

/* Before the fork, as the user that OpenSIPS runs as: makes the spool's folder, and sees that it
 * can be used. 0, -1 (logged): OpenSIPS does not start. */
SPOOL_MUST_CHECK int kafka_process_prepare(void);

/* In the process that forked it, afterwards: no process but the Kafka process needs secrets. 0. */
SPOOL_MUST_CHECK int kafka_process_forked(void);

/* The process (mod_proc). Does not return. */
void kafka_process_run(int rank);

#endif
