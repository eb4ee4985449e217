/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps 4 to 6 of the flow as the forwarder sees them: a sink's reports become verdicts, verdicts
 * become settlements, or send their destination back to its lowest record. */
#include "src/forward_private.h"

#include "spool/point.h"

#include <assert.h>

/* --- Settlements ------------------------------------------------------------------------------ */

void forward_hand_over(struct forward *forward)
{
    size_t count = forward->settlements_count;
    if (count == 0) {
        return;
    }
    uint64_t position = 0;
    SPOOL_POINT("forward.handing_over");
    int r = committer_settle(forward->config.committer, forward->settlements, count, &position);
    /* The committer has room for every entry of the pool. */
    assert(r == 0);
    (void)r;
    for (size_t i = 0; i < count; i++) {
        struct inflight *entry = forward->settled_entries[i];
        struct forward_destination *destination = entry->destination;
        entry->settle_position = position - count + i + 1;
        inflight_append(&destination->settling, entry);
    }
    SPOOL_POINT("forward.handed_over");
    forward->settlements_count = 0;
}

void forward_stage(struct forward *forward, struct inflight *entry, enum settle_action action,
                   const struct sink_report *report)
{
    if (forward->settlements_count == SPOOL_COUNT_OF(forward->settlements)) {
        forward_hand_over(forward);
    }
    const struct forward_destination *destination = entry->destination;
    size_t at = forward->settlements_count++;
    forward->settlements[at] = (struct settlement){
        .action = action,
        .destination = destination->id,
        .sequence = entry->sequence,
        .error = report != NULL ? report->error : 0,
        .partition = report != NULL ? report->partition : -1,
        .offset = report != NULL ? report->offset : -1,
        .attempts = entry->attempts,
        .first_attempt_wall_ms = entry->first_attempt_wall_ms,
    };
    forward->settled_entries[at] = entry;
}

void forward_free_settled(struct forward_destination *destination)
{
    struct forward *forward = destination->forward;
    uint64_t settled = committer_settled(forward->config.committer);
    while (destination->settling.first != NULL &&
           destination->settling.first->settle_position <= settled) {
        struct inflight *entry = destination->settling.first;
        SPOOL_POINT("forward.settled");
        inflight_remove(&destination->settling, entry);
        inflight_give(&forward->pool, entry);
    }
    uint64_t given_back = committer_given_back(forward->config.committer, destination->id);
    if (given_back != destination->given_back_count) {
        destination->given_back_count = given_back;
        if (destination->state == FORWARD_FLOWING) {
            /* They are read, and judged, once more: after a while, when there may be room. */
            forward_drain(destination, VERDICT_RETRY);
        }
    }
}

/* --- Errors ----------------------------------------------------------------------------------- */

void forward_note_error(struct forward_destination *destination, int error, const char *text)
{
    destination->last_error = error;
    message_set(&destination->last_error_text, "%s%s%s",
                error != 0 ? verdict_error_name(error) : "",
                error != 0 && text[0] != '\0' ? ": " : "", text);
}

static void forward_tell(const struct forward_destination *destination, enum host_event event,
                         const char *text)
{
    struct host *host = destination->forward->config.host;
    host->tell(host, event, destination->address->identity, text);
}

void forward_tell_trouble(struct forward_destination *destination, enum forward_trouble trouble)
{
    static const enum host_event events[] = {
        [FORWARD_TROUBLE_RETRY] = HOST_EVENT_RETRY,
        [FORWARD_TROUBLE_DOWN] = HOST_EVENT_BROKERS_DOWN,
        [FORWARD_TROUBLE_HELD] = HOST_EVENT_HELD,
    };

    assert(trouble != FORWARD_TROUBLE_NONE);
    if (trouble > destination->trouble) {
        destination->trouble = trouble;
        forward_tell(destination, events[trouble], destination->last_error_text.text);
    }
}

void forward_tell_dead(struct forward_destination *destination)
{
    forward_tell(destination, HOST_EVENT_DEAD_LETTER, destination->last_error_text.text);
}

