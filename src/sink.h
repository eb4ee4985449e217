/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sink: what the forwarder asks of a Kafka client. One sink is one producer (one broker list
 * with one set of global properties); it serves any number of destinations. src/sink_rdkafka.c is
 * the real one, tests/harness/fake_sink.c the tests'.
 *
 * A sink belongs to one thread, the forwarder's. It never blocks.
 */
#ifndef SRC_SINK_H
#define SRC_SINK_H

#include "spool/base.h"
#include "spool/message.h"

struct address;
struct record;

/* What librdkafka's rd_kafka_message_status() knows of a failed record. */
enum sink_persistence {
    SINK_PERSISTENCE_NOT,
    SINK_PERSISTENCE_POSSIBLY,
    SINK_PERSISTENCE_YES,
};

/* What a sink found out about one record that it had taken. */
struct sink_report {
    void *cookie;                      /* as given to produce */
    int error;                         /* the client's code: verdict_of_error() classifies it */
    enum sink_persistence persistence; /* meaningful when error is not 0 */
    int32_t partition;                 /* -1: unknown */
    int64_t offset;                    /* -1: unknown, also for a duplicate that was persisted */
};

/* What a sink found out about itself since the last poll. */
struct sink_health {
    bool is_fatal;          /* the producer must be re-created */
    int error;              /* the last error that is about no single record, 0: none */
    struct message message; /* its text, without secrets */
    bool all_brokers_down;
};

#define SINK_E_BUSY 1     /* the client's queue is full: again after some reports */
#define SINK_E_REJECTED 2 /* this record cannot be produced; ret_error has the client's code */
#define SINK_E_FATAL 3    /* the producer must be re-created */

/* A topic of a sink, made by open_topic, freed with the sink. */
struct sink_topic;

struct sink;

struct sink_ops {
    /* Makes a topic with the destination's t. properties ready. The address is borrowed for the
     * call. 0, SINK_E_REJECTED (message says why), -errno. */
    int (*open_topic)(struct sink *sink, const struct address *address,
                      struct sink_topic **ret_topic, struct message *message);

    /* Hands one record over. The record is borrowed for the call: the sink copies. spool_id is the
     * value of the header "spool-id". After 0 exactly one report with the cookie comes from
     * poll(). 0, or one of SINK_E_ (no report comes; *ret_error is the client's code then), -errno.
     */
    int (*produce)(struct sink *sink, struct sink_topic *topic, const struct record *record,
                   const char *spool_id, void *cookie, int *ret_error);

    /* Takes up to reports_max reports and what is new about the sink's health; never waits.
     * Returns the number of reports. */
    size_t (*poll)(struct sink *sink, struct sink_report *reports, size_t reports_max,
                   struct sink_health *health);

    /* Gives back every record that is not on the wire (and with include_inflight those too) as
     * reports with an error whose verdict is "returned". They come from poll(); until the last of
     * them did, produce() is SINK_E_BUSY, so that nothing overtakes them. Without include_inflight
     * a record on the wire may still fail, be sent again, and so overtake those given back: who
     * wants to go on in order with this sink asks for all. A sink does this by itself, but for what
     * is on the wire, when a broker rejects records: nothing passes them. */
    void (*purge)(struct sink *sink, bool include_inflight);

    /* An fd that is readable when poll() has something, or -1. The sink's own. */
    int (*fd)(struct sink *sink);

    /* Ends the sink, without waiting for brokers. Records that have no report yet get none. */
    void (*close)(struct sink *sink);
};

/* Every sink starts with this. */
struct sink {
    const struct sink_ops *ops;
};

/* Makes sinks. The forwarder gets one of these at its start. */
struct sink_maker {
    /* Makes a producer for the address's brokers and g. properties. The address is borrowed for the
     * call. 0, SINK_E_REJECTED (message says why), -errno. */
    int (*open)(struct sink_maker *maker, const struct address *address, struct sink **ret_sink,
                struct message *message);
};

#endif
