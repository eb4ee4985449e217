/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports: kept until the host ran them, in order, a bounded number at a time. */
#include "src/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/flow_fixture.h"

#define OUTSTANDING_MAX 256UL
#define FIRST_REPORT 1

struct fixture {
    struct flow_fixture *flow;
    struct reports *reports;
    uint32_t destination;
};

static int answer(void *context, const struct fake_record *record)
{
    (void)context;
    return record->payload_bytes > 0 && record->payload[0] == '!' ? FAKE_LATER : 0;
}

static int setup(void **state)
{
    static struct fixture fixture;
    void *flow;
    assert_int_equal(flow_fixture_setup(&flow), 0);
    fixture.flow = flow;
    fixture.flow->sinks.decide = answer;
    fixture.destination = flow_add(fixture.flow, "[k1]broker:9092/topic");
    assert_int_equal(reports_new(fixture.flow->spool, fixture.flow->committer,
                                 &fixture.flow->host.host, &fixture.reports),
                     0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    void *flow = fixture->flow;
    reports_free(&fixture->reports);
    reports_free(&fixture->reports); /* NULL is fine */
    return flow_fixture_teardown(&flow);
}

static void restart(struct fixture *fixture)
{
    reports_free(&fixture->reports);
    flow_restart(fixture->flow);
    assert_int_equal(reports_new(fixture->flow->spool, fixture->flow->committer,
                                 &fixture->flow->host.host, &fixture->reports),
                     0);
}

static void publish(struct fixture *fixture, size_t count)
{
    struct record record = {
        .published_wall_ms = 1,
        .key = {"key", 3},
        .payload = {"a payload", 9},
        .report_route = {"route", 5},
    };
    flow_begin(fixture->flow, count * FLOW_RECORD_BYTES, count);
    for (size_t i = 0; i < count; i++) {
        (void)flow_put(fixture->flow, fixture->destination, &record);
    }
    flow_commit(fixture->flow);
    flow_run(fixture->flow);
}

static uint64_t waiting(const struct fixture *fixture)
{
    return flow_counter(fixture->flow, DESTINATION_ALL, COUNTER_REPORT_RECORDS);
}

static void commit(const struct fixture *fixture)
{
    while (committer_step(fixture->flow->committer, true) > 0) {
    }
}

/* --- Running ---------------------------------------------------------------------------------- */

static void reports_step_hands_over_the_final_status(void **state)
{
    struct fixture *fixture = *state;
    struct fake_host *host = &fixture->flow->host;
    publish(fixture, 1);
    assert_int_equal(reports_step(fixture->reports), 1);
    const struct fake_host_report *report = &host->reports[0];
    assert_int_equal(report->report.reason, SETTLE_DELIVERED);
    assert_int_equal(report->report.error, 0);
    assert_int_equal(report->report.offset, 0);
    assert_int_equal(report->report.partition, 0);
    assert_int_equal(report->report.attempts, 1);
    assert_int_equal(report->report.sequence, fixture->flow->sinks.records[0].sequence);
    assert_string_equal(report->route, "route");
    assert_string_equal(report->key, "key");
    assert_int_equal(report->payload_bytes, 9);
    assert_string_equal(report->destination_identity, "[k1]topic");
}

static void reports_step_hands_over_failures_too(void **state)
{
    struct fixture *fixture = *state;
    struct record record = {
        .published_wall_ms = 1,
        .expires_wall_ms = 2,
        .payload = {"late", 4},
        .report_route = {"route", 5},
    };
    (void)flow_append_record(fixture->flow, fixture->destination, &record);
    flow_run(fixture->flow);
    assert_int_equal(reports_step(fixture->reports), 1);
    assert_int_equal(fixture->flow->host.reports[0].report.reason, SETTLE_EXPIRED);
}

static void reports_step_hands_each_over_once_and_in_order(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, 5);
    assert_int_equal(reports_step(fixture->reports), 5);
    assert_int_equal(reports_step(fixture->reports), 0);
    publish(fixture, 2);
    assert_int_equal(reports_step(fixture->reports), 2);
    for (size_t i = 1; i < 7; i++) {
        assert_true(fixture->flow->host.reports[i].report.sequence >
                    fixture->flow->host.reports[i - 1].report.sequence);
    }
    assert_int_equal(waiting(fixture), 7);
}

static void reports_done_deletes_the_report(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, 2);
    assert_int_equal(reports_step(fixture->reports), 2);
    reports_done(fixture->reports, fixture->flow->host.reports[1].number);
    commit(fixture);
    assert_int_equal(waiting(fixture), 1);
    assert_int_equal(flow_counter(fixture->flow, fixture->destination, COUNTER_REPORTS_RUN), 1);
    restart(fixture);
    assert_int_equal(reports_step(fixture->reports), 1);
    assert_int_equal(fixture->flow->host.reports[2].number, fixture->flow->host.reports[0].number);
}

