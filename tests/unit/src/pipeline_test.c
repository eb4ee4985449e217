/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All parts together, with their threads: real spool, real clock, several publishing processes and
 * threads; the Kafka client and the host are fakes. */
#include "src/pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "spool/cursor.h"
#include "spool/live.h"
#include "spool/pause.h"
#include "tests/harness/fake_host.h"
#include "tests/harness/fake_sink.h"

#define ROUNDS_COUNT 8
#define PROCESSES_COUNT 2
#define THREADS_COUNT 2
#define SEQUENCES_MAX 200000
#define ADDRESS "[k1]broker:9092/topic"

/* In memory that publishing processes share. */
struct shared {
    atomic_uint destination; /* 0: not known yet */
    atomic_size_t accepted_count;
    _Atomic uint64_t accepted[SEQUENCES_MAX];
};

struct fixture {
    char dir[64];
    struct fake_host host;
    struct fake_sinks sinks;
    struct ring *ring;
    struct pipeline *pipeline;
    struct address *address;
    struct shared *shared;
    uint32_t destination;
};

static void pause_briefly(void)
{
    struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
}

static int answer_at_once(void *context, const struct fake_record *record)
{
    (void)context;
    (void)record;
    return 0;
}

/* --- Fixture ---------------------------------------------------------------------------------- */

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    struct message message;
    const char *base = getenv("TMPDIR");
    snprintf(fixture->dir, sizeof(fixture->dir), "%s/pipeline-XXXXXX",
             base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(fixture->dir));
    fake_host_init(&fixture->host);
    fake_sinks_init(&fixture->sinks);
    fixture->sinks.decide = answer_at_once;
    assert_int_equal(address_parse(ADDRESS, strlen(ADDRESS), &fixture->address, &message), 0);
    fixture->shared = mmap(NULL, sizeof(*fixture->shared), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(fixture->shared != MAP_FAILED);
    *state = fixture;
    return 0;
}

