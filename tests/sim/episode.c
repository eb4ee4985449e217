/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An episode: the steps of a plan, one after the other. */
#include "spool/limits.h"
#include "tests/sim/disk.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

#include <assert.h>
#include <stdio.h>

/* A commit may be so many accesses and named points long, to die at. */
#define COMMIT_PLACES_MAX 12
#define SETTLE_ROUNDS_MAX 200
#define FILL_ROUNDS_MAX 60
/* A disk that was full is asked again only then. */
#define FULL_FORGOTTEN_MS 1000

/* --- Commits ---------------------------------------------------------------------------------- */

/* What other threads and processes do while a commit is flushed. */
static void episode_on_flush(void *context)
{
    struct world *world = context;
    switch (world->is_healing ? 2 : dice_below(&world->dice, 8)) {
    case 0:
        tally("during a flush", "give up");
        publishers_give_up(world);
        break;
    case 1:
        tally("during a flush", "publish");
        publishers_publish(world);
        break;
    case 2:
    case 3:
        tally("during a flush", "forward");
        kafka_forward(world);
        break;
    default:
        publishers_hear(world);
        break;
    }
}

static void episode_note_commit(struct world *world, bool was_latched)
{
    bool is_latched = spool_is_latched(world->spool);
    if (is_latched && !was_latched) {
        tally("spool", "latched");
    }
    if (!is_latched && was_latched) {
        tally("spool", "reopened");
    }
    if (disk_forbidden_count() > 0) {
        violate(world, "S9", "the spool was written while it was latched");
    }
}

/* Whatever may lack room, or fail, is noted before its publishers hear. */
static void episode_step_committer(struct world *world, bool settles_now)
{
    bool was_latched = spool_is_latched(world->spool);
    world_free_latched(world);
    world_note_used(world);
    disk_on_flush(episode_on_flush, world);
    size_t count = committer_step(world->committer, settles_now);
    disk_on_flush(NULL, NULL);
    uint64_t now_ms = world->clock.wall_now_ms;
    if (disk_is_full()) {
        world->full_wall_ms = now_ms;
    }
    world->was_short = world->reader_left > 0 || disk_has_failed() ||
                       now_ms - world->full_wall_ms < FULL_FORGOTTEN_MS;
    world->had_write_failure =
        world->had_write_failure || disk_has_failed() || spool_is_latched(world->spool);
    episode_note_commit(world, was_latched);
    struct message trouble = {.text = ""};
    bool has_trouble = committer_trouble(world->committer, &trouble);
    trace(world, "commit: %zu %s", count, has_trouble ? trouble.text : "");
}

void episode_commit(struct world *world, bool settles_now)
{
    episode_step_committer(world, settles_now);
    publishers_hear(world);
    look(world);
    world->had_write_failure = spool_is_latched(world->spool);
}

static void episode_crash_in_commit(struct world *world)
{
    unsigned at = 1 + (unsigned)dice_below(&world->dice, COMMIT_PLACES_MAX);
    disk_die(at, dice_once_in(&world->dice, 2));
    episode_step_committer(world, true);
    if (disk_is_dead()) {
        world_crash(world, disk_death_place());
    } else {
        disk_die(0, false);
        publishers_hear(world);
        look(world);
    }
}

void episode_settle(struct world *world)
{
    uint64_t settled;
    size_t produced;
    int rounds = 0;
    do {
        settled = committer_settled(world->committer);
        produced = world->sinks.records_count + world->sinks.purges_count;
        kafka_forward(world);
        episode_commit(world, true);
        kafka_forward(world);
    } while (!world->violation.is_set && ++rounds < SETTLE_ROUNDS_MAX &&
             (settled != committer_settled(world->committer) ||
              produced != world->sinks.records_count + world->sinks.purges_count ||
              world->sinks.reports_count > 0));
}

/* Publishes until the spool is full. */
static void episode_fill(struct world *world)
{
    static const size_t sizes[] = {2000, 2100, 5000, 30000};
    size_t payload_bytes = sizes[dice_below(&world->dice, SPOOL_COUNT_OF(sizes))];
    const struct known *last = NULL;
    uint32_t destination = 1;
    while (destination < MODEL_DESTINATIONS &&
           (!world->is_configured[destination] || world->addresses[destination]->max_records != 0 ||
            world->addresses[destination]->max_bytes != 0)) {
        destination++;
    }
    for (int i = 0; i < FILL_ROUNDS_MAX && !world->violation.is_set; i++) {
        last = publishers_fill(world, destination, payload_bytes);
        episode_commit(world, true);
        if (last == NULL || last->answer != KNOWN_YES) {
            return;
        }
    }
}

