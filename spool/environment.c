/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/environment.h"

#include "spool/data_file.h"
#include "spool/mdb_result.h"
#include "spool/owner_lock.h"
#include "spool/point.h"
#include "spool/visit_check.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

/* How often a visitor looks for a state: the first one may be written over at once. */
#define BEGIN_TRIES 100

struct destination *environment_destination(struct spool *spool, uint32_t destination)
{
    assert(destination >= 1 && destination <= atomic_load(&spool->destinations_count));
    return &spool->destinations[destination];
}

int environment_open_queues(MDB_txn *txn, uint32_t destination, unsigned flags, MDB_dbi *ret_queue,
                            MDB_dbi *ret_dead)
{
    char name[32];
    MDB_dbi queue;
    MDB_dbi dead;
    snprintf(name, sizeof(name), "queue.%u", destination);
    int code = mdb_dbi_open(txn, name, flags | MDB_INTEGERKEY, &queue);
    if (code != 0) {
        return code;
    }
    snprintf(name, sizeof(name), "dead.%u", destination);
    code = mdb_dbi_open(txn, name, flags | MDB_INTEGERKEY, &dead);
    if (code != 0) {
        return code;
    }
    *ret_queue = queue;
    *ret_dead = dead;
    return 0;
}

int environment_open_audit(MDB_txn *txn, unsigned flags, MDB_dbi *ret_audit)
{
    return mdb_dbi_open(txn, "audit", flags | MDB_INTEGERKEY, ret_audit);
}

int environment_count_pages(struct spool *spool, MDB_txn *txn, const struct counters *all,
                            uint64_t *ret_pages, uint32_t *ret_page_bytes)
{
    MDB_dbi databases[] = {
        0, /* LMDB's free list */
        1, /* LMDB's list of databases */
        spool->meta, spool->destinations_db, spool->counters_db, spool->reports, spool->audit,
    };
    uint64_t pages = 2 + all->values[COUNTER_PAGES];
    MDB_stat stat = {0};
    /* An audit log that was made since env was opened is left out: a few dozen pages at most. */
    size_t count = SPOOL_COUNT_OF(databases) - (spool->audit == 0 ? 1 : 0);
    for (size_t i = 0; i < count; i++) {
        int code = mdb_stat(txn, databases[i], &stat);
        if (code != 0) {
            return code;
        }
        pages += environment_stat_pages(&stat);
    }
    *ret_pages = pages;
    *ret_page_bytes = stat.ms_psize;
    return 0;
}

/* --- A new spool ----------------------------------------------------------------------------- */

static int environment_put_text_key(MDB_txn *txn, MDB_dbi db, const char *key, const void *value,
                                    size_t size_bytes)
{
    MDB_val db_key = environment_key(key, strlen(key));
    MDB_val data = environment_key(value, size_bytes);
    return mdb_put(txn, db, &db_key, &data, MDB_NOOVERWRITE);
}

/* Writes meta and the row of totals. One transaction: a spool is there whole or not at all. */
static int environment_create(struct spool *spool, MDB_txn *txn)
{
    uint32_t format = htole32(SPOOL_FORMAT);
    uint64_t first = htole64(1);
    uint64_t created = htole64(spool->config.clock->wall_ms(spool->config.clock));
    uuid_t uuid;
    uuid_generate_random(uuid);

    int code = mdb_dbi_open(txn, "meta", MDB_CREATE, &spool->meta);
    if (code == 0) {
        code = environment_put_text_key(txn, spool->meta, "format", &format, sizeof(format));
    }
    if (code == 0) {
        code = environment_put_text_key(txn, spool->meta, "uuid", uuid, sizeof(uuid));
    }
    if (code == 0) {
        code = environment_put_text_key(txn, spool->meta, "next_sequence", &first, sizeof(first));
    }
    if (code == 0) {
        code = environment_put_text_key(txn, spool->meta, "next_report", &first, sizeof(first));
    }
    if (code == 0) {
        code = environment_put_text_key(txn, spool->meta, "created", &created, sizeof(created));
    }
    return code;
}