static int remove_file(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    pipeline_free(&fixture->pipeline);
    pipeline_free(&fixture->pipeline); /* NULL is fine */
    ring_free(&fixture->ring);
    munmap(fixture->shared, sizeof(*fixture->shared));
    address_free(&fixture->address);
    fake_sinks_deinit(&fixture->sinks);
    fake_host_deinit(&fixture->host);
    assert_int_equal(nftw(fixture->dir, remove_file, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(fixture);
    return 0;
}

static void make_ring(struct fixture *fixture)
{
    struct ring_config config = {.slots_count = 256, .bytes = 1U << 20};
    ring_free(&fixture->ring);
    assert_int_equal(ring_new(&config, &fixture->ring), 0);
}

static struct pipeline_config config_of(struct fixture *fixture)
{
    return (struct pipeline_config){
        .spool =
            {
                .dir = fixture->dir,
                .owner_name = "test",
                .max_bytes = 64U << 20,
                .durability = SPOOL_NOMETASYNC,
                .may_create = true,
                .clock = clock_system(),
            },
        .ring = fixture->ring,
        .host = &fixture->host.host,
        .maker = &fixture->sinks.maker,
        .clock = clock_system(),
    };
}

/* Opens the pipeline on the ring that is there, and starts it. */
static void start(struct fixture *fixture)
{
    struct message message;
    struct pipeline_config config = config_of(fixture);
    if (pipeline_open(&config, &fixture->pipeline, &message) != 0 ||
        pipeline_add(fixture->pipeline, fixture->address, &fixture->destination, &message) != 0) {
        fail_msg("%s", message.text);
    }
    assert_int_equal(pipeline_start(fixture->pipeline), 0);
    atomic_store(&fixture->shared->destination, fixture->destination);
}

static enum outcome publish_one(struct fixture *fixture, const char *route, uint64_t *ret_sequence)
{
    struct publisher publisher = {
        .ring = fixture->ring, .clock = clock_system(), .commit_timeout_ms = 60000};
    struct publish_target target = {
        .destination = atomic_load(&fixture->shared->destination),
        .record_bytes_max = 1000,
    };
    struct record record = {.payload = {"payload", 7}, .report_route = {route, strlen(route)}};
    return publish(&publisher, &target, &record, ret_sequence);
}

/* --- Publishing crowds ------------------------------------------------------------------------ */

/* Publishes until the ring is closed. */
static void publish_until_closed(struct fixture *fixture)
{
    struct shared *shared = fixture->shared;
    enum outcome outcome = OUTCOME_ACCEPTED;
    while (atomic_load(&shared->destination) == 0) {
        pause_briefly();
    }
    while (outcome == OUTCOME_ACCEPTED) {
        uint64_t sequence = 0;
        outcome = publish_one(fixture, "", &sequence);
        if (outcome == OUTCOME_ACCEPTED) {
            size_t at = atomic_fetch_add(&shared->accepted_count, 1);
            if (at >= SEQUENCES_MAX) {
                abort();
            }
            atomic_store(&shared->accepted[at], sequence);
        }
    }
    if (outcome != OUTCOME_CLOSED) {
        abort();
    }
}

static void *publish_thread(void *context)
{
    publish_until_closed(context);
    return NULL;
}

/* Before any thread is started. */
static void fork_publishers(struct fixture *fixture, pid_t pids[PROCESSES_COUNT])
{
    for (int i = 0; i < PROCESSES_COUNT; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            publish_until_closed(fixture);
            _exit(0);
        }
    }
}

static void wait_for_publishers(const pid_t pids[PROCESSES_COUNT])
{
    for (int i = 0; i < PROCESSES_COUNT; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
}

/* Marks what is delivered or still in the spool. */
static void find_accounted(struct fixture *fixture, bool *accounted)
{
    for (size_t i = 0; i < fixture->sinks.records_count; i++) {
        const struct fake_record *record = &fixture->sinks.records[i];
        if (record->stage == FAKE_REPORTED && record->error == 0) {
            accounted[record->sequence] = true;
        }
    }
    struct cursor cursor;
    struct spool *spool = pipeline_spool(fixture->pipeline);
    assert_int_equal(cursor_begin_queue(&cursor, spool, fixture->destination, 0), 0);
    uint64_t sequence;
    struct span stored;
    while (cursor_next(&cursor, &sequence, &stored) == 0) {
        accounted[sequence] = true;
    }
    cursor_end(&cursor);
}

static void assert_all_accounted(struct shared *shared, const bool *accounted)
{
    for (size_t i = 0; i < atomic_load(&shared->accepted_count); i++) {
        uint64_t sequence = atomic_load(&shared->accepted[i]);
        assert_true(sequence > 0 && sequence < SEQUENCES_MAX);
        if (!accounted[sequence]) {
            fail_msg("record %llu was accepted and is gone", (unsigned long long)sequence);
        }
    }
}

static void run_round(struct fixture *fixture, size_t enough)
{
    pid_t pids[PROCESSES_COUNT];
    pthread_t threads[THREADS_COUNT];
    size_t before = atomic_load(&fixture->shared->accepted_count);
    atomic_store(&fixture->shared->destination, 0);
    make_ring(fixture);
    fork_publishers(fixture, pids);
    start(fixture);
    for (int i = 0; i < THREADS_COUNT; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, publish_thread, fixture), 0);
    }
    while (atomic_load(&fixture->shared->accepted_count) < before + enough) {
        pause_briefly();
    }
    pipeline_stop(fixture->pipeline, 20);
    wait_for_publishers(pids);
    for (int i = 0; i < THREADS_COUNT; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void pipeline_stop_loses_nothing_that_was_accepted(void **state)
{
    struct fixture *fixture = *state;
    bool *accounted = calloc(SEQUENCES_MAX, sizeof(*accounted));
    assert_non_null(accounted);
    for (size_t round = 0; round < ROUNDS_COUNT; round++) {
        /* In each second one the client takes everything and answers nothing. */
        fixture->sinks.decide = round % 2 == 0 ? answer_at_once : NULL;
        run_round(fixture, 40);
        find_accounted(fixture, accounted);
        pipeline_free(&fixture->pipeline);
        assert_all_accounted(fixture->shared, accounted);
    }
    free(accounted);
}

static void pipeline_start_delivers_what_an_earlier_one_left(void **state)
{
    struct fixture *fixture = *state;
    fixture->sinks.decide = NULL;
    make_ring(fixture);
    start(fixture);
    uint64_t first;
    assert_int_equal(publish_one(fixture, "", &first), OUTCOME_ACCEPTED);
    pipeline_free(&fixture->pipeline);
    fixture->sinks.decide = answer_at_once;
    make_ring(fixture);
    start(fixture);
    struct counters counters = {0};
    while (counters.values[COUNTER_DELIVERED] < 1) {
        pause_briefly();
        assert_int_equal(
            spool_counters(pipeline_spool(fixture->pipeline), DESTINATION_ALL, &counters), 0);
    }
}

/* --- Stop ------------------------------------------------------------------------------------- */

/* Would never end if it waited for a client that answers nothing, not even a purge. */
static void pipeline_stop_does_not_wait_for_a_client_that_hangs(void **state)
{
    struct fixture *fixture = *state;
    fixture->sinks.decide = NULL;
    fixture->sinks.ignores_purge = true;
    make_ring(fixture);
    start(fixture);
    uint64_t sequence;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(publish_one(fixture, "", &sequence), OUTCOME_ACCEPTED);
    }
    pipeline_stop(fixture->pipeline, 10);
    struct counters counters;
    assert_int_equal(spool_counters(pipeline_spool(fixture->pipeline), DESTINATION_ALL, &counters),
                     0);
    assert_int_equal(counters.values[COUNTER_QUEUE_RECORDS], 10);
    pipeline_stop(fixture->pipeline, 10); /* twice is fine */
    struct live *live = malloc(sizeof(*live));
    assert_non_null(live);
    assert_int_equal(live_read(fixture->dir, live), 0);
    assert_true(live->is_stopped);
    assert_string_equal(live->owner, "test");
    assert_int_equal(live->pid, getpid());
    free(live);
}

static void pipeline_stop_waits_for_what_is_in_flight(void **state)
{
    struct fixture *fixture = *state;
    fixture->sinks.decide = NULL;
    make_ring(fixture);
    start(fixture);
    uint64_t sequence;
    assert_int_equal(publish_one(fixture, "", &sequence), OUTCOME_ACCEPTED);
    size_t answered_count = 0;
    while (answered_count == 0) {
        pause_briefly();
        answered_count = fake_sinks_answer_all(&fixture->sinks, 0);
    }
    pipeline_stop(fixture->pipeline, 600000);
    struct counters counters;
    assert_int_equal(spool_counters(pipeline_spool(fixture->pipeline), DESTINATION_ALL, &counters),
                     0);
    assert_int_equal(counters.values[COUNTER_DELIVERED], 1);
    assert_int_equal(publish_one(fixture, "", &sequence), OUTCOME_CLOSED);
}

/* --- Add -------------------------------------------------------------------------------------- */

static void pipeline_add_works_while_it_runs(void **state)
{
    struct fixture *fixture = *state;
    struct message message;
    struct address *other = NULL;
    static const char text[] = "[k2]broker:9092/other?s.max.records=1";
    make_ring(fixture);
    start(fixture);
    assert_int_equal(address_parse(text, strlen(text), &other, &message), 0);
    uint32_t destination;
    uint32_t again;
    /* Paused from the start, so that what is published stays in its queue. */
    struct spool *spool = pipeline_spool(fixture->pipeline);
    assert_int_equal(
        spool_destination_open(spool, other->identity, other->text, &destination, &message), 0);
    assert_int_equal(spool_pause(spool, destination, true, &message), 0);
    assert_int_equal(pipeline_add(fixture->pipeline, other, &again, &message), 0);
    assert_int_equal(again, destination);
    assert_int_equal(pipeline_add(fixture->pipeline, other, &again, &message), 0);
    assert_int_equal(again, destination);
    assert_int_not_equal(destination, fixture->destination);
    /* Its limit is kept. */
    atomic_store(&fixture->shared->destination, destination);
    uint64_t sequence;
    assert_int_equal(publish_one(fixture, "", &sequence), OUTCOME_ACCEPTED);
    assert_int_equal(publish_one(fixture, "", &sequence), OUTCOME_FULL_DESTINATION_RECORDS);
    pipeline_free(&fixture->pipeline);
    address_free(&other);
}

/* --- Reports ---------------------------------------------------------------------------------- */

static void pipeline_step_runs_reports_until_they_are_done(void **state)
{
    struct fixture *fixture = *state;
    make_ring(fixture);
    start(fixture);
    uint64_t sequence;
    assert_int_equal(publish_one(fixture, "my_route", &sequence), OUTCOME_ACCEPTED);
    while (fixture->host.reports_count == 0) {
        pause_briefly();
        pipeline_step(fixture->pipeline);
    }
    assert_string_equal(fixture->host.reports[0].route, "my_route");
    assert_int_equal(fixture->host.reports[0].report.sequence, sequence);
    pipeline_report_done(fixture->pipeline, fixture->host.reports[0].number);
    struct counters counters = {0};
    while (counters.values[COUNTER_REPORTS_RUN] == 0) {
        pause_briefly();
        assert_int_equal(
            spool_counters(pipeline_spool(fixture->pipeline), DESTINATION_ALL, &counters), 0);
    }
    assert_int_equal(counters.values[COUNTER_REPORT_RECORDS], 0);
}

/* --- Open ------------------------------------------------------------------------------------- */

static void pipeline_open_says_why_it_cannot(void **state)
{
    struct fixture *fixture = *state;
    struct message message = {""};
    struct pipeline *second = NULL;
    make_ring(fixture);
    start(fixture);
    struct pipeline_config config = config_of(fixture);
    assert_int_equal(pipeline_open(&config, &second, &message), SPOOL_E_OWNED);
    assert_non_null(strstr(message.text, fixture->dir));
    assert_null(second);
}

static void pipeline_open_tells_of_a_spool_that_was_set_aside(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    static char garbage[64 << 10];
    memset(garbage, 0x5a, sizeof(garbage));
    make_ring(fixture);
    start(fixture);
    pipeline_free(&fixture->pipeline);
    snprintf(path, sizeof(path), "%s/data.mdb", fixture->dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 0), sizeof(garbage));
    close(fd);
    make_ring(fixture);
    start(fixture);
    assert_int_equal(fake_host_count(&fixture->host, HOST_EVENT_SET_ASIDE), 1);
    uint64_t sequence;
    assert_int_equal(publish_one(fixture, "", &sequence), OUTCOME_ACCEPTED);
}

static void pipeline_free_needs_no_start(void **state)
{
    struct fixture *fixture = *state;
    struct message message;
    make_ring(fixture);
    struct pipeline_config config = config_of(fixture);
    assert_int_equal(pipeline_open(&config, &fixture->pipeline, &message), 0);
    pipeline_stop(fixture->pipeline, 0);
    pipeline_free(&fixture->pipeline);
    assert_null(fixture->pipeline);
}

#define PIPELINE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPELINE_TEST(pipeline_stop_loses_nothing_that_was_accepted),
        PIPELINE_TEST(pipeline_start_delivers_what_an_earlier_one_left),
        PIPELINE_TEST(pipeline_stop_does_not_wait_for_a_client_that_hangs),
        PIPELINE_TEST(pipeline_stop_waits_for_what_is_in_flight),
        PIPELINE_TEST(pipeline_add_works_while_it_runs),
        PIPELINE_TEST(pipeline_step_runs_reports_until_they_are_done),
        PIPELINE_TEST(pipeline_open_says_why_it_cannot),
        PIPELINE_TEST(pipeline_open_tells_of_a_spool_that_was_set_aside),
        PIPELINE_TEST(pipeline_free_needs_no_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