/* --- The disk --------------------------------------------------------------------------------- */

/* One write after the other, perhaps, in less time than a latched spool is left alone. */
static void episode_fail_write(struct world *world)
{
    for (uint64_t i = 1 + dice_below(&world->dice, 3); i > 0; i--) {
        enum disk_failure failure =
            1 + (enum disk_failure)dice_below(&world->dice, DISK_FAILURE_COUNT - 1);
        disk_fail(failure, 1 + (unsigned)dice_below(&world->dice, 8));
        episode_commit(world, true);
        disk_fail(DISK_FAILS_NOT, 0);
        publishers_publish(world);
    }
}

/* Damages a byte of a waiting record, as it is stored. */
static void episode_damage(struct world *world)
{
    struct model *model = &world->model;
    if (!world_is_readable(world) || spool_is_latched(world->spool) || model->known_count == 0) {
        return;
    }
    uint32_t from = (uint32_t)dice_below(&world->dice, model->known_count);
    for (uint32_t i = 0; i < model->known_count; i++) {
        struct known *known = &model->known[(from + i) % model->known_count + 1];
        if (known->place == KNOWN_WAITING && known->inflight_count == 0 &&
            known->delivered_in == 0 && !known->is_damaged && world_damage(world, known)) {
            trace(world, "record %u is damaged", known->number);
            known->is_damaged = true;
            known->must_not_produce = true;
            return;
        }
    }
}

static void episode_read_long(struct world *world)
{
    world_end_reader(world);
    if (!spool_is_latched(world->spool) &&
        cursor_begin_reports(&world->reader, world->spool, 0) == 0) {
        world->reader_left = 1 + (unsigned)dice_below(&world->dice, 12);
    }
}

/* --- Moods ------------------------------------------------------------------------------------ */

static void episode_change_kafka(struct world *world)
{
    static const unsigned fails[] = {0, 5, 15, 60};
    world->fails_in_100 = fails[dice_below(&world->dice, SPOOL_COUNT_OF(fails))];
    for (size_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        world->is_hung[i] = dice_once_in(&world->dice, 4);
    }
}

static void episode_change_client(struct world *world)
{
    static const unsigned busy[] = {0, 2, 20, 70};
    struct fake_sinks *sinks = &world->sinks;
    world->busy_in_100 = busy[dice_below(&world->dice, SPOOL_COUNT_OF(busy))];
    sinks->wires_all = dice_once_in(&world->dice, 2);
    sinks->ignores_purge = dice_once_in(&world->dice, 5);
    sinks->is_purge_slow = dice_once_in(&world->dice, 4);
    sinks->unanswered_max = dice_once_in(&world->dice, 4) ? dice_below(&world->dice, 8) : SIZE_MAX;
}

static void episode_client_says(struct world *world)
{
    static const int errors[] = {-187, -195, -169, 58};
    int error = errors[dice_below(&world->dice, SPOOL_COUNT_OF(errors))];
    fake_sinks_say(&world->sinks, error, error == -187, "something is wrong");
}

static void episode_client_unopenable(struct world *world)
{
    struct fake_sinks *sinks = &world->sinks;
    sinks->open_result = dice_once_in(&world->dice, 3) ? SINK_E_REJECTED : 0;
    sinks->topic_result = dice_once_in(&world->dice, 3) ? SINK_E_REJECTED : 0;
}

static void episode_second_owner(struct world *world)
{
    struct spool *other = NULL;
    struct message message;
    if (spool_open(&world->config, &other, &message) != SPOOL_E_OWNED) {
        violate(world, "S6", "a second owner was let in");
        spool_close(&other);
    }
    tally("spool", "owned by another");
}

static void episode_pass_time(struct world *world)
{
    static const uint64_t times_ms[] = {1, 5, 20, 100, 500, 1100, 5000, 20000, 3600000};
    fake_clock_pass(&world->clock, times_ms[dice_below(&world->dice, SPOOL_COUNT_OF(times_ms))]);
}

/* Somebody sets the clock. */
static void episode_set_wall_clock(struct world *world)
{
    uint64_t by_ms = dice_below(&world->dice, 7200000);
    uint64_t now_ms = world->clock.wall_now_ms;
    world->clock.wall_now_ms = dice_once_in(&world->dice, 2) ? now_ms + by_ms : now_ms - by_ms;
}

/* --- Steps ------------------------------------------------------------------------------------ */

