/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/harness/fake_sink.h"

#include "src/address.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

struct sink_topic {
    struct sink_topic *next;
    struct fake_sink *sink;
    char name[64];
};

struct fake_sink {
    struct sink sink;
    struct fake_sink *next;
    struct fake_sinks *sinks;
    struct sink_topic *topics;
    unsigned number;
    int wake_fd;
    bool is_fatal;
    bool is_purging; /* until the reports of a purge were taken */
    bool is_purge_held;
    struct sink_health health; /* to be said at the next poll */
};

static struct fake_sink *fake_sink_of(struct sink *sink)
{
    return (struct fake_sink *)sink;
}

static void fake_sink_wake(const struct fake_sink *sink)
{
    (void)!eventfd_write(sink->wake_fd, 1);
}

/* --- Answers; all with the lock held ---------------------------------------------------------- */

static struct fake_sink *fake_sinks_find(struct fake_sinks *sinks, unsigned number)
{
    struct fake_sink *sink = sinks->first;
    while (sink != NULL && sink->number != number) {
        sink = sink->next;
    }
    return sink;
}

static void fake_sinks_put(struct fake_sinks *sinks, size_t at, const struct sink_report *report)
{
    struct fake_record *record = &sinks->records[at];
    assert(at < sinks->records_count && record->stage == FAKE_TAKEN);
    if (sinks->reports_count == sinks->reports_capacity) {
        sinks->reports_capacity = 2 * sinks->reports_capacity + 64;
        sinks->reports = realloc(sinks->reports, sinks->reports_capacity * sizeof(*sinks->reports));
        assert(sinks->reports != NULL);
    }
    struct fake_report *answer = &sinks->reports[sinks->reports_count++];
    *answer = (struct fake_report){.at = at, .report = *report};
    answer->report.cookie = record->cookie;
    record->stage = FAKE_ANSWERED;
    record->error = report->error;
    sinks->unanswered_count--;
    fake_sink_wake(fake_sinks_find(sinks, record->sink_number));
}

static void fake_sinks_put_error(struct fake_sinks *sinks, size_t at, int error,
                                 enum sink_persistence persistence)
{
    struct sink_report report = {
        .error = error,
        .persistence = persistence,
        .partition = error == 0 ? 0 : -1,
        .offset = error == 0 ? (int64_t)at : -1,
    };
    fake_sinks_put(sinks, at, &report);
}

/* Gives a sink's waiting records back. */
static void fake_sink_give_back(struct fake_sink *sink, bool include_inflight)
{
    struct fake_sinks *sinks = sink->sinks;
    for (size_t i = 0; i < sinks->records_count; i++) {
        struct fake_record *record = &sinks->records[i];
        if (record->stage != FAKE_TAKEN || record->sink_number != sink->number) {
            continue;
        }
        if (!record->is_on_wire) {
            fake_sinks_put_error(sinks, i, FAKE_PURGED_QUEUE, SINK_PERSISTENCE_NOT);
        } else if (include_inflight) {
            fake_sinks_put_error(sinks, i, FAKE_PURGED_INFLIGHT, SINK_PERSISTENCE_POSSIBLY);
        }
    }
}

/* --- The sink --------------------------------------------------------------------------------- */

static int fake_sink_open_topic(struct sink *sink, const struct address *address,
                                struct sink_topic **ret_topic, struct message *message)
{
    struct fake_sink *fake = fake_sink_of(sink);
    pthread_mutex_lock(&fake->sinks->lock);
    int r = fake->sinks->topic_result;
    if (r == 0) {
        struct sink_topic *topic = calloc(1, sizeof(*topic));
        assert(topic != NULL);
        snprintf(topic->name, sizeof(topic->name), "%s", address->topic);
        topic->sink = fake;
        topic->next = fake->topics;
        fake->topics = topic;
        *ret_topic = topic;
    } else {
        message_set(message, "no such topic can be had");
    }
    pthread_mutex_unlock(&fake->sinks->lock);
    return r;
}

static char *fake_sink_copy(struct span span)
{
    char *copy = calloc(1, span.size_bytes + 1);
    assert(copy != NULL);
    if (span.size_bytes > 0) {
        memcpy(copy, span.data, span.size_bytes);
    }
    return copy;
}

