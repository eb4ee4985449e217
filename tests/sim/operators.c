/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operators: what spool-inspect does to records, in batches of its own between the committer's. */
#include "spool/audit.h"
#include "spool/pause.h"
#include "tests/sim/disk.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

#include <assert.h>
#include <string.h>

#define ACT_RECORDS_MAX 12
#define WHO "sim"

struct act {
    struct settlement settlements[ACT_RECORDS_MAX];
    size_t count;
    size_t done_count;      /* in the batch */
    uint64_t applied_count; /* of these, that found their record */
    enum audit_act audit;
};

static struct settlement operators_settlement(enum settle_action action, const struct known *known)
{
    return (struct settlement){
        .action = action,
        .destination = known->destination,
        .to_destination = known->destination,
        .sequence = known->sequence,
        .partition = -1,
        .offset = -1,
    };
}

/* Chooses some records of one destination, from some sequence on. */
static void operators_choose(struct world *world, enum settle_action action, enum known_place place,
                             struct act *act)
{
    struct dice *dice = &world->dice;
    uint32_t destination = 1 + (uint32_t)dice_below(dice, world->numbers_count);
    uint32_t to = 1 + (uint32_t)dice_below(dice, world->numbers_count);
    uint64_t wanted = 1 + dice_below(dice, ACT_RECORDS_MAX);
    uint64_t skipped_in = 1 + dice_below(dice, 3);
    bool changes_destination = action == SETTLE_MOVE || dice_once_in(dice, 4);
    for (uint32_t i = 1; i <= world->model.known_count && act->count < wanted; i++) {
        const struct known *known = &world->model.known[i];
        if (known->place != place || known->destination != destination ||
            dice_below(dice, skipped_in) != 0) {
            continue;
        }
        struct settlement *settlement = &act->settlements[act->count++];
        *settlement = operators_settlement(action, known);
        settlement->to_destination = changes_destination ? to : destination;
    }
}

/* The settlements that the batch has may have been done, from now on. */
static void operators_permit(struct world *world, const struct act *act)
{
    for (size_t i = 0; i < act->done_count; i++) {
        const struct settlement *settlement = &act->settlements[i];
        struct known *known = model_find_sequence(&world->model, settlement->sequence);
        known->act = (int)settlement->action;
        known->act_to = settlement->to_destination;
        known->act_wall_ms = world->clock.wall_now_ms;
    }
}

/* What was committed is done: nothing is left to happen. */
static void operators_check_done(struct world *world, const struct act *act)
{
    for (size_t i = 0; i < act->done_count; i++) {
        const struct settlement *settlement = &act->settlements[i];
        const struct known *known = model_find_sequence(&world->model, settlement->sequence);
        bool is_nothing = settlement->action == SETTLE_MOVE &&
                          settlement->to_destination == settlement->destination;
        /* What a damaged dead letter holds is unknown, but it can be put back as it is. */
        if (known->act >= 0 && !is_nothing) {
            violate(world, "S2", "an operator's %s of record %u was committed and did nothing",
                    settle_action_name(settlement->action), known->number);
        }
    }
}

static int operators_audit(struct world *world, struct act *act)
{
    uint64_t bytes;
    uint64_t number = 0;
    batch_applied(world->batch, &act->applied_count, &bytes);
    struct audit_entry entry = {
        .act = act->audit,
        .records_count = act->applied_count,
        .bytes = bytes,
        .who = {WHO, strlen(WHO)},
    };
    return batch_audit(world->batch, &entry, &number);
}

/* The act stands in the audit log, with as many records as it was. */
static void operators_check_audit(struct world *world, const struct act *act, uint64_t count)
{
    struct cursor cursor;
    uint64_t number;
    struct span stored;
    struct audit_entry last = {.act = AUDIT_ACT_COUNT};
    if (world->committer != NULL && cursor_begin_audit(&cursor, world->spool, 0) == 0) {
        while (cursor_next(&cursor, &number, &stored) == 0) {
            if (audit_decode(stored, &last) != 0) {
                violate(world, "audit", "an entry cannot be read");
            }
        }
        if (last.act != act->audit || last.records_count != count) {
            violate(world, "audit", "the last entry is %s of %llu records, and it was %s of %llu",
                    audit_act_name(last.act), (unsigned long long)last.records_count,
                    audit_act_name(act->audit), (unsigned long long)count);
        }
        cursor_end(&cursor);
    }
}

/* Fills and commits one batch. The batch's result. */
static int operators_batch(struct world *world, struct act *act)
{
    int r = batch_begin(world->batch, 0, 0);
    while (r == 0 && act->done_count < act->count && !batch_is_large(world->batch)) {
        r = batch_settle(world->batch, &act->settlements[act->done_count]);
        act->done_count += r == 0;
    }
    if (r == BATCH_E_LATER) {
        r = 0;
        if (act->done_count == 0) {
            batch_abort(world->batch);
            return BATCH_E_NO_SPACE;
        }
    }
    r = r == 0 ? operators_audit(world, act) : r;
    operators_permit(world, act);
    return r == 0 ? batch_commit(world->batch) : r;
}

/* S9: a write failed. */
static void operators_note(struct world *world, int result)
{
    if (result == BATCH_E_LATCHED) {
        world->had_write_failure = true;
    }
}

static void operators_forget(struct world *world)
{
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        world->model.known[i].act = -1;
    }
}