/* --- An existing one ------------------------------------------------------------------------- */

static int environment_get(MDB_txn *txn, MDB_dbi db, const char *key, void *value,
                           size_t size_bytes)
{
    MDB_val db_key = environment_key(key, strlen(key));
    MDB_val data;
    int code = mdb_get(txn, db, &db_key, &data);
    if (code != 0) {
        return code;
    }
    if (data.mv_size != size_bytes) {
        return MDB_CORRUPTED;
    }
    memcpy(value, data.mv_data, size_bytes);
    return 0;
}

/* Reads format and uuid, and whether the rest is there. LMDB's codes; *ret_format says what was
 * found. */
static int environment_read_meta(struct spool *spool, MDB_txn *txn, uint32_t *ret_format)
{
    uint32_t format;
    int code = environment_get(txn, spool->meta, "format", &format, sizeof(format));
    if (code != 0) {
        return code; /* without a format it is another program's "meta" */
    }
    *ret_format = le32toh(format);
    if (*ret_format != SPOOL_FORMAT) {
        return 0;
    }
    uint64_t number;
    code = environment_get(txn, spool->meta, "uuid", spool->uuid, sizeof(spool->uuid));
    if (code == 0) {
        code = environment_get(txn, spool->meta, "next_sequence", &number, sizeof(number));
    }
    if (code == 0) {
        code = environment_get(txn, spool->meta, "next_report", &number, sizeof(number));
    }
    if (code != 0) {
        return code == MDB_NOTFOUND ? MDB_CORRUPTED : code;
    }
    uuid_unparse_lower(spool->uuid, spool->uuid_text);
    return 0;
}

/* Reads a destination's row: see "destinations" in spool/README.md. */
static int environment_read_destination(struct destination *destination, MDB_val data)
{
    const char *bytes = data.mv_data;
    uint32_t identity_size;
    uint32_t address_size;
    if (data.mv_size < 8) {
        return MDB_CORRUPTED;
    }
    memcpy(&identity_size, bytes, 4);
    memcpy(&address_size, bytes + 4, 4);
    identity_size = le32toh(identity_size);
    address_size = le32toh(address_size);
    if ((uint64_t)identity_size + address_size + 8 != data.mv_size) {
        return MDB_CORRUPTED;
    }
    if (destination->identity != NULL) {
        return 0; /* a reopen: others may be reading the texts */
    }
    char *identity = strndup(bytes + 8, identity_size);
    char *address = strndup(bytes + 8 + identity_size, address_size);
    if (identity == NULL || address == NULL) {
        free(identity);
        free(address);
        return ENOMEM;
    }
    destination->identity = identity;
    destination->address = address;
    return 0;
}

/* Reads the first and the last entry, so that damage there is found now, when the spool can be set
 * aside, and not later. The last key is in *last, if there is one and last is not NULL. A visitor
 * sets nothing aside, and reads records by spool/page/page_walk.h alone. */
