/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/forward.h"

#include "spool/cursor.h"
#include "spool/pause.h"
#include "spool/point.h"
#include "src/forward_private.h"

#include <assert.h>
#include <errno.h>

/* The waits of a destination that must try again, and of one that needs an operator. */
#define FORWARD_RETRY_BASE_MS 100
#define FORWARD_RETRY_CAP_MS 10000
#define FORWARD_HOLD_BASE_MS 2000
#define FORWARD_HOLD_CAP_MS 60000

/* A sink is polled at least this often, whatever its fd says: a wake-up can be missed. */
#define FORWARD_POLL_MS 100
/* How often expiry and what operators changed in the spool are looked at. */
#define FORWARD_LOOK_MS 500
/* Without a delivery for so long, a sink that says that its brokers are down is believed (clients
 * say so of idle connections too), and expired records are taken back from it. */
#define FORWARD_STUCK_MS 1000
#define FORWARD_STALLED_MS 10000

/* Read positions below all sequences. At the start, what was appended says whether the queue has
 * anything; later it must be looked at, since a requeue appends nothing. */
#define FORWARD_POSITION_LOOK 0
#define FORWARD_POSITION_START 1

const char *forward_state_name(enum forward_state state)
{
    static const char *const names[FORWARD_STATE_COUNT] = {
        [FORWARD_FLOWING] = "flowing",
        [FORWARD_DRAINING] = "draining",
        [FORWARD_WAITING] = "waiting",
    };
    assert(state < FORWARD_STATE_COUNT);
    return names[state];
}

/* --- Life ------------------------------------------------------------------------------------- */

int forward_new(const struct forward_config *config, struct forward **ret_forward)
{
    SPOOL_CLEANUP(forward_free) struct forward *forward = calloc(1, sizeof(*forward));
    if (forward == NULL) {
        return -ENOMEM;
    }
    forward->config = *config;
    pthread_mutex_init(&forward->lock, NULL);
    int r = inflight_pool_init(&forward->pool, INFLIGHT_RECORDS_MAX + READ_RECORDS_MAX);
    if (r < 0) {
        return r;
    }
    *ret_forward = SPOOL_TAKE(forward);
    return 0;
}

void forward_free(struct forward **forward_at)
{
    struct forward *forward = SPOOL_TAKE(*forward_at);
    if (forward == NULL) {
        return;
    }
    for (size_t i = 0; i < forward->producers_count; i++) {
        producer_close(&forward->producers[i]);
    }
    for (size_t i = 0; i < forward->destinations_count; i++) {
        retried_deinit(&forward->destinations[i].retried);
    }
    inflight_pool_deinit(&forward->pool);
    pthread_mutex_destroy(&forward->lock);
    free(forward);
}

/* Whether none of the producer's destinations has the address's topic in another way. */
static bool forward_is_free_of_conflict(const struct forward *forward,
                                        const struct producer *producer,
                                        const struct address *address)
{
    for (size_t i = 0; i < forward->destinations_count; i++) {
        const struct forward_destination *other = &forward->destinations[i];
        if (other->producer == producer && producer_is_conflict(other->address, address)) {
            return false;
        }
    }
    return true;
}

static struct producer *forward_find_producer(struct forward *forward,
                                              const struct address *address)
{
    for (size_t i = 0; i < forward->producers_count; i++) {
        struct producer *producer = &forward->producers[i];
        if (producer_serves(producer, address) &&
            forward_is_free_of_conflict(forward, producer, address)) {
            return producer;
        }
    }
    struct producer *producer = &forward->producers[forward->producers_count++];
    *producer = (struct producer){.address = address};
    backoff_init(&producer->backoff, forward->config.seed ^ (forward->producers_count << 32));
    return producer;
}

static struct forward_destination *forward_find(struct forward *forward, uint32_t id)
{
    for (size_t i = 0; i < forward->destinations_count; i++) {
        if (forward->destinations[i].id == id) {
            return &forward->destinations[i];
        }
    }
    return NULL;
}

