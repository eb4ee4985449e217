/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/sink_rdkafka.h"

#include <assert.h>
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "spool/record.h"
#include "src/address.h"
#include "src/rdkafka_conf.h"
#include "src/rdkafka_purge.h"
#include "src/rdkafka_trial.h"
#include "src/reaper.h"
#include "src/redact.h"

/* Log lines and errors taken in one poll: a client that talks faster than we listen must not keep
 * the forwarder from its work. */
#define EVENTS_PER_POLL_MAX 1024

/* The longest text of librdkafka that is looked at. */
#define TEXT_BYTES_MAX 2048

struct sink_topic {
    struct sink_topic *next;
    rd_kafka_topic_t *handle;
    rd_kafka_topic_conf_t *conf; /* as it was made: a second destination must ask for the same */
    char name[];
};

struct sink_rdkafka {
    struct sink sink;
    rd_kafka_t *client;
    rd_kafka_queue_t *queue;    /* of all events: reports, errors, log lines */
    rd_kafka_event_t *delivery; /* delivery reports that did not fit into the last poll */
    int wake_fd;                /* an eventfd that librdkafka writes to when the queue fills */
    bool is_fatal;
    struct rdkafka_purge purge;
    struct sink_topic *topics;
    struct redact *redact;
    sink_rdkafka_log *log;
    void *log_context;
};

static struct sink_rdkafka *self_of(struct sink *sink)
{
    return (struct sink_rdkafka *)(void *)sink; /* sink is its first member */
}

/* librdkafka asks for pointers to bytes that it does not change without const. */
static void *borrowed(const void *data)
{
    return (void *)(uintptr_t)data;
}

static void topics_free(struct sink_topic *topic)
{
    while (topic != NULL) {
        struct sink_topic *next = topic->next;

        rd_kafka_topic_destroy(topic->handle);
        rdkafka_conf_topic_free(&topic->conf);
        free(topic);
        topic = next;
    }
}

/* Waits for the client's threads to end, so it is not called on the forwarder's thread once there
 * is a client. NULL and half-made sinks are fine. */
static void sink_rdkafka_free(struct sink_rdkafka **sink)
{
    struct sink_rdkafka *self = *sink;

    if (self == NULL) {
        return;
    }
    rdkafka_purge_join(&self->purge);
    /* The client waits for all that was taken from it. */
    if (self->delivery != NULL) {
        rd_kafka_event_destroy(self->delivery);
    }
    topics_free(self->topics);
    if (self->queue != NULL) {
        rd_kafka_queue_io_event_enable(self->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(self->queue);
    }
    if (self->client != NULL) {
        rd_kafka_destroy(self->client);
    }
    rdkafka_purge_deinit(&self->purge);
    if (self->wake_fd >= 0) {
        (void)close(self->wake_fd);
    }
    redact_free(&self->redact);
    free(self);
    *sink = NULL;
}

/* --- Records --------------------------------------------------------------------------------- */

/* The record's headers and the spool's own. NULL when librdkafka does not take one of them. */
static rd_kafka_headers_t *headers_new(const struct record *record, const char *spool_id)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new((size_t)record->headers_count + 1);
    struct record_header header;
    size_t position = 0;
    rd_kafka_resp_err_t error;

    error = rd_kafka_header_add(headers, "spool-id", 8, spool_id, (ssize_t)strlen(spool_id));
    while (error == RD_KAFKA_RESP_ERR_NO_ERROR &&
           record_header_next(record, &position, &header) == 0) {
        error = rd_kafka_header_add(headers, header.name.data, (ssize_t)header.name.size_bytes,
                                    header.value.data, (ssize_t)header.value.size_bytes);
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_headers_destroy(headers);
        return NULL;
    }
    return headers;
}

/* Turns the client's refusal of a record into ours; takes the error. */
static int refusal_of(struct sink_rdkafka *self, rd_kafka_error_t *refusal, int *ret_error)
{
    rd_kafka_resp_err_t error = rd_kafka_error_code(refusal);

    rd_kafka_error_destroy(refusal);
    *ret_error = (int)error;
    if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        return SINK_E_BUSY;
    }
    /* A client that is past use refuses each record with the error that made it so. */
    if (rd_kafka_fatal_error(self->client, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        self->is_fatal = true;
        return SINK_E_FATAL;
    }
    return SINK_E_REJECTED;
}

