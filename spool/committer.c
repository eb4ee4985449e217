/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/committer.h"

#include "spool/batch.h"
#include "spool/gather.h"
#include "spool/histogram.h"
#include "spool/limits.h"
#include "spool/point.h"
#include "spool/settle_queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* Settlements alone wait this long for appends to ride with: each commit costs two flushes. */
#define SETTLE_DELAY_MS 5
/* ... unless this many wait: then the flush is well used. */
#define SETTLE_COUNT_DUE 2048

/* How often a latched spool is opened again, and settlements are tried again on a full one. */
#define REOPEN_INTERVAL_MS 1000
#define RETRY_INTERVAL_MS 100

/* After so many tries in a row at which no settlement found room, what copies is given back. */
#define TRIES_WITHOUT_ROOM 5

/* Without room: how often the largest records are left out, and how many settlements that do not
 * fit are passed. */
#define LEAVE_OUT_TRIES 4
#define SETTLE_PASSED_MAX 64

struct committer {
    struct committer_config config;
    struct clock *clock;
    struct batch *batch;

    struct settle_queue settlements;

    /* The committer's thread only. */
    struct ring_entry entries[BATCH_RECORDS_MAX];
    struct ring_outcome outcomes[BATCH_RECORDS_MAX];
    struct settlement *applied[BATCH_RECORDS_MAX]; /* in the batch that is being made */
    struct settlement *ordered[SETTLE_QUEUE_MAX];  /* what may be applied */
    struct gather gather;
    uint64_t settled_count; /* committed settlements, in whatever order */
    uint64_t reopen_at_ms;
    uint64_t retry_at_ms;
    uint32_t tries_without_room;

    pthread_mutex_t statistics_lock;
    struct committer_statistics statistics;
    struct histogram commit_us;
    bool has_trouble;
    struct message trouble;
};

int committer_new(const struct committer_config *config, struct committer **ret_committer)
{
    SPOOL_CLEANUP(committer_free) struct committer *committer = calloc(1, sizeof(*committer));
    if (committer == NULL) {
        return -ENOMEM;
    }
    committer->config = *config;
    committer->clock = spool_clock(config->spool);
    pthread_mutex_init(&committer->statistics_lock, NULL);
    int r = settle_queue_init(&committer->settlements, committer->clock);
    if (r < 0) {
        return r;
    }
    r = batch_new(config->spool, &committer->batch);
    if (r < 0) {
        return r;
    }
    *ret_committer = SPOOL_TAKE(committer);
    return 0;
}

void committer_free(struct committer **committer_at)
{
    struct committer *committer = SPOOL_TAKE(*committer_at);
    if (committer == NULL) {
        return;
    }
    batch_free(&committer->batch);
    settle_queue_deinit(&committer->settlements);
    pthread_mutex_destroy(&committer->statistics_lock);
    free(committer);
}

/* --- Settlements ------------------------------------------------------------------------------ */

int committer_settle(struct committer *committer, const struct settlement *settlements,
                     size_t count, uint64_t *ret_position)
{
    size_t before = 0;
    if (settle_queue_append(&committer->settlements, settlements, count, &before, ret_position) !=
        0) {
        return COMMITTER_E_BUSY;
    }
    if (before == 0 || (before < SETTLE_COUNT_DUE && before + count >= SETTLE_COUNT_DUE)) {
        ring_bell(committer->config.ring);
    }
    return 0;
}

uint64_t committer_settled(const struct committer *committer)
{
    return settle_queue_settled(&committer->settlements);
}

uint64_t committer_given_back(const struct committer *committer, uint32_t destination)
{
    return settle_queue_given_back(&committer->settlements, destination);
}

/* --- One commit ------------------------------------------------------------------------------- */

static uint64_t committer_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* What one commit is to hold, and what came of it. */
struct committer_try {
    /* The first entries that were taken; those of too_large_bytes and more are left out. */
    size_t entries_count;
    size_t too_large_bytes;
    int too_large_outcome;
    size_t settlements_at; /* in the queue of settlements */
    size_t settlements_count;

    int result;      /* of the batch */
    bool is_unknown; /* it failed, and may be on disk after all */
    size_t
        applied_count;   /* settlements in the batch: fewer, when they copy a lot or find no room */
    size_t failed_bytes; /* the entry for which there was no space; 0: it was not an entry */
    uint64_t us;         /* what the commit took */
};

