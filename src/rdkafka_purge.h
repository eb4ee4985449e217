/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking records back from a client, and knowing when that is over. rd_kafka_purge() either waits
 * for the client's threads, which may be busy connecting for seconds, or leaves them to do it
 * later, when it would also hit records that were produced since. So it waits, on a thread of its
 * own, and nothing is to be produced until then.
 */
#ifndef SRC_RDKAFKA_PURGE_H
#define SRC_RDKAFKA_PURGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "spool/base.h"

struct rd_kafka_s;

struct rdkafka_purge {
    struct rd_kafka_s *client;
    int wake_fd; /* an eventfd, written to when the thread is done */
    pthread_t thread;
    bool is_running;     /* from the start to rdkafka_purge_end() */
    atomic_bool is_done; /* set by the thread as its last act but for waking */
    int flags;
    int flags_wanted; /* asked for since the thread was started */
};

/* Gives back what is queued in the client, and with include_inflight what is on the wire. */
void rdkafka_purge_start(struct rdkafka_purge *purge, bool include_inflight);

/* Whether all that is given back has its delivery report in the client's queue. */
SPOOL_MUST_CHECK bool rdkafka_purge_is_done(const struct rdkafka_purge *purge);

/* Ends a purge that is done, after those reports were taken; starts the next one that was asked
 * for meanwhile. */
void rdkafka_purge_end(struct rdkafka_purge *purge);

/* Waits for the thread, if there is one. */
void rdkafka_purge_deinit(struct rdkafka_purge *purge);

#endif
