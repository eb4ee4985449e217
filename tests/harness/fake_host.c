/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/harness/fake_host.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void fake_host_tell(struct host *host, enum host_event event, const char *destination,
                           const char *text)
{
    struct fake_host *fake = (struct fake_host *)host;
    pthread_mutex_lock(&fake->lock);
    if (fake->events_count < FAKE_HOST_EVENTS_MAX) {
        struct fake_event *told = &fake->events[fake->events_count++];
        told->event = event;
        snprintf(told->destination, sizeof(told->destination), "%s",
                 destination != NULL ? destination : "");
        message_set(&told->text, "%s", text);
    }
    pthread_mutex_unlock(&fake->lock);
}

static void fake_host_copy(char *to, size_t to_bytes, struct span from)
{
    assert(from.size_bytes < to_bytes);
    if (from.size_bytes > 0) {
        memcpy(to, from.data, from.size_bytes);
    }
    to[from.size_bytes] = '\0';
}

static int fake_host_run_report(struct host *host, const struct host_report *report)
{
    struct fake_host *fake = (struct fake_host *)host;
    pthread_mutex_lock(&fake->lock);
    int r = fake->report_result;
    if (r == 0) {
        assert(fake->reports_count < FAKE_HOST_REPORTS_MAX);
        struct fake_host_report *taken = &fake->reports[fake->reports_count++];
        taken->number = report->number;
        taken->report = *report->report;
        taken->payload_bytes = report->record->payload.size_bytes;
        fake_host_copy(taken->route, sizeof(taken->route), report->record->report_route);
        fake_host_copy(taken->key, sizeof(taken->key), report->record->key);
        snprintf(taken->destination_identity, sizeof(taken->destination_identity), "%s",
                 report->destination_identity);
    }
    pthread_mutex_unlock(&fake->lock);
    return r;
}

void fake_host_init(struct fake_host *host)
{
    *host = (struct fake_host){
        .host = {.tell = fake_host_tell, .run_report = fake_host_run_report},
        .events = calloc(FAKE_HOST_EVENTS_MAX, sizeof(*host->events)),
        .reports = calloc(FAKE_HOST_REPORTS_MAX, sizeof(*host->reports)),
    };
    assert(host->events != NULL && host->reports != NULL);
    pthread_mutex_init(&host->lock, NULL);
}

void fake_host_deinit(struct fake_host *host)
{
    pthread_mutex_destroy(&host->lock);
    free(host->events);
    free(host->reports);
}

size_t fake_host_count(struct fake_host *host, enum host_event event)
{
    size_t count = 0;
    pthread_mutex_lock(&host->lock);
    for (size_t i = 0; i < host->events_count; i++) {
        count += host->events[i].event == event;
    }
    pthread_mutex_unlock(&host->lock);
    return count;
}

const struct fake_event *fake_host_last(struct fake_host *host)
{
    pthread_mutex_lock(&host->lock);
    const struct fake_event *last =
        host->events_count > 0 ? &host->events[host->events_count - 1] : NULL;
    pthread_mutex_unlock(&host->lock);
    return last;
}