/* Appends one entry; its outcome is set. 0 or the batch's failure. */
static int committer_append(struct committer *committer, const struct ring_entry *entry,
                            struct ring_outcome *outcome)
{
    *outcome = (struct ring_outcome){.result = OUTCOME_NO_DESTINATION};
    if (entry->destination < 1 ||
        entry->destination > spool_destinations_count(committer->config.spool)) {
        return 0;
    }
    uint64_t sequence = 0;
    int refusal = OUTCOME_ACCEPTED;
    int r = batch_append(committer->batch, entry->destination, entry->encoded, &sequence, &refusal);
    if (r == BATCH_E_REFUSED) {
        outcome->result = refusal;
        return 0;
    }
    if (r == 0) {
        *outcome = (struct ring_outcome){.result = OUTCOME_ACCEPTED, .sequence = sequence};
    }
    return r;
}

static int committer_full_outcome(struct committer *committer)
{
    struct spool_space space;
    bool is_disk = spool_space(committer->config.spool, &space) != 0 || space.is_disk_full;
    return is_disk ? OUTCOME_FULL_DISK : OUTCOME_FULL_BYTES;
}

static int committer_append_all(struct committer *committer, struct committer_try *try)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < try->entries_count; i++) {
        const struct ring_entry *entry = &committer->entries[i];
        if (entry->encoded.size_bytes >= try->too_large_bytes) {
            committer->outcomes[i] = (struct ring_outcome){.result = try->too_large_outcome};
            continue;
        }
        r = committer_append(committer, entry, &committer->outcomes[i]);
        if (r == BATCH_E_NO_SPACE) {
            try->failed_bytes = entry->encoded.size_bytes;
        }
    }
    return r;
}

/* The settlements that the commit is to hold, in the order in which to apply them. Returns how
 * many. Where room is short it is the order of the queues: what is deleted then frees whole pages,
 * so that there is room for what other settlements copy. */
static size_t committer_order(struct committer *committer, const struct committer_try *try)
{
    size_t count = settle_queue_list(&committer->settlements, try->settlements_at,
                                     try->settlements_count, committer->ordered);
    if (batch_is_short(committer->batch)) {
        settle_queue_sort(committer->ordered, count);
    }
    return count;
}

/* Those that find no room for what they copy are passed: what is behind them may make room. They
 * stay in the queue; what is applied is marked, since committer_settled() counts in order. */
static int committer_settle_all(struct committer *committer, struct committer_try *try)
{
    size_t count = committer_order(committer, try);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count && try->applied_count < BATCH_RECORDS_MAX &&
                       !batch_is_large(committer->batch);
         i++) {
        r = batch_settle(committer->batch, committer->ordered[i]);
        if (r == 0) {
            committer->applied[try->applied_count++] = committer->ordered[i];
        } else if (r == BATCH_E_LATER) {
            r = 0;
        }
    }
    return r;
}

/* Fills a batch: settlements first, since what leaves makes room for what comes. */
static int committer_fill(struct committer *committer, struct committer_try *try)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < try->entries_count; i++) {
        bytes += committer->entries[i].encoded.size_bytes;
    }
    int r = batch_begin(committer->batch, bytes, try->entries_count);
    if (r == 0) {
        r = committer_settle_all(committer, try);
    }
    return r == 0 ? committer_append_all(committer, try) : r;
}

static void committer_count_commit(struct committer *committer, int result, uint64_t us)
{
    pthread_mutex_lock(&committer->statistics_lock);
    struct committer_statistics *statistics = &committer->statistics;
    if (result == 0) {
        statistics->commits_count++;
        statistics->commit_us_total += us;
        histogram_add(&committer->commit_us, us, committer->clock->monotonic_ms(committer->clock));
        if (us > statistics->commit_us_max) {
            statistics->commit_us_max = us;
        }
    } else {
        statistics->failed_commits_count++;
    }
    pthread_mutex_unlock(&committer->statistics_lock);
}

