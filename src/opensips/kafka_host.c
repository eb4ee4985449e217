/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/kafka_host.h"

#include "spool/clock.h"
#include "spool/message.h"
#include "src/opensips/alarms.h"
#include "src/opensips/opensips.h"
#include "src/opensips/report_route.h"
#include "src/opensips/shared_state.h"

#include <pthread.h>
#include <syslog.h>

/* What waits to be logged; more is counted. */
#define TOLD_MAX 64

/* Of the client's lines so many are logged in a window. A window that had more is followed by one
 * that is twice as long. */
#define CLIENT_LINES_MAX 5
#define CLIENT_WINDOW_MS 60000ULL
#define CLIENT_WINDOW_MS_MAX (60 * CLIENT_WINDOW_MS)

struct told {
    enum host_event event;
    struct message destination; /* an identity; empty: none */
    struct message text;
};

static struct {
    struct host host;
    pthread_mutex_t lock; /* of all that follows */
    struct told told[TOLD_MAX];
    size_t first;
    size_t count;
    uint64_t lost_count;
    uint64_t client_window_ms;
    uint64_t client_window_ends_ms;
    unsigned client_lines_count;
    uint64_t client_suppressed_count;
} kafka = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* With the lock. */
static void host_queue(enum host_event event, const char *destination, const char *text)
{
    if (kafka.count == TOLD_MAX) {
        kafka.lost_count++;
        return;
    }
    struct told *told = &kafka.told[(kafka.first + kafka.count++) % TOLD_MAX];
    told->event = event;
    message_set(&told->destination, "%s", destination != NULL ? destination : "");
    message_set(&told->text, "%s", text);
    shared_bell_ring();
}

static void host_tell(struct host *host, enum host_event event, const char *destination,
                      const char *text)
{
    (void)host;
    pthread_mutex_lock(&kafka.lock);
    if (event == HOST_EVENT_BROKERS_UP) {
        kafka.client_window_ends_ms = 0;
        kafka.client_window_ms = 0;
    }
    host_queue(event, destination, text);
    pthread_mutex_unlock(&kafka.lock);
}

/* With the lock: whether a line may be logged. Begins a new window when the last one has ended. */
static bool host_takes_client_line(void)
{
    struct clock *clock = clock_system();
    uint64_t now_ms = clock->monotonic_ms(clock);
    if (now_ms >= kafka.client_window_ends_ms) {
        bool is_repeating = kafka.client_suppressed_count > 0;
        struct message text;
        if (is_repeating) {
            message_set(&text, "%llu more lines of the Kafka client were not logged",
                        (unsigned long long)kafka.client_suppressed_count);
            host_queue(HOST_EVENT_CLIENT_LOG, NULL, text.text);
        }
        kafka.client_window_ms = is_repeating && kafka.client_window_ms != 0
                                     ? 2 * kafka.client_window_ms
                                     : CLIENT_WINDOW_MS;
        if (kafka.client_window_ms > CLIENT_WINDOW_MS_MAX) {
            kafka.client_window_ms = CLIENT_WINDOW_MS_MAX;
        }
        kafka.client_window_ends_ms = now_ms + kafka.client_window_ms;
        kafka.client_lines_count = 0;
        kafka.client_suppressed_count = 0;
    }
    bool takes = kafka.client_lines_count < CLIENT_LINES_MAX;
    kafka.client_lines_count += takes;
    kafka.client_suppressed_count += !takes;
    return takes;
}

void kafka_host_client_log(void *context, int level, const char *text)
{
    (void)context;
    if (level > LOG_WARNING) {
        return;
    }
    pthread_mutex_lock(&kafka.lock);
    if (host_takes_client_line()) {
        host_queue(HOST_EVENT_CLIENT_LOG, NULL, text);
    }
    pthread_mutex_unlock(&kafka.lock);
}

static bool host_next(struct told *ret_told, uint64_t *ret_lost_count)
{
    pthread_mutex_lock(&kafka.lock);
    bool has_one = kafka.count > 0;
    if (has_one) {
        *ret_told = kafka.told[kafka.first];
        kafka.first = (kafka.first + 1) % TOLD_MAX;
        kafka.count--;
    }
    *ret_lost_count = kafka.lost_count;
    kafka.lost_count = 0;
    pthread_mutex_unlock(&kafka.lock);
    return has_one;
}

static void host_log(const struct told *told)
{
    const char *name = host_event_name(told->event);
    const char *destination = told->destination.text;
    const char *colon = destination[0] != '\0' ? ": " : "";
    switch (told->event) {
    case HOST_EVENT_BROKERS_UP:
    case HOST_EVENT_MENDED:
        LM_NOTICE("%s: %s%s%s\n", name, destination, colon, told->text.text);
        break;
    case HOST_EVENT_CLIENT_LOG:
    case HOST_EVENT_RETRY:
    case HOST_EVENT_PRODUCER_LOST:
        LM_WARN("%s: %s%s%s\n", name, destination, colon, told->text.text);
        break;
    case HOST_EVENT_SET_ASIDE:
    case HOST_EVENT_TROUBLE:
        LM_CRIT("%s: %s%s%s\n", name, destination, colon, told->text.text);
        break;
    default:
        LM_ERR("%s: %s%s%s\n", name, destination, colon, told->text.text);
    }
}

void kafka_host_step(void)
{
    struct told told;
    uint64_t lost_count;
    while (host_next(&told, &lost_count)) {
        host_log(&told);
        alarms_tell(told.event, told.destination.text, told.text.text);
        if (lost_count > 0) {
            LM_WARN("%llu more messages came at once and were not logged\n",
                    (unsigned long long)lost_count);
        }
    }
}

struct host *kafka_host(void)
{
    kafka.host = (struct host){.tell = host_tell, .run_report = report_route_dispatch};
    return &kafka.host;
}
