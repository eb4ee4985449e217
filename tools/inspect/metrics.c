/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics: a snapshot in Prometheus' text format, for node_exporter's textfile collector.
 * docs/metrics.md says what each of them means. */
#include "tools/inspect/command.h"
#include "tools/inspect/output.h"
#include "tools/inspect/snapshot.h"
#include "tools/inspect/snapshot_json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    OPTION_OUTPUT = 0x3000,
};

struct metrics {
    struct inspect *inspect;
    const char *output;
};

static const struct argp_option metrics_options[] = {
    {"output", OPTION_OUTPUT, "FILE", 0,
     "Write to that file, which is whole at any time, instead of standard output", 1},
    {0},
};

static error_t metrics_parse(int key, char *argument, struct argp_state *state)
{
    struct metrics *metrics = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = metrics->inspect;
        return 0;
    case OPTION_OUTPUT:
        metrics->output = argument;
        return 0;
    case ARGP_KEY_END:
        if (metrics->output != NULL && metrics->inspect->prints_json) {
            argp_error(state, "--output is for Prometheus' format: it does not go with --json");
        }
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%.40s' belongs to no option", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- The format ------------------------------------------------------------------------------- */

static void metrics_head(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP kafka_spool_%s %s\n# TYPE kafka_spool_%s %s\n", name, help, name,
                  type);
}

static void metrics_one(FILE *out, const char *name, const char *type, const char *help,
                        double value)
{
    metrics_head(out, name, type, help);
    (void)fprintf(out, "kafka_spool_%s %.15g\n", name, value);
}

/* A label's value: text, with backslashes and quotes escaped. */
static void metrics_label(FILE *out, const char *text)
{
    SPOOL_CLEANUP(spool_free)
    char *shown = output_text_new((struct span){text, strlen(text)}, SIZE_MAX);
    for (const char *at = shown; at != NULL && *at != '\0'; at++) {
        if (*at == '\\' || *at == '"') {
            (void)fputc('\\', out);
        }
        (void)fputc(*at, out);
    }
}

/* --- The spool -------------------------------------------------------------------------------- */

static void metrics_print_verdict(FILE *out, const struct snapshot *snapshot)
{
    metrics_head(out, "verdict", "gauge", "1 for the verdict of spool-inspect status, else 0.");
    for (int i = 0; i < VERDICT_COUNT; i++) {
        (void)fprintf(out, "kafka_spool_verdict{verdict=\"%s\"} %d\n",
                      snapshot_verdict_name((enum verdict_kind)i),
                      snapshot_verdict(snapshot) == (enum verdict_kind)i);
    }
}

static void metrics_print_owner(FILE *out, const struct snapshot *snapshot)
{
    const struct live *live = &snapshot->live;
    metrics_one(out, "owned", "gauge", "1 while a process owns the spool.", snapshot->is_owned);
    metrics_one(out, "owner_live", "gauge", "1 while the owner says how it goes.",
                snapshot->is_live);
    if (!snapshot->is_live) {
        return;
    }
    metrics_one(out, "owner_start_time_seconds", "gauge", "When the owner started.",
                (double)live->started_wall_ms / 1000);
    metrics_one(out, "latched", "gauge", "1 while the owner cannot write the spool.",
                live->is_latched);
    metrics_one(out, "commits_total", "counter", "Commits since the owner's start.",
                (double)live->commits_count);
    metrics_head(out, "commit_seconds", "gauge", "How long commits took in the last minutes.");
    (void)fprintf(out, "kafka_spool_commit_seconds{quantile=\"0.5\"} %.15g\n",
                  (double)live->commit_us_p50 / 1e6);
    (void)fprintf(out, "kafka_spool_commit_seconds{quantile=\"0.99\"} %.15g\n",
                  (double)live->commit_us_p99 / 1e6);
}

