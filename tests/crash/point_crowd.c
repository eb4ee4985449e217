/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes as a host of many has them: a main process that forks an owner with a pipeline and
 * publishers, all over a ring that is small, so that it is often full. Some of them die at a point
 * (spool/point.h). What each publisher hears is a line in a file:
 *
 *   PUBLISHER NUMBER OUTCOME SEQUENCE
 *
 * of the record with the key "p<PUBLISHER>" and the payload "r<RUN> p<PUBLISHER> n<NUMBER>", and
 * more bytes. Its report, when its route was run, is a line "report STATUS SPOOL-ID".
 *
 * The owner ends when nothing is published, waits, or is to be reported any more. Exit codes: 0
 * done, 1 failed, 3 the owner died at its point.
 */
#include "spool/limits.h"
#include "spool/point.h"
#include "src/pipeline.h"
#include "src/sink_rdkafka.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define PUBLISHERS_MAX 16
#define RING_SLOTS 4
#define RING_BYTES 16384
#define PAYLOAD_BYTES 1000
#define STEP_MS 5
#define REPORTS_MAX 256 /* as many as the pipeline hands over */
/* Only a hung program takes so long. */
#define PATIENCE_MS 60000
#define SETTLE_MS 1000

struct crowd {
    const char *dir;
    const char *address;
    const char *lines_path;
    const char *owner_point;
    const char *publisher_points[PUBLISHERS_MAX]; /* where the first dying_count of them die */
    const char *route;
    uint64_t run;
    uint64_t publishers_count;
    uint64_t records_count;
    uint64_t timeout_ms;
    size_t dying_count;

    int lines_fd;
    struct ring *ring;
    pid_t owner;
    pid_t publishers[PUBLISHERS_MAX];
    bool has_failed;
    bool is_owner_dead;
};

/* In memory that all share. */
struct crowd_shared {
    _Atomic uint32_t destination; /* 0: the owner is not ready */
    atomic_bool is_owner_gone;
    atomic_bool are_publishers_gone;
};

static struct crowd_shared *shared;

static void crowd_sleep(uint64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static uint64_t crowd_now_ms(void)
{
    return clock_system()->monotonic_ms(clock_system());
}

__attribute__((noreturn, format(printf, 1, 2))) static void crowd_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "point-crowd: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    _exit(1);
}

/* One write: a line is there whole, or not. */
__attribute__((format(printf, 2, 3))) static void crowd_tell(const struct crowd *crowd,
                                                             const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (write(crowd->lines_fd, line, (size_t)size) != size) {
        crowd_fail("%s: %s", crowd->lines_path, strerror(errno));
    }
}

/* --- A publisher ------------------------------------------------------------------------------ */

static void crowd_publish(const struct crowd *crowd, unsigned publisher, uint64_t number)
{
    struct publisher from = {crowd->ring, clock_system(), crowd->timeout_ms};
    struct publish_target to = {
        .destination = atomic_load(&shared->destination),
        .record_bytes_max = SIZE_MAX,
    };
    char key[16];
    char payload[PAYLOAD_BYTES];
    uint64_t sequence = 0;
    int key_size = snprintf(key, sizeof(key), "p%u", publisher);
    memset(payload, 'x', sizeof(payload));
    int size = snprintf(payload, sizeof(payload), "r%" PRIu64 " p%u n%" PRIu64, crowd->run,
                        publisher, number);
    payload[size] = ' ';
    struct record record = {
        .key = {key, (size_t)key_size},
        .payload = {payload, sizeof(payload)},
        .report_route = {crowd->route, strlen(crowd->route)},
    };
    enum outcome outcome = publish(&from, &to, &record, &sequence);
    crowd_tell(crowd, "%u %" PRIu64 " %s %" PRIu64 "\n", publisher, number, outcome_name(outcome),
               sequence);
}

__attribute__((noreturn)) static void crowd_run_publisher(const struct crowd *crowd,
                                                          unsigned publisher)
{
    point_arm(publisher < crowd->dying_count ? crowd->publisher_points[publisher] : NULL);
    while (atomic_load(&shared->destination) == 0 && !atomic_load(&shared->is_owner_gone)) {
        crowd_sleep(1);
    }
    for (uint64_t i = 0; i < crowd->records_count && !atomic_load(&shared->is_owner_gone); i++) {
        crowd_publish(crowd, publisher, i);
    }
    _exit(0);
}

/* --- The owner -------------------------------------------------------------------------------- */

struct owner_host {
    struct host host;
    const struct crowd *crowd;
    uint64_t run[REPORTS_MAX]; /* reports whose route was run */
    size_t run_count;
};

static void owner_tell(struct host *host, enum host_event event, const char *destination,
                       const char *text)
{
    (void)host;
    fprintf(stderr, "%s %s: %s\n", host_event_name(event), destination != NULL ? destination : "",
            text);
}