/* One commit. Returns its result. */
static int committer_commit(struct committer *committer, struct committer_try *try)
{
    try->applied_count = 0;
    try->failed_bytes = 0;
    try->is_unknown = false;
    int r = committer_fill(committer, try);
    try->us = 0;
    if (r == 0) {
        uint64_t begin_us = committer_now_us();
        r = batch_commit(committer->batch);
        try->us = committer_now_us() - begin_us;
        try->is_unknown = r == BATCH_E_LATCHED;
    }
    for (size_t i = 0; r == 0 && i < try->applied_count; i++) {
        committer->applied[i]->action = SETTLE_ACTION_COUNT;
        committer->settled_count++;
        SPOOL_POINT("committer.marked");
    }
    committer_count_commit(committer, r, try->us);
    try->result = r;
    return r;
}

/* The batch failed: everybody who would have been accepted was not, or may have been. */
static void committer_refuse(struct committer *committer, const struct committer_try *try)
{
    int outcome = try->is_unknown ? OUTCOME_UNKNOWN : OUTCOME_BROKEN;
    if (try->result == BATCH_E_NO_SPACE) {
        outcome = committer_full_outcome(committer);
    }
    for (size_t i = 0; i < try->entries_count; i++) {
        committer->outcomes[i] = (struct ring_outcome){.result = outcome};
    }
}

/* S1: after the commit, and only then, somebody hears "accepted". */
static void committer_answer(struct committer *committer, size_t entries_count)
{
    ring_answer(committer->config.ring, committer->entries, committer->outcomes, entries_count);
    pthread_mutex_lock(&committer->statistics_lock);
    for (size_t i = 0; i < entries_count; i++) {
        committer->statistics.outcomes[committer->outcomes[i].result]++;
    }
    committer->statistics.appended_count = committer->statistics.outcomes[OUTCOME_ACCEPTED];
    pthread_mutex_unlock(&committer->statistics_lock);
}

/* --- Without room ---------------------------------------------------------------------------- */

/* A large record needs pages in a row, and may find none where small ones find room. What is as
 * large as the one that failed is refused; the rest is tried again. */
static void committer_leave_out_large(struct committer *committer, struct committer_try *try)
{
    for (int i = 0; i < LEAVE_OUT_TRIES; i++) {
        if (try->result != BATCH_E_NO_SPACE || try->failed_bytes == 0) {
            return;
        }
        try->too_large_bytes = try->failed_bytes;
        try->too_large_outcome = committer_full_outcome(committer);
        (void)!committer_commit(committer, try);
    }
}

/* One settlement found no space, alone: again, without what its report would copy. What was
 * delivered is never given back, so it must not wait until there are pages in a row. The commit's
 * result. */
static int committer_settle_without_payload(struct committer *committer, size_t at)
{
    struct committer_try try = {.settlements_at = at, .settlements_count = 1};
    struct settlement *settlement = settle_queue_at(&committer->settlements, at);
    settlement->leaves_payload_out = true;
    int r = committer_commit(committer, &try);
    settlement->leaves_payload_out = false;
    return r;
}

/* Commits settlements from the at-th on: fewer and fewer of them as long as there is no space,
 * since even one delete copies a path of pages before it frees any (S7). Returns of how many a
 * commit was made; on 0 *ret_result is why not. */
static size_t committer_settle_from(struct committer *committer, size_t at, size_t count,
                                    int *ret_result)
{
    for (size_t n = count; n > 0; n /= 2) {
        struct committer_try try = {.settlements_at = at, .settlements_count = n};
        *ret_result = committer_commit(committer, &try);
        if (*ret_result == 0) {
            return n;
        }
        if (*ret_result != BATCH_E_NO_SPACE) {
            return 0;
        }
    }
    *ret_result = committer_settle_without_payload(committer, at);
    return *ret_result == 0 ? 1 : 0;
}

/* Settlements alone. A large record that is to be copied needs pages in a row, and may find none
 * where the room seemed to be there: such a one is passed, those behind it go first. */
static void committer_settle_alone(struct committer *committer, size_t count)
{
    size_t passed_count = 0;
    size_t at = 0;
    int result = 0;
    while (at < count && passed_count < SETTLE_PASSED_MAX) {
        size_t done = committer_settle_from(committer, at, count - at, &result);
        if (done == 0 && result != BATCH_E_NO_SPACE) {
            return;
        }
        passed_count += done == 0;
        at += done == 0 ? 1 : done;
    }
}

