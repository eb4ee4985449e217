/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the module's processes share, made before the fork: the ring, the table of destinations,
 * what the Kafka process says of itself, and its bell. It is in memory of its own, not in
 * OpenSIPS's shm: an outage takes nothing from SIP.
 */
#ifndef SRC_OPENSIPS_SHARED_STATE_H
#define SRC_OPENSIPS_SHARED_STATE_H

#include "spool/base.h"
#include "spool/message.h"
#include "src/publish.h"

#include <stdatomic.h>

/* What the Kafka process can do for publishers. */
enum serving {
    SERVING_STARTING, /* soon: a publish waits for it within its commit timeout */
    SERVING_OPEN,
    SERVING_REFUSED, /* the spool cannot be opened; tried again each second */
    SERVING_STOPPED,
    SERVING_COUNT,
};

struct shared_state {
    _Atomic uint32_t serving; /* enum serving */
    _Atomic int process_no;   /* of the Kafka process, in OpenSIPS's table; -1 before it runs */
    /* Reports of which the routes could not be run, since they are gone. */
    _Atomic uint64_t reports_without_route;
    _Atomic uint64_t outcomes[OUTCOME_COUNT]; /* of publishes, in all processes */
};

/* The state, in every process; NULL before shared_state_new(). */
extern struct shared_state *shared_state;

/* Where this process publishes. */
extern struct publisher shared_publisher;

/* Makes all of it, in mod_init. 0, -1 (logged). */
SPOOL_MUST_CHECK int shared_state_new(void);

/* Memory that all processes share, zeroed; secrets in it are kept out of core files. It lives until
 * the process ends. NULL: out of memory. Before the fork. */
SPOOL_MUST_CHECK void *shared_memory(size_t size_bytes);

/* Rings the bell of the Kafka process's main loop: there is something to do. Safe from any process
 * and thread. */
void shared_bell_ring(void);

/* The bell's fd, for the Kafka process. */
SPOOL_MUST_CHECK int shared_bell_fd(void);

#endif
