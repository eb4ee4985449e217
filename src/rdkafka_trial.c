/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/rdkafka_trial.h"

#include <librdkafka/rdkafka.h>

#include "src/rdkafka_conf.h"
#include "src/reaper.h"

static void end(void *client)
{
    rd_kafka_destroy(client);
}

int rdkafka_trial(const struct rd_kafka_conf_s *conf, char *text, size_t text_bytes_max)
{
    SPOOL_CLEANUP(rdkafka_conf_free) rd_kafka_conf_t *copy = rd_kafka_conf_dup(conf);
    rd_kafka_t *client;

    if (rd_kafka_conf_set(copy, "bootstrap.servers", "", text, text_bytes_max) !=
        RD_KAFKA_CONF_OK) {
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    }
    client = rd_kafka_new(RD_KAFKA_PRODUCER, copy, text, text_bytes_max);
    if (client == NULL) {
        return (int)rd_kafka_last_error();
    }
    (void)SPOOL_TAKE(copy);
    reaper_end(end, client);
    return 0;
}
