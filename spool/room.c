/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Room: how many pages the appends of a batch may take, so that settling always finds some. */
#include "spool/batch_private.h"

#include <assert.h>
#include <string.h>

/* Pages that appends leave free (S7): deleting copies pages before it frees any. 64 were measured
 * to be enough for batches of 100 deletes; a share of the file covers larger ones, and readers that
 * hold pages back for a while. */
#define ROOM_RESERVE_PAGES_MIN 64
#define ROOM_RESERVE_PAGES_MAX 4096
#define ROOM_RESERVE_SHARE 16

#define ROOM_DISK_INTERVAL_MS 1000

#define ROOM_PAGE_HEAD_BYTES 16 /* of each page; an overflow record has one */
#define ROOM_NODE_BYTES 18      /* of each value in a leaf: node head, 8-byte key, index */

static_assert(SPOOL_BYTES_MIN / 4096 > 2ULL * ROOM_RESERVE_PAGES_MIN,
              "the reserve must leave room");

uint64_t room_reserve_pages(uint64_t limit_pages)
{
    uint64_t pages = limit_pages / ROOM_RESERVE_SHARE;
    if (pages < ROOM_RESERVE_PAGES_MIN) {
        return ROOM_RESERVE_PAGES_MIN;
    }
    return pages < ROOM_RESERVE_PAGES_MAX ? pages : ROOM_RESERVE_PAGES_MAX;
}

/* S7: settlements leave these to the next commit. LMDB uses what a commit freed only after one
 * more: a batch that takes the last page is followed by none, for ever. What copies a record takes
 * none of them; what only deletes, or copies little, takes the upper ones, since it makes room. */
#define ROOM_FLOOR_PAGES 32
#define ROOM_FLOOR_LOW_PAGES 20
#define ROOM_HELD_PAGES 8        /* that each commit leaves, about */
#define ROOM_DESTINATION_PAGES 4 /* the path to a queue's leaf, and the counters' */

/* --- What one value takes --------------------------------------------------------------------- */

/* The pages of its own that LMDB gives to a value above half a page (mdb.c: me_nodemax); 0 for a
 * smaller one. */
static uint64_t room_overflow_pages(const struct batch *batch, uint64_t size_bytes)
{
    uint64_t node_max = (batch->page_bytes - ROOM_PAGE_HEAD_BYTES) / 2 - 2;
    if (size_bytes + ROOM_NODE_BYTES - 2 <= node_max) {
        return 0;
    }
    return (ROOM_PAGE_HEAD_BYTES + size_bytes + batch->page_bytes - 1) / batch->page_bytes;
}

/* What the value takes of its leaf. */
static uint64_t room_leaf_bytes(const struct batch *batch, uint64_t size_bytes)
{
    if (room_overflow_pages(batch, size_bytes) > 0) {
        size_bytes = sizeof(uint64_t); /* the number of the first page */
    }
    return ROOM_NODE_BYTES + size_bytes + (size_bytes & 1);
}

/* Pages that a value takes at the end of a database whose last leaf has so many bytes left. */
static uint64_t room_needed_pages(const struct batch *batch, uint64_t leaf_left_bytes,
                                  uint64_t size_bytes)
{
    /* An append that does not fit the last leaf begins a new one; branch pages are so few that the
     * reserve covers them. */
    uint64_t leaf_pages = room_leaf_bytes(batch, size_bytes) > leaf_left_bytes ? 1 : 0;
    return leaf_pages + room_overflow_pages(batch, size_bytes);
}

static void room_subtract(uint64_t *pages, uint64_t taken)
{
    *pages -= taken < *pages ? taken : *pages;
}

/* What settlements take: first what is above the floor, then their part of the floor. */
static void room_take_settling(struct batch *batch, uint64_t taken)
{
    uint64_t above = taken < batch->settle_pages ? taken : batch->settle_pages;
    batch->settle_pages -= above;
    room_subtract(&batch->floor_pages, taken - above);
}

