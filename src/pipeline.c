/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/pipeline.h"

#include "spool/limits.h"
#include "spool/point.h"
#include "src/live_feed.h"
#include "src/quiet_thread.h"
#include "src/report.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

#define PIPELINE_SWEEP_MS 1000
#define PIPELINE_LIVE_MS 500
#define PIPELINE_STOP_POLL_MS 5
#define PIPELINE_TIMER_SLACK_NS 1000UL
/* After the flush time: for the reports of what was taken back from the sinks. */
#define PIPELINE_PURGE_MS 500

struct pipeline {
    struct pipeline_config config;
    struct spool *spool;
    struct committer *committer;
    struct forward *forward;
    struct reports *reports;
    struct live_feed *live; /* NULL: the file cannot be made, and nobody depends on it */
    int wake_fd;            /* wakes the forwarder's thread */
    atomic_bool is_woken;
    bool is_running;
    atomic_bool stops_forwarder;
    atomic_bool stops_committer;
    pthread_t forwarder_thread;
    pthread_t committer_thread;
    bool has_trouble; /* the committer's thread: as it was last told */
};

/* --- The forwarder's thread ------------------------------------------------------------------- */

/* Wakes the forwarder; one write serves all that come before it looks. */
static void pipeline_wake(void *context)
{
    struct pipeline *pipeline = context;
    if (!atomic_exchange(&pipeline->is_woken, true)) {
        uint64_t one = 1;
        (void)!write(pipeline->wake_fd, &one, sizeof(one));
    }
}

static void pipeline_sleep(struct pipeline *pipeline, uint64_t timeout_ms)
{
    int fds[DESTINATIONS_MAX];
    struct pollfd polled[DESTINATIONS_MAX + 1];
    size_t count = forward_fds(pipeline->forward, fds, SPOOL_COUNT_OF(fds));
    polled[0] = (struct pollfd){.fd = pipeline->wake_fd, .events = POLLIN};
    for (size_t i = 0; i < count; i++) {
        polled[i + 1] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    }
    if (poll(polled, count + 1, (int)timeout_ms) > 0 && (polled[0].revents & POLLIN) != 0) {
        uint64_t ignored;
        (void)!read(pipeline->wake_fd, &ignored, sizeof(ignored));
    }
    atomic_store(&pipeline->is_woken, false);
}

static void *pipeline_run_forwarder(void *context)
{
    struct pipeline *pipeline = context;
    struct clock *clock = pipeline->config.clock;
    uint64_t live_at_ms = 0;
    while (!atomic_load(&pipeline->stops_forwarder)) {
        uint64_t timeout_ms = forward_step(pipeline->forward);
        uint64_t now_ms = clock->monotonic_ms(clock);
        if (now_ms >= live_at_ms) {
            /* Here, since the forwarder's lock is free: publishers wait for the committer. */
            live_feed_step(pipeline->live, false);
            live_at_ms = now_ms + PIPELINE_LIVE_MS;
        }
        if (timeout_ms > 0) {
            uint64_t left_ms = live_at_ms - now_ms;
            pipeline_sleep(pipeline, timeout_ms < left_ms ? timeout_ms : left_ms);
        }
    }
    return NULL;
}

/* --- The committer's thread ------------------------------------------------------------------- */

static void pipeline_tell_trouble(struct pipeline *pipeline)
{
    struct message message;
    bool has_trouble = committer_trouble(pipeline->committer, &message);
    if (has_trouble != pipeline->has_trouble) {
        pipeline->has_trouble = has_trouble;
        struct host *host = pipeline->config.host;
        host->tell(host, has_trouble ? HOST_EVENT_TROUBLE : HOST_EVENT_MENDED, NULL,
                   has_trouble ? message.text : "the spool can be written again");
    }
}

static void *pipeline_run_committer(void *context)
{
    struct pipeline *pipeline = context;
    struct clock *clock = pipeline->config.clock;
    uint64_t sweep_at_ms = 0;
    /* Its short sleeps are measured in microseconds; by default they take 50 more. */
    (void)prctl(PR_SET_TIMERSLACK, PIPELINE_TIMER_SLACK_NS);
    while (!atomic_load(&pipeline->stops_committer)) {
        bool was_busy = committer_step(pipeline->committer, false) > 0;
        uint64_t now_ms = clock->monotonic_ms(clock);
        if (now_ms >= sweep_at_ms) {
            ring_sweep(pipeline->config.ring);
            pipeline_tell_trouble(pipeline);
            sweep_at_ms = now_ms + PIPELINE_SWEEP_MS;
        }
        if (!was_busy) {
            committer_wait(pipeline->committer, sweep_at_ms - now_ms);
        }
    }
    /* The last settlements: what is not committed now is delivered again after the next start. */
    while (committer_step(pipeline->committer, true) > 0) {
    }
    return NULL;
}

/* --- Life ------------------------------------------------------------------------------------- */

static int pipeline_make_parts(struct pipeline *pipeline)
{
    const struct pipeline_config *config = &pipeline->config;
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed)) {
        seed = config->clock->wall_ms(config->clock);
    }
    pipeline->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pipeline->wake_fd < 0) {
        return -errno;
    }
    struct committer_config committer_config = {
        .spool = pipeline->spool,
        .ring = config->ring,
        .on_commit = pipeline_wake,
        .context = pipeline,
    };
    int r = committer_new(&committer_config, &pipeline->committer);
    if (r != 0) {
        return r;
    }
    struct forward_config forward_config = {
        .spool = pipeline->spool,
        .committer = pipeline->committer,
        .maker = config->maker,
        .clock = config->clock,
        .host = config->host,
        .seed = seed,
    };
    r = forward_new(&forward_config, &pipeline->forward);
    if (r != 0) {
        return r;
    }
    struct live_feed_config live_config = {
        .spool = pipeline->spool,
        .committer = pipeline->committer,
        .forward = pipeline->forward,
        .clock = config->clock,
    };
    (void)!live_feed_new(&live_config, &pipeline->live);
    return reports_new(pipeline->spool, pipeline->committer, config->host, &pipeline->reports);
}

