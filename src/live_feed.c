/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/live_feed.h"

#include "spool/live.h"

#include <errno.h>
#include <stdio.h>

/* Rates are averages over about so long: short enough to see a change, long enough to read it. */
#define LIVE_FEED_AVERAGE_MS 5000.0

static_assert((int)LIVE_FLOWING == FORWARD_FLOWING + 1, "the states are the same");
static_assert((int)LIVE_WAITING == FORWARD_WAITING + 1, "the states are the same");
static_assert((int)LIVE_STATE_COUNT == FORWARD_STATE_COUNT + 1, "the states are the same");

/* What a destination's rates are made of. */
struct live_feed_rate {
    uint64_t in_count; /* the counters as they were last */
    uint64_t out_count;
    double in_per_ms;
    double out_per_ms;
};

struct live_feed {
    struct live_feed_config config;
    struct live_writer *writer;
    uint64_t last_ms; /* 0: the first step is to come */
    struct live_feed_rate rates[DESTINATIONS_MAX + 1];
    struct live live;
};

int live_feed_new(const struct live_feed_config *config, struct live_feed **ret_feed)
{
    struct live_feed *feed = calloc(1, sizeof(*feed));
    if (feed == NULL) {
        return -ENOMEM;
    }
    feed->config = *config;
    feed->live.started_wall_ms = config->clock->wall_ms(config->clock);
    int r = live_open(config->spool, &feed->writer);
    if (r != 0) {
        free(feed);
        return r;
    }
    *ret_feed = feed;
    return 0;
}

void live_feed_free(struct live_feed **feed_at)
{
    struct live_feed *feed = SPOOL_TAKE(*feed_at);
    if (feed != NULL) {
        live_close(&feed->writer);
        free(feed);
    }
}

static void live_feed_average(double *average, uint64_t count, uint64_t passed_ms)
{
    double rate = (double)count / (double)passed_ms;
    *average += (rate - *average) * (double)passed_ms / (LIVE_FEED_AVERAGE_MS + (double)passed_ms);
}

static void live_feed_rates(struct live_feed *feed, uint32_t id, uint64_t now_ms)
{
    struct live_feed_rate *rate = &feed->rates[id];
    struct live_destination *row = &feed->live.destinations[id];
    struct counters counters;
    if (spool_counters(feed->config.spool, id, &counters) != 0) {
        return;
    }
    uint64_t in_count = counters.values[COUNTER_APPENDED];
    uint64_t out_count = counters.values[COUNTER_DELIVERED];
    if (feed->last_ms != 0 && now_ms > feed->last_ms) {
        uint64_t passed_ms = now_ms - feed->last_ms;
        live_feed_average(&rate->in_per_ms, in_count - rate->in_count, passed_ms);
        live_feed_average(&rate->out_per_ms, out_count - rate->out_count, passed_ms);
    }
    rate->in_count = in_count;
    rate->out_count = out_count;
    row->in_per_ks = (uint64_t)(rate->in_per_ms * 1e6);
    row->out_per_ks = (uint64_t)(rate->out_per_ms * 1e6);
}

static void live_feed_destination(struct live_feed *feed, uint32_t id, uint64_t now_wall_ms)
{
    struct live_destination *row = &feed->live.destinations[id];
    struct forward_status status;
    if (forward_status(feed->config.forward, id, &status) != 0) {
        *row = (struct live_destination){.limits = row->limits};
        return;
    }
    row->state = (enum live_state)(status.state + 1);
    row->is_held = status.is_held;
    row->is_paused = status.is_paused;
    row->is_stalled = status.is_stalled;
    row->inflight_records = status.inflight_records;
    row->inflight_bytes = status.inflight_bytes;
    row->retry_at_wall_ms = status.state == FORWARD_WAITING ? now_wall_ms + status.retry_in_ms : 0;
    row->retries_count = status.retries_count;
    row->possible_duplicates_count = status.possible_duplicates_count;
    row->producers_lost_count = status.producers_lost_count;
    row->last_delivered_wall_ms = status.last_delivered_wall_ms;
    row->last_error = status.last_error;
    (void)snprintf(row->last_error_text, sizeof(row->last_error_text), "%.*s", LIVE_TEXT_BYTES - 1,
                   status.last_error_text.text);
}

void live_feed_step(struct live_feed *feed, bool is_last)
{
    if (feed == NULL) {
        return;
    }
    struct clock *clock = feed->config.clock;
    struct live *live = &feed->live;
    uint64_t now_ms = clock->monotonic_ms(clock);
    struct committer_statistics statistics;
    struct message trouble;
    committer_statistics(feed->config.committer, &statistics);
    bool has_trouble = committer_trouble(feed->config.committer, &trouble);
    live_describe(feed->config.spool, live);
    live->written_wall_ms = clock->wall_ms(clock);
    live->is_stopped = is_last;
    live->commits_count = statistics.commits_count;
    live->commit_us_p50 = statistics.commit_us_p50;
    live->commit_us_p99 = statistics.commit_us_p99;
    (void)snprintf(live->trouble, sizeof(live->trouble), "%.*s", LIVE_TEXT_BYTES - 1,
                   has_trouble ? trouble.text : "");
    for (uint32_t i = 1; i <= live->destinations_count; i++) {
        live_feed_destination(feed, i, live->written_wall_ms);
        live_feed_rates(feed, i, now_ms);
    }
    feed->last_ms = now_ms;
    (void)!live_write(feed->writer, live);
}
