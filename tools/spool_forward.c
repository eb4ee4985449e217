/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spool-forward: the pipeline without OpenSIPS. Forwards a spool to Kafka, as a service or until it
 * is empty; publishes lines from standard input durably.
 */
#include "spool/limits.h"
#include "spool/point.h"
#include "src/pipeline.h"
#include "src/sink_rdkafka.h"
#include "tools/console_host.h"
#include "tools/forward_options.h"
#include "tools/forward_summary.h"
#include "tools/line_keeper.h"
#include "tools/line_publisher.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>

/* The ring: for one process that publishes; its bytes bound the largest record. */
#define RING_SLOTS 2048
#define RING_BYTES (8U << 20)

#define TICK_MS 50
#define PROGRESS_MS 500
/* Closed sinks' threads: they end at once unless a name server hangs. */
#define SETTLE_MS 1000

struct program {
    struct forward_options options;
    struct console_host host;
    struct sink_rdkafka_maker maker;
    struct ring *ring;
    struct pipeline *pipeline;
    struct line_publisher *lines; /* standard input's, or NULL */
    struct line_keeper *keeper;   /* the same with --keep */
    enum outcome obstacle;        /* what keeps its first line in the pipe, as it was said last */
    uint64_t dropped_count;       /* as it was said last */
    uint32_t destinations[DESTINATIONS_MAX];
    int signal_fd;
    uint64_t started_ms;
    uint64_t progress_at_ms;
    struct counters counters_at_start;
};

static uint64_t program_now_ms(void)
{
    return clock_system()->monotonic_ms(clock_system());
}

/* --- Start ------------------------------------------------------------------------------------ */

static int program_catch_signals(struct program *program)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0) {
        return -errno;
    }
    signal(SIGPIPE, SIG_IGN);
    program->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    return program->signal_fd < 0 ? -errno : 0;
}

static int program_open_pipeline(struct program *program, struct message *message)
{
    const struct forward_options *options = &program->options;
    struct ring_config ring_config = {.slots_count = RING_SLOTS, .bytes = RING_BYTES};
    int r = ring_new(&ring_config, &program->ring);
    if (r != 0) {
        message_set(message, "no shared memory for the ring: %s", strerror(-r));
        return r;
    }
    sink_rdkafka_maker_init(&program->maker, console_host_log, &program->host);
    struct pipeline_config config = {
        .spool =
            {
                .dir = options->spool_dir,
                .owner_name = "spool-forward",
                .max_bytes = options->max_bytes,
                .max_records = options->max_records,
                .durability = options->durability,
                .may_create = true,
                .clock = clock_system(),
            },
        .ring = program->ring,
        .host = &program->host.host,
        .maker = &program->maker.maker,
        .clock = clock_system(),
    };
    r = pipeline_open(&config, &program->pipeline, message);
    for (size_t i = 0; r == 0 && i < options->addresses_count; i++) {
        r = pipeline_add(program->pipeline, options->addresses[i], &program->destinations[i],
                         message);
    }
    return r;
}

static void program_print_accepted(void *context, uint64_t sequence)
{
    struct program *program = context;
    if (program->options.acks) {
        printf("%" PRIu64 "\n", sequence);
    }
}

/* What is published, and where. */
static struct publish_target program_target(const struct program *program)
{
    const struct forward_options *options = &program->options;
    struct publish_target target = {
        .ttl_ms = options->publish_address->ttl_ms,
        .record_bytes_max = sink_rdkafka_record_bytes_max(options->publish_address),
    };
    for (size_t i = 0; i < options->addresses_count; i++) {
        if (options->addresses[i] == options->publish_address) {
            target.destination = program->destinations[i];
        }
    }
    return target;
}

static int program_open_lines(struct program *program)
{
    const struct forward_options *options = &program->options;
    if (options->publish_address == NULL) {
        return 0;
    }
    struct publisher publisher = {
        .ring = program->ring,
        .clock = clock_system(),
        .commit_timeout_ms = options->commit_timeout_ms,
    };
    struct line_form form = {
        .key_delimiter = options->key_delimiter,
        .headers = options->headers,
        .headers_count = options->headers_count,
    };
    if (options->keeps_lines) {
        struct line_keeper_config config = {
            .publisher = publisher,
            .target = program_target(program),
            .fd = STDIN_FILENO,
            .form = form,
        };
        return line_keeper_new(&config, &program->keeper);
    }
    struct line_publisher_config config = {
        .publisher = publisher,
        .target = program_target(program),
        .fd = STDIN_FILENO,
        .form = form,
        .on_accepted = program_print_accepted,
        .context = program,
    };
    return line_publisher_new(&config, &program->lines);
}