static int produce(struct sink *sink, struct sink_topic *topic, const struct record *record,
                   const char *spool_id, void *cookie, int *ret_error)
{
    struct sink_rdkafka *self = self_of(sink);
    rd_kafka_headers_t *headers = headers_new(record, spool_id);
    rd_kafka_error_t *refusal;

    if (headers == NULL) {
        *ret_error = RD_KAFKA_RESP_ERR__INVALID_ARG;
        return SINK_E_REJECTED;
    }
    if (!rdkafka_purge_trylock(&self->purge)) {
        rd_kafka_headers_destroy(headers);
        *ret_error = RD_KAFKA_RESP_ERR__IN_PROGRESS;
        return SINK_E_BUSY; /* else the purge would tear a hole behind this record */
    }
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic->handle},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {.ptr = borrowed(record->key.data), .size = record->key.size_bytes}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {.ptr = borrowed(record->payload.data), .size = record->payload.size_bytes}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = (int64_t)record->published_wall_ms},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = cookie},
    };
    refusal = rd_kafka_produceva(self->client, parts, SPOOL_COUNT_OF(parts));
    rdkafka_purge_unlock(&self->purge);
    if (refusal == NULL) {
        return 0; /* the headers are the client's now */
    }
    rd_kafka_headers_destroy(headers);
    return refusal_of(self, refusal, ret_error);
}

static void purge(struct sink *sink, bool include_inflight)
{
    rdkafka_purge_start(&self_of(sink)->purge, include_inflight);
}

/* --- Reports and health ---------------------------------------------------------------------- */

static enum sink_persistence persistence_of(const rd_kafka_message_t *message)
{
    switch (rd_kafka_message_status(message)) {
    case RD_KAFKA_MSG_STATUS_NOT_PERSISTED:
        return SINK_PERSISTENCE_NOT;
    case RD_KAFKA_MSG_STATUS_PERSISTED:
        return SINK_PERSISTENCE_YES;
    case RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED:
    default:
        return SINK_PERSISTENCE_POSSIBLY; /* the careful reading of what we do not know */
    }
}

/* Takes reports out of the delivery at hand; ends it when it is empty. */
static size_t take_reports(struct sink_rdkafka *self, struct sink_report *reports,
                           size_t reports_max)
{
    const rd_kafka_message_t *message = NULL;
    size_t count = 0;

    while (count < reports_max && (message = rd_kafka_event_message_next(self->delivery)) != NULL) {
        reports[count++] = (struct sink_report){
            .cookie = message->_private,
            .error = (int)message->err,
            .persistence = persistence_of(message),
            .partition = message->partition >= 0 ? message->partition : -1,
            .offset = message->offset >= 0 ? message->offset : -1,
        };
    }
    if (message == NULL) {
        rd_kafka_event_destroy(self->delivery);
        self->delivery = NULL;
    }
    return count;
}

static void take_error(struct sink_rdkafka *self, rd_kafka_event_t *event,
                       struct sink_health *health)
{
    char text[TEXT_BYTES_MAX];
    char redacted[TEXT_BYTES_MAX];
    rd_kafka_resp_err_t error = rd_kafka_event_error(event);
    const char *reason = rd_kafka_event_error_string(event);

    if (rd_kafka_event_error_is_fatal(event) != 0 || error == RD_KAFKA_RESP_ERR__FATAL) {
        self->is_fatal = true;
        error = rd_kafka_fatal_error(self->client, text, sizeof(text));
        reason = text;
    } else if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        health->all_brokers_down = true;
        if (health->error != 0) {
            return; /* why they are down is worth more */
        }
    }
    redact_text(self->redact, reason, redacted, sizeof(redacted));
    health->error = (int)error;
    message_set(&health->message, "%s", redacted);
}

static void take_log(const struct sink_rdkafka *self, rd_kafka_event_t *event)
{
    const char *facility = NULL;
    const char *line = NULL;
    int level = 0;
    char redacted[TEXT_BYTES_MAX];
    struct message message;

    if (self->log == NULL || rd_kafka_event_log(event, &facility, &line, &level) != 0) {
        return;
    }
    redact_text(self->redact, line, redacted, sizeof(redacted));
    message_set(&message, "%s: %s", facility, redacted);
    self->log(self->log_context, level, message.text);
}

/* Takes one event from the client's queue; a delivery is kept for take_reports(). Returns false
 * when there is none. */
