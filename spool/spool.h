/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The spool: one folder with an LMDB environment in it, and who owns it. spool/README.md has the
 * invariants (S1, S2, ...), the states, and every byte.
 *
 * Threads: one thread (the committer) makes batches (spool/batch.h); any thread may read with a
 * cursor of its own (spool/cursor.h), take statistics, or open destinations. Processes: open after
 * the fork, close in the same process (LMDB forbids else).
 */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "spool/base.h"
#include "spool/clock.h"
#include "spool/counters.h"
#include "spool/message.h"

enum spool_durability {
    /* Each commit is flushed to stable storage, data then meta page. A power loss costs nothing
     * that was accepted. */
    SPOOL_SYNC,
    /* The meta page is flushed with the next commit: one flush instead of two. A power loss may
     * cost the last commit (all records accepted in it); the spool stays sound. */
    SPOOL_NOMETASYNC,
};

struct spool_config {
    const char *dir;
    const char *owner_name; /* the program that opens it: shown to whoever finds it owned */
    uint64_t max_bytes;     /* of the data file; SPOOL_BYTES_MIN to SPOOL_BYTES_MAX */
    uint64_t max_records;   /* waiting in all destinations together; 0: no limit */
    enum spool_durability durability;
    bool may_create;     /* make the folder and the spool if they are missing */
    struct clock *clock; /* borrowed for the spool's life */
};

struct spool;

#define SPOOL_E_OWNED 1     /* another process has it open as its owner */
#define SPOOL_E_REFUSED 2   /* not ours to use: newer format, foreign files, permissions, ... */
#define SPOOL_E_DISK_FULL 3 /* the file system has no room for even an empty spool */
#define SPOOL_E_LATCHED 4   /* a failed commit: nothing is written until spool_reopen() */
#define SPOOL_E_DAMAGED 5   /* only to a visitor (spool/visit.h): an owner sets it aside */

/* Opens the spool as its owner. One that is damaged is set aside (moved to a dated folder inside
 * dir) and a new one is started: see spool_set_aside_path(). message is set for each result but 0.
 * 0, SPOOL_E_OWNED, SPOOL_E_REFUSED, SPOOL_E_DISK_FULL, -errno. */
SPOOL_MUST_CHECK int spool_open(const struct spool_config *config, struct spool **ret_spool,
                                struct message *message);

/* Closes *spool and sets it to NULL; NULL is fine. No batch and no cursor may be left. */
void spool_close(struct spool **spool);

/* Closes and opens the environment after a failed commit; the owner lock is kept. Waits for cursors
 * that are reading. 0, SPOOL_E_LATCHED (still not possible; message says why), -errno. */
SPOOL_MUST_CHECK int spool_reopen(struct spool *spool, struct message *message);

/* Whether a failed commit has latched the spool. Safe from any thread. */
SPOOL_MUST_CHECK bool spool_is_latched(const struct spool *spool);

/* Where spool_open() put a damaged spool, or NULL. The spool's own. */
const char *spool_set_aside_path(const struct spool *spool);

/* The spool's uuid as text, 36 characters and a NUL. The spool's own. */
const char *spool_uuid(const struct spool *spool);

/* The clock that the spool was opened with: everything that serves it tells time by it. */
struct clock *spool_clock(const struct spool *spool);

/* Prints "<uuid>:<sequence>", the value of the header spool-id; origin_uuid is the 16 bytes of a
 * record's first spool, or NULL for this one. */
#define SPOOL_ID_BYTES 64
void spool_id_print(const struct spool *spool, const uint8_t *origin_uuid, uint64_t sequence,
                    char ret_text[SPOOL_ID_BYTES]);

/* --- Destinations ---------------------------------------------------------------------------- */

/* The row of counters that is the sum over all destinations. Real destinations start at 1. */
#define DESTINATION_ALL 0U

/* A destination's own limits; 0: none. */
struct destination_limits {
    uint64_t max_records;
    uint64_t max_bytes;
    bool drops_oldest; /* at a limit: drop the oldest waiting record instead of refusing */
};

/* Finds the destination of that identity, or makes it; remembers the address (redacted) for people.
 * Destinations are for ever: their records outlive a configuration. Safe from any thread but a
 * batch's. 0, SPOOL_E_REFUSED (DESTINATIONS_MAX are there), SPOOL_E_DISK_FULL, SPOOL_E_LATCHED,
 * -errno. */
SPOOL_MUST_CHECK int spool_destination_open(struct spool *spool, const char *identity,
                                            const char *address, uint32_t *ret_destination,
                                            struct message *message);

/* Sets the limits that appends to the destination keep. */
void spool_destination_limit(struct spool *spool, uint32_t destination,
                             const struct destination_limits *limits);

/* The destinations that exist, 1 to spool_destinations_count(). */
SPOOL_MUST_CHECK uint32_t spool_destinations_count(const struct spool *spool);

/* The identity, and the redacted address it was last opened with. The spool's own. */
const char *spool_destination_identity(const struct spool *spool, uint32_t destination);
const char *spool_destination_address(const struct spool *spool, uint32_t destination);

/* --- Statistics ------------------------------------------------------------------------------ */

/* The last counters that were committed, of a destination or of DESTINATION_ALL. O(1). 0, -errno.
 */
SPOOL_MUST_CHECK int spool_counters(struct spool *spool, uint32_t destination,
                                    struct counters *ret_counters);

struct spool_space {
    uint64_t limit_bytes;   /* max_bytes */
    uint64_t used_bytes;    /* pages that hold something */
    uint64_t room_bytes;    /* what appends may still take, as long as the disk has it */
    uint64_t file_bytes;    /* pages ever used: the file does not shrink */
    uint64_t claimed_bytes; /* disk that the file has, used or not */
    bool is_disk_full;      /* no more could be claimed at the last try */
};

/* How full the spool is. 0, -errno. */
SPOOL_MUST_CHECK int spool_space(struct spool *spool, struct spool_space *ret_space);

/* Who holds back the reuse of freed pages. */
struct spool_readers {
    uint32_t count;        /* processes' read transactions that are open, without this one's */
    uint64_t behind_count; /* how many commits the oldest of them is behind the last */
    uint64_t oldest_pid;   /* its process; 0: none */
};

/* 0, -errno. */
SPOOL_MUST_CHECK int spool_readers(struct spool *spool, struct spool_readers *ret_readers);

/* The next sequence that will be given. 0, -errno. */
SPOOL_MUST_CHECK int spool_next_sequence(struct spool *spool, uint64_t *ret_sequence);

#endif
