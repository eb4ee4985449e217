/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/destination_table.h"

#include "spool/futex.h"
#include "spool/point.h"
#include "src/opensips/opensips.h"
#include "src/opensips/settings.h"
#include "src/opensips/shared_state.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct destination_table {
    pthread_mutex_t lock; /* held while one is added */
    _Atomic uint32_t count;
    struct table_destination destinations[DESTINATIONS_MAX];
};

static struct destination_table *table;

/* This process's own, NULL when it has not read them: the addresses of the table's entries. */
static struct address *addresses[DESTINATIONS_MAX];
/* Not in processes that were forked behind the Kafka process: they need no secrets. */
static bool keeps_addresses = true;

int destination_table_new(void)
{
    if (table != NULL) {
        return 0;
    }
    table = shared_memory(sizeof(*table));
    if (table == NULL) {
        LM_ERR("no shared memory: %s\n", strerror(errno));
        return -1;
    }
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&table->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return 0;
}

uint32_t destination_table_count(void)
{
    return atomic_load(&table->count);
}

struct table_destination *destination_table_at(uint32_t index)
{
    return &table->destinations[index];
}

struct table_destination *destination_table_find(const char *id, size_t size_bytes)
{
    uint32_t count = destination_table_count();
    for (uint32_t i = 0; i < count; i++) {
        struct table_destination *destination = &table->destinations[i];
        if (size_bytes > 0 && strlen(destination->id) == size_bytes &&
            memcmp(destination->id, id, size_bytes) == 0) {
            return destination;
        }
    }
    return NULL;
}

/* --- Adding ----------------------------------------------------------------------------------- */

static struct table_destination *table_find_identity(const char *identity)
{
    uint32_t count = destination_table_count();
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(table->destinations[i].identity, identity) == 0) {
            return &table->destinations[i];
        }
    }
    return NULL;
}

static bool table_is_secret_of(const struct address_property *secret, const struct address *address)
{
    for (size_t i = 0; i < address->properties_count; i++) {
        const struct address_property *other = &address->properties[i];
        if (other->is_secret && other->scope == secret->scope &&
            strcmp(other->name, secret->name) == 0) {
            return strcmp(other->value, secret->value) == 0;
        }
    }
    return false;
}

/* An identity has no secrets in it, but two addresses that differ in them cannot be one
 * destination: one of them would be ignored silently. */
static bool table_has_same_secrets(const struct address *one, const struct address *other)
{
    size_t balance = 0;
    for (size_t i = 0; i < one->properties_count; i++) {
        if (one->properties[i].is_secret && !table_is_secret_of(&one->properties[i], other)) {
            return false;
        }
        balance += one->properties[i].is_secret;
    }
    for (size_t i = 0; i < other->properties_count; i++) {
        balance -= other->properties[i].is_secret;
    }
    return balance == 0;
}

const struct address *destination_table_read(struct table_destination *destination,
                                             struct message *message)
{
    size_t index = (size_t)(destination - table->destinations);
    if (addresses[index] == NULL && address_parse(destination->text, destination->text_bytes,
                                                  &addresses[index], message) != 0) {
        return NULL;
    }
    settings_complete_address(addresses[index]);
    return addresses[index];
}

void destination_table_forget(void)
{
    keeps_addresses = false;
    for (size_t i = 0; i < DESTINATIONS_MAX; i++) {
        address_free(&addresses[i]);
    }
}

static void table_fill(struct table_destination *destination, const struct address *address,
                       const char *text, size_t size_bytes)
{
    message_set(&destination->refusal, "not opened yet");
    memcpy(destination->text, text, size_bytes);
    destination->text_bytes = size_bytes;
    if (address->id != NULL) {
        memcpy(destination->id, address->id, strlen(address->id) + 1);
    }
    memcpy(destination->address, address->text, strlen(address->text) + 1);
    memcpy(destination->identity, address->identity, strlen(address->identity) + 1);
    destination->key_is_callid = address->key_is_callid;
    atomic_store(&destination->state, TABLE_PENDING);
}

/* What is in the table may be meant again, if it has the same secrets. */
static struct table_destination *table_use_again(struct table_destination *destination,
                                                 const struct address *address,
                                                 struct message *message)
{
    const struct address *known = destination_table_read(destination, message);
    if (known == NULL) {
        return NULL;
    }
    bool has_same_secrets = table_has_same_secrets(address, known);
    if (!keeps_addresses) {
        destination_table_forget();
    }
    if (!has_same_secrets) {
        message_set(message,
                    "%s: known already, with other secrets: they can change at a restart only",
                    address->text);
        return NULL;
    }
    return destination;
}

