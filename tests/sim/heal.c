/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of an episode. The troubles end one after the other, and after each the spool must do
 * what is possible then: first with the disk still full and one destination still hanging (S7, P5),
 * then with neither. At last everything that was accepted is delivered, a dead letter, or gone for
 * a reason that was counted, and each report was run.
 */
#include "tests/sim/disk.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

#include <stdio.h>

#define HEAL_ROUNDS_MAX 300
#define HEAL_ROUND_MS 5000

static uint64_t heal_level(struct world *world, uint32_t row, enum counter counter)
{
    return world->model.counters[row].values[counter];
}

/* Operators let everything go on: again and again, since a spool that is latched is not told. */
static void heal_resume(struct world *world)
{
    for (uint32_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        if (world->is_wanted_paused[i]) {
            operators_pause(world, i, false);
        }
    }
}

static void heal_round(struct world *world)
{
    heal_resume(world);
    kafka_forward(world);
    kafka_is_well(world);
    kafka_forward(world);
    episode_commit(world, true);
    routes_run(world);
    routes_done(world);
    episode_commit(world, true);
    fake_clock_pass(&world->clock, HEAL_ROUND_MS);
}

/* The lowest sequence that waits for a destination. */
static uint64_t heal_lowest(const struct world *world, uint32_t destination)
{
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        const struct known *known = &world->model.known[i];
        if (known->place == KNOWN_WAITING && known->destination == destination &&
            known->sequence < lowest) {
            lowest = known->sequence;
        }
    }
    return lowest;
}

/* Whether the record's copy may find no room: it becomes a dead letter, and one of its destination
 * was given back while another destination hangs, and keeps the room that there is. */
static bool heal_is_short_of_room(const struct world *world, const struct known *known)
{
    uint32_t destination = known->destination;
    bool goes_dead = known->is_damaged || kafka_never_takes(known) ||
                     (known->expires_wall_ms != 0 &&
                      world->addresses[destination]->on_expire == ADDRESS_ON_EXPIRE_DEAD);
    bool is_one_hung = false;
    for (uint32_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        is_one_hung = is_one_hung || world->is_hung[i];
    }
    return goes_dead && is_one_hung &&
           committer_given_back(world->committer, destination) !=
               world->given_back_before[destination];
}

/* What must go even now: all but what hangs, which only expires (and that in its order), and what
 * must be copied where there may be no room to copy to. */
static bool heal_must_go(const struct world *world, const struct known *known)
{
    bool is_copied = known->has_route || known->is_damaged || known->expires_wall_ms != 0 ||
                     kafka_never_takes(known);
    /* Now: one that had expired before the clock was set back is sent again. */
    bool is_expired =
        known->expires_wall_ms != 0 && known->expires_wall_ms <= world->clock.wall_now_ms;
    if (known->place != KNOWN_WAITING || (is_copied && disk_is_full()) ||
        heal_is_short_of_room(world, known)) {
        return false;
    }
    return !world->is_hung[known->destination] ||
           (is_expired && known->inflight_count > 0 &&
            known->sequence == heal_lowest(world, known->destination));
}

/* A record that must go and has not; NULL: none. */
static const struct known *heal_left(const struct world *world)
{
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        if (heal_must_go(world, &world->model.known[i])) {
            return &world->model.known[i];
        }
    }
    return NULL;
}

static void heal_until_drained(struct world *world, const char *rule, const char *when)
{
    const struct known *left;
    for (int i = 0; (left = heal_left(world)) != NULL && !world->violation.is_set; i++) {
        if (i == HEAL_ROUNDS_MAX) {
            struct spool_space space = {0};
            (void)!spool_space(world->spool, &space);
            violate(world, left->has_expired ? "P2" : rule,
                    "%s: record %u (sequence %llu) never leaves queue %u%s; %llu of %llu bytes are "
                    "used",
                    when, left->number, (unsigned long long)left->sequence, left->destination,
                    left->has_expired ? ", and has expired" : "",
                    (unsigned long long)space.used_bytes, (unsigned long long)space.limit_bytes);
        }
        heal_round(world);
    }
}

