/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/world.h"

#include "spool/mend/verify.h"
#include "spool/visit.h"
#include "tests/harness/damage.h"
#include "tests/sim/disk.h"
#include "tests/sim/tally.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WORLD_RING_BYTES (1U << 20)

void violate(struct world *world, const char *rule, const char *format, ...)
{
    struct violation *violation = &world->violation;
    if (violation->is_set) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(violation->text.text, sizeof(violation->text.text), format, arguments);
    va_end(arguments);
    violation->is_set = true;
    violation->step = world->step;
    (void)snprintf(violation->rule, sizeof(violation->rule), "%s", rule);
    trace(world, "VIOLATION %s: %s", rule, violation->text.text);
}

void trace(const struct world *world, const char *format, ...)
{
    if (!world->traces) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    printf("    ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* --- A new world ------------------------------------------------------------------------------ */

/* Each episode has its own four destinations: two share a producer, as do the others. */
static void world_make_addresses(struct world *world, struct dice *dice)
{
    static const char *const options[][3] = {
        {"", "s.on.expire=drop", ""},
        {"s.max.records=8&s.on.full=drop-oldest", "s.max.records=12", ""},
        {"s.on.expire=drop", "s.on.expire=dead", "s.max.bytes=3000&s.on.full=drop-oldest"},
        {"s.max.bytes=4000", "s.max.records=6&s.on.expire=drop", ""},
    };
    for (size_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        char text[128];
        struct message message;
        const char *option = options[i - 1][dice_below(dice, 3)];
        (void)snprintf(text, sizeof(text), "[%c]%s:9092/%c%s%s", (char)('a' + i - 1),
                       i <= 2 ? "broker" : "other", (char)('a' + i - 1),
                       option[0] != '\0' ? "?" : "", option);
        int r = address_parse(text, strlen(text), &world->addresses[i], &message);
        assert(r == 0);
        (void)r;
        world->is_configured[i] = true;
    }
}

struct world *world_new(uint64_t seed, const char *root, bool traces)
{
    struct dice dice = {~seed};
    struct world *world = calloc(1, sizeof(*world));
    assert(world != NULL);
    world->seed = seed;
    world->traces = traces;
    world->dice = dice;
    world->sent = calloc(WORLD_SENT_MAX, sizeof(*world->sent));
    world->partitions_count = 1 + (uint32_t)dice_below(&dice, 3);
    assert(world->sent != NULL);
    world->model.next_sequence = 1;
    world->model.next_report = 1;
    (void)snprintf(world->dir, sizeof(world->dir), "%s/spool", root);
    fake_clock_init(&world->clock);
    fake_host_init(&world->host);
    fake_sinks_init(&world->sinks);
    kafka_init(world);
    world_make_addresses(world, &dice);
    world->config = (struct spool_config){
        .dir = world->dir,
        .owner_name = "sim",
        .max_bytes = (1 + dice_below(&dice, 3)) << 20,
        .max_records = dice_once_in(&dice, 3) ? 20 : 0,
        .durability = dice_once_in(&dice, 3) ? SPOOL_NOMETASYNC : SPOOL_SYNC,
        .may_create = true,
        .clock = &world->clock.clock,
    };
    disk_watch(world->dir);
    return world;
}

void world_free(struct world *world)
{
    world_kill(world);
    disk_watch(NULL);
    for (size_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        address_free(&world->addresses[i]);
    }
    fake_sinks_deinit(&world->sinks);
    fake_host_deinit(&world->host);
    free(world->sent);
    free(world);
}

/* --- Start ------------------------------------------------------------------------------------ */

static void world_on_commit(void *context)
{
    (void)context;
}

/* S9: whether nothing may be written now. */
static bool world_is_write_forbidden(void *context)
{
    const struct world *world = context;
    return world->spool != NULL && spool_is_latched(world->spool);
}

/* A destination as pipeline_add() adds it. False: not possible now. */
static bool world_connect(struct world *world, uint32_t at)
{
    const struct address *address = world->addresses[at];
    struct destination_limits limits = {
        .max_records = address->max_records,
        .max_bytes = address->max_bytes,
        .drops_oldest = address->on_full == ADDRESS_ON_FULL_DROP_OLDEST,
    };
    struct message message;
    uint32_t number;
    if (spool_destination_open(world->spool, address->identity, address->text, &number, &message) !=
        0) {
        return false;
    }
    if (number != at) {
        violate(world, "S3", "destination %u has become number %u", at, number);
        return false;
    }
    spool_destination_limit(world->spool, at, &limits);
    return forward_add(world->forward, at, address) == 0;
}

static bool world_make_parts(struct world *world)
{
    struct ring_config ring_config = {.slots_count = 64, .bytes = WORLD_RING_BYTES};
    struct committer_config committer_config = {.on_commit = world_on_commit};
    int r = ring_new(&ring_config, &world->ring);
    committer_config.spool = world->spool;
    committer_config.ring = world->ring;
    r = r == 0 ? committer_new(&committer_config, &world->committer) : r;
    struct forward_config forward_config = {
        .spool = world->spool,
        .committer = world->committer,
        .maker = &world->sinks.maker,
        .clock = &world->clock.clock,
        .host = &world->host.host,
        .seed = world->seed + world->life,
    };
    r = r == 0 ? forward_new(&forward_config, &world->forward) : r;
    r = r == 0 ? reports_new(world->spool, world->committer, &world->host.host, &world->reports)
               : r;
    r = r == 0 ? batch_new(world->spool, &world->batch) : r;
    assert(r == 0);
    (void)r;
    for (uint32_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        if (world->is_configured[i] && !world_connect(world, i)) {
            return false;
        }
    }
    return true;
}

static bool world_open(struct world *world)
{
    struct message message;
    int r = spool_open(&world->config, &world->spool, &message);
    if (r != 0) {
        trace(world, "cannot start: %s", message.text);
        return false;
    }
    disk_on_write(world_is_write_forbidden, world);
    if (!world_make_parts(world)) {
        return false;
    }
    world->numbers_count = spool_destinations_count(world->spool);
    return true;
}

bool world_start(struct world *world)
{
    assert(world->spool == NULL);
    world->life++;
    if (!world_open(world)) {
        world_kill(world);
        return false;
    }
    if (spool_set_aside_path(world->spool) != NULL) {
        violate(world, "S8", "a sound spool was set aside");
    }
    look(world);
    return true;
}

/* --- End -------------------------------------------------------------------------------------- */

void world_end_reader(struct world *world)
{
    if (world->reader_left > 0) {
        cursor_end(&world->reader);
        world->reader_left = 0;
    }
}

bool world_is_readable(struct world *world)
{
    struct counters counters;
    return world->spool != NULL && spool_counters(world->spool, DESTINATION_ALL, &counters) == 0;
}

void world_free_latched(struct world *world)
{
    if (spool_is_latched(world->spool)) {
        world_end_reader(world);
        world->had_write_failure = true;
    }
}

void world_note_used(struct world *world)
{
    struct spool_space space = {0};
    (void)!spool_space(world->spool, &space);
    world->used_bytes = space.used_bytes;
}

void world_kill(struct world *world)
{
    world_end_reader(world);
    disk_on_write(NULL, NULL);
    kafka_client_died(world);
    forward_free(&world->forward);
    kafka_notice(world);
    reports_free(&world->reports);
    committer_free(&world->committer);
    batch_free(&world->batch);
    spool_close(&world->spool);
    ring_free(&world->ring);
    publishers_forget(world);
    routes_forget(world);
    disk_revive();
    world->had_write_failure = false;
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        struct known *known = &world->model.known[i];
        known->may_repeat =
            known->may_repeat || (known->delivered_in & known_bit(known->destination)) != 0;
        known->must_not_produce = false;
    }
    world->is_new_life = true;
}

/* --- Crash ------------------------------------------------------------------------------------ */

/* Somebody looks at the spool that nobody owns, and perhaps mends it. */
static void world_visit(struct world *world)
{
    struct message message;
    int r = spool_visit(world->dir, &world->clock.clock, &world->spool, &message);
    if (r != 0) {
        violate(world, "S6", "a sound spool cannot be visited: %s", message.text);
        return;
    }
    tally("spool", "visited");
    look(world);
    if (batch_new(world->spool, &world->batch) == 0) {
        static const enum step_kind acts[] = {STEP_DROP, STEP_EXPIRE, STEP_MOVE, STEP_REQUEUE};

        operators_act(world, acts[dice_below(&world->dice, SPOOL_COUNT_OF(acts))]);
    }
    batch_free(&world->batch);
    spool_close(&world->spool);
}

static void world_change_configuration(struct world *world)
{
    for (size_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        world->is_configured[i] = !dice_once_in(&world->dice, 4);
    }
}

/* The process is down: what may happen meanwhile. */
static void world_be_down(struct world *world)
{
    if (dice_once_in(&world->dice, 4)) {
        world_verify(world);
    }
    if (dice_once_in(&world->dice, 4)) {
        world_visit(world);
    }
    if (dice_once_in(&world->dice, 6) && world->numbers_count == MODEL_DESTINATIONS) {
        world_change_configuration(world);
    }
    if (dice_once_in(&world->dice, 3)) {
        fake_clock_pass(&world->clock, dice_below(&world->dice, 60000));
    }
}

static void world_start_again(struct world *world)
{
    world_be_down(world);
    if (dice_once_in(&world->dice, 6)) {
        disk_die(1 + (unsigned)dice_below(&world->dice, 8), dice_once_in(&world->dice, 2));
        bool is_up = world_start(world);
        if (is_up && !disk_is_dead()) {
            disk_die(0, false);
            return;
        }
        tally("crash", "at the start");
        world_kill(world);
    }
    for (int i = 0; !world->violation.is_set && !world_start(world); i++) {
        /* Only a full disk keeps it from starting. */
        if (!disk_is_full() || i > 0) {
            violate(world, "S8", "a sound spool cannot be opened");
        }
        disk_set_free(UINT64_MAX);
    }
}

void world_crash(struct world *world, const char *place)
{
    tally("crash", place);
    trace(world, "crash: %s", place);
    bool is_durable = world->config.durability == SPOOL_SYNC;
    world_kill(world);
    if (is_durable && dice_once_in(&world->dice, 2)) {
        tally("crash", "power loss");
        disk_lose_power(&world->dice);
    }
    world_start_again(world);
}

/* --- Stop ------------------------------------------------------------------------------------- */

/* As pipeline_stop() does it. */
void world_stop(struct world *world)
{
    ring_close(world->ring);
    forward_stop(world->forward);
    for (uint64_t i = dice_below(&world->dice, 4); i > 0; i--) {
        episode_settle(world);
        kafka_works(world);
    }
    forward_purge(world->forward);
    kafka_forward(world);
    world_note_used(world);
    do {
        world_free_latched(world);
    } while (committer_step(world->committer, true) > 0);
    publishers_hear(world);
    look(world);
    if (world->sinks.is_purge_slow || world->sinks.ignores_purge ||
        !forward_is_idle(world->forward)) {
        trace(world, "stopped with records in-flight");
    }
    world_kill(world);
    world_start_again(world);
}

/* --- Verify, damage --------------------------------------------------------------------------- */

static void world_find(void *context, const struct verify_finding *finding)
{
    if (strcmp(finding->database, "meta pages") == 0 && disk_has_odd_meta()) {
        return;
    }
    violate(context, finding->rule, "verify: %s: %s", finding->database, finding->text);
}

void world_verify(struct world *world)
{
    struct verify_host host = {.context = world, .find = world_find};
    struct verify_result result;
    struct message message;
    int fd = open(world->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(fd >= 0 && world->spool == NULL);
    bool has_damage = false;
    for (uint32_t i = 1; i <= world->model.known_count; i++) {
        const struct known *known = &world->model.known[i];
        has_damage = has_damage || (known->is_damaged && known->place != KNOWN_GONE);
    }
    host.find = has_damage ? NULL : world_find;
    if (verify_spool(fd, world->dir, &host, &result, &message) != 0) {
        violate(world, "pages", "verify: %s", message.text);
    }
    tally("spool", "verified");
    close(fd);
}

static char *world_read_file(const char *path, size_t *ret_size_bytes)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        return NULL;
    }
    char *bytes = malloc((size_t)status.st_size);
    assert(bytes != NULL);
    ssize_t size = read(fd, bytes, (size_t)status.st_size);
    assert(size == status.st_size);
    close(fd);
    *ret_size_bytes = (size_t)size;
    return bytes;
}