static void operators_do(struct world *world, struct act *act)
{
    bool is_owner = world->committer != NULL;
    if (is_owner && !world->is_healing && dice_once_in(&world->dice, 8)) {
        disk_die(1 + (unsigned)dice_below(&world->dice, 5), dice_once_in(&world->dice, 2));
    }
    int r = operators_batch(world, act);
    operators_note(world, r);
    trace(world, "%s: %zu of %zu: %d", audit_act_name(act->audit), act->done_count, act->count, r);
    if (disk_is_dead()) {
        world_crash(world, "in an operator's act");
    } else {
        disk_die(0, false);
        look(world);
        if (r == 0) {
            operators_check_done(world, act);
            operators_check_audit(world, act, act->applied_count);
        }
    }
    operators_forget(world);
}

void operators_act(struct world *world, enum step_kind kind)
{
    static const struct {
        enum settle_action action;
        enum known_place place;
        enum audit_act audit;
    } acts[] = {
        [STEP_DROP] = {SETTLE_DROP, KNOWN_WAITING, AUDIT_DROP},
        [STEP_EXPIRE] = {SETTLE_EXPIRED, KNOWN_WAITING, AUDIT_EXPIRE},
        [STEP_MOVE] = {SETTLE_MOVE, KNOWN_WAITING, AUDIT_MOVE},
        [STEP_REQUEUE] = {SETTLE_REQUEUE, KNOWN_DEAD, AUDIT_DEAD_REQUEUE},
        [STEP_DEAD_DROP] = {SETTLE_DEAD_DROP, KNOWN_DEAD, AUDIT_DEAD_DROP},
    };

    struct act act = {.audit = acts[kind].audit};
    enum settle_action action = acts[kind].action;
    if (action == SETTLE_EXPIRED && dice_once_in(&world->dice, 3)) {
        action = SETTLE_EXPIRED_DROP;
    }
    operators_choose(world, action, acts[kind].place, &act);
    if (act.count > 0) {
        operators_do(world, &act);
    }
}

void operators_pause(struct world *world, uint32_t destination, bool pauses)
{
    struct message message;
    struct audit_entry entry = {
        .act = pauses ? AUDIT_PAUSE : AUDIT_RESUME,
        .destination = destination,
        .who = {WHO, strlen(WHO)},
    };
    if (destination > world->numbers_count ||
        spool_pause(world->spool, destination, pauses, &message) != 0) {
        return;
    }
    (void)!spool_audit_append(world->spool, &entry, &message);
    if (pauses && !world->is_wanted_paused[destination]) {
        world->paused_at_ms[destination] = world->clock.monotonic_now_ms;
    }
    world->is_wanted_paused[destination] = pauses;
}

/* --- Import ----------------------------------------------------------------------------------- */

static struct known *operators_foreign(struct world *world, uint32_t destination)
{
    struct known *known = model_add(&world->model, destination, 40);
    known->is_import = true;
    known->origin_sequence = known->number + 100000;
    known->published_wall_ms = world->clock.wall_now_ms;
    known->key = (int)dice_below(&world->dice, 4);
    return known;
}

static int operators_append(struct world *world, struct known *known, uint64_t *ret_sequence)
{
    struct record record;
    int refusal = 0;
    uint8_t *bytes = malloc(known->size_bytes);
    assert(bytes != NULL);
    known_record(known, &record);
    record_encode(&record, bytes);
    struct span encoded = {bytes, known->size_bytes};
    struct dead_letter dead = {.reason = SETTLE_EXPIRED, .settled_wall_ms = 1};
    struct report report = {.destination = known->destination, .partition = -1, .offset = -1};
    int r;
    if (known->is_import_report) {
        r = batch_append_report(world->batch, &report, encoded, ret_sequence, &refusal);
    } else if (known->act == (int)SETTLE_EXPIRED) {
        r = batch_append_dead(world->batch, known->destination, &dead, encoded, ret_sequence,
                              &refusal);
    } else {
        r = batch_append(world->batch, known->destination, encoded, ret_sequence, &refusal);
    }
    free(bytes);
    return r;
}

void operators_import(struct world *world)
{
    struct known *all[6];
    size_t count = 1 + (size_t)dice_below(&world->dice, SPOOL_COUNT_OF(all));
    uint32_t destination = 1 + (uint32_t)dice_below(&world->dice, world->numbers_count);
    if (world->model.known_count + 64 >= MODEL_KNOWN_MAX) {
        return;
    }
    int r = batch_begin(world->batch, count * 300, count);
    for (size_t i = 0; i < count; i++) {
        all[i] = operators_foreign(world, destination);
        all[i]->is_import_report = dice_once_in(&world->dice, 4);
        all[i]->has_route = all[i]->is_import_report || dice_once_in(&world->dice, 3);
        all[i]->act = dice_once_in(&world->dice, 3) ? (int)SETTLE_EXPIRED : -1;
        known_seal(all[i]);
        uint64_t sequence = 0;
        if (r == 0) {
            r = operators_append(world, all[i], &sequence);
        }
        if (r == BATCH_E_REFUSED) {
            all[i]->answer = KNOWN_NO;
            r = 0;
        } else if (r == 0) {
            const char *place = all[i]->act >= 0 ? "dead letter" : "waiting";
            tally("import", all[i]->is_import_report ? "report" : place);
            all[i]->answer = KNOWN_YES;
            all[i]->sequence = sequence;
        }
    }
    r = r == 0 ? batch_commit(world->batch) : r;
    operators_note(world, r);
    trace(world, "import of %zu: %d", count, r);
    for (size_t i = 0; i < count; i++) {
        bool is_in = r == 0 && all[i]->answer == KNOWN_YES;
        if (!is_in) {
            all[i]->answer = r == BATCH_E_LATCHED ? KNOWN_UNKNOWN : KNOWN_NO;
        } else {
            world->model.by_sequence[all[i]->sequence] = all[i]->number;
        }
    }
    look(world);
    operators_forget(world);
}