static void episode_do_flow(struct world *world, enum step_kind kind)
{
    switch (kind) {
    case STEP_PUBLISH:
        publishers_publish(world);
        break;
    case STEP_FILL:
        episode_fill(world);
        break;
    case STEP_COMMIT:
        episode_commit(world, dice_once_in(&world->dice, 2));
        break;
    case STEP_FORWARD:
        kafka_forward(world);
        break;
    case STEP_RUN:
        episode_settle(world);
        break;
    case STEP_GIVE_UP:
        publishers_give_up(world);
        break;
    case STEP_REPORTS:
        routes_run(world);
        break;
    case STEP_REPORTS_DONE:
        routes_done(world);
        break;
    case STEP_TIME:
        episode_pass_time(world);
        break;
    case STEP_WALL_CLOCK:
        episode_set_wall_clock(world);
        break;
    default:
        assert(false);
    }
}

static void episode_do_kafka(struct world *world, enum step_kind kind)
{
    switch (kind) {
    case STEP_KAFKA:
        kafka_works(world);
        break;
    case STEP_KAFKA_FAILS:
        kafka_fails(world);
        break;
    case STEP_KAFKA_MOOD:
        episode_change_kafka(world);
        break;
    case STEP_CLIENT_MOOD:
        episode_change_client(world);
        break;
    case STEP_CLIENT_FATAL:
        fake_sinks_fail(&world->sinks);
        break;
    case STEP_CLIENT_SAYS:
        episode_client_says(world);
        break;
    case STEP_CLIENT_UNOPENABLE:
        episode_client_unopenable(world);
        break;
    default:
        assert(false);
    }
}

static void episode_do_process(struct world *world, enum step_kind kind)
{
    switch (kind) {
    case STEP_CRASH:
        world_crash(world, "between steps");
        break;
    case STEP_CRASH_IN_COMMIT:
        episode_crash_in_commit(world);
        break;
    case STEP_STOP:
        world_stop(world);
        break;
    case STEP_SECOND_OWNER:
        episode_second_owner(world);
        break;
    case STEP_WRITE_FAILS:
        episode_fail_write(world);
        break;
    case STEP_DISK_FULL:
        disk_set_free(dice_below(&world->dice, 400000));
        break;
    case STEP_DISK_FREED:
        disk_set_free(UINT64_MAX);
        break;
    case STEP_DAMAGE:
        episode_damage(world);
        break;
    case STEP_SPOIL:
        world_spoil(world);
        break;
    case STEP_READER:
        episode_read_long(world);
        break;
    default:
        assert(false);
    }
}

static void episode_do_operator(struct world *world, enum step_kind kind)
{
    uint32_t destination = 1 + (uint32_t)dice_below(&world->dice, MODEL_DESTINATIONS);
    switch (kind) {
    case STEP_PAUSE:
        operators_pause(world, destination, true);
        break;
    case STEP_RESUME:
        operators_pause(world, destination, false);
        break;
    case STEP_RETRY_NOW:
        forward_retry_now(world->forward, dice_once_in(&world->dice, 2) ? 0 : destination);
        break;
    case STEP_IMPORT:
        operators_import(world);
        break;
    default:
        operators_act(world, kind);
        break;
    }
}

static void episode_do(struct world *world, const struct step *step)
{
    world->dice = (struct dice){step->random};
    tally("step", step_kind_name(step->kind));
    if (world->traces) {
        printf("step %zu: %s\n", world->step, step_kind_name(step->kind));
    }
    if (world->reader_left > 0 && --world->reader_left == 0) {
        world->reader_left = 1;
        world_end_reader(world);
    }
    if (step->kind <= STEP_REPORTS_DONE || step->kind == STEP_TIME ||
        step->kind == STEP_WALL_CLOCK) {
        episode_do_flow(world, step->kind);
    } else if (step->kind <= STEP_CLIENT_UNOPENABLE) {
        episode_do_kafka(world, step->kind);
    } else if (step->kind <= STEP_READER) {
        episode_do_process(world, step->kind);
    } else {
        episode_do_operator(world, step->kind);
    }
}

void episode_run(struct world *world, const struct plan *plan)
{
    if (plan->seed % 4 == 0) {
        /* A disk that is smaller than the spool may become. */
        disk_set_free(SPOOL_BYTES_MIN + (plan->seed / 4 % 8) * 100000);
    }
    if (!world_start(world)) {
        violate(world, "P1", "the first start failed");
    }
    for (size_t i = 0; i < plan->count && !world->violation.is_set; i++) {
        if (plan->is_kept[i]) {
            world->step = i + 1;
            episode_do(world, &plan->steps[i]);
        }
    }
    world->step = 0;
    world->dice = (struct dice){plan->seed};
    if (!world->violation.is_set) {
        heal(world);
    }
}