static int owner_run_report(struct host *host, const struct host_report *report)
{
    struct owner_host *owner = (struct owner_host *)host;
    if (owner->run_count == REPORTS_MAX) {
        return HOST_E_BUSY;
    }
    crowd_tell(owner->crowd, "report %d %s\n", report->report->reason == SETTLE_DELIVERED ? 0 : -1,
               report->spool_id);
    owner->run[owner->run_count++] = report->number;
    return 0;
}

static bool owner_is_done(const struct crowd *crowd, struct pipeline *pipeline)
{
    struct counters all;
    return atomic_load(&shared->are_publishers_gone) && ring_used_count(crowd->ring) == 0 &&
           spool_counters(pipeline_spool(pipeline), DESTINATION_ALL, &all) == 0 &&
           all.values[COUNTER_QUEUE_RECORDS] == 0 && all.values[COUNTER_REPORT_RECORDS] == 0;
}

static void owner_step(struct owner_host *owner, struct pipeline *pipeline)
{
    pipeline_step(pipeline);
    for (size_t i = 0; i < owner->run_count; i++) {
        pipeline_report_done(pipeline, owner->run[i]);
    }
    owner->run_count = 0;
    crowd_sleep(STEP_MS);
}

static struct pipeline *owner_open(const struct crowd *crowd, struct owner_host *owner,
                                   struct sink_rdkafka_maker *maker, const struct address *address)
{
    struct pipeline *pipeline = NULL;
    struct message message;
    uint32_t destination = 0;
    struct pipeline_config config = {
        .spool =
            {
                .dir = crowd->dir,
                .owner_name = "point-crowd",
                .max_bytes = SPOOL_BYTES_DEFAULT,
                .durability = SPOOL_SYNC,
                .may_create = true,
                .clock = clock_system(),
            },
        .ring = crowd->ring,
        .host = &owner->host,
        .maker = &maker->maker,
        .clock = clock_system(),
    };
    sink_rdkafka_maker_init(maker, NULL, NULL);
    if (pipeline_open(&config, &pipeline, &message) != 0 ||
        pipeline_add(pipeline, address, &destination, &message) != 0) {
        crowd_fail("%s", message.text);
    }
    if (pipeline_start(pipeline) != 0) {
        crowd_fail("cannot start the pipeline");
    }
    atomic_store(&shared->destination, destination);
    return pipeline;
}

__attribute__((noreturn)) static void crowd_run_owner(const struct crowd *crowd)
{
    static struct owner_host owner = {.host = {owner_tell, owner_run_report}};
    static struct sink_rdkafka_maker maker;
    SPOOL_CLEANUP(address_free) struct address *address = NULL;
    struct message message;
    uint64_t until_ms = crowd_now_ms() + PATIENCE_MS;
    owner.crowd = crowd;
    point_arm(crowd->owner_point);
    if (address_parse(crowd->address, strlen(crowd->address), &address, &message) != 0) {
        crowd_fail("%s", message.text);
    }
    struct pipeline *pipeline = owner_open(crowd, &owner, &maker, address);
    while (!owner_is_done(crowd, pipeline)) {
        if (crowd_now_ms() > until_ms) {
            crowd_fail("not done in time: %u slots of the ring are used",
                       ring_used_count(crowd->ring));
        }
        owner_step(&owner, pipeline);
    }
    pipeline_stop(pipeline, PATIENCE_MS);
    pipeline_free(&pipeline);
    (void)sink_rdkafka_settle(SETTLE_MS);
    _exit(0);
}

/* --- The main process ------------------------------------------------------------------------- */

static pid_t crowd_fork(void)
{
    pid_t pid = fork();
    if (pid < 0) {
        crowd_fail("cannot fork");
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

static bool is_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void crowd_note_end(struct crowd *crowd, pid_t pid, int status)
{
    if (pid == crowd->owner) {
        atomic_store(&shared->is_owner_gone, true);
        crowd->is_owner_dead = is_killed(status) && crowd->owner_point != NULL;
        crowd->has_failed |= status != 0 && !crowd->is_owner_dead;
        return;
    }
    for (unsigned i = 0; i < crowd->publishers_count; i++) {
        bool may_die = i < crowd->dying_count;
        if (crowd->publishers[i] == pid && status != 0 && !(may_die && is_killed(status))) {
            fprintf(stderr, "point-crowd: publisher %u ended with %#x\n", i, (unsigned)status);
            crowd->has_failed = true;
        } else if (crowd->publishers[i] == pid && status != 0) {
            crowd_tell(crowd, "died %u\n", i);
        }
    }
}

static void crowd_wait(struct crowd *crowd)
{
    uint64_t publishers_left = crowd->publishers_count;
    bool is_owner_left = true;
    while (publishers_left > 0 || is_owner_left) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0) {
            crowd_fail("waitpid: %s", strerror(errno));
        }
        crowd_note_end(crowd, pid, status);
        is_owner_left = is_owner_left && pid != crowd->owner;
        publishers_left -= pid != crowd->owner;
        atomic_store(&shared->are_publishers_gone, publishers_left == 0);
    }
}

