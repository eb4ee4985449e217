/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/rdkafka_purge.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <sys/eventfd.h>

#include "src/quiet_thread.h"

/* A broker's judgement of a batch, as the client's thread takes it. Not of a client that is past
 * use: that sends nothing more, and what is on the wire may still be answered. Nor an error of the
 * client's own (they are negative), or one about no broker: the client may then hold locks that
 * rd_kafka_purge() needs. */
static bool is_rejection(rd_kafka_t *client, const rd_kafka_message_t *message)
{
    return message->err > 0 && rd_kafka_message_broker_id(message) >= 0 &&
           rd_kafka_fatal_error(client, NULL, 0) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_acknowledgement(rd_kafka_t *client, rd_kafka_message_t *message,
                                              void *argument)
{
    struct rdkafka_purge *purge = argument;

    if (!is_rejection(client, message)) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    (void)pthread_mutex_lock(&purge->lock);
    if (!purge->is_rejected) {
        /* With the lock, so that another broker's thread, which takes a rejection meanwhile, goes
         * on only when it has been told to give back too. */
        (void)rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
        purge->is_rejected = true;
    }
    (void)pthread_mutex_unlock(&purge->lock);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t
on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *argument,
       /* NOLINTNEXTLINE(readability-non-const-parameter): librdkafka's */
       char *text, size_t text_bytes_max)
{
    (void)conf;
    (void)text;
    (void)text_bytes_max;
    return rd_kafka_interceptor_add_on_acknowledgement(client, "spool", on_acknowledgement,
                                                       argument);
}

void rdkafka_purge_init(struct rdkafka_purge *purge)
{
    (void)pthread_mutex_init(&purge->lock, NULL);
}

void rdkafka_purge_watch(struct rdkafka_purge *purge, struct rd_kafka_conf_s *conf)
{
    (void)rd_kafka_conf_interceptor_add_on_new(conf, "spool", on_new, purge);
}

bool rdkafka_purge_trylock(struct rdkafka_purge *purge)
{
    if (purge->is_running) {
        return false;
    }
    (void)pthread_mutex_lock(&purge->lock);
    if (purge->is_rejected) {
        (void)pthread_mutex_unlock(&purge->lock);
        return false;
    }
    return true;
}

void rdkafka_purge_unlock(struct rdkafka_purge *purge)
{
    (void)pthread_mutex_unlock(&purge->lock);
}

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
    (void)pthread_mutex_lock(&purge->lock);
    purge->is_rejected = false;
    (void)pthread_mutex_unlock(&purge->lock);
    purge->is_running = quiet_thread_start(run, purge, &purge->thread) == 0;
    if (!purge->is_running) {
        /* No thread to be had: without knowing when it is over is better than not at all. */
        (void)rd_kafka_purge(purge->client, purge->flags | RD_KAFKA_PURGE_F_NON_BLOCKING);
    }
}

void rdkafka_purge_follow(struct rdkafka_purge *purge)
{
    bool is_rejected;

    (void)pthread_mutex_lock(&purge->lock);
    is_rejected = purge->is_rejected;
    (void)pthread_mutex_unlock(&purge->lock);
    if (is_rejected) {
        rdkafka_purge_start(purge, false);
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
    rdkafka_purge_join(purge);
    if (purge->flags_wanted != 0) {
        start(purge);
    }
}

void rdkafka_purge_join(struct rdkafka_purge *purge)
{
    if (purge->is_running) {
        (void)pthread_join(purge->thread, NULL);
        purge->is_running = false;
    }
}

void rdkafka_purge_deinit(struct rdkafka_purge *purge)
{
    (void)pthread_mutex_destroy(&purge->lock);
}