bool room_may_copy(const struct batch *batch, uint64_t leaf_left_bytes, uint64_t size_bytes,
                   bool is_little)
{
    uint64_t pages = batch->settle_pages + (is_little ? batch->floor_pages : 0);
    return room_needed_pages(batch, leaf_left_bytes, size_bytes) <= pages;
}

void room_take(struct batch *batch, uint64_t *leaf_left_bytes, uint64_t size_bytes)
{
    uint64_t pages = room_needed_pages(batch, *leaf_left_bytes, size_bytes);
    uint64_t leaf_bytes = room_leaf_bytes(batch, size_bytes);
    room_subtract(&batch->room_pages, pages);
    room_take_settling(batch, pages);
    if (leaf_bytes > *leaf_left_bytes) {
        *leaf_left_bytes = batch->page_bytes - ROOM_PAGE_HEAD_BYTES;
    }
    *leaf_left_bytes -= leaf_bytes;
}

void room_take_destination(struct batch *batch)
{
    room_take_settling(batch, ROOM_DESTINATION_PAGES);
}

void room_take_settled(struct batch *batch, const void *place)
{
    /* A leaf is copied when it is first changed. Of neighbours on a leaf the first has another
     * place than the rest (the copy), so this counts up to two pages for one, and never none. */
    uintptr_t frame = (uintptr_t)place / batch->page_bytes;
    if (frame != batch->settled_frame) {
        batch->settled_frame = frame;
        room_take_settling(batch, 1);
    }
    batch->settled_count++;
}

bool batch_is_short(const struct batch *batch)
{
    return batch->settle_pages < ROOM_FLOOR_PAGES;
}

bool batch_is_large(const struct batch *batch)
{
    return batch->copied_bytes >= BATCH_BYTES_MAX ||
           (batch->settled_count > 0 && batch->settle_pages == 0 && batch->floor_pages == 0);
}

bool room_is_enough(const struct batch *batch, uint64_t leaf_left_bytes, uint64_t size_bytes)
{
    /* Beside the reserve there is room to move the largest record: to the dead letters, or into
     * its report. What is about to come may be the new largest. */
    uint64_t largest = batch->all.values[COUNTER_LARGEST_BYTES];
    uint64_t kept_pages =
        room_overflow_pages(batch, REPORT_BYTES + (largest > size_bytes ? largest : size_bytes));
    return room_needed_pages(batch, leaf_left_bytes, size_bytes) + kept_pages < batch->room_pages;
}

/* --- What there is ---------------------------------------------------------------------------- */

/* LMDB tells of its readers in lines of text: process, thread, and transaction or "-". */
static int room_note_reader(const char *line, void *context)
{
    uint64_t *oldest = context;
    const char *at = strrchr(line, ' ');
    char *end;
    uint64_t txn_id = at != NULL ? strtoull(at, &end, 10) : 0;
    if (at != NULL && *end == '\n' && end > at + 1 && txn_id < *oldest) {
        *oldest = txn_id;
    }
    return 0;
}

/* Adds up the free pages that this transaction may use, until there are enough. Pages that were
 * freed by the last commit, or since the oldest reader began, are not among them. */