static void metrics_print_space(FILE *out, const struct snapshot *snapshot)
{
    const struct spool_space *space = &snapshot->space;
    metrics_one(out, "limit_bytes", "gauge", "Limit of the data file.", (double)space->limit_bytes);
    metrics_one(out, "used_bytes", "gauge", "Pages that hold something.",
                (double)space->used_bytes);
    metrics_one(out, "room_bytes", "gauge", "What publishes may still take.",
                (double)space->room_bytes);
    metrics_one(out, "file_bytes", "gauge", "Pages ever used: the file does not shrink.",
                (double)space->file_bytes);
    metrics_one(out, "claimed_bytes", "gauge", "Disk that the data file has.",
                (double)space->claimed_bytes);
    metrics_one(out, "disk_free_bytes", "gauge", "What the file system has left.",
                (double)snapshot->disk_free_bytes);
    metrics_one(out, "disk_full", "gauge", "1 while the disk is full for the spool.",
                space->is_disk_full);
    metrics_one(out, "max_records", "gauge", "Limit of waiting records; 0: none.",
                (double)snapshot->live.max_records);
    metrics_one(out, "readers", "gauge", "Read transactions of other processes.",
                snapshot->readers.count);
    metrics_one(out, "reader_behind_commits", "gauge",
                "How many commits the oldest read transaction is behind.",
                (double)snapshot->readers.behind_count);
    metrics_one(out, "set_aside_spools", "gauge", "Damaged spools that were set aside.",
                snapshot->set_aside_count);
    metrics_one(out, "next_sequence", "counter", "The next sequence that will be given.",
                (double)snapshot->next_sequence);
}

/* --- The destinations ------------------------------------------------------------------------- */

struct metrics_counter {
    enum counter counter;
    const char *name;
    const char *type;
    const char *help;
    double factor;
};

static const struct metrics_counter metrics_counters[] = {
    {COUNTER_QUEUE_RECORDS, "queue_records", "gauge", "Waiting records, in-flight ones included.",
     1},
    {COUNTER_QUEUE_BYTES, "queue_bytes", "gauge", "Their bytes as stored.", 1},
    {COUNTER_DEAD_RECORDS, "dead_records", "gauge", "Dead letters that are kept.", 1},
    {COUNTER_DEAD_BYTES, "dead_bytes", "gauge", "Their bytes as stored.", 1},
    {COUNTER_REPORT_RECORDS, "report_records", "gauge", "Reports whose route has not run yet.", 1},
    {COUNTER_APPENDED, "appended_total", "counter", "Records that were accepted.", 1},
    {COUNTER_DELIVERED, "delivered_total", "counter", "Records that Kafka has persisted.", 1},
    {COUNTER_DELIVERED_BYTES, "delivered_bytes_total", "counter", "Their bytes as stored.", 1},
    {COUNTER_DEAD, "dead_total", "counter", "Records that became dead letters.", 1},
    {COUNTER_EXPIRED, "expired_total", "counter", "Records whose time-to-live passed.", 1},
    {COUNTER_DROPPED, "dropped_total", "counter", "Records dropped by policy or by an operator.",
     1},
    {COUNTER_CORRUPT, "corrupt_total", "counter", "Records that failed their checksum.", 1},
    {COUNTER_REQUEUED, "requeued_total", "counter", "Dead letters that were put back.", 1},
    {COUNTER_MOVED, "moved_total", "counter", "Records that an operator moved elsewhere.", 1},
    {COUNTER_REPORTS_RUN, "reports_run_total", "counter", "Reports whose route was run.", 1},
    {COUNTER_LAST_APPENDED_WALL_MS, "last_appended_timestamp_seconds", "gauge",
     "When a record was accepted last; 0: never.", 1e-3},
    {COUNTER_LAST_DELIVERED_WALL_MS, "last_delivered_timestamp_seconds", "gauge",
     "When a record was delivered last; 0: never.", 1e-3},
};

/* What stands beside the counters, by the same shape. */
struct metrics_figure {
    const char *name;
    const char *type;
    const char *help;
    bool is_live; /* only a living owner knows it */
    double (*read)(const struct snapshot *snapshot, uint32_t destination);
};