/* The commit of all that waits found no space: part by part. */
static void committer_without_room(struct committer *committer, struct committer_try *try)
{
    committer_leave_out_large(committer, try);
    if (try->result != BATCH_E_NO_SPACE) {
        return;
    }
    committer_settle_alone(committer, try->settlements_count);
    if (try->settlements_count > 0 && try->entries_count > 0) {
        try->settlements_count = 0;
        try->too_large_bytes = SIZE_MAX;
        (void)!committer_commit(committer, try);
    }
}

/* --- Trouble ---------------------------------------------------------------------------------- */

static void committer_set_trouble(struct committer *committer, const struct message *message)
{
    pthread_mutex_lock(&committer->statistics_lock);
    committer->has_trouble = message != NULL;
    if (message != NULL) {
        committer->trouble = *message;
    }
    pthread_mutex_unlock(&committer->statistics_lock);
}

static void committer_note_failure(struct committer *committer, int failure)
{
    struct message message;
    if (failure == BATCH_E_NO_SPACE) {
        message_set(&message, "the spool or its disk is full: publishes are refused until records "
                              "were delivered or space was freed");
    } else {
        message_set(&message, "a write to the spool failed: publishes are refused until it can be "
                              "opened again");
    }
    committer_set_trouble(committer, &message);
}

/* Opens a latched spool again now and then. Returns whether it can be written. */
static bool committer_mend(struct committer *committer)
{
    if (!spool_is_latched(committer->config.spool)) {
        return true;
    }
    uint64_t now_ms = committer->clock->monotonic_ms(committer->clock);
    if (now_ms < committer->reopen_at_ms) {
        return false;
    }
    committer->reopen_at_ms = now_ms + REOPEN_INTERVAL_MS;
    struct message message;
    if (spool_reopen(committer->config.spool, &message) != 0) {
        committer_set_trouble(committer, &message);
        return false;
    }
    committer_set_trouble(committer, NULL);
    return true;
}