static int room_count_free(struct batch *batch, uint64_t enough, uint64_t *usable)
{
    MDB_env *env = batch->spool->env;
    uint64_t last_commit = mdb_txn_id(batch->txn) - 1;
    uint64_t oldest = last_commit;
    MDB_txn *txn;
    MDB_cursor *cursor;
    mdb_reader_list(env, room_note_reader, &oldest);
    /* LMDB shows its free list (database 0) to reading transactions only. */
    int code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return code;
    }
    code = mdb_cursor_open(txn, 0, &cursor);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    MDB_val key;
    MDB_val data;
    while (*usable < enough && (code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0) {
        size_t freed_by;
        size_t count;
        if (key.mv_size != sizeof(freed_by) || data.mv_size < sizeof(count)) {
            code = MDB_CORRUPTED;
            break;
        }
        memcpy(&freed_by, key.mv_data, sizeof(freed_by));
        memcpy(&count, data.mv_data, sizeof(count));
        if (freed_by < oldest) {
            *usable += count;
        } else if (oldest == last_commit) {
            batch->held_pages += count;
        }
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return code == MDB_NOTFOUND ? 0 : code;
}

bool room_wants_turn(const struct batch *batch)
{
    /* Each commit leaves a few such pages; only many are worth two flushes, or all that there are
     * for settling. */
    bool is_starved = batch->settle_pages == 0 && batch->floor_pages == 0;
    return batch->held_pages > (is_starved ? ROOM_HELD_PAGES : ROOM_FLOOR_PAGES);
}

/* Claims the file's first bytes. A full disk is asked once a second: the question takes long there.
 */
static int room_claim(struct batch *batch, uint64_t end_bytes)
{
    struct claim *claim = &batch->spool->claim;
    uint64_t since_ms = batch->now_wall_ms - batch->disk_asked_wall_ms;
    if (claim->is_disk_full && since_ms < ROOM_DISK_INTERVAL_MS &&
        end_bytes > claim->claimed_bytes && claim->claimed_bytes < claim->limit_bytes) {
        return CLAIM_E_DISK_FULL;
    }
    int r = claim_up_to(claim, end_bytes);
    if (r == CLAIM_E_DISK_FULL) {
        batch->disk_asked_wall_ms = batch->now_wall_ms;
    }
    return r;
}

int room_measure(struct batch *batch, uint64_t appends_bytes, uint64_t appends_count)
{
    struct spool *spool = batch->spool;
    uint64_t page_bytes = batch->page_bytes;
    batch->held_pages = 0;
    batch->settled_count = 0;
    batch->settled_frame = 0;
    uint64_t limit_pages = spool->config.max_bytes / page_bytes;
    uint64_t reserve = room_reserve_pages(limit_pages);
    /* At most three pages a record beside its own bytes: its leaf, its head, its last page. */
    uint64_t wanted = reserve + 3 * appends_count + appends_bytes / page_bytes;
    MDB_envinfo info;
    mdb_env_info(spool->env, &info);
    uint64_t file_pages = (uint64_t)info.me_last_pgno + 1;

    int r = room_claim(batch, (file_pages + wanted) * page_bytes);
    if (r < 0) {
        return -r;
    }
    /* S7: a disk that gives no more is a limit for appends, not a failure: settling lives on the
     * reserve. */
    batch->is_limit_disk = r == CLAIM_E_DISK_FULL;
    uint64_t map_pages =
        (batch->is_limit_disk ? spool->claim.claimed_bytes : info.me_mapsize) / page_bytes;
    if (map_pages < limit_pages) {
        /* The disk is smaller than the limit: its size sets the reserve too. */
        limit_pages = map_pages;
        reserve = room_reserve_pages(limit_pages);
    }

    uint64_t room = limit_pages > batch->used_pages ? limit_pages - batch->used_pages : 0;
    uint64_t usable = map_pages > file_pages ? map_pages - file_pages : 0;
    wanted += batch->all.values[COUNTER_LARGEST_BYTES] / page_bytes + 2;
    if (usable < wanted) {
        int code = room_count_free(batch, wanted, &usable);
        if (code != 0) {
            return code;
        }
    }
    batch->settle_pages = usable > ROOM_FLOOR_PAGES ? usable - ROOM_FLOOR_PAGES : 0;
    uint64_t floor_pages = usable - batch->settle_pages;
    batch->floor_pages =
        floor_pages > ROOM_FLOOR_LOW_PAGES ? floor_pages - ROOM_FLOOR_LOW_PAGES : 0;
    room = usable < room ? usable : room;
    batch->room_pages = room > reserve ? room - reserve : 0;
    return 0;
}