/* Both are asked again at the next step when the spool cannot be read, so before a record is: it
 * may have been told to pause since they were asked last. */
static uint64_t forward_read_requeued(struct forward *forward, uint32_t id, uint64_t otherwise)
{
    struct counters counters;
    int r = spool_counters(forward->config.spool, id, &counters);
    forward->must_look = forward->must_look || r != 0;
    return r == 0 ? counters.values[COUNTER_REQUEUED] : otherwise;
}

/* Whether an operator wants the destination paused; otherwise: when the spool cannot be read. */
static bool forward_read_paused(struct forward *forward, uint32_t id, bool otherwise)
{
    uint64_t since_wall_ms;
    int r = spool_paused_since(forward->config.spool, id, &since_wall_ms);
    forward->must_look = forward->must_look || r != 0;
    return r == 0 ? since_wall_ms != 0 : otherwise;
}

int forward_add(struct forward *forward, uint32_t id, const struct address *address)
{
    int r = -EEXIST;
    pthread_mutex_lock(&forward->lock);
    if (forward_find(forward, id) == NULL) {
        assert(forward->destinations_count < DESTINATIONS_MAX);
        struct producer *producer = forward_find_producer(forward, address);
        struct forward_destination *destination =
            &forward->destinations[forward->destinations_count++];
        *destination = (struct forward_destination){
            .forward = forward,
            .id = id,
            .address = address,
            .producer = producer,
            .requeued_count = forward_read_requeued(forward, id, 0),
            .is_paused = forward_read_paused(forward, id, false),
            .position = FORWARD_POSITION_START,
        };
        backoff_init(&destination->backoff, forward->config.seed + id);
        r = 0;
    }
    pthread_mutex_unlock(&forward->lock);
    return r;
}

void forward_retry_now(struct forward *forward, uint32_t id)
{
    pthread_mutex_lock(&forward->lock);
    for (size_t i = 0; i < forward->destinations_count; i++) {
        struct forward_destination *destination = &forward->destinations[i];
        if (id == 0 || destination->id == id) {
            destination->wait_until_ms = 0;
        }
    }
    pthread_mutex_unlock(&forward->lock);
}

void forward_stop(struct forward *forward)
{
    pthread_mutex_lock(&forward->lock);
    forward->is_stopping = true;
    pthread_mutex_unlock(&forward->lock);
}

void forward_purge(struct forward *forward)
{
    pthread_mutex_lock(&forward->lock);
    for (size_t i = 0; i < forward->producers_count; i++) {
        struct sink *sink = forward->producers[i].sink;
        if (sink != NULL) {
            sink->ops->purge(sink, true);
        }
    }
    pthread_mutex_unlock(&forward->lock);
}

bool forward_is_idle(struct forward *forward)
{
    bool is_idle = true;
    pthread_mutex_lock(&forward->lock);
    for (size_t i = 0; is_idle && i < forward->destinations_count; i++) {
        struct forward_destination *destination = &forward->destinations[i];
        forward_free_settled(destination);
        /* What a step stages it also hands over: nothing is under way but what the lists have. */
        is_idle = destination->produced.count == 0 && destination->settling.count == 0;
    }
    pthread_mutex_unlock(&forward->lock);
    return is_idle;
}

