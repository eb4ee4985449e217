/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to spool/: what a struct spool is made of. */
#ifndef SPOOL_ENVIRONMENT_H
#define SPOOL_ENVIRONMENT_H

#include "spool/claim.h"
#include "spool/limits.h"
#include "spool/spool.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

/* The format that this code reads and writes; kept in meta under "format". */
#define SPOOL_FORMAT 1U

struct destination {
    char *identity;
    char *address;
    MDB_dbi queue;
    MDB_dbi dead;
    struct destination_limits limits;
    /* Under oldest_lock: who has the oldest record, the forwarder or a batch that drops it. */
    uint64_t forward_position; /* what is before it may be in-flight: it is not dropped */
    uint64_t dropped_from;     /* what is from here to there is not forwarded */
    uint64_t dropped_to;       /* 0: none */
    bool is_dropping;          /* the batch that drops it is open */
    /* The last sequence that was appended and committed. */
    _Atomic uint64_t appended_sequence;
};

struct spool {
    struct spool_config config;
    bool is_visitor;        /* it does not own the spool: see spool/visit.h */
    struct page_view *view; /* a visitor's: the pages of the last transaction that was begun */
    char *dir;
    char *set_aside_path;
    int dir_fd;
    int owner_fd;
    uint32_t crashes_count; /* of the owners before, in a row */

    /* Held for reading by each use of env, for writing while it is replaced (spool_reopen). */
    pthread_rwlock_t env_lock;
    MDB_env *env;
    MDB_dbi meta;
    MDB_dbi destinations_db;
    MDB_dbi counters_db;
    MDB_dbi reports;
    MDB_dbi audit; /* 0: there was none when env was opened */
    atomic_bool is_latched;

    uint8_t uuid[16];
    char uuid_text[37];
    struct claim claim;

    pthread_mutex_t oldest_lock;
    pthread_mutex_t destinations_lock;                     /* held while one is made */
    struct destination destinations[DESTINATIONS_MAX + 1]; /* [1..count] */
    _Atomic uint32_t destinations_count;
};

/* LMDB keys of 4 and 8 bytes are native integers (MDB_INTEGERKEY). */
static inline MDB_val environment_key(const void *integer, size_t size_bytes)
{
    /* LMDB does not write through a key that is only looked up or put. */
    return (MDB_val){.mv_size = size_bytes, .mv_data = (void *)(uintptr_t)integer};
}

/* The destination's struct; asserts that it exists. */
struct destination *environment_destination(struct spool *spool, uint32_t destination);

/* That sequence is in the destination's queue, committed. Other programs append too, so what is
 * known already may be higher. */
static inline void environment_note_appended(struct destination *destination, uint64_t sequence)
{
    uint64_t known = atomic_load(&destination->appended_sequence);
    while (known < sequence &&
           !atomic_compare_exchange_weak(&destination->appended_sequence, &known, sequence)) {
    }
}

/* Opens env, databases and destinations in spool->dir_fd's folder. Used by open and reopen.
 * 0, ENVIRONMENT_E_DAMAGED, SPOOL_E_REFUSED, SPOOL_E_DISK_FULL, -errno. */
#define ENVIRONMENT_E_DAMAGED 100
SPOOL_MUST_CHECK int environment_open(struct spool *spool, struct message *message);

/* Begins a transaction of env, with env_lock held for reading. A visitor checks what LMDB will read
 * of the file (spool/visit_check.h), and its map follows the owner's: the lock is given back and
 * taken again for that. LMDB's code. */
SPOOL_MUST_CHECK int environment_begin(struct spool *spool, unsigned flags, MDB_txn **ret_txn);

/* What LMDB's code comes to when the spool cannot be opened; step says in words where. Sets
 * message. ENVIRONMENT_E_DAMAGED, SPOOL_E_REFUSED, SPOOL_E_DISK_FULL, -errno. */
SPOOL_MUST_CHECK int environment_failure(struct spool *spool, int code, const char *step,
                                         struct message *message);

/* Closes env if it is open. */
void environment_close(struct spool *spool);

/* Counts the pages that hold something: LMDB's own two databases, ours, and what the row of totals
 * says of the destinations'. LMDB's code. */
SPOOL_MUST_CHECK int environment_count_pages(struct spool *spool, MDB_txn *txn,
                                             const struct counters *all, uint64_t *ret_pages,
                                             uint32_t *ret_page_bytes);

/* Pages of one database. */
static inline uint64_t environment_stat_pages(const MDB_stat *stat)
{
    return stat->ms_branch_pages + stat->ms_leaf_pages + stat->ms_overflow_pages;
}

/* Loads the destinations from that number on; *ret_count is how many there are then. Known texts
 * stay as they are. LMDB's code. */
SPOOL_MUST_CHECK int environment_load_destinations(struct spool *spool, MDB_txn *txn, uint32_t from,
                                                   uint32_t *ret_count);

/* Opens (flags 0) or makes (MDB_CREATE) a destination's two databases. 0, or LMDB's code. */
SPOOL_MUST_CHECK int environment_open_queues(MDB_txn *txn, uint32_t destination, unsigned flags,
                                             MDB_dbi *ret_queue, MDB_dbi *ret_dead);

/* Opens (flags 0) or makes (MDB_CREATE) the audit log's database. 0, or LMDB's code. */
SPOOL_MUST_CHECK int environment_open_audit(MDB_txn *txn, unsigned flags, MDB_dbi *ret_audit);

/* --- visit.c ---------------------------------------------------------------------------------- */

/* Whether the folder's data file is another one than the visitor opened. */
SPOOL_MUST_CHECK bool visit_is_replaced(const struct spool *spool);

/* Closes a visitor's view; none is fine. */
void visit_close_view(struct spool *spool);

/* --- spool.c ---------------------------------------------------------------------------------- */

#define SPOOL_DATA_FILE "data.mdb"
#define SPOOL_LOCK_FILE "lock.mdb"

/* A struct spool with nothing open. 0, -ENOMEM. */
SPOOL_MUST_CHECK int spool_new(const struct spool_config *config, struct spool **ret_spool,
                               struct message *message);

/* Opens dir_fd and makes dir absolute. 0, SPOOL_E_REFUSED. */
SPOOL_MUST_CHECK int spool_find_dir(struct spool *spool, struct message *message);

/* Refuses a file of the folder that cannot be used, or should not: said at once, instead of
 * half-way through. 0, SPOOL_E_REFUSED. */
SPOOL_MUST_CHECK int spool_check_file(struct spool *spool, const char *file, bool must_exist,
                                      struct message *message);

#endif