static void crowd_run(struct crowd *crowd)
{
    struct ring_config config = {.slots_count = RING_SLOTS, .bytes = RING_BYTES};
    void *memory =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    crowd->lines_fd = open(crowd->lines_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (memory == MAP_FAILED || crowd->lines_fd < 0 || ring_new(&config, &crowd->ring) != 0) {
        crowd_fail("cannot start: %s", strerror(errno));
    }
    shared = memory;
    crowd->owner = crowd_fork();
    if (crowd->owner == 0) {
        crowd_run_owner(crowd);
    }
    for (unsigned i = 0; i < crowd->publishers_count; i++) {
        crowd->publishers[i] = crowd_fork();
        if (crowd->publishers[i] == 0) {
            crowd_run_publisher(crowd, i);
        }
    }
    crowd_wait(crowd);
    ring_free(&crowd->ring);
    close(crowd->lines_fd);
    munmap(shared, sizeof(*shared));
}

/* --- The command line ------------------------------------------------------------------------- */

enum {
    OPTION_SPOOL = 0x1000,
    OPTION_BROKER,
    OPTION_LINES,
    OPTION_RUN,
    OPTION_PUBLISHERS,
    OPTION_RECORDS,
    OPTION_TIMEOUT,
    OPTION_ROUTE,
    OPTION_OWNER_POINT,
    OPTION_PUBLISHER_POINT,
};

static const struct argp_option options[] = {
    {"spool", OPTION_SPOOL, "DIR", 0, "The spool's folder", 0},
    {"broker", OPTION_BROKER, "ADDRESS", 0, "The destination", 0},
    {"lines", OPTION_LINES, "FILE", 0, "Where what happens is told", 0},
    {"run", OPTION_RUN, "N", 0, "A number in each payload", 0},
    {"publishers", OPTION_PUBLISHERS, "N", 0, "How many there are (6)", 0},
    {"records", OPTION_RECORDS, "N", 0, "How many each publishes (40)", 0},
    {"commit-timeout", OPTION_TIMEOUT, "MS", 0, "How long a publish waits (2000)", 0},
    {"report-route", OPTION_ROUTE, "NAME", 0, "The records' report route", 0},
    {"owner-dies", OPTION_OWNER_POINT, "NAME:N", 0, "Where the owner dies", 0},
    {"publisher-dies", OPTION_PUBLISHER_POINT, "NAME:N", 0,
     "Where a publisher dies; can be given again, for the next one", 0},
    {0},
};

static error_t crowd_parse(int key, char *argument, struct argp_state *state)
{
    struct crowd *crowd = state->input;

    struct {
        int option;
        const char **text;
        uint64_t *number;
    } places[] = {
        {OPTION_SPOOL, &crowd->dir, NULL},
        {OPTION_BROKER, &crowd->address, NULL},
        {OPTION_LINES, &crowd->lines_path, NULL},
        {OPTION_ROUTE, &crowd->route, NULL},
        {OPTION_OWNER_POINT, &crowd->owner_point, NULL},
        {OPTION_RUN, NULL, &crowd->run},
        {OPTION_PUBLISHERS, NULL, &crowd->publishers_count},
        {OPTION_RECORDS, NULL, &crowd->records_count},
        {OPTION_TIMEOUT, NULL, &crowd->timeout_ms},
    };

    if (key == OPTION_PUBLISHER_POINT && crowd->dying_count < PUBLISHERS_MAX) {
        crowd->publisher_points[crowd->dying_count++] = argument;
        return 0;
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(places); i++) {
        if (places[i].option == key && places[i].text != NULL) {
            *places[i].text = argument;
            return 0;
        }
        if (places[i].option == key && places[i].number != NULL) {
            *places[i].number = strtoull(argument, NULL, 10);
            return 0;
        }
    }
    if (key == ARGP_KEY_END &&
        (crowd->dir == NULL || crowd->address == NULL || crowd->lines_path == NULL ||
         crowd->publishers_count > PUBLISHERS_MAX)) {
        argp_error(state, "--spool, --broker, --lines; at most %d publishers", PUBLISHERS_MAX);
    }
    return key == ARGP_KEY_ARG ? ARGP_ERR_UNKNOWN : 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = options, .parser = crowd_parse};
    struct crowd crowd = {
        .route = "", .publishers_count = 6, .records_count = 40, .timeout_ms = 2000};
    (void)argp_parse(&argp, argc, argv, 0, NULL, &crowd);
    crowd_run(&crowd);
    if (crowd.has_failed) {
        return 1;
    }
    return crowd.is_owner_dead ? 3 : 0;
}
