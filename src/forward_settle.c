/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps 4 to 6 of the flow as the forwarder sees them: a sink's reports become verdicts, verdicts
 * become settlements, or send their destination back to its lowest record. */
#include "src/forward_private.h"

#include <assert.h>

/* --- Settlements ------------------------------------------------------------------------------ */

void forward_hand_over(struct forward *forward)
{
    size_t count = forward->settlements_count;
    if (count == 0) {
        return;
    }
    uint64_t position = 0;
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
        inflight_remove(&destination->settling, entry);
        inflight_give(&forward->pool, entry);
    }
}

/* --- Errors ----------------------------------------------------------------------------------- */

static void forward_tell(const struct forward_destination *destination, enum host_event event,
                         const char *text)
{
    struct host *host = destination->forward->config.host;
    host->tell(host, event, destination->address->identity, text);
}

void forward_note_error(struct forward_destination *destination, int error, const char *text)
{
    destination->last_error = error;
    message_set(&destination->last_error_text, "%s%s%s",
                error != 0 ? verdict_error_name(error) : "",
                error != 0 && text[0] != '\0' ? ": " : "", text);
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
    if (forward_weight(reason) == 0) {
        return;
    }
    destination->retries_count++;
    /* What is behind the failed record must not overtake it: take back what is not on the wire. */
    struct sink *sink = destination->producer->sink;
    if (!was_draining && sink != NULL) {
        sink->ops->purge(sink, false);
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
    if (record.attempts > 0 || is_suspect) {
        retried_add(&destination->retried, &record);
    }
    inflight_give(&destination->forward->pool, entry);
}

static void forward_note_delivery(struct forward_destination *destination)
{
    struct forward *forward = destination->forward;
    destination->last_progress_ms = forward->now_ms;
    destination->last_delivered_wall_ms = forward->now_wall_ms;
    backoff_reset(&destination->backoff);
    backoff_reset(&destination->producer->backoff);
    destination->last_error = 0;
    destination->producer->is_down = false;
    if (destination->is_down) {
        destination->is_down = false;
        forward_tell(destination, HOST_EVENT_BROKERS_UP, "records are delivered again");
    }
}

/* A broker judges a whole batch of records: "too large" is believed only of a record that was
 * alone. */
static void forward_report_dead(struct inflight *entry, const struct sink_report *report)
{
    struct forward_destination *destination = entry->destination;
    if (!entry->is_alone) {
        forward_remember(entry, true, true);
        forward_drain(destination, VERDICT_RETURNED);
        return;
    }
    forward_note_error(destination, report->error, "the record became a dead letter");
    forward_tell(destination, HOST_EVENT_DEAD_LETTER, destination->last_error_text.text);
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
    forward_remember(entry, verdict != VERDICT_RETURNED, false);
    if (verdict == VERDICT_FATAL) {
        struct message reason;
        message_set(&reason, "%s", verdict_error_name(report->error));
        producer_lose(destination->producer, &reason, destination->forward->now_ms);
    }
    if (verdict != VERDICT_RETURNED) {
        forward_note_error(destination, report->error, "");
    }
    bool is_edge =
        destination->backoff.failures_count == 0 && destination->state != FORWARD_DRAINING;
    if (is_edge && verdict == VERDICT_HOLD) {
        forward_tell(destination, HOST_EVENT_HELD, destination->last_error_text.text);
    } else if (is_edge && verdict == VERDICT_RETRY) {
        forward_tell(destination, HOST_EVENT_RETRY, destination->last_error_text.text);
    }
    forward_drain(destination, verdict);
}

static void forward_report(const struct sink_report *report)
{
    struct inflight *entry = report->cookie;
    struct forward_destination *destination = entry->destination;
    inflight_remove(&destination->produced, entry);
    destination->producer->taken_count--;

    enum verdict verdict = verdict_of_error(report->error);
    if (report->error != 0 && report->persistence == SINK_PERSISTENCE_YES) {
        verdict = VERDICT_DELIVERED;
    }
    if (verdict == VERDICT_DELIVERED) {
        forward_note_delivery(destination);
        forward_stage(destination->forward, entry, SETTLE_DELIVERED, report);
    } else if (verdict == VERDICT_DEAD) {
        forward_report_dead(entry, report);
    } else {
        forward_report_again(entry, report, verdict);
    }
}

/* --- A sink's health -------------------------------------------------------------------------- */

static void forward_note_down(struct forward_destination *destination, int error, const char *text)
{
    forward_note_error(destination, error, text);
    if (!destination->is_down) {
        destination->is_down = true;
        bool is_held = verdict_of_error(error) == VERDICT_HOLD;
        forward_tell(destination, is_held ? HOST_EVENT_HELD : HOST_EVENT_BROKERS_DOWN,
                     destination->last_error_text.text);
    }
}

static void forward_take_health(struct forward *forward, struct producer *producer,
                                const struct sink_health *health)
{
    bool is_held = health->error != 0 && verdict_of_error(health->error) == VERDICT_HOLD;
    producer->is_down = producer->is_down || health->all_brokers_down;
    if (health->is_fatal && !producer->is_lost) {
        producer_lose(producer, &health->message, forward->now_ms);
        forward->config.host->tell(forward->config.host, HOST_EVENT_PRODUCER_LOST, NULL,
                                   health->message.text);
    }
    for (size_t i = 0; i < forward->destinations_count; i++) {
        struct forward_destination *destination = &forward->destinations[i];
        if (destination->producer != producer) {
            continue;
        }
        if (health->is_fatal) {
            forward_drain(destination, VERDICT_RETURNED);
        }
        if (health->all_brokers_down || is_held) {
            forward_note_down(destination, health->error, health->message.text);
        }
    }
}

bool forward_take_reports(struct forward *forward, struct producer *producer)
{
    if (producer->sink == NULL) {
        return false;
    }
    struct sink_health health = {0};
    size_t count = producer->sink->ops->poll(producer->sink, forward->reports,
                                             SPOOL_COUNT_OF(forward->reports), &health);
    for (size_t i = 0; i < count; i++) {
        forward_report(&forward->reports[i]);
    }
    if (health.error != 0 || health.is_fatal || health.all_brokers_down) {
        forward_take_health(forward, producer, &health);
    }
    return count == SPOOL_COUNT_OF(forward->reports);
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
            forward_remember(entry, true, false);
        }
        forward_drain(destination, VERDICT_RETURNED);
    }
    producer->taken_count = 0;
}
