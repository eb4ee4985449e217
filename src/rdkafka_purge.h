/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking records back from a client, and knowing when that is over. rd_kafka_purge() either waits
 * for the client's threads, which may be busy connecting for seconds, or leaves them to do it
 * later, when it would also hit records that were produced since. So it waits, on a thread of its
 * own, and nothing is to be produced until then.
 *
 * One purge starts by itself. When a broker rejects a batch for good, librdkafka goes on with those
 * behind it, which then come before what is to be produced again of the rejected one. So the
 * client's own thread, which takes the rejection, takes back what is not sent yet before it sends
 * anything more. With one request in-flight to each broker, that is all that is behind.
 */
#ifndef SRC_RDKAFKA_PURGE_H
#define SRC_RDKAFKA_PURGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "spool/base.h"

struct rd_kafka_s;
struct rd_kafka_conf_s;

struct rdkafka_purge {
    struct rd_kafka_s *client;
    pthread_mutex_t lock; /* of is_rejected: held while a record is produced */
    bool is_rejected;     /* a broker rejected records, and no thread was started since */
    int wake_fd;          /* an eventfd, written to when the thread is done */
    pthread_t thread;
    bool is_running;     /* from the start to rdkafka_purge_end() */
    atomic_bool is_done; /* set by the thread as its last act but for waking */
    int flags;
    int flags_wanted; /* asked for since the thread was started */
};

/* client and wake_fd are set by the caller. */
void rdkafka_purge_init(struct rdkafka_purge *purge);

/* Has the client that is made from conf next take back what is behind a rejected batch. purge stays
 * where it is for the client's life. */
void rdkafka_purge_watch(struct rdkafka_purge *purge, struct rd_kafka_conf_s *conf);

/* Whether a record may be produced now. If so, rdkafka_purge_unlock() is to follow: until then a
 * rejection waits, so that it takes back this record too. */
SPOOL_MUST_CHECK bool rdkafka_purge_trylock(struct rdkafka_purge *purge);
void rdkafka_purge_unlock(struct rdkafka_purge *purge);

/* Starts the purge that a rejection began, if there was one: it ends like any other. */
void rdkafka_purge_follow(struct rdkafka_purge *purge);

/* Gives back what is queued in the client, and with include_inflight what is on the wire. */
void rdkafka_purge_start(struct rdkafka_purge *purge, bool include_inflight);

/* Whether all that is given back has its delivery report in the client's queue. */
SPOOL_MUST_CHECK bool rdkafka_purge_is_done(const struct rdkafka_purge *purge);

/* Ends a purge that is done, after those reports were taken; starts the next one that was asked
 * for meanwhile. */
void rdkafka_purge_end(struct rdkafka_purge *purge);

/* Waits for the thread, if there is one: before the client is destroyed. */
void rdkafka_purge_join(struct rdkafka_purge *purge);

/* After the client was destroyed. */
void rdkafka_purge_deinit(struct rdkafka_purge *purge);

#endif
