/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-pipeline: one measurement of the pipeline a run, as a line of JSON. The pipeline is in this
 * process; publishers are processes of their own. tests/bench/run says what each figure means.
 */
#include "spool/pause.h"
#include "tests/bench/crowd.h"
#include "tests/bench/measure.h"
#include "tests/bench/owner.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define WARM_RECORDS 1000
#define WARM_US 200000
#define SAMPLE_US 50000

struct options {
    const char *mode;
    const char *dir;
    const char *addresses[OWNER_DESTINATIONS_MAX + 1]; /* NULL ends them */
    size_t addresses_count;
    struct crowd_config crowd;
    double seconds;
    uint64_t records;
    bool warms;
};

struct bench {
    struct options options;
    struct owner owner;
    struct crowd *crowd;
};

/* The owner's memory, as it was at its largest. */
struct memory {
    uint64_t anonymous_bytes;
    uint64_t shared_bytes;
};

/* --- Steps of every mode ---------------------------------------------------------------------- */

static void bench_start(struct bench *bench)
{
    owner_init(&bench->owner);
    bench->options.crowd.ring = bench->owner.ring;
    bench->crowd = crowd_new(&bench->options.crowd);
    owner_start(&bench->owner, bench->options.dir, bench->options.addresses);
}

static void bench_end(struct bench *bench)
{
    crowd_free(&bench->crowd);
    owner_stop(&bench->owner);
}

static uint32_t bench_destination(const struct bench *bench)
{
    return bench->owner.destinations[0];
}

static void bench_publish(struct bench *bench, uint32_t destination, uint64_t records)
{
    crowd_go(bench->crowd, destination, records);
    crowd_finish(bench->crowd);
}

/* The first records pay for connections and page faults. */
static void bench_warm(struct bench *bench)
{
    bench_publish(bench, bench_destination(bench), WARM_RECORDS);
    (void)owner_wait_empty(&bench->owner, bench_destination(bench));
}

/* Tells whoever started this program, and waits until he has done his part. */
static void bench_ask(const char *word)
{
    char line[64];

    printf("%s\n", word);
    fflush(stdout);
    if (fgets(line, sizeof(line), stdin) == NULL) {
        measure_fail("nobody answers \"%s\"", word);
    }
}

static double rate_of(uint64_t records, uint64_t begin_us, uint64_t end_us)
{
    return (double)records * 1e6 / (double)(end_us - begin_us);
}

/* --- Modes ------------------------------------------------------------------------------------ */

/* publish: accepted records a second, and how long each publisher waited. */
static void run_publish(struct bench *bench)
{
    struct committer *committer = pipeline_committer(bench->owner.pipeline);
    struct committer_statistics before;
    struct committer_statistics after;
    struct latency latency;

    crowd_go(bench->crowd, bench_destination(bench), 0);
    measure_sleep_us(WARM_US);
    crowd_measure(bench->crowd);
    committer_statistics(committer, &before);
    uint64_t begin_us = measure_now_us();
    uint64_t accepted = crowd_accepted(bench->crowd);
    measure_sleep_us((uint64_t)(bench->options.seconds * 1e6));
    accepted = crowd_accepted(bench->crowd) - accepted;
    uint64_t end_us = measure_now_us();
    committer_statistics(committer, &after);
    crowd_stop(bench->crowd);
    crowd_latency(bench->crowd, &latency);
    uint64_t commits = after.commits_count - before.commits_count;
    printf("{\"rate\": %.1f, \"p50_us\": %" PRIu64 ", \"p99_us\": %" PRIu64
           ", \"commits\": %.1f, \"commit_us\": %.1f, \"batch\": %.2f}\n",
           rate_of(accepted, begin_us, end_us), latency_at(&latency, 500),
           latency_at(&latency, 990), rate_of(commits, begin_us, end_us),
           (double)(after.commit_us_total - before.commit_us_total) / (double)(commits | 1),
           (double)accepted / (double)(commits | 1));
}

