/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SRC_RDKAFKA_TRIAL_H
#define SRC_RDKAFKA_TRIAL_H

#include "spool/base.h"

struct rd_kafka_conf_s;

/* Whether librdkafka can make a producer of conf: makes one that has no brokers, and ends it (on a
 * thread of its own). 0, or librdkafka's error, with its text in text, which may show a secret.
 *
 * It is asked before a conf gets an interceptor. When rd_kafka_new() fails, conf stays the
 * caller's, but librdkafka (2.0.2 to 2.8.0) has freed the interceptors in it, and frees them once
 * more with conf. */
SPOOL_MUST_CHECK int rdkafka_trial(const struct rd_kafka_conf_s *conf, char *text,
                                   size_t text_bytes_max);

#endif
