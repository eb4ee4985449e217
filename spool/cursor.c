/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/cursor.h"

#include "spool/environment.h"
#include "spool/mdb_result.h"
#include "spool/page/page_view.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* How far a visitor's cursor reads ahead. */
#define WINDOW_BYTES (256U << 10)

static int cursor_result(int code)
{
    int r = mdb_result(code);
    switch (r) {
    case MDB_RESULT_NOT_FOUND:
        return CURSOR_E_END;
    case MDB_RESULT_PANIC:
        return CURSOR_E_LATCHED;
    case MDB_RESULT_DAMAGED:
    case MDB_RESULT_NEWER:
    case MDB_RESULT_EXISTS:
    case MDB_RESULT_NO_SPACE:
        return CURSOR_E_DAMAGED;
    default:
        return r;
    }
}

/* A visitor's: on pages that nobody has checked. The tree is that of the transaction. LMDB's code.
 */
static int cursor_begin_walk(struct spool *spool, const char *name, uint64_t from,
                             struct page_walk **ret_walk)
{
    struct page_tree tree;
    if (page_view_tree(spool->view, name, &tree) != 0) {
        return MDB_NOTFOUND;
    }
    struct page_walk *walk = malloc(sizeof(*walk));
    if (walk == NULL) {
        return ENOMEM;
    }
    uint64_t last_page = spool->view->meta.last_page;
    page_walk_init(walk, &spool->view->file, &tree, last_page, sizeof(from), WINDOW_BYTES);
    page_walk_restart(walk, &tree, last_page, from);
    *ret_walk = walk;
    return 0;
}

static int cursor_open(struct cursor *cursor, MDB_dbi db, const char *name)
{
    return cursor->spool->is_visitor
               ? cursor_begin_walk(cursor->spool, name, cursor->from, &cursor->walk)
               : mdb_cursor_open(cursor->txn, db, &cursor->mdb);
}

/* With env_lock held for reading; keeps it when it succeeds. */
static int cursor_begin(struct cursor *cursor, struct spool *spool, MDB_dbi db, const char *name,
                        uint64_t from)
{
    struct cursor begun = {.spool = spool, .from = from};
    int code = environment_begin(spool, MDB_RDONLY, &begun.txn);
    if (code == 0) {
        code = cursor_open(&begun, db, name);
    }
    if (code != 0) {
        if (begun.txn != NULL) {
            mdb_txn_abort(begun.txn);
        }
        pthread_rwlock_unlock(&spool->env_lock);
        return cursor_result(code);
    }
    *cursor = begun;
    return 0;
}

static int cursor_lock(struct spool *spool)
{
    pthread_rwlock_rdlock(&spool->env_lock);
    if (spool->env == NULL) {
        pthread_rwlock_unlock(&spool->env_lock);
        return CURSOR_E_LATCHED;
    }
    return 0;
}

int cursor_begin_queue(struct cursor *cursor, struct spool *spool, uint32_t destination,
                       uint64_t from)
{
    char name[PAGE_NAME_BYTES_MAX + 1];
    (void)snprintf(name, sizeof(name), "queue.%u", destination);
    int r = cursor_lock(spool);
    return r != 0 ? r
                  : cursor_begin(cursor, spool, environment_destination(spool, destination)->queue,
                                 name, from);
}

int cursor_begin_dead(struct cursor *cursor, struct spool *spool, uint32_t destination,
                      uint64_t from)
{
    char name[PAGE_NAME_BYTES_MAX + 1];
    (void)snprintf(name, sizeof(name), "dead.%u", destination);
    int r = cursor_lock(spool);
    return r != 0 ? r
                  : cursor_begin(cursor, spool, environment_destination(spool, destination)->dead,
                                 name, from);
}

int cursor_begin_reports(struct cursor *cursor, struct spool *spool, uint64_t from)
{
    int r = cursor_lock(spool);
    return r != 0 ? r : cursor_begin(cursor, spool, spool->reports, "reports", from);
}

/* The log may have been made since the spool was opened. A handle comes from a writing transaction,
 * which no other of this process can meet; a visitor needs none. LMDB's code. */
static int cursor_find_audit(struct spool *spool, MDB_dbi *ret_db)
{
    MDB_txn *txn;
    MDB_dbi db;
    if (spool->is_visitor) {
        return 0;
    }
    int code = environment_begin(spool, 0, &txn);
    if (code != 0) {
        return code;
    }
    code = environment_open_audit(txn, 0, &db);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    code = mdb_txn_commit(txn);
    if (code == 0) {
        *ret_db = db;
    }
    return code;
}