int pipeline_open(const struct pipeline_config *config, struct pipeline **ret_pipeline,
                  struct message *message)
{
    SPOOL_CLEANUP(pipeline_free) struct pipeline *pipeline = calloc(1, sizeof(*pipeline));
    if (pipeline == NULL) {
        message_set(message, "out of memory");
        return -ENOMEM;
    }
    pipeline->config = *config;
    pipeline->wake_fd = -1;
    int r = spool_open(&config->spool, &pipeline->spool, message);
    if (r != 0) {
        return r;
    }
    SPOOL_POINT("pipeline.opened");
    const char *set_aside = spool_set_aside_path(pipeline->spool);
    if (set_aside != NULL) {
        struct message text;
        message_set(&text, "the spool was damaged: it is kept in %s, and a new one was started",
                    set_aside);
        config->host->tell(config->host, HOST_EVENT_SET_ASIDE, NULL, text.text);
    }
    r = pipeline_make_parts(pipeline);
    if (r != 0) {
        message_set(message, "cannot start: %s", strerror(-r));
        return r;
    }
    *ret_pipeline = SPOOL_TAKE(pipeline);
    return 0;
}

int pipeline_add(struct pipeline *pipeline, const struct address *address,
                 uint32_t *ret_destination, struct message *message)
{
    uint32_t destination;
    int r = spool_destination_open(pipeline->spool, address->identity, address->text, &destination,
                                   message);
    if (r != 0) {
        return r;
    }
    struct destination_limits limits = {
        .max_records = address->max_records,
        .max_bytes = address->max_bytes,
        .drops_oldest = address->on_full == ADDRESS_ON_FULL_DROP_OLDEST,
    };
    r = forward_add(pipeline->forward, destination, address);
    if (r == 0) {
        spool_destination_limit(pipeline->spool, destination, &limits);
    } else if (r != -EEXIST) {
        message_set(message, "%s: %s", address->text, strerror(-r));
        return r;
    }
    pipeline_wake(pipeline);
    SPOOL_POINT("pipeline.added");
    *ret_destination = destination;
    return 0;
}

int pipeline_start(struct pipeline *pipeline)
{
    assert(!pipeline->is_running);
    int r = quiet_thread_start(pipeline_run_committer, pipeline, &pipeline->committer_thread);
    if (r != 0) {
        return r;
    }
    r = quiet_thread_start(pipeline_run_forwarder, pipeline, &pipeline->forwarder_thread);
    if (r != 0) {
        atomic_store(&pipeline->stops_committer, true);
        ring_bell(pipeline->config.ring);
        pthread_join(pipeline->committer_thread, NULL);
        return r;
    }
    pipeline->is_running = true;
    SPOOL_POINT("pipeline.started");
    return 0;
}

void pipeline_step(struct pipeline *pipeline)
{
    reports_step(pipeline->reports);
}

void pipeline_report_done(struct pipeline *pipeline, uint64_t number)
{
    reports_done(pipeline->reports, number);
}

/* Waits until nothing is in-flight, at most timeout_ms. */
static bool pipeline_wait_idle(struct pipeline *pipeline, uint64_t timeout_ms)
{
    struct clock *clock = pipeline->config.clock;
    uint64_t until_ms = clock->monotonic_ms(clock) + timeout_ms;
    while (!forward_is_idle(pipeline->forward)) {
        if (clock->monotonic_ms(clock) >= until_ms) {
            return false;
        }
        struct timespec pause = {.tv_nsec = PIPELINE_STOP_POLL_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
    return true;
}

void pipeline_stop(struct pipeline *pipeline, uint64_t flush_ms)
{
    if (!pipeline->is_running) {
        return;
    }
    ring_close(pipeline->config.ring);
    forward_stop(pipeline->forward);
    if (!pipeline_wait_idle(pipeline, flush_ms)) {
        forward_purge(pipeline->forward);
        SPOOL_POINT("pipeline.purged");
        pipeline_wake(pipeline);
        pipeline_wait_idle(pipeline, PIPELINE_PURGE_MS);
    }
    SPOOL_POINT("pipeline.flushed");
    atomic_store(&pipeline->stops_forwarder, true);
    pipeline_wake(pipeline);
    pthread_join(pipeline->forwarder_thread, NULL);
    SPOOL_POINT("pipeline.forwarder_ended");
    atomic_store(&pipeline->stops_committer, true);
    ring_bell(pipeline->config.ring);
    pthread_join(pipeline->committer_thread, NULL);
    SPOOL_POINT("pipeline.committer_ended");
    live_feed_step(pipeline->live, true);
    pipeline->is_running = false;
}

void pipeline_free(struct pipeline **pipeline_at)
{
    struct pipeline *pipeline = SPOOL_TAKE(*pipeline_at);
    if (pipeline == NULL) {
        return;
    }
    pipeline_stop(pipeline, 0);
    live_feed_free(&pipeline->live);
    reports_free(&pipeline->reports);
    forward_free(&pipeline->forward);
    committer_free(&pipeline->committer);
    spool_close(&pipeline->spool);
    spool_close_fd(&pipeline->wake_fd);
    free(pipeline);
}

struct spool *pipeline_spool(struct pipeline *pipeline)
{
    return pipeline->spool;
}

struct committer *pipeline_committer(struct pipeline *pipeline)
{
    return pipeline->committer;
}

struct forward *pipeline_forward(struct pipeline *pipeline)
{
    return pipeline->forward;
}