/* With the lock. May take the address. */
static struct table_destination *table_add(struct address **address, const char *text,
                                           size_t size_bytes, struct message *message)
{
    struct table_destination *destination = table_find_identity((*address)->identity);
    if (destination != NULL) {
        return table_use_again(destination, *address, message);
    }
    uint32_t count = destination_table_count();
    if (count == DESTINATIONS_MAX) {
        message_set(message, "%s: there are %u destinations already, and can be no more",
                    (*address)->text, count);
        return NULL;
    }
    destination = &table->destinations[count];
    table_fill(destination, *address, text, size_bytes);
    if (keeps_addresses) {
        addresses[count] = SPOOL_TAKE(*address);
    }
    SPOOL_POINT("table.filled");
    atomic_store(&table->count, count + 1);
    return destination;
}

struct table_destination *destination_table_add(const char *text, size_t size_bytes, bool has_id,
                                                struct message *message)
{
    SPOOL_CLEANUP(address_free) struct address *address = NULL;
    if (address_parse(text, size_bytes, &address, message) != 0) {
        return NULL;
    }
    if ((address->id != NULL) != has_id) {
        message_set(message, "%s: %s", address->text,
                    has_id ? "an [ID] is needed in front, to publish to it by"
                           : "an event socket has no [ID]: that is for broker_id");
        return NULL;
    }
    if (pthread_mutex_lock(&table->lock) == EOWNERDEAD) {
        /* An entry counts when the count says so: a half-filled one is filled again. */
        pthread_mutex_consistent(&table->lock);
    }
    struct table_destination *destination = table_add(&address, text, size_bytes, message);
    pthread_mutex_unlock(&table->lock);
    return destination;
}

/* --- Resolving -------------------------------------------------------------------------------- */

static void table_resolve(struct table_destination *destination, enum table_state state)
{
    atomic_store(&destination->state, state);
    SPOOL_POINT("table.resolved");
    futex_wake(&destination->state);
}

void destination_table_open(struct table_destination *destination,
                            const struct publish_target *target)
{
    destination->target = *target;
    table_resolve(destination, TABLE_OPEN);
}

void destination_table_refuse(struct table_destination *destination, const struct message *message)
{
    destination->refusal = *message;
    table_resolve(destination, TABLE_REFUSED);
}

enum table_state destination_table_wait(struct table_destination *destination, uint64_t timeout_ms)
{
    uint64_t deadline_ns = futex_deadline_ms(timeout_ms);
    while (atomic_load(&destination->state) == TABLE_PENDING &&
           futex_wait_until(&destination->state, TABLE_PENDING, deadline_ns)) {
    }
    return (enum table_state)atomic_load(&destination->state);
}

/* --- Publishing ------------------------------------------------------------------------------- */

/* Why nothing can be published to it now; OUTCOME_ACCEPTED: nothing is known against it. */
static enum outcome table_refusal(const struct table_destination *destination)
{
    switch ((enum serving)atomic_load(&shared_state->serving)) {
    case SERVING_REFUSED:
        return OUTCOME_BROKEN;
    case SERVING_STOPPED:
        return OUTCOME_CLOSED;
    default:
        return atomic_load(&destination->state) == TABLE_REFUSED ? OUTCOME_NO_DESTINATION
                                                                 : OUTCOME_ACCEPTED;
    }
}

enum outcome destination_wait_open(struct table_destination *destination)
{
    enum outcome refusal = table_refusal(destination);
    if (refusal != OUTCOME_ACCEPTED ||
        destination_table_wait(destination, shared_publisher.commit_timeout_ms) == TABLE_OPEN) {
        return refusal;
    }
    refusal = table_refusal(destination);
    return refusal != OUTCOME_ACCEPTED ? refusal : OUTCOME_TIMEOUT;
}

static enum outcome table_publish(struct table_destination *destination, struct record *record,
                                  uint64_t *ret_sequence)
{
    struct publisher publisher = shared_publisher;
    uint64_t begin_ms = publisher.clock->monotonic_ms(publisher.clock);
    enum outcome refusal = destination_wait_open(destination);
    if (refusal != OUTCOME_ACCEPTED) {
        return refusal;
    }
    uint64_t waited_ms = publisher.clock->monotonic_ms(publisher.clock) - begin_ms;
    publisher.commit_timeout_ms -=
        waited_ms < publisher.commit_timeout_ms ? waited_ms : publisher.commit_timeout_ms;
    return publish(&publisher, &destination->target, record, ret_sequence);
}

enum outcome destination_publish(struct table_destination *destination, struct record *record,
                                 uint64_t *ret_sequence)
{
    enum outcome outcome = table_publish(destination, record, ret_sequence);
    SPOOL_POINT("module.published");
    atomic_fetch_add(&shared_state->outcomes[outcome], 1);
    return outcome;
}