static void fake_sink_keep(struct fake_sink *sink, const struct sink_topic *topic,
                           const struct record *record, const char *spool_id, void *cookie)
{
    struct fake_sinks *sinks = sink->sinks;
    if (sinks->records_count == sinks->records_capacity) {
        sinks->records_capacity = 2 * sinks->records_capacity + 64;
        sinks->records = realloc(sinks->records, sinks->records_capacity * sizeof(*sinks->records));
        assert(sinks->records != NULL);
    }
    size_t at = sinks->records_count++;
    struct fake_record *kept = &sinks->records[at];
    *kept = (struct fake_record){
        .sink_number = sink->number,
        .sequence = strtoull(strchr(spool_id, ':') + 1, NULL, 10),
        .key = record->key.data != NULL ? fake_sink_copy(record->key) : NULL,
        .key_bytes = record->key.size_bytes,
        .payload = fake_sink_copy(record->payload),
        .payload_bytes = record->payload.size_bytes,
        .published_wall_ms = record->published_wall_ms,
        .is_on_wire = sinks->wires_all,
        .cookie = cookie,
    };
    snprintf(kept->topic, sizeof(kept->topic), "%s", topic->name);
    snprintf(kept->spool_id, sizeof(kept->spool_id), "%s", spool_id);
    sinks->unanswered_count++;
    int error = sinks->decide != NULL ? sinks->decide(sinks->context, kept) : FAKE_LATER;
    if (error != FAKE_LATER) {
        fake_sinks_put_error(sinks, at, error, SINK_PERSISTENCE_NOT);
    }
}

/* 0, or why the record is not taken. */
static int fake_sink_refuse(const struct fake_sink *sink, const struct record *record,
                            const char *spool_id, int *ret_error)
{
    const struct fake_sinks *sinks = sink->sinks;
    if (sink->is_fatal) {
        *ret_error = FAKE_FATAL;
        return SINK_E_FATAL;
    }
    if (sink->is_purging || sinks->unanswered_count >= sinks->unanswered_max) {
        return SINK_E_BUSY;
    }
    return sinks->refuse != NULL
               ? sinks->refuse(sinks->context, record,
                               strtoull(strchr(spool_id, ':') + 1, NULL, 10), ret_error)
               : 0;
}

static int fake_sink_produce(struct sink *sink, struct sink_topic *topic,
                             const struct record *record, const char *spool_id, void *cookie,
                             int *ret_error)
{
    struct fake_sink *fake = fake_sink_of(sink);
    assert(topic->sink == fake);
    pthread_mutex_lock(&fake->sinks->lock);
    int r = fake_sink_refuse(fake, record, spool_id, ret_error);
    if (r == 0) {
        fake_sink_keep(fake, topic, record, spool_id, cookie);
    }
    pthread_mutex_unlock(&fake->sinks->lock);
    return r;
}

static size_t fake_sink_poll(struct sink *sink, struct sink_report *reports, size_t reports_max,
                             struct sink_health *health)
{
    struct fake_sink *fake = fake_sink_of(sink);
    struct fake_sinks *sinks = fake->sinks;
    eventfd_t ignored;
    size_t count = 0;
    size_t kept = 0;
    pthread_mutex_lock(&sinks->lock);
    (void)!eventfd_read(fake->wake_fd, &ignored);
    for (size_t i = 0; i < sinks->reports_count; i++) {
        const struct fake_report *answer = &sinks->reports[i];
        struct fake_record *record = &sinks->records[answer->at];
        if (record->sink_number == fake->number && count < reports_max) {
            record->stage = FAKE_REPORTED;
            reports[count++] = answer->report;
        } else {
            sinks->reports[kept++] = *answer;
        }
    }
    sinks->reports_count = kept;
    if (count < reports_max && !fake->is_purge_held) {
        fake->is_purging = false;
    }
    *health = fake->health;
    health->is_fatal = fake->is_fatal;
    fake->health = (struct sink_health){0};
    pthread_mutex_unlock(&sinks->lock);
    return count;
}

static void fake_sink_purge(struct sink *sink, bool include_inflight)
{
    struct fake_sink *fake = fake_sink_of(sink);
    pthread_mutex_lock(&fake->sinks->lock);
    fake->sinks->purges_count++;
    if (!fake->sinks->ignores_purge) {
        fake->is_purging = true;
        fake->is_purge_held = fake->sinks->is_purge_slow;
        fake_sink_give_back(fake, include_inflight);
    }
    pthread_mutex_unlock(&fake->sinks->lock);
}

static int fake_sink_fd(struct sink *sink)
{
    return fake_sink_of(sink)->wake_fd;
}

static void fake_sink_close(struct sink *sink)
{
    struct fake_sink *fake = fake_sink_of(sink);
    struct fake_sinks *sinks = fake->sinks;
    size_t kept = 0;
    pthread_mutex_lock(&sinks->lock);
    for (size_t i = 0; i < sinks->records_count; i++) {
        struct fake_record *record = &sinks->records[i];
        if (record->sink_number == fake->number && record->stage < FAKE_REPORTED) {
            sinks->unanswered_count -= record->stage == FAKE_TAKEN;
            record->stage = FAKE_LOST;
        }
    }
    for (size_t i = 0; i < sinks->reports_count; i++) {
        if (sinks->records[sinks->reports[i].at].stage != FAKE_LOST) {
            sinks->reports[kept++] = sinks->reports[i];
        }
    }
    sinks->reports_count = kept;
    struct fake_sink **at = &sinks->first;
    while (*at != fake) {
        at = &(*at)->next;
    }
    *at = fake->next;
    sinks->open_count--;
    pthread_mutex_unlock(&sinks->lock);
    while (fake->topics != NULL) {
        struct sink_topic *topic = fake->topics;
        fake->topics = topic->next;
        free(topic);
    }
    close(fake->wake_fd);
    free(fake);
}