/* through: records a second that were accepted, delivered and deleted, all of them. With a second
 * address, which hangs, its window is filled before. */
static void run_through(struct bench *bench)
{
    uint64_t records = bench->options.records;
    struct committer *committer = pipeline_committer(bench->owner.pipeline);
    struct committer_statistics before;
    struct committer_statistics after;

    bench_warm(bench);
    if (bench->options.addresses_count > 1) {
        bench_publish(bench, bench->owner.destinations[1], records / 4);
    }
    committer_statistics(committer, &before);
    uint64_t begin_us = measure_now_us();
    bench_publish(bench, bench_destination(bench), records);
    uint64_t accepted_us = measure_now_us();
    uint64_t end_us = owner_wait_empty(&bench->owner, bench_destination(bench));
    committer_statistics(committer, &after);
    uint64_t commits = after.commits_count - before.commits_count;
    printf("{\"rate\": %.1f, \"accept_rate\": %.1f, \"commits\": %" PRIu64
           ", \"commit_us\": %.1f}\n",
           rate_of(records, begin_us, end_us), rate_of(records, begin_us, accepted_us), commits,
           (double)(after.commit_us_total - before.commit_us_total) / (double)(commits | 1));
}

/* Pauses the destination, or lets it go on; the forwarder has seen it when this returns. */
static void bench_pause(struct bench *bench, bool pauses)
{
    struct forward_status status = {.is_paused = !pauses};
    struct message message;
    uint32_t destination = bench_destination(bench);
    if (spool_pause(pipeline_spool(bench->owner.pipeline), destination, pauses, &message) != 0) {
        measure_fail("spool_pause: %s", message.text);
    }
    while (status.is_paused != pauses &&
           forward_status(pipeline_forward(bench->owner.pipeline), destination, &status) == 0) {
        measure_sleep_us(100);
    }
}

/* drain: records a second of a backlog that was made while nothing was forwarded, over a
 * connection that is up. */
static void run_drain(struct bench *bench)
{
    uint64_t records = bench->options.records;

    bench_warm(bench);
    uint64_t written = measure_self("io", "write_bytes");
    bench_pause(bench, true);
    bench_publish(bench, bench_destination(bench), records);
    uint64_t published = measure_self("io", "write_bytes");
    bench_pause(bench, false);
    uint64_t begin_us = measure_now_us();
    uint64_t end_us = owner_wait_empty(&bench->owner, bench_destination(bench));
    double payload_bytes = (double)(records * PAYLOAD_BYTES);
    printf("{\"rate\": %.1f, \"write_amplification\": %.3f, \"write_amplification_publish\": "
           "%.3f}\n",
           rate_of(records, begin_us, end_us),
           (double)(measure_self("io", "write_bytes") - written) / payload_bytes,
           (double)(published - written) / payload_bytes);
}

static void note_memory(struct memory *memory)
{
    uint64_t anonymous_bytes = measure_self("status", "RssAnon") * 1024;
    uint64_t shared_bytes = measure_self("status", "RssShmem") * 1024;

    if (anonymous_bytes > memory->anonymous_bytes) {
        memory->anonymous_bytes = anonymous_bytes;
    }
    if (shared_bytes > memory->shared_bytes) {
        memory->shared_bytes = shared_bytes;
    }
}

/* outage: the owner's memory at its largest while records are published that cannot be delivered.
 * They stay in the spool. */
static void run_outage(struct bench *bench)
{
    struct memory memory = {0};

    if (bench->options.warms) {
        bench_warm(bench);
        bench_ask("warm");
    }
    uint64_t begin_us = measure_now_us();
    crowd_go(bench->crowd, bench_destination(bench), bench->options.records);
    while (crowd_accepted(bench->crowd) < bench->options.records) {
        note_memory(&memory);
        measure_sleep_us(SAMPLE_US);
    }
    crowd_finish(bench->crowd);
    uint64_t end_us = measure_now_us();
    measure_sleep_us((uint64_t)(bench->options.seconds * 1e6));
    note_memory(&memory);
    printf("{\"anonymous_bytes\": %" PRIu64 ", \"shared_bytes\": %" PRIu64
           ", \"accept_rate\": %.1f, \"waiting\": %" PRIu64 "}\n",
           memory.anonymous_bytes, memory.shared_bytes,
           rate_of(bench->options.records, begin_us, end_us),
           owner_waiting(&bench->owner, bench_destination(bench)));
}