/* How much a reason weighs: a destination waits for the heaviest that it has met. */
static int forward_weight(enum verdict reason)
{
    switch (reason) {
    case VERDICT_HOLD:
        return 2;
    case VERDICT_RETRY:
        return 1;
    default:
        return 0;
    }
}

void forward_drain(struct forward_destination *destination, enum verdict reason)
{
    bool was_draining = destination->state == FORWARD_DRAINING;
    if (!was_draining || forward_weight(reason) > forward_weight(destination->drain_reason)) {
        destination->drain_reason = reason;
    }
    destination->state = FORWARD_DRAINING;
    if (reason == VERDICT_RETRY || reason == VERDICT_HOLD || reason == VERDICT_DEAD) {
        destination->takes_back = true;
    }
}

void forward_lose_producer(struct forward *forward, struct producer *producer,
                           const struct message *reason)
{
    if (producer->is_lost) {
        return;
    }
    producer_lose(producer, reason, forward->now_ms);
    SPOOL_POINT("forward.producer_lost");
    struct host *host = forward->config.host;
    host->tell(host, HOST_EVENT_PRODUCER_LOST, producer->address->identity, reason->text);
    for (size_t i = 0; i < forward->destinations_count; i++) {
        if (forward->destinations[i].producer == producer) {
            forward_drain(&forward->destinations[i], VERDICT_FATAL);
        }
    }
}

/* --- Reports ---------------------------------------------------------------------------------- */

/* Remembers a record that will be read again, and frees its entry. */
static void forward_remember(struct inflight *entry, bool was_attempted, bool is_suspect)
{
    struct forward_destination *destination = entry->destination;
    struct retried_record record = {
        .sequence = entry->sequence,
        .first_attempt_wall_ms = entry->first_attempt_wall_ms,
        .attempts = was_attempted ? entry->attempts : entry->attempts - 1,
        .is_suspect = is_suspect,
    };
    SPOOL_POINT("forward.remembered");
    if (record.attempts > 0 || is_suspect) {
        retried_add(&destination->retried, &record);
    }
    inflight_give(&destination->forward->pool, entry);
}

static void forward_note_delivery(const struct inflight *entry)
{
    struct forward_destination *destination = entry->destination;
    struct forward *forward = destination->forward;
    if (forward->now_wall_ms >= entry->first_attempt_wall_ms) {
        histogram_add(&destination->delivery_ms,
                      forward->now_wall_ms - entry->first_attempt_wall_ms, forward->now_ms);
    }
    destination->last_progress_ms = forward->now_ms;
    destination->last_delivered_wall_ms = forward->now_wall_ms;
    destination->producer->is_down = false;
    if (destination->state == FORWARD_DRAINING) {
        return; /* what was under way before the failure says nothing about it */
    }
    backoff_reset(&destination->backoff);
    backoff_reset(&destination->producer->backoff);
    destination->last_error = 0;
    destination->last_error_text.text[0] = '\0';
    if (destination->trouble != FORWARD_TROUBLE_NONE) {
        destination->trouble = FORWARD_TROUBLE_NONE;
        forward_tell(destination, HOST_EVENT_BROKERS_UP, "records are delivered again");
    }
}

/* When the last of a group was judged, the next may be larger. */
static void forward_note_judged(const struct inflight *entry)
{
    struct forward_destination *destination = entry->destination;
    if (entry->is_suspect && destination->produced.count == 0 &&
        destination->group_max < INFLIGHT_RECORDS_MAX) {
        destination->group_max *= 2;
    }
}

/* A broker judges a whole batch of records: "too large" is believed only of a record that was
 * alone. Until then it is one of many suspects. */
static void forward_report_dead(struct inflight *entry, const struct sink_report *report)
{
    struct forward_destination *destination = entry->destination;
    if (!entry->is_alone) {
        destination->rejected_count++;
        forward_remember(entry, true, true);
        forward_drain(destination, VERDICT_DEAD);
        return;
    }
    forward_note_judged(entry);
    forward_note_error(destination, report->error, "the record became a dead letter");
    forward_tell_dead(destination);
    forward_stage(destination->forward, entry, SETTLE_DEAD, report);
}

