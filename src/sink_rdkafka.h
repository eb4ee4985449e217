/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sink on librdkafka. Only sources named *rdkafka*.c include rdkafka.h. */
#ifndef SRC_SINK_RDKAFKA_H
#define SRC_SINK_RDKAFKA_H

#include "src/sink.h"

/* A log line of the client: level as syslog has it, text without secrets. Called only from
 * sink poll(), so on the forwarder's thread. */
typedef void sink_rdkafka_log(void *context, int level, const char *text);

struct sink_rdkafka_maker {
    struct sink_maker maker;
    sink_rdkafka_log *log;
    void *log_context;
};

/* Prepares a maker; nothing to free. */
void sink_rdkafka_maker_init(struct sink_rdkafka_maker *maker, sink_rdkafka_log *log,
                             void *log_context);

/* Checks an address against librdkafka without starting anything (safe before a fork): every g.
 * and t. property's name and value, what the project sets itself and may not be set, and conflicts
 * with idempotence. 0, or SINK_E_REJECTED with a message that names the property and its
 * position (never a secret's value), or -errno. */
SPOOL_MUST_CHECK int sink_rdkafka_check(const struct address *address, struct message *message);

/* The bytes that a record header counts for beside its name and value. */
#define SINK_RDKAFKA_HEADER_BYTES 10

/* The largest record that the address's message.max.bytes lets through; used to refuse at publish.
 * Key, payload, and name, value and SINK_RDKAFKA_HEADER_BYTES of each header count; the sink's own
 * header "spool-id" is already taken off. */
SPOOL_MUST_CHECK size_t sink_rdkafka_record_bytes_max(const struct address *address);

/* Waits until every closed sink's threads have ended, at most timeout_ms. Returns whether they
 * have. */
bool sink_rdkafka_settle(uint64_t timeout_ms);

/* The version of librdkafka that runs, such as "2.0.2". Static. */
SPOOL_MUST_CHECK const char *sink_rdkafka_version(void);

#endif