static void heal_people(struct world *world)
{
    world_end_reader(world);
    world->busy_in_100 = 0;
    world->sinks.ignores_purge = false;
    world->sinks.is_purge_slow = false;
    world->sinks.unanswered_max = SIZE_MAX;
    world->sinks.open_result = 0;
    world->sinks.topic_result = 0;
    fake_sinks_end_purge(&world->sinks);
}

/* All destinations are configured: those that were not get an address again. */
static void heal_configuration(struct world *world)
{
    bool is_complete = true;
    for (uint32_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        is_complete = is_complete && world->is_configured[i];
    }
    if (is_complete) {
        return;
    }
    world_kill(world);
    for (uint32_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        world->is_configured[i] = true;
    }
    if (!world_start(world)) {
        violate(world, "S8", "a sound spool cannot be opened");
    }
}

static void heal_reports(struct world *world)
{
    for (int i = 0; heal_level(world, DESTINATION_ALL, COUNTER_REPORT_RECORDS) > 0; i++) {
        if (i == HEAL_ROUNDS_MAX || world->violation.is_set) {
            violate(world, "P4", "the routes of %llu reports never run",
                    (unsigned long long)heal_level(world, DESTINATION_ALL, COUNTER_REPORT_RECORDS));
            return;
        }
        heal_round(world);
    }
}

/* Dead letters take room for good: an operator drops them. */
static void heal_dead_letters(struct world *world)
{
    for (int i = 0; heal_level(world, DESTINATION_ALL, COUNTER_DEAD_RECORDS) > 0; i++) {
        if (i == 2000 || world->violation.is_set) {
            violate(world, "S7", "dead letters cannot be dropped");
            return;
        }
        operators_act(world, STEP_DEAD_DROP);
        episode_commit(world, true);
    }
}

/* P6: it publishes again by itself. */
static void heal_publish(struct world *world)
{
    uint32_t first = world->model.known_count + 1;
    for (uint32_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        (void)publishers_publish_one(world, i);
    }
    episode_commit(world, true);
    for (uint32_t i = first; i <= world->model.known_count; i++) {
        if (world->model.known[i].answer != KNOWN_YES) {
            violate(world, "P6", "nothing is full any more, and record %u was not accepted", i);
        }
    }
}

/* P1, P2: nobody has heard "yes" for nothing. */
static void heal_check_known(struct world *world)
{
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        const struct known *known = &world->model.known[i];
        if (known->answer == KNOWN_WAITS && !known->is_import) {
            violate(world, "P1", "the publisher of record %u never hears", i);
        }
        if (known->answer == KNOWN_YES && known->place != KNOWN_GONE &&
            known->place != KNOWN_DEAD) {
            violate(world, "P1", "record %u was accepted, and is %s", i,
                    known->place == KNOWN_WAITING ? "still waiting" : "nowhere");
        }
    }
    for (uint64_t i = 1; i < MODEL_REPORTS_MAX; i++) {
        const struct kept_report *report = &world->model.reports[i];
        if (report->known != 0 && report->runs_count == 0) {
            violate(world, "P4", "the route of report %llu never ran", (unsigned long long)i);
        }
    }
}

void heal(struct world *world)
{
    if (world->traces) {
        printf("the end: all troubles end\n");
    }
    world->is_healing = true;
    disk_fail(DISK_FAILS_NOT, 0);
    heal_configuration(world);
    heal_people(world);
    /* What waits is committed; a latched spool is opened again a second later. */
    heal_round(world);
    heal_round(world);
    for (uint32_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        world->is_hung[i] = world->seed % MODEL_DESTINATIONS + 1 == i;
        world->given_back_before[i] = committer_given_back(world->committer, i);
    }
    heal_until_drained(world, disk_is_full() ? "S7" : "P5", "one destination hangs");
    world->is_hung[world->seed % MODEL_DESTINATIONS + 1] = false;
    disk_set_free(UINT64_MAX);
    heal_until_drained(world, "P2", "everything works");
    heal_reports(world);
    heal_dead_letters(world);
    heal_publish(world);
    heal_until_drained(world, "P2", "the last records");
    heal_reports(world);
    heal_check_known(world);
    if (world->violation.is_set) {
        return;
    }
    world_kill(world);
    world_verify(world);
    if (!world->violation.is_set && !world_start(world)) {
        violate(world, "S8", "a sound spool cannot be opened");
    }
}