static bool take_event(struct sink_rdkafka *self, struct sink_health *health)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(self->queue, 0);

    if (event == NULL) {
        return false;
    }
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR:
        self->delivery = event;
        return true;
    case RD_KAFKA_EVENT_ERROR:
        take_error(self, event, health);
        break;
    case RD_KAFKA_EVENT_LOG:
        take_log(self, event);
        break;
    default:
        break;
    }
    rd_kafka_event_destroy(event);
    return true;
}

static size_t poll_reports(struct sink *sink, struct sink_report *reports, size_t reports_max,
                           struct sink_health *health)
{
    struct sink_rdkafka *self = self_of(sink);
    bool is_purged;
    bool is_drained = false;
    size_t events_count = 0;
    size_t count = 0;
    eventfd_t wakes;

    rdkafka_purge_follow(&self->purge);
    is_purged = rdkafka_purge_is_done(&self->purge);

    health->error = 0;
    health->message.text[0] = '\0';
    health->all_brokers_down = false;
    /* The fd first: what comes into the queue from here on makes it readable again. */
    (void)eventfd_read(self->wake_fd, &wakes);
    while (!is_drained && count < reports_max && events_count < EVENTS_PER_POLL_MAX) {
        if (self->delivery != NULL) {
            count += take_reports(self, &reports[count], reports_max - count);
        } else {
            is_drained = !take_event(self, health);
            events_count++;
        }
    }
    if (!is_drained) {
        (void)eventfd_write(self->wake_fd, 1);
    } else if (is_purged) {
        rdkafka_purge_end(&self->purge);
    }
    health->is_fatal = self->is_fatal;
    return count;
}

static int wake_fd(struct sink *sink)
{
    return self_of(sink)->wake_fd;
}

/* --- Topics ---------------------------------------------------------------------------------- */

static bool is_same_conf(rd_kafka_topic_conf_t *one, rd_kafka_topic_conf_t *other)
{
    size_t one_count = 0;
    size_t other_count = 0;
    const char **one_dump = rd_kafka_topic_conf_dump(one, &one_count);
    const char **other_dump = rd_kafka_topic_conf_dump(other, &other_count);
    bool is_same = one_count == other_count;

    for (size_t i = 0; is_same && i < one_count; i++) {
        is_same = strcmp(one_dump[i], other_dump[i]) == 0;
    }
    rd_kafka_conf_dump_free(one_dump, one_count);
    rd_kafka_conf_dump_free(other_dump, other_count);
    return is_same;
}

static struct sink_topic *find_topic(const struct sink_rdkafka *self, const char *name)
{
    for (struct sink_topic *topic = self->topics; topic != NULL; topic = topic->next) {
        if (strcmp(topic->name, name) == 0) {
            return topic;
        }
    }
    return NULL;
}

/* Makes a topic of the client with conf, which is copied. */
static int add_topic(struct sink_rdkafka *self, const char *name, const rd_kafka_topic_conf_t *conf,
                     struct message *message)
{
    size_t name_size_bytes = strlen(name) + 1;
    struct sink_topic *topic = calloc(1, sizeof(*topic) + name_size_bytes);

    if (topic == NULL) {
        return -ENOMEM;
    }
    memcpy(topic->name, name, name_size_bytes);
    topic->handle = rd_kafka_topic_new(self->client, name, rd_kafka_topic_conf_dup(conf));
    if (topic->handle == NULL) {
        message_set(message, "topic %s: librdkafka does not take it: %s", name,
                    rd_kafka_err2str(rd_kafka_last_error()));
        free(topic);
        return SINK_E_REJECTED;
    }
    topic->conf = rd_kafka_topic_conf_dup(conf);
    topic->next = self->topics;
    self->topics = topic;
    return 0;
}

static int open_topic(struct sink *sink, const struct address *address,
                      struct sink_topic **ret_topic, struct message *message)
{
    struct sink_rdkafka *self = self_of(sink);
    SPOOL_CLEANUP(rdkafka_conf_topic_free) rd_kafka_topic_conf_t *conf = NULL;
    struct sink_topic *topic = find_topic(self, address->topic);
    int r;

    r = sink_rdkafka_check(address, message);
    if (r != 0) {
        return r;
    }
    conf = rd_kafka_default_topic_conf_dup(self->client);
    r = rdkafka_conf_topic_set(address, conf, message);
    if (r != 0) {
        return r;
    }
    if (topic == NULL) {
        r = add_topic(self, address->topic, conf, message);
        if (r != 0) {
            return r;
        }
        topic = self->topics;
    } else if (!is_same_conf(topic->conf, conf)) {
        /* The client has one configuration per topic name, and would silently keep the first. */
        message_set(message,
                    "topic %s: the producer already has it with other t. properties; this "
                    "destination needs a producer of its own",
                    address->topic);
        return SINK_E_REJECTED;
    }
    *ret_topic = topic;
    return 0;
}