/* The record has to be tried again. */
static void forward_report_again(struct inflight *entry, const struct sink_report *report,
                                 enum verdict verdict)
{
    struct forward_destination *destination = entry->destination;
    if (report->persistence == SINK_PERSISTENCE_POSSIBLY) {
        destination->possible_duplicates_count++;
    }
    /* One that is suspected stays so until it was judged. */
    forward_remember(entry, verdict != VERDICT_RETURNED, entry->is_suspect);
    if (verdict != VERDICT_RETURNED) {
        destination->retries_count++;
        destination->holds_count += verdict == VERDICT_HOLD;
        forward_note_error(destination, report->error, "");
    }
    if (verdict == VERDICT_FATAL) {
        forward_lose_producer(destination->forward, destination->producer,
                              &destination->last_error_text);
    } else if (verdict == VERDICT_HOLD) {
        forward_tell_trouble(destination, FORWARD_TROUBLE_HELD);
    } else if (verdict == VERDICT_RETRY) {
        forward_tell_trouble(destination, FORWARD_TROUBLE_RETRY);
    }
    forward_drain(destination, verdict);
}

static void forward_report(const struct sink_report *report)
{
    struct inflight *entry = report->cookie;
    struct forward_destination *destination = entry->destination;
    SPOOL_POINT("forward.report_taken");
    inflight_remove(&destination->produced, entry);
    destination->producer->taken_count--;

    enum verdict verdict = verdict_of_error(report->error);
    if (report->error != 0 && report->persistence == SINK_PERSISTENCE_YES) {
        verdict = VERDICT_DELIVERED;
    }
    if (verdict == VERDICT_DELIVERED) {
        forward_note_judged(entry);
        forward_note_delivery(entry);
        forward_stage(destination->forward, entry, SETTLE_DELIVERED, report);
    } else if (verdict == VERDICT_DEAD) {
        forward_report_dead(entry, report);
    } else {
        forward_report_again(entry, report, verdict);
    }
}

/* --- A sink's health -------------------------------------------------------------------------- */

/* What a sink says of itself that is no end of it. That no broker can be reached becomes trouble
 * when a record is stuck for it: see forward_step_destination(). */
static void forward_take_health(struct forward *forward, struct producer *producer,
                                const struct sink_health *health)
{
    if (health->all_brokers_down) {
        producer->is_down = true;
        producer->down_error = health->error;
        producer->trouble = health->message;
    }
    if (health->error == 0 || verdict_of_error(health->error) != VERDICT_HOLD) {
        return;
    }
    for (size_t i = 0; i < forward->destinations_count; i++) {
        struct forward_destination *destination = &forward->destinations[i];
        if (destination->producer == producer) {
            forward_note_error(destination, health->error, health->message.text);
            forward_tell_trouble(destination, FORWARD_TROUBLE_HELD);
        }
    }
}

void forward_take_reports(struct forward *forward, struct producer *producer)
{
    size_t count = SPOOL_COUNT_OF(forward->reports);
    while (producer->sink != NULL && count == SPOOL_COUNT_OF(forward->reports)) {
        struct sink_health health = {0};
        count = producer->sink->ops->poll(producer->sink, forward->reports, count, &health);
        if (health.is_fatal) {
            /* First: it says why, the reports only that. */
            forward_lose_producer(forward, producer, &health.message);
        }
        for (size_t i = 0; i < count; i++) {
            forward_report(&forward->reports[i]);
        }
        if (!health.is_fatal) {
            forward_take_health(forward, producer, &health);
        }
    }
}

void forward_abandon(struct forward *forward, struct producer *producer)
{
    for (size_t i = 0; i < forward->destinations_count; i++) {
        struct forward_destination *destination = &forward->destinations[i];
        if (destination->producer != producer) {
            continue;
        }
        while (destination->produced.first != NULL) {
            struct inflight *entry = destination->produced.first;
            inflight_remove(&destination->produced, entry);
            destination->possible_duplicates_count++;
            forward_remember(entry, true, entry->is_suspect);
        }
        forward_drain(destination, VERDICT_RETURNED);
    }
    /* At once: a report that comes late would name an entry that is another record's by then. */
    producer_end(producer, forward->now_ms);
}