static double metrics_age(const struct snapshot *snapshot, uint32_t destination)
{
    return (double)snapshot_age_ms(snapshot, destination) / 1000;
}

static double metrics_paused(const struct snapshot *snapshot, uint32_t destination)
{
    return snapshot->destinations[destination].paused_since_wall_ms != 0;
}

static double metrics_configured(const struct snapshot *snapshot, uint32_t destination)
{
    return snapshot->destinations[destination].live.state != LIVE_NOT_CONFIGURED;
}

static double metrics_held(const struct snapshot *snapshot, uint32_t destination)
{
    return snapshot->destinations[destination].live.is_held;
}

static double metrics_stalled(const struct snapshot *snapshot, uint32_t destination)
{
    return snapshot->destinations[destination].live.is_stalled;
}

static double metrics_inflight_records(const struct snapshot *snapshot, uint32_t destination)
{
    return (double)snapshot->destinations[destination].live.inflight_records;
}

static double metrics_inflight_bytes(const struct snapshot *snapshot, uint32_t destination)
{
    return (double)snapshot->destinations[destination].live.inflight_bytes;
}

static double metrics_retries(const struct snapshot *snapshot, uint32_t destination)
{
    return (double)snapshot->destinations[destination].live.retries_count;
}

static double metrics_possible_duplicates(const struct snapshot *snapshot, uint32_t destination)
{
    return (double)snapshot->destinations[destination].live.possible_duplicates_count;
}

static double metrics_producers_lost(const struct snapshot *snapshot, uint32_t destination)
{
    return (double)snapshot->destinations[destination].live.producers_lost_count;
}

static const struct metrics_figure metrics_figures[] = {
    {"oldest_age_seconds", "gauge", "How long the oldest waiting record waits.", false,
     metrics_age},
    {"paused", "gauge", "1 while an operator has paused it.", false, metrics_paused},
    {"configured", "gauge", "1 while the owner forwards it.", true, metrics_configured},
    {"held", "gauge", "1 while only an operator can mend it.", true, metrics_held},
    {"stalled", "gauge", "1 while it is in-flight and delivers nothing.", true, metrics_stalled},
    {"inflight_records", "gauge", "Records handed to the Kafka client.", true,
     metrics_inflight_records},
    {"inflight_bytes", "gauge", "Their bytes.", true, metrics_inflight_bytes},
    {"retries_total", "counter", "Records tried again since the owner's start.", true,
     metrics_retries},
    {"possible_duplicates_total", "counter", "Records tried again that may have been persisted.",
     true, metrics_possible_duplicates},
    {"producers_lost_total", "counter", "Kafka clients made anew after a fatal error.", true,
     metrics_producers_lost},
};

static void metrics_print_sample(FILE *out, const char *name, const struct snapshot *snapshot,
                                 uint32_t destination, double value)
{
    (void)fprintf(out, "kafka_spool_%s{destination=\"", name);
    metrics_label(out, snapshot->destinations[destination].identity);
    (void)fprintf(out, "\"} %.15g\n", value);
}

static void metrics_print_destinations(FILE *out, const struct snapshot *snapshot)
{
    if (snapshot->destinations_count == 0) {
        return;
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(metrics_counters); i++) {
        const struct metrics_counter *counter = &metrics_counters[i];
        metrics_head(out, counter->name, counter->type, counter->help);
        for (uint32_t id = 1; id <= snapshot->destinations_count; id++) {
            uint64_t value = snapshot->destinations[id].counters.values[counter->counter];
            metrics_print_sample(out, counter->name, snapshot, id, (double)value * counter->factor);
        }
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(metrics_figures); i++) {
        const struct metrics_figure *figure = &metrics_figures[i];
        if (figure->is_live && !snapshot->is_live) {
            continue;
        }
        metrics_head(out, figure->name, figure->type, figure->help);
        for (uint32_t id = 1; id <= snapshot->destinations_count; id++) {
            metrics_print_sample(out, figure->name, snapshot, id, figure->read(snapshot, id));
        }
    }
}

/* --- The command ------------------------------------------------------------------------------ */