static int environment_read_ends(const struct spool *spool, MDB_txn *txn, MDB_dbi db,
                                 uint64_t *last)
{
    if (spool->is_visitor) {
        return 0;
    }
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, db, &cursor);
    if (code != 0) {
        return code;
    }
    MDB_val key = {0};
    MDB_val data;
    code = mdb_cursor_get(cursor, &key, &data, MDB_FIRST);
    if (code == 0) {
        code = mdb_cursor_get(cursor, &key, &data, MDB_LAST);
    }
    if (code == 0 && last != NULL) {
        if (key.mv_size == sizeof(*last)) {
            memcpy(last, key.mv_data, sizeof(*last));
        } else {
            code = MDB_CORRUPTED;
        }
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

/* The audit log is there once it was needed. */
static int environment_find_audit(struct spool *spool, MDB_txn *txn)
{
    int code = environment_open_audit(txn, 0, &spool->audit);
    if (code == MDB_NOTFOUND) {
        spool->audit = 0;
        return 0;
    }
    return code == 0 ? environment_read_ends(spool, txn, spool->audit, NULL) : code;
}

/* Reads one destination, and the ends of its databases. */
static int environment_load_destination(struct spool *spool, MDB_txn *txn, uint32_t id,
                                        MDB_val data)
{
    struct destination *destination = &spool->destinations[id];
    uint64_t last = 0;
    int code = environment_read_destination(destination, data);
    if (code == 0) {
        code = environment_open_queues(txn, id, 0, &destination->queue, &destination->dead);
    }
    if (code == 0) {
        code = environment_read_ends(spool, txn, destination->dead, NULL);
    }
    if (code == 0) {
        code = environment_read_ends(spool, txn, destination->queue, &last);
    }
    if (code == 0) {
        atomic_store(&destination->appended_sequence, last);
    }
    return code;
}

int environment_load_destinations(struct spool *spool, MDB_txn *txn, uint32_t from,
                                  uint32_t *ret_count)
{
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, spool->destinations_db, &cursor);
    if (code != 0) {
        return code;
    }
    uint32_t wanted = from;
    MDB_val key = environment_key(&from, sizeof(from));
    MDB_val data;
    code = mdb_cursor_get(cursor, &key, &data, MDB_SET_RANGE);
    while (code == 0) {
        uint32_t id = 0;
        if (key.mv_size == sizeof(id)) {
            memcpy(&id, key.mv_data, sizeof(id));
        }
        if (id != wanted || id > DESTINATIONS_MAX) {
            code = MDB_CORRUPTED;
            break;
        }
        code = environment_load_destination(spool, txn, id, data);
        if (code != 0) {
            break;
        }
        wanted++;
        code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (code != MDB_NOTFOUND) {
        return code;
    }
    *ret_count = wanted - 1;
    return 0;
}

/* --- Opening --------------------------------------------------------------------------------- */

/* Whether the environment holds nothing at all: a new file. */
static int environment_is_empty(MDB_txn *txn, bool *ret_is_empty)
{
    MDB_dbi main_db;
    MDB_stat stat;
    int code = mdb_dbi_open(txn, NULL, 0, &main_db);
    if (code == 0) {
        code = mdb_stat(txn, main_db, &stat);
    }
    if (code == 0) {
        *ret_is_empty = stat.ms_entries == 0 && stat.ms_depth == 0;
    }
    return code;
}

static int environment_open_databases(struct spool *spool, MDB_txn *txn, uint32_t *ret_format)
{
    bool is_empty = false;
    int code = environment_is_empty(txn, &is_empty);
    if (code == 0 && is_empty && spool->is_visitor) {
        return MDB_NOTFOUND;
    }
    if (code == 0 && is_empty) {
        code = environment_create(spool, txn);
        SPOOL_POINT("environment.created");
    } else if (code == 0) {
        code = mdb_dbi_open(txn, "meta", 0, &spool->meta);
        if (code == MDB_INCOMPATIBLE) {
            code = MDB_NOTFOUND; /* a value of that name, in another program's file */
        }
    }
    if (code == 0) {
        code = environment_read_meta(spool, txn, ret_format);
    }
    if (code != 0 || *ret_format != SPOOL_FORMAT) {
        return code;
    }
    unsigned flags = (is_empty ? MDB_CREATE : 0) | MDB_INTEGERKEY;
    code = mdb_dbi_open(txn, "destinations", flags, &spool->destinations_db);
    if (code == 0) {
        code = mdb_dbi_open(txn, "counters", flags, &spool->counters_db);
    }
    if (code == 0) {
        code = mdb_dbi_open(txn, "reports", flags, &spool->reports);
    }
    if (code == 0) {
        code = environment_find_audit(spool, txn);
    }
    if (code == 0) {
        code = environment_read_ends(spool, txn, spool->counters_db, NULL);
    }
    if (code == 0) {
        code = environment_read_ends(spool, txn, spool->reports, NULL);
    }
    uint32_t count = 0;
    if (code == 0) {
        code = environment_load_destinations(spool, txn, 1, &count);
    }
    if (code == 0) {
        atomic_store(&spool->destinations_count, count);
    }
    return code;
}

/* The ends of LMDB's free list, which only a reading transaction shows. */
static int environment_check_free_list(struct spool *spool)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(spool->env, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        code = environment_read_ends(spool, txn, 0, NULL);
        mdb_txn_abort(txn);
    }
    return code;
}