/* --- Life ------------------------------------------------------------------------------------ */

static void end(void *argument)
{
    struct sink_rdkafka *self = argument;

    sink_rdkafka_free(&self);
}

static void close_sink(struct sink *sink)
{
    struct sink_rdkafka *self = self_of(sink);

    /* Otherwise the client would first wait for answers to what is in flight. */
    (void)rd_kafka_purge(self->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                           RD_KAFKA_PURGE_F_NON_BLOCKING);
    reaper_end(end, self);
}

bool sink_rdkafka_settle(uint64_t timeout_ms)
{
    return reaper_settle(timeout_ms);
}

static const struct sink_ops ops = {
    .open_topic = open_topic,
    .produce = produce,
    .poll = poll_reports,
    .purge = purge,
    .fd = wake_fd,
    .close = close_sink,
};

/* Makes the client of *conf, which is taken. librdkafka's error; its text may show a secret. */
static int make_client(struct sink_rdkafka *self, struct rd_kafka_conf_s **conf, char *text,
                       size_t text_bytes_max)
{
    int error = rdkafka_trial(*conf, text, text_bytes_max);

    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return error;
    }
    rd_kafka_conf_set_events(*conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
    rdkafka_purge_watch(&self->purge, *conf);
    /* Should this fail all the same, then conf is lost: see rdkafka_trial(). */
    self->client = rd_kafka_new(RD_KAFKA_PRODUCER, SPOOL_TAKE(*conf), text, text_bytes_max);
    return self->client == NULL ? (int)rd_kafka_last_error() : RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Makes the client and connects its queue to the fd. conf is taken. */
static int start_client(struct sink_rdkafka *self, struct rd_kafka_conf_s **conf,
                        struct message *message)
{
    static const eventfd_t one = 1;
    char text[TEXT_BYTES_MAX];
    char redacted[TEXT_BYTES_MAX];
    int error = make_client(self, conf, text, sizeof(text));

    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        redact_text(self->redact, text, redacted, sizeof(redacted));
        message_set(message, "librdkafka %s cannot make a producer: %s", rd_kafka_version_str(),
                    redacted);
        return error == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE ? -EAGAIN : SINK_E_REJECTED;
    }
    self->purge.client = self->client;
    self->purge.wake_fd = self->wake_fd;
    self->queue = rd_kafka_queue_get_main(self->client);
    rd_kafka_queue_io_event_enable(self->queue, self->wake_fd, &one, sizeof(one));
    (void)rd_kafka_set_log_queue(self->client, self->queue);
    /* librdkafka writes only when its queue stops being empty. An error may have been faster than
     * the lines above: have the caller look once. */
    (void)eventfd_write(self->wake_fd, 1);
    return 0;
}

static int open_sink(struct sink_maker *maker, const struct address *address,
                     struct sink **ret_sink, struct message *message)
{
    const struct sink_rdkafka_maker *config = (const struct sink_rdkafka_maker *)(void *)maker;
    SPOOL_CLEANUP(sink_rdkafka_free) struct sink_rdkafka *self = NULL;
    SPOOL_CLEANUP(rdkafka_conf_free) struct rd_kafka_conf_s *conf = NULL;
    int r;

    r = sink_rdkafka_check(address, message);
    if (r != 0) {
        return r;
    }
    r = rdkafka_conf_new(address, &conf, message);
    if (r != 0) {
        return r;
    }
    self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return -ENOMEM;
    }
    self->sink.ops = &ops;
    rdkafka_purge_init(&self->purge);
    self->log = config->log;
    self->log_context = config->log_context;
    self->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->wake_fd < 0) {
        return -errno;
    }
    r = redact_new(address, &self->redact);
    if (r != 0) {
        return r;
    }
    r = start_client(self, &conf, message);
    if (r != 0) {
        return r;
    }
    *ret_sink = &SPOOL_TAKE(self)->sink;
    return 0;
}

void sink_rdkafka_maker_init(struct sink_rdkafka_maker *maker, sink_rdkafka_log *log,
                             void *log_context)
{
    *maker = (struct sink_rdkafka_maker){
        .maker = {.open = open_sink},
        .log = log,
        .log_context = log_context,
    };
}

const char *sink_rdkafka_version(void)
{
    return rd_kafka_version_str();
}