size_t forward_fds(struct forward *forward, int *fds, size_t fds_max)
{
    size_t count = 0;
    pthread_mutex_lock(&forward->lock);
    for (size_t i = 0; i < forward->producers_count && count < fds_max; i++) {
        struct sink *sink = forward->producers[i].sink;
        int fd = sink != NULL ? sink->ops->fd(sink) : -1;
        if (fd >= 0) {
            fds[count++] = fd;
        }
    }
    pthread_mutex_unlock(&forward->lock);
    return count;
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* A drained destination starts again from its lowest record: at once, or after a wait. */
static void forward_rewind(struct forward_destination *destination)
{
    struct forward *forward = destination->forward;
    uint64_t wait_ms = 0;
    if (destination->drain_reason == VERDICT_RETRY) {
        wait_ms =
            backoff_next_ms(&destination->backoff, FORWARD_RETRY_BASE_MS, FORWARD_RETRY_CAP_MS);
    } else if (destination->drain_reason == VERDICT_HOLD) {
        wait_ms = backoff_next_ms(&destination->backoff, FORWARD_HOLD_BASE_MS, FORWARD_HOLD_CAP_MS);
    }
    if (destination->rejected_count > 0) {
        destination->group_max = (destination->rejected_count + 1) / 2;
        destination->rejected_count = 0;
    }
    destination->position = FORWARD_POSITION_LOOK;
    retried_rewind(&destination->retried);
    cursor_tell_position(forward->config.spool, destination->id, destination->position);
    destination->wait_until_ms = forward->now_ms + wait_ms;
    destination->state = FORWARD_WAITING;
    SPOOL_POINT("forward.rewound");
}

/* Takes back from the sink what is behind a failed record. This waits until all reports that there
 * are were taken: a failure often takes everything with it, and a sink gives back what it has of
 * other destinations too. A lost producer may still get answers; see producer_wind_down(). */
static void forward_take_back(struct forward_destination *destination)
{
    struct producer *producer = destination->producer;
    if (destination->takes_back && destination->produced.count > 0 && !producer->is_lost) {
        producer->sink->ops->purge(producer->sink, true);
        SPOOL_POINT("forward.taken_back");
    }
    destination->takes_back = false;
}

static bool forward_is_stuck(const struct forward_destination *destination)
{
    return destination->produced.count > 0 &&
           destination->forward->now_ms - destination->last_progress_ms >= FORWARD_STUCK_MS;
}

/* Moves the destination's state on, and feeds it. Returns whether there is more to do at once. */
static bool forward_step_destination(struct forward_destination *destination)
{
    struct forward *forward = destination->forward;
    const struct producer *producer = destination->producer;
    forward_free_settled(destination);
    forward_take_back(destination);
    if (producer->is_down && destination->trouble < FORWARD_TROUBLE_DOWN &&
        forward_is_stuck(destination)) {
        forward_note_error(destination, producer->down_error, producer->trouble.text);
        forward_tell_trouble(destination, FORWARD_TROUBLE_DOWN);
    }
    if (destination->state == FORWARD_DRAINING && destination->produced.count == 0 &&
        destination->settling.count == 0) {
        forward_rewind(destination);
    }
    if (destination->state == FORWARD_WAITING && forward->now_ms >= destination->wait_until_ms) {
        destination->state = FORWARD_FLOWING;
    }
    return destination->state == FORWARD_FLOWING && forward_feed(destination);
}

/* Expired records that the sink still holds are taken back, to be read again and settled as
 * expired: expiry is the spool's, also while no broker can be reached. The backoff keeps this from
 * happening for each record of an outage by itself. */
static void forward_expire(struct forward_destination *destination)
{
    if (!forward_is_stuck(destination)) {
        return;
    }
    for (const struct inflight *entry = destination->produced.first; entry != NULL;
         entry = entry->next) {
        if (entry->expires_wall_ms != 0 &&
            entry->expires_wall_ms <= destination->forward->now_wall_ms) {
            forward_drain(destination, VERDICT_RETRY);
            return;
        }
    }
}

static void forward_look(struct forward *forward)
{
    forward->must_look = false;
    for (size_t i = 0; i < forward->destinations_count; i++) {
        struct forward_destination *destination = &forward->destinations[i];
        uint64_t requeued =
            forward_read_requeued(forward, destination->id, destination->requeued_count);
        if (requeued != destination->requeued_count) {
            destination->requeued_count = requeued;
            SPOOL_POINT("forward.requeue_seen");
            forward_drain(destination, VERDICT_RETURNED);
        }
        cursor_look(forward->config.spool, destination->id);
        destination->is_paused =
            forward_read_paused(forward, destination->id, destination->is_paused);
        forward_expire(destination);
    }
    forward->look_at_ms = forward->now_ms + FORWARD_LOOK_MS;
}

static void forward_step_producers(struct forward *forward)
{
    for (size_t i = 0; i < forward->producers_count; i++) {
        struct producer *producer = &forward->producers[i];
        forward_take_reports(forward, producer);
        if (producer->is_lost && producer_wind_down(producer, forward->now_ms)) {
            forward_abandon(forward, producer);
        }
    }
    forward_hand_over(forward);
}

static uint64_t forward_next_ms(const struct forward *forward)
{
    uint64_t next_ms = FORWARD_POLL_MS;
    for (size_t i = 0; i < forward->destinations_count; i++) {
        const struct forward_destination *destination = &forward->destinations[i];
        if (destination->state == FORWARD_WAITING) {
            uint64_t wait_ms = destination->wait_until_ms > forward->now_ms
                                   ? destination->wait_until_ms - forward->now_ms
                                   : 0;
            next_ms = wait_ms < next_ms ? wait_ms : next_ms;
        }
    }
    return next_ms;
}

uint64_t forward_step(struct forward *forward)
{
    struct clock *clock = forward->config.clock;
    pthread_mutex_lock(&forward->lock);
    forward->now_ms = clock->monotonic_ms(clock);
    forward->now_wall_ms = clock->wall_ms(clock);
    bool has_more = false;
    forward_step_producers(forward);
    if (forward->must_look || forward->now_ms >= forward->look_at_ms) {
        forward_look(forward);
    }
    for (size_t i = 0; i < forward->destinations_count; i++) {
        has_more = forward_step_destination(&forward->destinations[i]) || has_more;
    }
    forward_hand_over(forward);
    uint64_t next_ms = has_more ? 0 : forward_next_ms(forward);
    pthread_mutex_unlock(&forward->lock);
    return next_ms;
}

/* --- Status ----------------------------------------------------------------------------------- */

int forward_status(struct forward *forward, uint32_t id, struct forward_status *ret_status)
{
    pthread_mutex_lock(&forward->lock);
    const struct forward_destination *destination = forward_find(forward, id);
    if (destination == NULL) {
        pthread_mutex_unlock(&forward->lock);
        return -ENOENT;
    }
    uint64_t now_ms = forward->config.clock->monotonic_ms(forward->config.clock);
    bool is_waiting = destination->state == FORWARD_WAITING;
    *ret_status = (struct forward_status){
        .state = destination->state,
        .is_held = destination->trouble == FORWARD_TROUBLE_HELD,
        .is_paused = destination->is_paused,
        .is_stalled = destination->produced.count > 0 &&
                      now_ms - destination->last_progress_ms > FORWARD_STALLED_MS,
        .inflight_records = destination->produced.count + destination->settling.count,
        .inflight_bytes = destination->produced.bytes,
        .retry_in_ms = is_waiting && destination->wait_until_ms > now_ms
                           ? destination->wait_until_ms - now_ms
                           : 0,
        .retries_count = destination->retries_count,
        .holds_count = destination->holds_count,
        .delivery_ms_p50 = histogram_percentile(&destination->delivery_ms, 50),
        .delivery_ms_p99 = histogram_percentile(&destination->delivery_ms, 99),
        .possible_duplicates_count = destination->possible_duplicates_count,
        .producers_lost_count = destination->producer->lost_count,
        .last_delivered_wall_ms = destination->last_delivered_wall_ms,
        .last_error = destination->last_error,
        .last_error_text = destination->last_error_text,
    };
    pthread_mutex_unlock(&forward->lock);
    return 0;
}