/* --- The maker -------------------------------------------------------------------------------- */

static int fake_sinks_open(struct sink_maker *maker, const struct address *address,
                           struct sink **ret_sink, struct message *message)
{
    static const struct sink_ops ops = {
        .open_topic = fake_sink_open_topic,
        .produce = fake_sink_produce,
        .poll = fake_sink_poll,
        .purge = fake_sink_purge,
        .fd = fake_sink_fd,
        .close = fake_sink_close,
    };
    struct fake_sinks *sinks = (struct fake_sinks *)maker;
    assert(address->brokers != NULL);
    pthread_mutex_lock(&sinks->lock);
    int r = sinks->open_result;
    if (r == 0) {
        struct fake_sink *sink = calloc(1, sizeof(*sink));
        assert(sink != NULL);
        sink->sink.ops = &ops;
        sink->sinks = sinks;
        sink->number = ++sinks->opened_count;
        sink->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        sink->next = sinks->first;
        sinks->first = sink;
        sinks->open_count++;
        *ret_sink = &sink->sink;
    } else if (r > 0) {
        message_set(message, "no such client can be had");
    }
    pthread_mutex_unlock(&sinks->lock);
    return r;
}

void fake_sinks_init(struct fake_sinks *sinks)
{
    *sinks = (struct fake_sinks){.maker = {.open = fake_sinks_open}, .unanswered_max = SIZE_MAX};
    pthread_mutex_init(&sinks->lock, NULL);
}

void fake_sinks_deinit(struct fake_sinks *sinks)
{
    assert(sinks->open_count == 0);
    for (size_t i = 0; i < sinks->records_count; i++) {
        free(sinks->records[i].key);
        free(sinks->records[i].payload);
    }
    free(sinks->records);
    free(sinks->reports);
    pthread_mutex_destroy(&sinks->lock);
}

/* --- What a test does ------------------------------------------------------------------------- */

void fake_sinks_report(struct fake_sinks *sinks, size_t at, const struct sink_report *report)
{
    pthread_mutex_lock(&sinks->lock);
    fake_sinks_put(sinks, at, report);
    pthread_mutex_unlock(&sinks->lock);
}

void fake_sinks_answer(struct fake_sinks *sinks, size_t at, int error)
{
    pthread_mutex_lock(&sinks->lock);
    fake_sinks_put_error(sinks, at, error, SINK_PERSISTENCE_NOT);
    pthread_mutex_unlock(&sinks->lock);
}

size_t fake_sinks_answer_all(struct fake_sinks *sinks, int error)
{
    size_t count = 0;
    pthread_mutex_lock(&sinks->lock);
    for (size_t i = 0; i < sinks->records_count; i++) {
        if (sinks->records[i].stage == FAKE_TAKEN) {
            fake_sinks_put_error(sinks, i, error, SINK_PERSISTENCE_NOT);
            count++;
        }
    }
    pthread_mutex_unlock(&sinks->lock);
    return count;
}

void fake_sinks_fail(struct fake_sinks *sinks)
{
    pthread_mutex_lock(&sinks->lock);
    for (struct fake_sink *sink = sinks->first; sink != NULL; sink = sink->next) {
        sink->is_fatal = true;
        message_set(&sink->health.message, "the client and its broker do not agree any more");
        sink->health.error = FAKE_OUT_OF_ORDER;
        fake_sink_give_back(sink, false);
        fake_sink_wake(sink);
    }
    pthread_mutex_unlock(&sinks->lock);
}

void fake_sinks_say(struct fake_sinks *sinks, int error, bool all_brokers_down, const char *text)
{
    pthread_mutex_lock(&sinks->lock);
    for (struct fake_sink *sink = sinks->first; sink != NULL; sink = sink->next) {
        sink->health.error = error;
        sink->health.all_brokers_down = all_brokers_down;
        message_set(&sink->health.message, "%s", text);
        fake_sink_wake(sink);
    }
    pthread_mutex_unlock(&sinks->lock);
}

void fake_sinks_end_purge(struct fake_sinks *sinks)
{
    pthread_mutex_lock(&sinks->lock);
    for (struct fake_sink *sink = sinks->first; sink != NULL; sink = sink->next) {
        sink->is_purge_held = false;
        fake_sink_wake(sink);
    }
    pthread_mutex_unlock(&sinks->lock);
}
