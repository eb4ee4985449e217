/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/kafka_process.h"

#include "spool/point.h"
#include "src/opensips/alarms.h"
#include "src/opensips/destination_table.h"
#include "src/opensips/kafka_host.h"
#include "src/opensips/module_command.h"
#include "src/opensips/module_statistics.h"
#include "src/opensips/opensips.h"
#include "src/opensips/report_route.h"
#include "src/opensips/settings.h"
#include "src/opensips/shared_state.h"
#include "src/pipeline.h"
#include "src/sink_rdkafka.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

/* How often the main loop looks at what nothing rings the bell for. */
#define TICK_MS 50
/* How often a spool that cannot be opened, and a destination for which there was no room, are tried
 * again. */
#define RETRY_MS 1000
/* How often the statistics are brought up to date. */
#define STATISTICS_MS 500
/* Of closed clients, whose threads may wait for a name server: what is left of OpenSIPS's 5 s. */
#define SETTLE_MS 300

static struct {
    struct pipeline *pipeline; /* NULL: not open */
    struct sink_rdkafka_maker maker;
    pid_t pid;
    pid_t parent;
    int timer_fd;
    uint64_t retry_at_ms;
    uint64_t statistics_at_ms;
    uint32_t resolved_count; /* of the table's destinations: those before it are resolved */
    struct message refusal;  /* why the spool could not be opened, as it was logged last */
} process = {.timer_fd = -1};

static uint64_t process_now_ms(void)
{
    return clock_system()->monotonic_ms(clock_system());
}

/* --- Before the fork -------------------------------------------------------------------------- */

/* Makes the folder and those above it. */
static int process_make_folder(const char *dir)
{
    char path[PATH_MAX];
    size_t size_bytes = strlen(dir);
    for (size_t i = 1; i <= size_bytes; i++) {
        if (dir[i] != '/' && dir[i] != '\0') {
            continue;
        }
        memcpy(path, dir, i);
        path[i] = '\0';
        if (mkdir(path, 0750) < 0 && errno != EEXIST) {
            /* One that is there may be on a file system that says so in another way. */
            struct stat status;
            if (stat(path, &status) < 0) {
                errno = errno == ENOENT ? EACCES : errno;
                return -1;
            }
        }
    }
    return 0;
}

int kafka_process_forked(void)
{
    destination_table_forget();
    return 0;
}

int kafka_process_prepare(void)
{
    const char *dir = settings.spool_dir;
    if (process_make_folder(dir) < 0 || access(dir, R_OK | W_OK | X_OK) < 0) {
        LM_ERR(
            "spool_dir: %s cannot be made or written by user id %ld (%s): make it, and give it to "
            "this user\n",
            dir, (long)geteuid(), strerror(errno));
        return -1;
    }
    return 0;
}

/* --- Destinations ----------------------------------------------------------------------------- */

/* Opens a destination in the spool. False: there is no room for it now. */
static bool process_open_destination(struct table_destination *destination)
{
    struct message message;
    struct publish_target target = {0};
    const struct address *address = destination_table_read(destination, &message);
    if (address == NULL || sink_rdkafka_check(address, &message) != 0) {
        LM_ERR("%s\n", message.text);
        destination_table_refuse(destination, &message);
        return true;
    }
    int r = pipeline_add(process.pipeline, address, &target.destination, &message);
    if (r == SPOOL_E_REFUSED) {
        LM_ERR("%s: %s\n", destination->address, message.text);
        destination_table_refuse(destination, &message);
        return true;
    }
    if (r != 0) {
        LM_ERR("%s: %s: it is tried again\n", destination->address, message.text);
        return false;
    }
    target.ttl_ms = address->ttl_ms;
    target.record_bytes_max = sink_rdkafka_record_bytes_max(address);
    destination_table_open(destination, &target);
    return true;
}

/* Opens what came into the table since the last call. */
static void process_open_destinations(void)
{
    if (process.pipeline == NULL || process.resolved_count == destination_table_count() ||
        process_now_ms() < process.retry_at_ms) {
        return;
    }
    while (process.resolved_count < destination_table_count()) {
        if (!process_open_destination(destination_table_at(process.resolved_count))) {
            process.retry_at_ms = process_now_ms() + RETRY_MS;
            return;
        }
        process.resolved_count++;
    }
}

/* --- The spool -------------------------------------------------------------------------------- */

static int process_open_pipeline(struct message *message)
{
    struct pipeline_config config = {
        .spool =
            {
                .dir = settings.spool_dir,
                .owner_name = "opensips",
                .max_bytes = settings.max_bytes,
                .max_records = settings.max_records,
                .durability = settings.durability,
                .may_create = true,
                .clock = clock_system(),
            },
        .ring = shared_publisher.ring,
        .host = kafka_host(),
        .maker = &process.maker.maker,
        .clock = clock_system(),
    };
    int r = pipeline_open(&config, &process.pipeline, message);
    if (r != 0) {
        return r;
    }
    process_open_destinations();
    r = pipeline_start(process.pipeline);
    if (r != 0) {
        message_set(message, "cannot start threads: %s", strerror(-r));
        pipeline_free(&process.pipeline);
    }
    return r;
}

