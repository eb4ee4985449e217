/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/publish.h"

#include "src/sink_rdkafka.h"

#include <assert.h>

/* The record's size as Kafka's client counts it against message.max.bytes. */
static size_t publish_size(const struct record *record)
{
    size_t size_bytes = record->key.size_bytes + record->payload.size_bytes;
    for (uint16_t i = 0; i < record->headers_count; i++) {
        size_bytes += record->headers[i].name.size_bytes + record->headers[i].value.size_bytes +
                      SINK_RDKAFKA_HEADER_BYTES;
    }
    return size_bytes;
}

static enum outcome publish_outcome_of_ring(int result)
{
    switch (result) {
    case RING_E_OVERSIZED:
        return OUTCOME_OVERSIZED;
    case RING_E_TIMEOUT:
        return OUTCOME_TIMEOUT;
    case RING_E_UNKNOWN:
        return OUTCOME_UNKNOWN;
    default:
        assert(result == RING_E_CLOSED);
        return OUTCOME_CLOSED;
    }
}

int publish_begin(const struct publisher *publisher, const struct publish_target *target,
                  struct record *record, bool wants_fd, struct ring_ticket *ret_ticket,
                  enum outcome *ret_refusal)
{
    if (publish_size(record) > target->record_bytes_max) {
        *ret_refusal = OUTCOME_OVERSIZED;
        return PUBLISH_E_REFUSED;
    }
    record->published_wall_ms = publisher->clock->wall_ms(publisher->clock);
    record->expires_wall_ms = target->ttl_ms != 0 ? record->published_wall_ms + target->ttl_ms : 0;
    int r = ring_submit(publisher->ring, target->destination, record, publisher->commit_timeout_ms,
                        wants_fd, ret_ticket);
    if (r != 0) {
        *ret_refusal = publish_outcome_of_ring(r);
        return PUBLISH_E_REFUSED;
    }
    return 0;
}

static enum outcome publish_wait(const struct publisher *publisher, struct ring_ticket ticket,
                                 uint64_t timeout_ms, uint64_t *ret_sequence)
{
    struct ring_outcome outcome;
    int r = ring_wait(publisher->ring, ticket, timeout_ms, &outcome);
    if (r != 0) {
        return publish_outcome_of_ring(r);
    }
    if (outcome.result == OUTCOME_ACCEPTED) {
        *ret_sequence = outcome.sequence;
    }
    return (enum outcome)outcome.result;
}

enum outcome publish_end(const struct publisher *publisher, struct ring_ticket ticket,
                         uint64_t *ret_sequence)
{
    return publish_wait(publisher, ticket, publisher->commit_timeout_ms, ret_sequence);
}

enum outcome publish(const struct publisher *publisher, const struct publish_target *target,
                     struct record *record, uint64_t *ret_sequence)
{
    struct ring_ticket ticket;
    enum outcome refusal;
    uint64_t begin_ms = publisher->clock->monotonic_ms(publisher->clock);
    if (publish_begin(publisher, target, record, false, &ticket, &refusal) != 0) {
        return refusal;
    }
    uint64_t waited_ms = publisher->clock->monotonic_ms(publisher->clock) - begin_ms;
    uint64_t timeout_ms = publisher->commit_timeout_ms;
    return publish_wait(publisher, ticket, timeout_ms > waited_ms ? timeout_ms - waited_ms : 0,
                        ret_sequence);
}