/* Prints the figures; of a spool that cannot be read, that it is so. */
static enum inspect_exit metrics_print(struct metrics *metrics, FILE *out)
{
    struct inspect *inspect = metrics->inspect;
    SPOOL_CLEANUP(snapshot_free) struct snapshot *snapshot = malloc(sizeof(*snapshot));
    enum inspect_exit code = snapshot == NULL ? INSPECT_EXIT_SPOOL : inspect_open(inspect);
    if (code == INSPECT_EXIT_DONE) {
        int r = snapshot_take(inspect->spool, snapshot);
        if (r != 0) {
            inspect_say("%s: cannot be read: %s", spool_dir(inspect->spool), strerror(-r));
            code = INSPECT_EXIT_SPOOL;
        }
    }
    if (code == INSPECT_EXIT_DONE && inspect->prints_json) {
        output_json(snapshot_json(inspect->spool, snapshot));
        return code;
    }
    metrics_one(out, "up", "gauge", "1 when the spool could be read.", code == INSPECT_EXIT_DONE);
    if (code == INSPECT_EXIT_DONE) {
        snapshot_judge(snapshot, &(struct snapshot_limits){0});
        metrics_print_verdict(out, snapshot);
        metrics_print_owner(out, snapshot);
        metrics_print_space(out, snapshot);
        metrics_print_destinations(out, snapshot);
    }
    return code;
}

/* Looks at the spool in a process of its own, since that becomes the spool's owner, and writes to a
 * file that the caller may write. Its exit code. */
static int metrics_print_apart(struct metrics *metrics, int fd)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        FILE *out = fdopen(fd, "w");
        enum inspect_exit code = out == NULL ? INSPECT_EXIT_ATTENTION : metrics_print(metrics, out);
        spool_close(&metrics->inspect->spool);
        if (out == NULL || fclose(out) != 0) {
            inspect_say("%s: %s", metrics->output, strerror(errno));
            code = INSPECT_EXIT_ATTENTION;
        }
        _exit((int)code);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        inspect_say("cannot look at the spool in a process of its own");
        return INSPECT_EXIT_ATTENTION;
    }
    return WEXITSTATUS(status);
}

/* The file is replaced as a whole: its reader never sees half of it. */
static enum inspect_exit metrics_write(struct metrics *metrics)
{
    SPOOL_CLEANUP(spool_free) char *path = NULL;
    if (asprintf(&path, "%s.%ld.tmp", metrics->output, (long)getpid()) < 0) {
        path = NULL;
        inspect_say("out of memory");
        return INSPECT_EXIT_ATTENTION;
    }
    SPOOL_CLEANUP(spool_close_fd)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        inspect_say("%s: %s", path, strerror(errno));
        return INSPECT_EXIT_ATTENTION;
    }
    int code = metrics_print_apart(metrics, fd);
    if (code == INSPECT_EXIT_ATTENTION || rename(path, metrics->output) < 0) {
        if (code != INSPECT_EXIT_ATTENTION) {
            inspect_say("%s: %s", metrics->output, strerror(errno));
        }
        (void)unlink(path);
        return INSPECT_EXIT_ATTENTION;
    }
    return (enum inspect_exit)code;
}

enum inspect_exit metrics_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct argp_child children[] = {{&inspect_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = metrics_options,
        .parser = metrics_parse,
        .doc =
            "Print the spool's figures in Prometheus' text format, for the textfile collector of "
            "node_exporter. With --json, print what 'status --json' prints.\v"
            "A spool that cannot be read gives kafka_spool_up 0 and exit code 3.\n"
            "\n"
            "Examples:\n"
            "  spool-inspect metrics\n"
            "  spool-inspect metrics --output "
            "/var/lib/prometheus/node-exporter/kafka_spool.prom\n",
        .children = children,
    };
    struct metrics metrics = {.inspect = inspect};
    inspect_parse(&argp, argc, argv, &metrics);
    return metrics.output != NULL ? metrics_write(&metrics) : metrics_print(&metrics, stdout);
}
