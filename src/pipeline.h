/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pipeline: all steps together, in the one process that owns the spool. Two threads: the
 * committer (step 2, and the commits of step 6) and the forwarder (3, 4, 5).
 */
#ifndef SRC_PIPELINE_H
#define SRC_PIPELINE_H

#include "spool/base.h"
#include "spool/committer.h"
#include "spool/ring.h"
#include "spool/spool.h"
#include "src/address.h"
#include "src/forward.h"
#include "src/host.h"
#include "src/publish.h"

struct pipeline;

struct pipeline_config {
    struct spool_config spool;
    struct ring *ring; /* borrowed for the pipeline's life; made before the fork */
    struct host *host;
    struct sink_maker *maker;
    struct clock *clock;
};

/* Opens the spool and prepares everything; nothing runs yet. message is set for each result but 0.
 * Results as spool_open()'s. */
SPOOL_MUST_CHECK int pipeline_open(const struct pipeline_config *config,
                                   struct pipeline **ret_pipeline, struct message *message);

/* Adds a destination, also while the pipeline runs. The address is borrowed for the pipeline's
 * life. Addresses of one identity are one destination: the first one's properties count. Results as
 * spool_destination_open()'s. */
SPOOL_MUST_CHECK int pipeline_add(struct pipeline *pipeline, const struct address *address,
                                  uint32_t *ret_destination, struct message *message);

/* Starts the two threads. 0, -errno. */
SPOOL_MUST_CHECK int pipeline_start(struct pipeline *pipeline);

/* What is due in the host's main loop: reports. Call it a few times a second. */
void pipeline_step(struct pipeline *pipeline);

/* A report's route was run. Safe from any thread. */
void pipeline_report_done(struct pipeline *pipeline, uint64_t number);

/* Stops: takes no more publishes, commits what it took, waits at most flush_ms for delivery
 * reports, ends the threads. What is not delivered stays in the spool. */
void pipeline_stop(struct pipeline *pipeline, uint64_t flush_ms);

/* Frees *pipeline, stopping it if it runs, and sets it to NULL; NULL is fine. */
void pipeline_free(struct pipeline **pipeline);

/* Its parts, for statistics. Its own. */
struct spool *pipeline_spool(struct pipeline *pipeline);
struct committer *pipeline_committer(struct pipeline *pipeline);
struct forward *pipeline_forward(struct pipeline *pipeline);

#endif