static void reports_done_of_what_nobody_has_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, 1);
    reports_done(fixture->reports, 1);
    reports_done(fixture->reports, 99);
    commit(fixture);
    assert_int_equal(waiting(fixture), 1);
    assert_int_equal(reports_step(fixture->reports), 1);
}

/* --- A host that will not --------------------------------------------------------------------- */

static void reports_step_asks_a_busy_host_again(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, 3);
    fixture->flow->host.report_result = HOST_E_BUSY;
    /* More often than there are places for outstanding ones: none is lost. */
    for (size_t i = 0; i < 2 * OUTSTANDING_MAX; i++) {
        assert_int_equal(reports_step(fixture->reports), 0);
    }
    fixture->flow->host.report_result = 0;
    assert_int_equal(reports_step(fixture->reports), 3);
}

static void reports_step_keeps_reports_for_a_host_that_can(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, 3);
    fixture->flow->host.report_result = HOST_E_UNABLE;
    assert_int_equal(reports_step(fixture->reports), 0);
    fixture->flow->host.report_result = 0;
    assert_int_equal(reports_step(fixture->reports), 0); /* it was asked once */
    assert_int_equal(waiting(fixture), 3);
    restart(fixture);
    assert_int_equal(reports_step(fixture->reports), 3);
}

/* --- Bounds ----------------------------------------------------------------------------------- */

static void reports_step_bounds_what_is_outstanding(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, OUTSTANDING_MAX + 50);
    assert_int_equal(reports_step(fixture->reports), OUTSTANDING_MAX);
    assert_int_equal(reports_step(fixture->reports), 0);
    reports_done(fixture->reports, fixture->flow->host.reports[0].number);
    commit(fixture);
    assert_int_equal(reports_step(fixture->reports), 1);
}

/* While the spool cannot be written, a quick host must not fill the committer's queue with marks:
 * settlements need it. */
static void reports_step_waits_for_the_commit_of_marks(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, 2 * OUTSTANDING_MAX);
    for (int i = 0; i < 10; i++) {
        (void)reports_step(fixture->reports);
        size_t count = fixture->flow->host.reports_count;
        assert_int_equal(count, OUTSTANDING_MAX);
        for (size_t j = 0; i == 0 && j < count; j++) {
            reports_done(fixture->reports, fixture->flow->host.reports[j].number);
        }
    }
    commit(fixture);
    assert_int_equal(waiting(fixture), OUTSTANDING_MAX);
    assert_int_equal(reports_step(fixture->reports), OUTSTANDING_MAX);
    for (size_t j = OUTSTANDING_MAX; j < 2 * OUTSTANDING_MAX; j++) {
        reports_done(fixture->reports, fixture->flow->host.reports[j].number);
    }
    commit(fixture);
    assert_int_equal(waiting(fixture), 0);
}

/* --- Damage ----------------------------------------------------------------------------------- */

/* Damages all reports in the place of the byte at, then has one more. */
static void check_damage(struct fixture *fixture, size_t at)
{
    /* More than there are places for outstanding ones. */
    publish(fixture, OUTSTANDING_MAX + 10);
    for (uint64_t i = 0; i < OUTSTANDING_MAX + 10; i++) {
        flow_damage_report(fixture->flow, FIRST_REPORT + i, at);
    }
    publish(fixture, 1);
    for (int i = 0; i < 5; i++) {
        (void)reports_step(fixture->reports);
        commit(fixture);
    }
    assert_int_equal(fixture->flow->host.reports_count, 1);
    assert_int_equal(waiting(fixture), 1);
    assert_false(spool_is_latched(fixture->flow->spool));
}

static void reports_step_drops_reports_with_a_damaged_record(void **state)
{
    check_damage(*state, REPORT_BYTES + 20);
}

static void reports_step_drops_reports_with_a_damaged_head(void **state)
{
    check_damage(*state, 0);
}

#define REPORT_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REPORT_TEST(reports_step_hands_over_the_final_status),
        REPORT_TEST(reports_step_hands_over_failures_too),
        REPORT_TEST(reports_step_hands_each_over_once_and_in_order),
        REPORT_TEST(reports_done_deletes_the_report),
        REPORT_TEST(reports_done_of_what_nobody_has_changes_nothing),
        REPORT_TEST(reports_step_asks_a_busy_host_again),
        REPORT_TEST(reports_step_keeps_reports_for_a_host_that_can),
        REPORT_TEST(reports_step_bounds_what_is_outstanding),
        REPORT_TEST(reports_step_waits_for_the_commit_of_marks),
        REPORT_TEST(reports_step_drops_reports_with_a_damaged_record),
        REPORT_TEST(reports_step_drops_reports_with_a_damaged_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
