/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The caller's side of a publish. The ring is real; the test itself is the owner that answers. */
#include "src/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "spool/limits.h"
#include "src/sink_rdkafka.h"
#include "tests/harness/fake_clock.h"

#define HOUR_MS 3600000
#define SLOTS_COUNT 4

struct fixture {
    struct fake_clock clock;
    struct ring *ring;
    struct publisher publisher;
    struct publish_target target;
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct ring_config config = {.slots_count = SLOTS_COUNT, .bytes = 16U << 20, .has_fds = true};
    fixture = (struct fixture){.target = {.destination = 7, .record_bytes_max = 1000}};
    fake_clock_init(&fixture.clock);
    assert_int_equal(ring_new(&config, &fixture.ring), 0);
    fixture.publisher = (struct publisher){
        .ring = fixture.ring, .clock = &fixture.clock.clock, .commit_timeout_ms = HOUR_MS};
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    ring_free(&fixture->ring);
    return 0;
}

static struct record record_of(const char *payload)
{
    return (struct record){.payload = {payload, strlen(payload)}};
}

static enum outcome begin(struct fixture *fixture, struct record *record,
                          struct ring_ticket *ret_ticket)
{
    enum outcome refusal = OUTCOME_ACCEPTED;
    int r =
        publish_begin(&fixture->publisher, &fixture->target, record, false, ret_ticket, &refusal);
    assert_int_equal(r, refusal == OUTCOME_ACCEPTED ? 0 : PUBLISH_E_REFUSED);
    return refusal;
}

static struct ring_entry take(struct fixture *fixture)
{
    struct ring_entry entry;
    assert_int_equal(ring_take(fixture->ring, &entry, 1, BATCH_BYTES_MAX), 1);
    return entry;
}

static void answer(struct fixture *fixture, int result, uint64_t sequence)
{
    struct ring_entry entry = take(fixture);
    struct ring_outcome outcome = {.result = result, .sequence = sequence};
    ring_answer(fixture->ring, &entry, &outcome, 1);
}

/* --- Begin ------------------------------------------------------------------------------------ */

static void publish_begin_sets_the_times(void **state)
{
    struct fixture *fixture = *state;
    struct ring_ticket ticket;
    uint64_t now_ms = fixture->clock.wall_now_ms;
    static const uint64_t ttls_ms[] = {0, 5000};
    for (size_t i = 0; i < SPOOL_COUNT_OF(ttls_ms); i++) {
        struct record given = record_of("hello");
        given.expires_wall_ms = 1; /* not the caller's to say */
        fixture->target.ttl_ms = ttls_ms[i];
        assert_int_equal(begin(fixture, &given, &ticket), OUTCOME_ACCEPTED);
        struct ring_entry entry = take(fixture);
        struct record record;
        assert_int_equal(entry.destination, 7);
        assert_int_equal(record_decode(entry.encoded, &record), 0);
        assert_int_equal(record.published_wall_ms, now_ms);
        assert_int_equal(record.expires_wall_ms, ttls_ms[i] != 0 ? now_ms + ttls_ms[i] : 0);
        assert_memory_equal(record.payload.data, "hello", 5);
        struct ring_outcome outcome = {.result = OUTCOME_ACCEPTED, .sequence = 1};
        ring_answer(fixture->ring, &entry, &outcome, 1);
        uint64_t sequence;
        assert_int_equal(publish_end(&fixture->publisher, ticket, &sequence), OUTCOME_ACCEPTED);
    }
}

static void publish_begin_counts_key_payload_and_headers(void **state)
{
    struct fixture *fixture = *state;
    struct ring_ticket ticket;
    static char bytes[1000];
    struct record_header header = {.name = {bytes, 100}, .value = {bytes, 200}};
    struct record record = {
        .key = {bytes, 300},
        .payload = {bytes, 400},
        .headers = &header,
        .headers_count = 1,
    };
    fixture->target.record_bytes_max = 1000 + SINK_RDKAFKA_HEADER_BYTES - 1;
    assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_OVERSIZED);
    fixture->target.record_bytes_max = 1000 + SINK_RDKAFKA_HEADER_BYTES;
    assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_ACCEPTED);
    ring_close(fixture->ring);
}

static void publish_begin_refuses_what_no_spool_takes(void **state)
{
    struct fixture *fixture = *state;
    struct ring_ticket ticket;
    char *payload = calloc(1, RECORD_BYTES_MAX + 1);
    assert_non_null(payload);
    struct record record = {.payload = {payload, RECORD_BYTES_MAX + 1}};
    fixture->target.record_bytes_max = SIZE_MAX;
    assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_OVERSIZED);
    free(payload);
}

static void publish_begin_hears_that_the_ring_is_closed(void **state)
{
    struct fixture *fixture = *state;
    struct ring_ticket ticket;
    struct record record = record_of("x");
    ring_close(fixture->ring);
    assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_CLOSED);
}

static void publish_begin_waits_for_room_no_longer_than_the_timeout(void **state)
{
    struct fixture *fixture = *state;
    struct ring_ticket ticket;
    struct record record = record_of("x");
    for (int i = 0; i < SLOTS_COUNT; i++) {
        assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_ACCEPTED);
    }
    fixture->publisher.commit_timeout_ms = 1;
    assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_TIMEOUT);
}

