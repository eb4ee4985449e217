/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host that keeps what it was told and what it was to run. Safe from any thread. */
#ifndef TESTS_HARNESS_FAKE_HOST_H
#define TESTS_HARNESS_FAKE_HOST_H

#include "spool/message.h"
#include "src/host.h"

#include <pthread.h>

#define FAKE_HOST_EVENTS_MAX 4096
#define FAKE_HOST_REPORTS_MAX 4096

struct fake_event {
    enum host_event event;
    char destination[256]; /* empty: none was named */
    struct message text;
};

struct fake_host_report {
    uint64_t number;
    struct report report;
    char route[256];
    char key[64];
    size_t payload_bytes;
    char destination_identity[256];
};

struct fake_host {
    struct host host;
    pthread_mutex_t lock;
    struct fake_event *events; /* the first FAKE_HOST_EVENTS_MAX */
    size_t events_count;
    struct fake_host_report *reports; /* those that were taken */
    size_t reports_count;
    int report_result; /* of run_report(): 0 takes it */
};

void fake_host_init(struct fake_host *host);
void fake_host_deinit(struct fake_host *host);

/* How often an event was told. */
size_t fake_host_count(struct fake_host *host, enum host_event event);

/* The event that was told last, of any kind; NULL: none. */
const struct fake_event *fake_host_last(struct fake_host *host);

#endif
