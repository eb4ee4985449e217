/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host: what the flow asks of whatever embeds it. OpenSIPS is one (src/opensips), spool-forward
 * another, the tests' fake a third. Its functions may be called from any of the pipeline's threads,
 * and must neither block nor call back into the pipeline.
 */
#ifndef SRC_HOST_H
#define SRC_HOST_H

#include "spool/base.h"
#include "spool/record.h"
#include "spool/settlement.h"

/* What happened, for logs, counters and alarms. Each is told on its edge, not again and again. */
enum host_event {
    HOST_EVENT_CLIENT_LOG,    /* a log line of the Kafka client */
    HOST_EVENT_BROKERS_DOWN,  /* no broker of a destination can be reached */
    HOST_EVENT_BROKERS_UP,    /* records are delivered again */
    HOST_EVENT_HELD,          /* a destination needs an operator: topic, rights, configuration */
    HOST_EVENT_RETRY,         /* a destination goes into its backoff after it had delivered */
    HOST_EVENT_DEAD_LETTER,   /* a record became a dead letter */
    HOST_EVENT_PRODUCER_LOST, /* a producer failed for good and is made again */
    HOST_EVENT_TROUBLE,       /* the spool cannot be written or read */
    HOST_EVENT_MENDED,        /* ... and can again */
    HOST_EVENT_SET_ASIDE,     /* a damaged spool was set aside */
    HOST_EVENT_COUNT,
};

struct host;

/* A report whose route is to be run. Valid during the call. */
struct host_report {
    uint64_t number; /* for pipeline_report_done() */
    const struct report *report;
    const struct record *record;
    const char *destination_identity;
    const char *spool_id; /* the value of the record's header "spool-id" */
};

#define HOST_E_BUSY 1   /* again later */
#define HOST_E_UNABLE 2 /* this host runs no routes: the report is kept for one that does */

struct host {
    /* Something happened. destination is an identity or NULL; text is for people and has no
     * secrets. */
    void (*tell)(struct host *host, enum host_event event, const char *destination,
                 const char *text);
    /* Runs a report's route, now or soon. After 0 the host calls pipeline_report_done() once, also
     * when the route is gone. 0, HOST_E_BUSY, HOST_E_UNABLE. */
    int (*run_report)(struct host *host, const struct host_report *report);
};

/* An event's name ("brokers_down"). Static. */
const char *host_event_name(enum host_event event);

#endif
