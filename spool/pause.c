/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/pause.h"

#include "spool/audit_private.h"
#include "spool/transaction.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* "paused." and a number. */
#define PAUSE_KEY_BYTES 24

static MDB_val pause_key(uint32_t destination, char text[PAUSE_KEY_BYTES])
{
    (void)snprintf(text, PAUSE_KEY_BYTES, "paused.%u", destination);
    return environment_key(text, strlen(text));
}

/* 0 in *ret_since_wall_ms: not paused. A value of another size is of a newer program: paused all
 * the same. LMDB's code. */
static int pause_get(struct spool *spool, MDB_txn *txn, uint32_t destination,
                     uint64_t *ret_since_wall_ms)
{
    char text[PAUSE_KEY_BYTES];
    MDB_val key = pause_key(destination, text);
    MDB_val data;
    uint64_t since = htole64(1);
    int code = mdb_get(txn, spool->meta, &key, &data);
    if (code == MDB_NOTFOUND) {
        *ret_since_wall_ms = 0;
        return 0;
    }
    if (code == 0) {
        if (data.mv_size >= sizeof(since)) {
            memcpy(&since, data.mv_data, sizeof(since));
        }
        *ret_since_wall_ms = le64toh(since);
    }
    return code;
}

static int pause_set(struct spool *spool, MDB_txn *txn, uint32_t destination, bool pauses)
{
    char text[PAUSE_KEY_BYTES];
    MDB_val key = pause_key(destination, text);
    if (!pauses) {
        return mdb_del(txn, spool->meta, &key, NULL);
    }
    uint64_t since = htole64(spool->config.clock->wall_ms(spool->config.clock));
    MDB_val data = environment_key(&since, sizeof(since));
    return mdb_put(txn, spool->meta, &key, &data, 0);
}

int spool_pause_audited(struct spool *spool, uint32_t destination, bool pauses,
                        const struct audit_entry *entry, struct message *message)
{
    assert(destination >= 1 && destination <= spool_destinations_count(spool));
    MDB_txn *txn = NULL;
    uint64_t since_wall_ms = 0;
    uint64_t number = 0;
    int code = transaction_begin(spool, 0, &txn);
    if (code == 0) {
        code = pause_get(spool, txn, destination, &since_wall_ms);
    }
    if (code == 0 && (since_wall_ms != 0) != pauses) {
        code = pause_set(spool, txn, destination, pauses);
        if (code == 0 && entry != NULL) {
            code = audit_put(txn, entry, &number);
        }
    }
    return transaction_end_write(
        spool, txn, code, pauses ? "pause the destination" : "let the destination go on", message);
}

int spool_pause(struct spool *spool, uint32_t destination, bool pauses, struct message *message)
{
    return spool_pause_audited(spool, destination, pauses, NULL, message);
}

int spool_paused_since(struct spool *spool, uint32_t destination, uint64_t *ret_since_wall_ms)
{
    MDB_txn *txn;
    uint64_t since_wall_ms = 0;
    if (transaction_begin(spool, MDB_RDONLY, &txn) != 0) {
        return -EIO;
    }
    int code = pause_get(spool, txn, destination, &since_wall_ms);
    int r = transaction_end_read(spool, txn, code);
    if (r == 0) {
        *ret_since_wall_ms = since_wall_ms;
    }
    return r;
}