int environment_failure(struct spool *spool, int code, const char *step, struct message *message)
{
    int r = mdb_result(code);
    switch (r) {
    case MDB_RESULT_NO_SPACE:
        message_set(message, "%s: the disk is full (%s): free some space and start again",
                    spool->dir, step);
        return SPOOL_E_DISK_FULL;
    case MDB_RESULT_NEWER:
        message_set(message,
                    "%s/data.mdb: another version of LMDB wrote it (%s): use the version of this "
                    "program that made the spool, or another folder",
                    spool->dir, mdb_result_text(code));
        return SPOOL_E_REFUSED;
    case MDB_RESULT_NOT_FOUND:
        message_set(message,
                    "%s/data.mdb: an LMDB file of another program, not a spool: choose another "
                    "folder",
                    spool->dir);
        return SPOOL_E_REFUSED;
    case MDB_RESULT_DAMAGED:
    case MDB_RESULT_EXISTS:
    case MDB_RESULT_PANIC:
        message_set(message, "%s/data.mdb: damaged (%s: %s)", spool->dir, step,
                    mdb_result_text(code));
        return ENVIRONMENT_E_DAMAGED;
    case -EACCES:
    case -EPERM:
    case -EROFS:
        message_set(message, "%s: cannot be written (%s: %s): check owner, mode and mount",
                    spool->dir, step, mdb_result_text(code));
        return SPOOL_E_REFUSED;
    default:
        message_set(message, "%s: cannot open the spool (%s): %s", spool->dir, step,
                    mdb_result_text(code));
        return r < 0 ? r : -EPROTO;
    }
}

static int environment_open_env(struct spool *spool)
{
    int code = data_file_check(spool->claim.fd);
    if (code == 0) {
        code = mdb_env_create(&spool->env);
    }
    if (code != 0) {
        return code;
    }
    code = mdb_env_set_maxdbs(spool->env, 2 * DESTINATIONS_MAX + 8);
    if (code == 0 && spool->claim.limit_bytes != 0) {
        /* A visitor takes the limit that the file says. */
        code = mdb_env_set_mapsize(spool->env, (size_t)spool->claim.limit_bytes);
    }
    if (code == 0) {
        /* NOTLS: a reader belongs to a cursor, not to a thread. S11: never NOMEMINIT, which would
         * let heap bytes (secrets) into the file; never WRITEMAP: docs/decisions/0003. */
        unsigned flags = MDB_NOTLS;
        if (spool->config.durability == SPOOL_NOMETASYNC) {
            flags |= MDB_NOMETASYNC;
        }
        code = mdb_env_open(spool->env, spool->dir, flags, 0640);
        SPOOL_POINT("environment.opened");
    }
    if (code == 0) {
        int dead;
        code = mdb_reader_check(spool->env, &dead);
    }
    if (code != 0) {
        return code;
    }
    return spool->is_visitor ? 0 : data_file_fill_up(spool->claim.fd, spool->env);
}

/* A visitor's map follows the owner's, who was started again with a larger limit. LMDB can map anew
 * when nobody reads. LMDB's code. */
