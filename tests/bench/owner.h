/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The owner: this process with a pipeline in it. */
#ifndef TESTS_BENCH_OWNER_H
#define TESTS_BENCH_OWNER_H

#include "src/pipeline.h"
#include "src/sink_rdkafka.h"

#define OWNER_DESTINATIONS_MAX 2

struct owner {
    struct host host;
    struct sink_rdkafka_maker maker;
    struct ring *ring;
    struct pipeline *pipeline;
    struct address *addresses[OWNER_DESTINATIONS_MAX];
    uint32_t destinations[OWNER_DESTINATIONS_MAX];
};

/* Makes the ring; before the crowd. */
void owner_init(struct owner *owner);

/* Opens the pipeline with these addresses (NULL ends them) and starts its threads. An address of ""
 * is a destination that nobody forwards. */
void owner_start(struct owner *owner, const char *dir, const char *const *addresses);

/* Waits until none of the destination's records is left in the spool. Returns when that was. */
uint64_t owner_wait_empty(struct owner *owner, uint32_t destination);

/* How many of the destination's records wait. */
SPOOL_MUST_CHECK uint64_t owner_waiting(struct owner *owner, uint32_t destination);

void owner_stop(struct owner *owner);

#endif