static int program_start(struct program *program)
{
    struct message message;
    int r = program_open_pipeline(program, &message);
    if (r != 0) {
        console_host_say(&program->host, message.text);
        return r > 0 ? FORWARD_EXIT_SPOOL : FORWARD_EXIT_FAILED;
    }
    r = spool_counters(pipeline_spool(program->pipeline), DESTINATION_ALL,
                       &program->counters_at_start);
    if (r == 0) {
        r = program_open_lines(program);
    }
    if (r == 0) {
        r = pipeline_start(program->pipeline);
    }
    if (r != 0) {
        console_host_say(&program->host, strerror(-r));
        return FORWARD_EXIT_FAILED;
    }
    sd_notify(0, "READY=1");
    return FORWARD_EXIT_DONE;
}

/* --- Run -------------------------------------------------------------------------------------- */

/* How many records wait for the destinations that have a --broker, and in all. */
static void program_count_waiting(struct program *program, uint64_t *ret_own, uint64_t *ret_all)
{
    struct spool *spool = pipeline_spool(program->pipeline);
    struct counters counters;
    uint64_t own = 0;
    uint64_t all = 0;
    for (size_t i = 0; i < program->options.addresses_count; i++) {
        if (spool_counters(spool, program->destinations[i], &counters) == 0) {
            own += counters.values[COUNTER_QUEUE_RECORDS];
        } else {
            own++; /* cannot be read now: certainly not known to be empty */
        }
    }
    if (spool_counters(spool, DESTINATION_ALL, &counters) == 0) {
        all = counters.values[COUNTER_QUEUE_RECORDS];
    }
    *ret_own = own;
    *ret_all = all > own ? all : own;
}

/* Says a few times a second how far it is, where somebody sees it. */
static void program_show_progress(struct program *program)
{
    uint64_t now_ms = program_now_ms();
    if (now_ms < program->progress_at_ms || !isatty(STDERR_FILENO)) {
        return;
    }
    program->progress_at_ms = now_ms + PROGRESS_MS;
    struct counters now = program->counters_at_start;
    struct forward_status status = {0};
    (void)!spool_counters(pipeline_spool(program->pipeline), DESTINATION_ALL, &now);
    (void)!forward_status(pipeline_forward(program->pipeline), program->destinations[0], &status);
    const uint64_t *before = program->counters_at_start.values;
    struct message text;
    message_set(&text, "%" PRIu64 " accepted, %" PRIu64 " delivered, %" PRIu64 " waiting, %s%s%s",
                now.values[COUNTER_APPENDED] - before[COUNTER_APPENDED],
                now.values[COUNTER_DELIVERED] - before[COUNTER_DELIVERED],
                now.values[COUNTER_QUEUE_RECORDS], forward_state_name(status.state),
                status.last_error_text.text[0] != '\0' ? ": " : "", status.last_error_text.text);
    console_host_progress(&program->host, text.text);
}

/* How standard input is. */
struct input {
    bool is_at_end;
    bool is_waiting; /* to be looked at again soon, whether it is readable or not */
    enum outcome refusal;
};

static struct input program_input(const struct program *program)
{
    if (program->keeper != NULL) {
        struct line_keeper_progress progress;
        line_keeper_progress(program->keeper, &progress);
        return (struct input){.is_at_end = progress.is_at_end, .is_waiting = progress.is_waiting};
    }
    struct line_publisher_progress progress = {.is_at_end = true};
    if (program->lines != NULL) {
        line_publisher_progress(program->lines, &progress);
    }
    return (struct input){.is_at_end = progress.is_at_end, .refusal = progress.refusal};
}

/* The program's exit code once it is done, or -1. */
static int program_is_done(struct program *program)
{
    const struct forward_options *options = &program->options;
    if (options->publish_address != NULL) {
        struct input input = program_input(program);
        if (input.refusal != OUTCOME_ACCEPTED) {
            return FORWARD_EXIT_REFUSED;
        }
        if (!input.is_at_end) {
            return -1;
        }
        if (!options->drains) {
            return FORWARD_EXIT_DONE;
        }
    }
    uint64_t own;
    uint64_t all;
    program_count_waiting(program, &own, &all);
    if (options->drains && own == 0) {
        return all == 0 ? FORWARD_EXIT_DONE : FORWARD_EXIT_UNDRAINED;
    }
    if (options->timeout_ms != 0 && program_now_ms() - program->started_ms >= options->timeout_ms) {
        return FORWARD_EXIT_TIMEOUT;
    }
    return -1;
}

/* Says when lines begin to wait in the pipe, when they go on, and when one is dropped. */
static void program_say_kept(struct program *program)
{
    struct line_keeper_progress progress;
    struct message message;
    line_keeper_progress(program->keeper, &progress);
    if (progress.dropped_count != program->dropped_count) {
        message_set(&message, "%" PRIu64 " lines were dropped: no record may be so large",
                    progress.dropped_count - program->dropped_count);
        console_host_say(&program->host, message.text);
    }
    if (progress.obstacle != program->obstacle && progress.obstacle == OUTCOME_ACCEPTED) {
        console_host_say(&program->host, "lines are accepted again");
    } else if (progress.obstacle != program->obstacle) {
        message_set(&message, "lines wait in the pipe, the first was %s",
                    outcome_text(progress.obstacle));
        console_host_say(&program->host, message.text);
    }
    program->dropped_count = progress.dropped_count;
    program->obstacle = progress.obstacle;
}

