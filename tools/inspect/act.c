/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/act.h"

#include "spool/point.h"
#include "tools/inspect/inspect.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* The spool's owner commits between two batches. */
#define ACT_PAUSE_MS 1
/* How long a batch of one record waits for room: pages that readers held back, what is delivered.
 */
#define ACT_FULL_MS 100
#define ACT_FULL_TRIES 20

int act_init(struct act *act, struct spool *spool, const struct audit_entry *entry)
{
    *act = (struct act){.spool = spool, .entry = *entry, .batch_max = ACT_BATCH_MAX};
    act->entry.begun_wall_ms = inspect_now_ms();
    return batch_new(spool, &act->batch);
}

void act_deinit(struct act *act)
{
    batch_free(&act->batch);
}

static void act_sleep(uint64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR) {
    }
}

/* Notes in the audit log what the batch has done, and commits. */
static int act_commit(struct act *act)
{
    uint64_t count;
    uint64_t bytes;
    struct audit_entry entry = act->entry;
    uint64_t number = act->number;
    batch_applied(act->batch, &count, &bytes);
    if (count == 0) {
        batch_abort(act->batch);
        return 0;
    }
    entry.records_count += count;
    entry.bytes += bytes;
    entry.ended_wall_ms = inspect_now_ms();
    SPOOL_POINT("act.settled");
    int r = batch_audit(act->batch, &entry, &number);
    if (r == 0) {
        r = batch_commit(act->batch);
    }
    if (r == 0) {
        SPOOL_POINT("act.committed");
        act->entry = entry;
        act->number = number;
    }
    return r;
}

/* One transaction with the first of the settlements; *ret_taken is how many were in it. */
static int act_try(struct act *act, const struct settlement *settlements, size_t count,
                   size_t *ret_taken)
{
    size_t taken = 0;
    int r = batch_begin(act->batch, 0, 0);
    if (r != 0) {
        return r;
    }
    while (taken < count) {
        r = batch_settle(act->batch, &settlements[taken]);
        if (r == BATCH_E_LATER && taken > 0) {
            break;
        }
        if (r == BATCH_E_LATER) {
            batch_abort(act->batch);
            return BATCH_E_NO_SPACE;
        }
        if (r != 0) {
            return r;
        }
        taken++;
        if (batch_is_large(act->batch)) {
            break; /* what is left of the pages is the next commit's (S7) */
        }
    }
    *ret_taken = taken;
    return act_commit(act);
}

static int act_say_failed(int r, const struct act *act, struct message *message)
{
    const char *dir = spool_dir(act->spool);
    if (r == BATCH_E_NO_SPACE) {
        message_set(message,
                    "%s: the spool or the disk is full: there is no room for the copies; what was "
                    "not done is as it was; try again when something was delivered or dropped",
                    dir);
        return ACT_E_FULL;
    }
    if (r == BATCH_E_LATCHED) {
        message_set(message,
                    "%s: a write failed: the last batch may have been done or not, 'spool-inspect "
                    "audit' says; look at the disk and the kernel's log",
                    dir);
        return ACT_E_LATCHED;
    }
    message_set(message, "%s: %s", dir, strerror(-r));
    return r;
}

int act_flush(struct act *act, struct message *message)
{
    size_t done = 0;
    unsigned tries = 0;
    while (done < act->waiting_count) {
        size_t left = act->waiting_count - done;
        size_t count = left < act->batch_max ? left : act->batch_max;
        size_t taken = 0;
        int r = act_try(act, act->waiting + done, count, &taken);
        if (r == 0) {
            done += taken;
            tries = 0;
            act->batch_max =
                act->batch_max * 2 < ACT_BATCH_MAX ? act->batch_max * 2 : ACT_BATCH_MAX;
            act_sleep(ACT_PAUSE_MS);
            continue;
        }
        if (r != BATCH_E_NO_SPACE || (count == 1 && ++tries == ACT_FULL_TRIES)) {
            act->waiting_count = 0;
            return act_say_failed(r, act, message);
        }
        act->batch_max = count > 1 ? count / 2 : 1;
        act_sleep(count == 1 ? ACT_FULL_MS : 0);
    }
    act->waiting_count = 0;
    return 0;
}

int act_settle(struct act *act, const struct settlement *settlement, struct message *message)
{
    act->waiting[act->waiting_count++] = *settlement;
    return act->waiting_count < ACT_BATCH_MAX ? 0 : act_flush(act, message);
}