static void publish_begin_gives_an_fd_to_who_wants_one(void **state)
{
    struct fixture *fixture = *state;
    struct ring_ticket ticket;
    struct record record = record_of("x");
    enum outcome refusal;
    assert_int_equal(
        publish_begin(&fixture->publisher, &fixture->target, &record, true, &ticket, &refusal), 0);
    uint64_t count = 0;
    answer(fixture, OUTCOME_ACCEPTED, 1);
    assert_int_equal(read(ring_ticket_fd(fixture->ring, ticket), &count, sizeof(count)),
                     sizeof(count));
}

/* --- End -------------------------------------------------------------------------------------- */

static void publish_end_gives_each_outcome(void **state)
{
    struct fixture *fixture = *state;
    for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        struct ring_ticket ticket;
        struct record record = record_of("x");
        uint64_t sequence = 42;
        assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_ACCEPTED);
        answer(fixture, outcome, 1000);
        assert_int_equal(publish_end(&fixture->publisher, ticket, &sequence), outcome);
        assert_int_equal(sequence, outcome == OUTCOME_ACCEPTED ? 1000 : 42);
    }
}

static void publish_end_takes_back_what_was_not_taken(void **state)
{
    struct fixture *fixture = *state;
    struct ring_ticket ticket;
    struct ring_entry entry;
    struct record record = record_of("x");
    uint64_t sequence = 42;
    assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_ACCEPTED);
    fixture->publisher.commit_timeout_ms = 0;
    assert_int_equal(publish_end(&fixture->publisher, ticket, &sequence), OUTCOME_TIMEOUT);
    assert_int_equal(sequence, 42);
    assert_int_equal(ring_take(fixture->ring, &entry, 1, BATCH_BYTES_MAX), 0);
}

static void publish_end_does_not_know_of_what_is_being_committed(void **state)
{
    struct fixture *fixture = *state;
    struct ring_ticket ticket;
    struct record record = record_of("x");
    uint64_t sequence = 42;
    assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_ACCEPTED);
    (void)take(fixture);
    fixture->publisher.commit_timeout_ms = 0;
    assert_int_equal(publish_end(&fixture->publisher, ticket, &sequence), OUTCOME_UNKNOWN);
    assert_int_equal(sequence, 42);
}

static void publish_end_hears_that_the_ring_is_closed(void **state)
{
    struct fixture *fixture = *state;
    struct ring_ticket ticket;
    struct record record = record_of("x");
    uint64_t sequence;
    assert_int_equal(begin(fixture, &record, &ticket), OUTCOME_ACCEPTED);
    ring_close(fixture->ring);
    assert_int_equal(publish_end(&fixture->publisher, ticket, &sequence), OUTCOME_CLOSED);
}

/* --- Both ------------------------------------------------------------------------------------- */

/* A clock by which each look takes an hour. */
static uint64_t hours_pass(struct clock *clock)
{
    struct fake_clock *fake = (struct fake_clock *)clock;
    fake_clock_pass(fake, HOUR_MS);
    return fake->monotonic_now_ms;
}

/* Nobody answers. Waiting for the commit for a whole hour more would end this test's patience. */
static void publish_waits_one_timeout_in_all(void **state)
{
    struct fixture *fixture = *state;
    struct record record = record_of("x");
    uint64_t sequence = 42;
    fixture->clock.clock.monotonic_ms = hours_pass;
    assert_int_equal(publish(&fixture->publisher, &fixture->target, &record, &sequence),
                     OUTCOME_TIMEOUT);
    assert_int_equal(sequence, 42);
    assert_int_equal(ring_used_count(fixture->ring), 0);
}

static void publish_says_why_it_was_refused(void **state)
{
    struct fixture *fixture = *state;
    struct record record = record_of("x");
    uint64_t sequence;
    fixture->target.record_bytes_max = 0;
    assert_int_equal(publish(&fixture->publisher, &fixture->target, &record, &sequence),
                     OUTCOME_OVERSIZED);
}

#define PUBLISH_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PUBLISH_TEST(publish_begin_sets_the_times),
        PUBLISH_TEST(publish_begin_counts_key_payload_and_headers),
        PUBLISH_TEST(publish_begin_refuses_what_no_spool_takes),
        PUBLISH_TEST(publish_begin_hears_that_the_ring_is_closed),
        PUBLISH_TEST(publish_begin_waits_for_room_no_longer_than_the_timeout),
        PUBLISH_TEST(publish_begin_gives_an_fd_to_who_wants_one),
        PUBLISH_TEST(publish_end_gives_each_outcome),
        PUBLISH_TEST(publish_end_takes_back_what_was_not_taken),
        PUBLISH_TEST(publish_end_does_not_know_of_what_is_being_committed),
        PUBLISH_TEST(publish_end_hears_that_the_ring_is_closed),
        PUBLISH_TEST(publish_waits_one_timeout_in_all),
        PUBLISH_TEST(publish_says_why_it_was_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