/* Publishes the lines that can be read, and says which are accepted. */
static int program_read_lines(struct program *program)
{
    struct message message;
    int r = program->keeper != NULL ? line_keeper_step(program->keeper)
                                    : line_publisher_step(program->lines);
    if (program->keeper != NULL) {
        program_say_kept(program);
    }
    SPOOL_POINT("line.telling");
    if (r < 0) {
        message_set(&message, "standard input: %s", strerror(-r));
        console_host_say(&program->host, message.text);
        return FORWARD_EXIT_FAILED;
    }
    if (fflush(stdout) != 0) {
        message_set(&message, "standard output: %s", strerror(errno));
        console_host_say(&program->host, message.text);
        return FORWARD_EXIT_FAILED;
    }
    return FORWARD_EXIT_DONE;
}

/* Runs until it is done or a signal comes. Returns the exit code. */
static int program_run(struct program *program)
{
    for (;;) {
        program_show_progress(program);
        int code = program_is_done(program);
        if (code >= 0) {
            return code;
        }
        struct input input = program_input(program);
        bool wants_input = !input.is_at_end && !input.is_waiting;
        struct pollfd polled[2] = {
            {.fd = program->signal_fd, .events = POLLIN},
            {.fd = STDIN_FILENO, .events = POLLIN},
        };
        int count = poll(polled, wants_input ? 2 : 1, TICK_MS);
        if (count > 0 && polled[0].revents != 0) {
            return FORWARD_EXIT_DONE;
        }
        if (input.is_waiting || (count > 0 && wants_input && polled[1].revents != 0)) {
            int r = program_read_lines(program);
            if (r != FORWARD_EXIT_DONE) {
                return r;
            }
        }
        pipeline_step(program->pipeline);
    }
}

/* --- End -------------------------------------------------------------------------------------- */

static void program_say_refusal(struct program *program)
{
    struct line_publisher_progress progress;
    line_publisher_progress(program->lines, &progress);
    struct message message;
    message_set(&message,
                "line %" PRIu64 " was %s; %" PRIu64 " of %" PRIu64
                " lines that were handed over are accepted, no further line was read",
                progress.refused_line, outcome_text(progress.refusal), progress.accepted_count,
                progress.lines_count);
    console_host_say(&program->host, message.text);
}

static void program_say_end(struct program *program, int code)
{
    if (code == FORWARD_EXIT_REFUSED) {
        program_say_refusal(program);
    } else if (code == FORWARD_EXIT_TIMEOUT) {
        console_host_say(&program->host, "the timeout passed before the spool was empty: what was "
                                         "not delivered stays in it");
    } else if (code == FORWARD_EXIT_UNDRAINED) {
        console_host_say(&program->host, "drained, but the spool has records for destinations "
                                         "that no --broker names: they stay in it");
    }
}

static void program_stop(struct program *program, int code)
{
    sd_notify(0, "STOPPING=1");
    if (program->lines != NULL) {
        line_publisher_finish(program->lines);
        fflush(stdout);
    }
    console_host_progress(&program->host, NULL);
    program_say_end(program, code);
    if (program->pipeline == NULL) {
        return;
    }
    pipeline_stop(program->pipeline, program->options.flush_ms);
    if (program->options.prints_json) {
        struct forward_summary summary = {
            .pipeline = program->pipeline,
            .addresses = program->options.addresses,
            .destinations = program->destinations,
            .destinations_count = program->options.addresses_count,
            .counters_at_start = &program->counters_at_start,
            .elapsed_ms = program_now_ms() - program->started_ms,
        };
        forward_summary_print(&summary, stdout);
    }
}

int main(int argc, char **argv)
{
    static struct program program = {.signal_fd = -1};
    forward_options_parse(argc, argv, &program.options);
    console_host_init(&program.host, "spool-forward");
    program.started_ms = program_now_ms();
    int code = FORWARD_EXIT_FAILED;
    if (program_catch_signals(&program) == 0) {
        code = program_start(&program);
        if (code == FORWARD_EXIT_DONE) {
            code = program_run(&program);
        }
    }
    program_stop(&program, code);
    line_publisher_free(&program.lines);
    line_keeper_free(&program.keeper);
    pipeline_free(&program.pipeline);
    ring_free(&program.ring);
    spool_close_fd(&program.signal_fd);
    sink_rdkafka_settle(SETTLE_MS);
    forward_options_deinit(&program.options);
    return code;
}