static int environment_follow_map(struct spool *spool)
{
    int code = MDB_MAP_RESIZED;
    pthread_rwlock_unlock(&spool->env_lock);
    if (pthread_rwlock_trywrlock(&spool->env_lock) == 0) {
        MDB_envinfo info;
        code = mdb_env_set_mapsize(spool->env, 0);
        mdb_env_info(spool->env, &info);
        spool->config.max_bytes = info.me_mapsize;
        spool->claim.limit_bytes = info.me_mapsize;
        pthread_rwlock_unlock(&spool->env_lock);
    }
    pthread_rwlock_rdlock(&spool->env_lock);
    return code;
}

static int environment_begin_visitor(struct spool *spool, unsigned flags, MDB_txn **ret_txn)
{
    bool writes = (flags & MDB_RDONLY) == 0;
    int code = EAGAIN;
    for (int i = 0; code == EAGAIN && i < BEGIN_TRIES; i++) {
        MDB_txn *txn;
        code = mdb_txn_begin(spool->env, NULL, flags, &txn);
        if (code == MDB_MAP_RESIZED) {
            code = environment_follow_map(spool);
            code = code == 0 ? mdb_txn_begin(spool->env, NULL, flags, &txn) : code;
        }
        if (code != 0) {
            return code;
        }
        /* A writing transaction has the number of the state that it will make. */
        code = visit_check(spool, mdb_txn_id(txn) - (writes ? 1 : 0), writes);
        if (code == 0) {
            *ret_txn = txn;
        } else {
            mdb_txn_abort(txn);
        }
    }
    return code;
}

int environment_begin(struct spool *spool, unsigned flags, MDB_txn **ret_txn)
{
    return spool->is_visitor ? environment_begin_visitor(spool, flags, ret_txn)
                             : mdb_txn_begin(spool->env, NULL, flags, ret_txn);
}

/* Begins the transaction in which the databases are opened. */
static int environment_begin_first(struct spool *spool, MDB_txn **ret_txn)
{
    char owner[OWNER_TEXT_BYTES];
    if (!spool->is_visitor) {
        int code = environment_check_free_list(spool);
        return code != 0 ? code : environment_begin(spool, 0, ret_txn);
    }
    int code = environment_begin(spool, MDB_RDONLY, ret_txn);
    /* An owner has looked for itself whether the end is there, and may be growing the file. */
    if (code == 0 && owner_lock_probe(spool->dir_fd, owner) == 0) {
        code = visit_check_end(spool);
        if (code != 0) {
            mdb_txn_abort(*ret_txn);
        }
    }
    return code;
}

int environment_open(struct spool *spool, struct message *message)
{
    int code = environment_open_env(spool);
    if (code != 0) {
        environment_close(spool);
        return environment_failure(spool, code, "opening LMDB's environment", message);
    }
    MDB_txn *txn;
    code = environment_begin_first(spool, &txn);
    if (code != 0) {
        environment_close(spool);
        return environment_failure(spool, code, "beginning a transaction", message);
    }
    uint32_t format = SPOOL_FORMAT;
    code = environment_open_databases(spool, txn, &format);
    if (code != 0 || format != SPOOL_FORMAT) {
        mdb_txn_abort(txn);
        environment_close(spool);
        if (code != 0) {
            return environment_failure(spool, code, "reading the databases", message);
        }
        message_set(message,
                    "%s: has format %u, this version knows %u: use a newer version of this program",
                    spool->dir, format, SPOOL_FORMAT);
        return SPOOL_E_REFUSED;
    }
    SPOOL_POINT("environment.loaded");
    code = mdb_txn_commit(txn);
    SPOOL_POINT("environment.committed");
    if (code != 0) {
        environment_close(spool);
        return environment_failure(spool, code, "committing", message);
    }
    return 0;
}

void environment_close(struct spool *spool)
{
    if (spool->env != NULL) {
        mdb_env_close(spool->env);
        spool->env = NULL;
    }
}