/* Opens the spool, if it is not open. While it cannot be, publishes are refused at once, and it is
 * tried again. */
static void process_open(void)
{
    struct message message;
    if (process.pipeline != NULL || process_now_ms() < process.retry_at_ms) {
        return;
    }
    process.retry_at_ms = 0;
    if (process_open_pipeline(&message) == 0) {
        /* What waits from before is told from the first moment on. */
        module_statistics_step(process.pipeline);
        SPOOL_POINT("module.opened");
        atomic_store(&shared_state->serving, SERVING_OPEN);
        module_command_serve(process.pipeline);
        alarms_spool(NULL);
        LM_NOTICE("the spool %s is open: %s, librdkafka %s\n", settings.spool_dir,
                  settings.durability == SPOOL_SYNC ? "each commit is flushed"
                                                    : "a power loss can cost the last commit",
                  sink_rdkafka_version());
        return;
    }
    process.retry_at_ms = process_now_ms() + RETRY_MS;
    atomic_store(&shared_state->serving, SERVING_REFUSED);
    if (strcmp(process.refusal.text, message.text) != 0) {
        process.refusal = message;
        alarms_spool(message.text);
        LM_CRIT("%s: nothing is accepted until this is mended; it is tried again each second\n",
                message.text);
    }
}

/* --- The main loop ---------------------------------------------------------------------------- */

static void process_look(void)
{
    if (process.pipeline != NULL && process_now_ms() >= process.statistics_at_ms) {
        process.statistics_at_ms = process_now_ms() + STATISTICS_MS;
        module_statistics_step(process.pipeline);
        alarms_step();
    }
}

static void process_step(void)
{
    process_open();
    process_open_destinations();
    kafka_host_step();
    if (process.pipeline != NULL) {
        report_route_step(process.pipeline);
        pipeline_step(process.pipeline);
    }
    process_look();
    /* OpenSIPS's main process was killed: nobody tells this one to stop any more. */
    if (getppid() != process.parent) {
        exit(0);
    }
}

static int process_on_fd(int fd, void *parameter, int was_timeout)
{
    (void)parameter, (void)was_timeout;
    uint64_t count;
    (void)!read(fd, &count, sizeof(count));
    process_step();
    return 0;
}

/* --- Its end ---------------------------------------------------------------------------------- */

/* OpenSIPS ends its processes by exit(), inside the main loop. What is not delivered stays in the
 * spool. Threads of a client that waits for a name server may still run then, so nothing that they
 * use is taken down. */
static void process_end(void)
{
    if (getpid() != process.pid) {
        return;
    }
    atomic_store(&shared_state->serving, SERVING_STOPPED);
    SPOOL_POINT("module.stopping");
    if (process.pipeline != NULL) {
        pipeline_stop(process.pipeline, settings.shutdown_flush_ms);
        SPOOL_POINT("module.stopped");
        report_route_step(process.pipeline);
        pipeline_free(&process.pipeline);
    }
    kafka_host_step();
    sink_rdkafka_settle(SETTLE_MS);
    _exit(0);
}

/* --- Its start -------------------------------------------------------------------------------- */

static int process_start_timer(void)
{
    struct itimerspec interval = {
        .it_interval = {.tv_nsec = TICK_MS * 1000000L},
        .it_value = {.tv_nsec = TICK_MS * 1000000L},
    };
    process.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return process.timer_fd < 0 ? -1 : timerfd_settime(process.timer_fd, 0, &interval, NULL);
}

void kafka_process_run(int rank)
{
    static char name[] = KAFKA_PROCESS_NAME;
    (void)rank;
    process.pid = getpid();
    process.parent = getppid();
    /* An event for each log line could come back here as a publish. */
    suppress_proc_log_event();
    sink_rdkafka_maker_init(&process.maker, kafka_host_client_log, NULL);
    atomic_store(&shared_state->process_no, process_no);
    if (atexit(process_end) != 0 || process_start_timer() < 0 || reactor_proc_init(name) < 0 ||
        reactor_proc_add_fd(shared_bell_fd(), process_on_fd, NULL) < 0 ||
        reactor_proc_add_fd(process.timer_fd, process_on_fd, NULL) < 0) {
        LM_CRIT("cannot start the Kafka process: %s\n", strerror(errno));
        exit(1);
    }
    process_step();
    reactor_proc_loop();
    LM_CRIT("the main loop of the Kafka process ended\n");
    exit(1);
}
