/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/rdkafka_purge.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <sys/eventfd.h>

#include "src/quiet_thread.h"

static void *run(void *argument)
{
    struct rdkafka_purge *purge = argument;

    (void)rd_kafka_purge(purge->client, purge->flags);
    atomic_store(&purge->is_done, true);
    (void)eventfd_write(purge->wake_fd, 1);
    return NULL;
}

static void start(struct rdkafka_purge *purge)
{
    purge->flags = purge->flags_wanted;
    purge->flags_wanted = 0;
    atomic_store(&purge->is_done, false);
    purge->is_running = quiet_thread_start(run, purge, &purge->thread) == 0;
    if (!purge->is_running) {
        /* No thread to be had: without knowing when it is over is better than not at all. */
        (void)rd_kafka_purge(purge->client, purge->flags | RD_KAFKA_PURGE_F_NON_BLOCKING);
    }
}

void rdkafka_purge_start(struct rdkafka_purge *purge, bool include_inflight)
{
    purge->flags_wanted |= RD_KAFKA_PURGE_F_QUEUE;
    if (include_inflight) {
        purge->flags_wanted |= RD_KAFKA_PURGE_F_INFLIGHT;
    }
    if (!purge->is_running) {
        start(purge);
    }
}

bool rdkafka_purge_is_done(const struct rdkafka_purge *purge)
{
    return purge->is_running && atomic_load(&purge->is_done);
}

void rdkafka_purge_end(struct rdkafka_purge *purge)
{
    assert(rdkafka_purge_is_done(purge));
    rdkafka_purge_deinit(purge);
    if (purge->flags_wanted != 0) {
        start(purge);
    }
}

void rdkafka_purge_deinit(struct rdkafka_purge *purge)
{
    if (purge->is_running) {
        (void)pthread_join(purge->thread, NULL);
        purge->is_running = false;
    }
}