int cursor_begin_audit(struct cursor *cursor, struct spool *spool, uint64_t from)
{
    MDB_dbi db = 0;
    int r = cursor_lock(spool);
    if (r != 0) {
        return r;
    }
    int code = cursor_find_audit(spool, &db);
    if (code != 0) {
        pthread_rwlock_unlock(&spool->env_lock);
        return cursor_result(code);
    }
    return cursor_begin(cursor, spool, db, "audit", from);
}

static int cursor_next_walked(struct cursor *cursor, uint64_t *ret_sequence,
                              struct span *ret_stored)
{
    struct page_entry entry;
    struct span value;
    int r = page_walk_next(cursor->walk, &entry);
    if (r == 0) {
        r = page_walk_value(cursor->walk, &entry, &value);
    }
    switch (r) {
    case 0:
        *ret_sequence = page_entry_number(&entry);
        *ret_stored = value;
        return 0;
    case PAGE_WALK_E_END:
        return CURSOR_E_END;
    case PAGE_WALK_E_DAMAGED:
        return CURSOR_E_DAMAGED;
    default:
        return r;
    }
}

int cursor_next(struct cursor *cursor, uint64_t *ret_sequence, struct span *ret_stored)
{
    if (cursor->walk != NULL) {
        return cursor_next_walked(cursor, ret_sequence, ret_stored);
    }
    assert(cursor->mdb != NULL);
    MDB_val key = environment_key(&cursor->from, sizeof(cursor->from));
    MDB_val data;
    int code =
        mdb_cursor_get(cursor->mdb, &key, &data, cursor->is_started ? MDB_NEXT : MDB_SET_RANGE);
    if (code == 0 && key.mv_size != sizeof(*ret_sequence)) {
        code = MDB_CORRUPTED;
    }
    if (code != 0) {
        return cursor_result(code);
    }
    cursor->is_started = true;
    memcpy(ret_sequence, key.mv_data, sizeof(*ret_sequence));
    *ret_stored = (struct span){data.mv_data, data.mv_size};
    return 0;
}

void cursor_end(struct cursor *cursor)
{
    assert(cursor->txn != NULL);
    if (cursor->walk != NULL) {
        page_walk_deinit(cursor->walk);
        free(cursor->walk);
    } else {
        mdb_cursor_close(cursor->mdb);
    }
    mdb_txn_abort(cursor->txn);
    pthread_rwlock_unlock(&cursor->spool->env_lock);
    *cursor = (struct cursor){0};
}

void cursor_tell_position(struct spool *spool, uint32_t destination, uint64_t position)
{
    struct destination *known = environment_destination(spool, destination);
    pthread_mutex_lock(&spool->oldest_lock);
    known->forward_position = position;
    if (!known->is_dropping) {
        known->dropped_to = 0; /* whoever begins to read now does not find it */
    }
    pthread_mutex_unlock(&spool->oldest_lock);
}

bool cursor_take(struct spool *spool, uint32_t destination, uint64_t sequence)
{
    struct destination *known = environment_destination(spool, destination);
    pthread_mutex_lock(&spool->oldest_lock);
    bool is_dropped = sequence >= known->dropped_from && sequence <= known->dropped_to;
    if (!is_dropped) {
        known->forward_position = sequence + 1;
    }
    pthread_mutex_unlock(&spool->oldest_lock);
    return !is_dropped;
}

void cursor_look(struct spool *spool, uint32_t destination)
{
    struct cursor cursor = {0};
    MDB_val key;
    MDB_val data;
    uint64_t last;
    assert(!spool->is_visitor); /* it reads ahead of nothing */
    if (cursor_begin_queue(&cursor, spool, destination, 0) != 0) {
        return;
    }
    if (mdb_cursor_get(cursor.mdb, &key, &data, MDB_LAST) == 0 && key.mv_size == sizeof(last)) {
        memcpy(&last, key.mv_data, sizeof(last));
        environment_note_appended(environment_destination(spool, destination), last);
    }
    cursor_end(&cursor);
}

uint64_t cursor_appended(struct spool *spool, uint32_t destination)
{
    return atomic_load(&environment_destination(spool, destination)->appended_sequence);
}
