/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Destinations: found by identity, made once, there for ever. */
#include "spool/environment.h"
#include "spool/mdb_result.h"
#include "spool/point.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Among the first count. */
static uint32_t destination_find(const struct spool *spool, uint32_t count, const char *identity)
{
    for (uint32_t i = 1; i <= count; i++) {
        if (strcmp(spool->destinations[i].identity, identity) == 0) {
            return i;
        }
    }
    return 0;
}

/* Writes a destination's row (S11: neither text has a secret): u32 identity size, u32 address size,
 * identity, address. */
static int destination_put(struct spool *spool, MDB_txn *txn, uint32_t id, const char *identity,
                           const char *address)
{
    uint32_t identity_size = (uint32_t)strlen(identity);
    uint32_t address_size = (uint32_t)strlen(address);
    uint32_t sizes[2] = {htole32(identity_size), htole32(address_size)};
    MDB_val key = environment_key(&id, sizeof(id));
    MDB_val data = {.mv_size = 8 + (size_t)identity_size + address_size};

    int code = mdb_put(txn, spool->destinations_db, &key, &data, MDB_RESERVE);
    if (code == 0) {
        char *bytes = data.mv_data;
        memcpy(bytes, sizes, 8);
        memcpy(bytes + 8, identity, identity_size);
        memcpy(bytes + 8 + identity_size, address, address_size);
    }
    return code;
}

/* One transaction that learns of the destinations that other programs made, and writes the row, and
 * the databases of a new destination. *ret_id 0: there is no number left. LMDB's code. */
static int destination_write(struct spool *spool, const char *identity, const char *address,
                             uint32_t *ret_id, uint32_t *ret_count)
{
    MDB_txn *txn;
    uint32_t count = 0;
    uint32_t id = 0;
    int code = environment_begin(spool, 0, &txn);
    if (code != 0) {
        return code;
    }
    code = environment_load_destinations(spool, txn, atomic_load(&spool->destinations_count) + 1,
                                         &count);
    if (code == 0) {
        id = destination_find(spool, count, identity);
    }
    if (code == 0 && id == 0 && count < DESTINATIONS_MAX) {
        id = count + 1;
        code = environment_open_queues(txn, id, MDB_CREATE, &spool->destinations[id].queue,
                                       &spool->destinations[id].dead);
    }
    if (code == 0 && id != 0) {
        code = destination_put(spool, txn, id, identity, address);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    SPOOL_POINT("destination.written");
    code = mdb_txn_commit(txn);
    SPOOL_POINT("destination.committed");
    if (code == 0) {
        *ret_id = id;
        *ret_count = count;
    }
    return code;
}

static int destination_failure(struct spool *spool, int code, struct message *message)
{
    int r = mdb_result(code);
    if (r == MDB_RESULT_NO_SPACE) {
        message_set(message, "%s: no room for a new destination: the spool or the disk is full",
                    spool->dir);
        return SPOOL_E_DISK_FULL;
    }
    message_set(message, "%s: cannot store a destination: %s", spool->dir, mdb_result_text(code));
    if (r == -ENOMEM) {
        return r;
    }
    atomic_store(&spool->is_latched, true); /* S9 */
    return SPOOL_E_LATCHED;
}

/* With destinations_lock and env_lock held. */
static int destination_open_locked(struct spool *spool, const char *identity, const char *address,
                                   uint32_t *ret_id, struct message *message)
{
    if (atomic_load(&spool->is_latched)) {
        message_set(message, "%s: the spool is latched after a failed write", spool->dir);
        return SPOOL_E_LATCHED;
    }
    uint32_t count = atomic_load(&spool->destinations_count);
    uint32_t id = destination_find(spool, count, identity);
    if (id != 0 && strcmp(spool->destinations[id].address, address) == 0) {
        *ret_id = id;
        return 0;
    }
    SPOOL_CLEANUP(spool_free) char *identity_copy = strdup(identity);
    SPOOL_CLEANUP(spool_free) char *address_copy = strdup(address);
    if (identity_copy == NULL || address_copy == NULL) {
        message_set(message, "%s: out of memory", spool->dir);
        return -ENOMEM;
    }
    int code = destination_write(spool, identity, address, &id, &count);
    if (code != 0) {
        return destination_failure(spool, code, message);
    }
    if (id == count + 1) {
        struct destination *destination = &spool->destinations[id];
        destination->identity = SPOOL_TAKE(identity_copy);
        destination->address = SPOOL_TAKE(address_copy);
        count = id;
    }
    atomic_store(&spool->destinations_count, count);
    if (id == 0) {
        message_set(message, "%s: the spool has %u destinations already, and can hold no more",
                    spool->dir, count);
        return SPOOL_E_REFUSED;
    }
    /* A changed address is shown from the next start on: others may be reading the text now. */
    *ret_id = id;
    return 0;
}

int spool_destination_open(struct spool *spool, const char *identity, const char *address,
                           uint32_t *ret_destination, struct message *message)
{
    pthread_rwlock_rdlock(&spool->env_lock);
    pthread_mutex_lock(&spool->destinations_lock);
    int r = destination_open_locked(spool, identity, address, ret_destination, message);
    pthread_mutex_unlock(&spool->destinations_lock);
    pthread_rwlock_unlock(&spool->env_lock);
    return r;
}

void spool_destination_limit(struct spool *spool, uint32_t destination,
                             const struct destination_limits *limits)
{
    /* Batches hold the lock for reading. */
    pthread_rwlock_wrlock(&spool->env_lock);
    environment_destination(spool, destination)->limits = *limits;
    pthread_rwlock_unlock(&spool->env_lock);
}

uint32_t spool_destinations_count(const struct spool *spool)
{
    return atomic_load(&spool->destinations_count);
}

const char *spool_destination_identity(const struct spool *spool, uint32_t destination)
{
    return spool->destinations[destination].identity;
}

const char *spool_destination_address(const struct spool *spool, uint32_t destination)
{
    return spool->destinations[destination].address;
}