/* first: milliseconds from the opening of a spool with a backlog to its first accepted publish. */
static void run_first(struct bench *bench)
{
    owner_init(&bench->owner);
    bench->options.crowd.ring = bench->owner.ring;
    bench->crowd = crowd_new(&bench->options.crowd);
    measure_sleep_us(WARM_US); /* the crowd is not what is measured */
    uint64_t begin_us = measure_now_us();
    owner_start(&bench->owner, bench->options.dir, bench->options.addresses);
    uint64_t started_us = measure_now_us();
    bench_publish(bench, bench_destination(bench), bench->options.crowd.processes);
    uint64_t end_us = measure_now_us();
    printf("{\"ms\": %.3f, \"open_ms\": %.3f, \"waiting\": %" PRIu64 "}\n",
           (double)(end_us - begin_us) / 1e3, (double)(started_us - begin_us) / 1e3,
           owner_waiting(&bench->owner, bench_destination(bench)));
}

/* --- Command line ----------------------------------------------------------------------------- */

static void add_address(struct options *options, const char *address)
{
    if (options->addresses_count == OWNER_DESTINATIONS_MAX) {
        measure_fail("at most %d addresses", OWNER_DESTINATIONS_MAX);
    }
    options->addresses[options->addresses_count++] = address;
}

static void take_option(struct options *options, int letter)
{
    switch (letter) {
    case 'd':
        options->dir = optarg;
        break;
    case 'a':
        add_address(options, optarg);
        break;
    case 'p':
        options->crowd.processes = (unsigned)strtoul(optarg, NULL, 10);
        break;
    case 'o':
        options->crowd.outstanding = (unsigned)strtoul(optarg, NULL, 10);
        break;
    case 's':
        options->seconds = strtod(optarg, NULL);
        break;
    case 'r':
        options->records = strtoull(optarg, NULL, 10);
        break;
    case 'w':
        options->warms = true;
        break;
    default:
        measure_fail("publish|through|drain|outage|first --dir DIR [--address ADDRESS]... "
                     "[--processes N] [--outstanding N] [--seconds S] [--records N] [--warm]");
    }
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"dir", required_argument, NULL, 'd'},
        {"address", required_argument, NULL, 'a'},
        {"processes", required_argument, NULL, 'p'},
        {"outstanding", required_argument, NULL, 'o'},
        {"seconds", required_argument, NULL, 's'},
        {"records", required_argument, NULL, 'r'},
        {"warm", no_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {
        .crowd = {.processes = 1, .outstanding = 1}, .seconds = 1, .records = 100000};
    int letter;

    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        take_option(&options, letter);
    }
    if (optind + 1 != argc || options.dir == NULL) {
        measure_fail("a mode and --dir are needed");
    }
    options.mode = argv[optind];
    if (options.addresses_count == 0) {
        add_address(&options, "");
    }
    options.records -= options.records % options.crowd.processes;
    return options;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool is_started;
        void (*run)(struct bench *bench);
    } modes[] = {
        {"publish", true, run_publish}, {"through", true, run_through}, {"drain", true, run_drain},
        {"outage", true, run_outage},   {"first", false, run_first},
    };
    struct bench bench = {.options = parse_options(argc, argv)};

    for (size_t i = 0; i < SPOOL_COUNT_OF(modes); i++) {
        if (strcmp(modes[i].name, bench.options.mode) == 0) {
            if (modes[i].is_started) {
                bench_start(&bench);
            }
            modes[i].run(&bench);
            fflush(stdout);
            bench_end(&bench);
            return 0;
        }
    }
    measure_fail("no mode \"%s\"", bench.options.mode);
}