bool world_damage(struct world *world, const struct known *known)
{
    struct cursor cursor;
    uint64_t sequence;
    struct span stored;
    bool is_done = false;
    if (cursor_begin_queue(&cursor, world->spool, known->destination, known->sequence) != 0) {
        return false;
    }
    if (cursor_next(&cursor, &sequence, &stored) == 0 && sequence == known->sequence) {
        const uint8_t *byte =
            (const uint8_t *)stored.data + dice_below(&world->dice, stored.size_bytes);
        is_done = damage_byte(world->dir, byte);
    }
    cursor_end(&cursor);
    return is_done;
}

/* S8: what is in the folder that it was put into is the file as it was. */
static void world_check_set_aside(struct world *world, const char *before, size_t before_bytes)
{
    char path[256];
    size_t after_bytes = 0;
    const char *folder = spool_set_aside_path(world->spool);
    if (folder == NULL) {
        violate(world, "S8", "a spoilt spool was not set aside");
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/data.mdb", folder);
    char *after = world_read_file(path, &after_bytes);
    if (after == NULL || after_bytes < before_bytes || memcmp(before, after, before_bytes) != 0) {
        violate(world, "S8", "the file that was set aside is not as it was found");
    }
    free(after);
    tally("spool", "set aside");
}

/* All that was in it is out of the model's sight; numbers begin anew. */
static void world_begin_anew(struct world *world)
{
    struct model *model = &world->model;
    for (uint32_t i = 1; i <= model->known_count; i++) {
        model->known[i].place = KNOWN_GONE;
        model->known[i].answer = KNOWN_NO;
        model->known[i].sequence = 0;
    }
    memset(model->by_sequence, 0, sizeof(model->by_sequence));
    memset(model->reports, 0, sizeof(model->reports));
    memset(model->counters, 0, sizeof(model->counters));
    memset(model->last_number, 0, sizeof(model->last_number));
    memset(world->written_max, 0, sizeof(world->written_max));
    memset(world->is_wanted_paused, 0, sizeof(world->is_wanted_paused));
    model->next_sequence = 1;
    model->next_report = 1;
}

void world_spoil(struct world *world)
{
    char path[128];
    size_t before_bytes = 0;
    world_kill(world);
    (void)snprintf(path, sizeof(path), "%s/data.mdb", world->dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert(fd >= 0);
    /* Both meta pages: with one of them LMDB goes on with the state before. */
    for (off_t page = 0; page < 2; page++) {
        (void)!pwrite(fd, "spoilt", 6, page * 4096 + 16 + (off_t)dice_below(&world->dice, 4));
    }
    close(fd);
    char *before = world_read_file(path, &before_bytes);
    disk_set_free(UINT64_MAX);
    disk_watch(world->dir);
    for (size_t i = 1; i <= MODEL_DESTINATIONS; i++) {
        world->is_configured[i] = true;
    }
    world_begin_anew(world);
    world->life++;
    if (before != NULL && world_open(world)) {
        world_check_set_aside(world, before, before_bytes);
        look(world);
    } else {
        violate(world, "S8", "a spoilt spool kept the program from starting");
    }
    free(before);
}
