/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/producer.h"

#include "spool/point.h"

#include <string.h>

/* A lost producer's records on the wire may still be answered for this long; given up sooner, each
 * could become a duplicate. */
#define PRODUCER_PURGE_MS 10000
/* A record whose request fails meanwhile goes back to the client's queue, where nothing sends it
 * any more: that is looked at this often. */
#define PRODUCER_COLLECT_MS 500
/* After the purge every record has its report at once; a client that fails to is not waited for. */
#define PRODUCER_ABANDON_MS 5000

#define PRODUCER_OPEN_BASE_MS 500
#define PRODUCER_OPEN_CAP_MS 30000

static size_t producer_count(const struct address *address, enum address_scope scope)
{
    size_t count = 0;
    for (size_t i = 0; i < address->properties_count; i++) {
        count += address->properties[i].scope == scope;
    }
    return count;
}

static bool producer_has(const struct address *address, const struct address_property *wanted)
{
    for (size_t i = 0; i < address->properties_count; i++) {
        const struct address_property *property = &address->properties[i];
        if (property->scope == wanted->scope && strcmp(property->name, wanted->name) == 0) {
            return strcmp(property->value, wanted->value) == 0;
        }
    }
    return false;
}

/* Whether two addresses have the same properties of a scope, in any order. */
static bool producer_agree(const struct address *one, const struct address *other,
                           enum address_scope scope)
{
    if (producer_count(one, scope) != producer_count(other, scope)) {
        return false;
    }
    for (size_t i = 0; i < other->properties_count; i++) {
        if (other->properties[i].scope == scope && !producer_has(one, &other->properties[i])) {
            return false;
        }
    }
    return true;
}

bool producer_serves(const struct producer *producer, const struct address *address)
{
    return strcmp(producer->address->brokers, address->brokers) == 0 &&
           producer_agree(producer->address, address, ADDRESS_SCOPE_GLOBAL);
}

bool producer_is_conflict(const struct address *one, const struct address *other)
{
    return strcmp(one->topic, other->topic) == 0 &&
           !producer_agree(one, other, ADDRESS_SCOPE_TOPIC);
}

int producer_open(struct producer *producer, struct sink_maker *maker, uint64_t now_ms)
{
    if (producer->sink != NULL && !producer->is_lost) {
        return 0;
    }
    if (producer->is_lost || now_ms < producer->open_at_ms) {
        return producer->is_unopenable ? PRODUCER_E_FAILED : PRODUCER_E_LATER;
    }
    int r = maker->open(maker, producer->address, &producer->sink, &producer->trouble);
    producer->is_unopenable = r != 0;
    if (r == 0) {
        SPOOL_POINT("producer.opened");
        producer->generation++;
        return 0;
    }
    producer->open_at_ms =
        now_ms + backoff_next_ms(&producer->backoff, PRODUCER_OPEN_BASE_MS, PRODUCER_OPEN_CAP_MS);
    if (r < 0) {
        message_set(&producer->trouble, "%s: %s", producer->address->text, strerror(-r));
    }
    return PRODUCER_E_FAILED;
}

void producer_lose(struct producer *producer, const struct message *reason, uint64_t now_ms)
{
    if (producer->is_lost || producer->sink == NULL) {
        return;
    }
    producer->is_lost = true;
    producer->lost_count++;
    producer->trouble = *reason;
    producer->collect_at_ms = now_ms + PRODUCER_COLLECT_MS;
    producer->purge_at_ms = now_ms + PRODUCER_PURGE_MS;
    producer->abandon_at_ms = 0;
    producer->sink->ops->purge(producer->sink, false);
}

bool producer_wind_down(struct producer *producer, uint64_t now_ms)
{
    if (producer->taken_count == 0) {
        producer_end(producer, now_ms);
        return false;
    }
    if (producer->abandon_at_ms == 0 && now_ms >= producer->purge_at_ms) {
        producer->sink->ops->purge(producer->sink, true);
        producer->abandon_at_ms = now_ms + PRODUCER_ABANDON_MS;
    } else if (producer->abandon_at_ms == 0 && now_ms >= producer->collect_at_ms) {
        producer->sink->ops->purge(producer->sink, false);
        producer->collect_at_ms = now_ms + PRODUCER_COLLECT_MS;
    }
    return producer->abandon_at_ms != 0 && now_ms >= producer->abandon_at_ms;
}

void producer_end(struct producer *producer, uint64_t now_ms)
{
    producer_close(producer);
    SPOOL_POINT("producer.ended");
    producer->is_lost = false;
    producer->is_down = false;
    producer->taken_count = 0;
    producer->open_at_ms =
        now_ms + backoff_next_ms(&producer->backoff, PRODUCER_OPEN_BASE_MS, PRODUCER_OPEN_CAP_MS);
}

void producer_close(struct producer *producer)
{
    if (producer->sink != NULL) {
        producer->sink->ops->close(producer->sink);
        producer->sink = NULL;
    }
}