bool committer_trouble(struct committer *committer, struct message *ret_message)
{
    pthread_mutex_lock(&committer->statistics_lock);
    bool has_trouble = committer->has_trouble;
    if (has_trouble) {
        *ret_message = committer->trouble;
    }
    pthread_mutex_unlock(&committer->statistics_lock);
    return has_trouble;
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* Takes the settlements that are committed out of their queue, as far as no other is before them.
 */
static void committer_take_out(struct committer *committer, size_t due_count)
{
    size_t count = 0;
    while (count < due_count &&
           settle_queue_at(&committer->settlements, count)->action == SETTLE_ACTION_COUNT) {
        count++;
    }
    if (count > 0) {
        settle_queue_take_out(&committer->settlements, count);
        SPOOL_POINT("committer.settled");
    }
}

/* When nothing of what is due was settled, it is tried again after a while, but not for ever.
 * Returns how many were given back. */
static size_t committer_try_later(struct committer *committer, size_t due_count,
                                  size_t settled_count, int result)
{
    if (due_count == 0 || settled_count > 0) {
        committer->tries_without_room = due_count == 0 ? committer->tries_without_room : 0;
        return 0;
    }
    committer->retry_at_ms = committer->clock->monotonic_ms(committer->clock) + RETRY_INTERVAL_MS;
    committer->tries_without_room += result == 0 || result == BATCH_E_NO_SPACE;
    if (committer->tries_without_room < TRIES_WITHOUT_ROOM) {
        return 0;
    }
    committer->tries_without_room = 0;
    return settle_queue_give_back(&committer->settlements, due_count);
}

/* How many settlements are due now. */
static size_t committer_due(struct committer *committer, bool has_company)
{
    uint64_t since_ms;
    uint64_t now_ms = committer->clock->monotonic_ms(committer->clock);
    size_t count = settle_queue_waiting(&committer->settlements, &since_ms);
    if (now_ms < committer->retry_at_ms) {
        return 0;
    }
    if (has_company || count >= SETTLE_COUNT_DUE || now_ms - since_ms >= SETTLE_DELAY_MS) {
        return count;
    }
    return 0;
}

/* Commits what was taken and what is due. */
static void committer_work(struct committer *committer, struct committer_try *try)
{
    bool is_writable = try->result == 0;
    SPOOL_POINT("committer.gathered");
    if (is_writable) {
        (void)!committer_commit(committer, try);
    }
    if (try->result == BATCH_E_NO_SPACE) {
        committer_without_room(committer, try);
    }
    if (try->result != 0) {
        if (is_writable) { /* else it is said already why not */
            committer_note_failure(committer, try->result);
        }
        committer_refuse(committer, try);
    } else if (committer->has_trouble) {
        committer_set_trouble(committer, NULL);
    }
}

/* Gives the crowd of the last commit a moment to come back. Sleeps without the bell: the crowd
 * needs the processor, and each who comes would wake a sleeper. */
static void committer_gather(struct committer *committer)
{
    uint64_t wait_us;
    do {
        wait_us = gather_wait_us(&committer->gather, ring_ready_count(committer->config.ring),
                                 committer_now_us());
        struct timespec wait = {.tv_nsec = (long)(wait_us * 1000)};
        if (wait_us > 0) {
            (void)nanosleep(&wait, NULL);
        }
    } while (wait_us > 0);
}

/* Answers everybody, and notes who is to be waited for at the next commit. */
static void committer_end(struct committer *committer, const struct committer_try *try)
{
    uint32_t ready_count = ring_ready_count(committer->config.ring);
    committer_answer(committer, try->entries_count);
    if (try->entries_count > 0 && try->result == 0) {
        gather_note(&committer->gather, try->entries_count + ready_count, try->us,
                    committer_now_us());
    }
}

size_t committer_step(struct committer *committer, bool settles_now)
{
    committer_gather(committer);
    bool was_latched = spool_is_latched(committer->config.spool);
    bool is_writable = committer_mend(committer);
    struct committer_try try = {
        .entries_count = ring_take(committer->config.ring, committer->entries, BATCH_RECORDS_MAX,
                                   BATCH_BYTES_MAX),
        .too_large_bytes = SIZE_MAX,
        .result = is_writable ? 0 : BATCH_E_LATCHED,
    };
    size_t due_count = committer_due(committer, settles_now || try.entries_count > 0);
    try.settlements_count = due_count;
    uint64_t before_count = committer->settled_count;
    if (try.entries_count + due_count > 0) {
        committer_work(committer, &try);
    }
    size_t settled_count = (size_t)(committer->settled_count - before_count);
    size_t given_back_count = committer_try_later(committer, due_count, settled_count, try.result);
    committer_take_out(committer, due_count);
    committer_end(committer, &try);
    if ((try.entries_count > 0 && try.result == 0) || settled_count + given_back_count > 0 ||
        (was_latched && is_writable)) {
        SPOOL_POINT("committer.telling");
        committer->config.on_commit(committer->config.context);
    }
    return try.entries_count + settled_count;
}

void committer_wait(struct committer *committer, uint64_t timeout_ms)
{
    uint64_t since_ms;
    if (settle_queue_waiting(&committer->settlements, &since_ms) > 0) {
        uint64_t delay_ms = SETTLE_DELAY_MS;
        if (committer->clock->monotonic_ms(committer->clock) < committer->retry_at_ms) {
            delay_ms = RETRY_INTERVAL_MS;
        }
        timeout_ms = timeout_ms < delay_ms ? timeout_ms : delay_ms;
    }
    if (spool_is_latched(committer->config.spool) && timeout_ms > REOPEN_INTERVAL_MS) {
        timeout_ms = REOPEN_INTERVAL_MS;
    }
    ring_bell_wait(committer->config.ring, timeout_ms * 1000);
}

/* With the lock. A bucket's end may be above all that was measured. */
static uint64_t committer_percentile(const struct committer *committer, unsigned percent)
{
    uint64_t us = histogram_percentile(&committer->commit_us, percent);
    uint64_t max_us = committer->statistics.commit_us_max;
    return us < max_us ? us : max_us;
}

void committer_statistics(struct committer *committer, struct committer_statistics *ret_statistics)
{
    pthread_mutex_lock(&committer->statistics_lock);
    *ret_statistics = committer->statistics;
    ret_statistics->commit_us_p50 = committer_percentile(committer, 50);
    ret_statistics->commit_us_p99 = committer_percentile(committer, 99);
    pthread_mutex_unlock(&committer->statistics_lock);
    ret_statistics->settled_count = committer_settled(committer);
}
