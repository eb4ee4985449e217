/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/producer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/fake_sink.h"

static struct address *parse(const char *text)
{
    struct message message;
    struct address *address = NULL;
    if (address_parse(text, strlen(text), &address, &message) != 0) {
        fail_msg("%s", message.text);
    }
    return address;
}

/* --- Sharing ---------------------------------------------------------------------------------- */

struct sharing {
    const char *own;
    const char *other;
    bool is_expected;
};

static void producer_serves_the_same_brokers_and_global_properties(void **state)
{
    static const struct sharing cases[] = {
        {"[a]b:9092/t", "[c]b:9092/t", true},
        {"[a]b:9092/t", "[c]b:9092/u", true},
        {"b:9092/t", "[c]b:9092/t", true},
        {"[a]b:9092/t", "[c]d:9092/t", false},
        {"[a]b:9092/t", "[c]b:9093/t", false},
        {"[a]b:1,d:2/t", "[c]b:1,d:2/t", true},
        {"[a]b:9092/t?g.linger.ms=5", "[c]b:9092/t?g.linger.ms=5", true},
        {"[a]b:9092/t?g.linger.ms=5", "[c]b:9092/t?g.linger.ms=6", false},
        {"[a]b:9092/t?g.linger.ms=5", "[c]b:9092/t", false},
        {"[a]b:9092/t", "[c]b:9092/t?g.linger.ms=5", false},
        {"[a]b:9092/t?g.linger.ms=5&g.client.id=x", "[c]b:9092/t?g.client.id=x&g.linger.ms=5",
         true},
        {"[a]b:9092/t?g.linger.ms=5", "[c]b:9092/t?g.client.id=5", false},
        {"[a]b:9092/t?g.sasl.password=p", "[c]b:9092/t?g.sasl.password=q", false},
        {"[a]b:9092/t?t.compression.type=zstd", "[c]b:9092/u", true},
        {"[a]b:9092/t?s.ttl.ms=5", "[c]b:9092/t", true},
        {"[a]b:9092/t?g.linger.ms=5", "[c]b:9092/u?t.linger.ms=5", false},
    };
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(cases); i++) {
        struct address *own = parse(cases[i].own);
        struct address *other = parse(cases[i].other);
        struct producer producer = {.address = own};
        if (producer_serves(&producer, other) != cases[i].is_expected) {
            fail_msg("%s and %s", cases[i].own, cases[i].other);
        }
        address_free(&own);
        address_free(&other);
    }
}

/* --- Life ------------------------------------------------------------------------------------- */

struct fixture {
    struct fake_sinks sinks;
    struct address *address;
    struct producer producer;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fake_sinks_init(&fixture.sinks);
    fixture.address = parse("[a]broker:9092/topic?g.sasl.password=hush");
    fixture.producer = (struct producer){.address = fixture.address};
    backoff_init(&fixture.producer.backoff, 1);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    producer_close(&fixture->producer);
    fake_sinks_deinit(&fixture->sinks);
    address_free(&fixture->address);
    return 0;
}

static int open_at(struct fixture *fixture, uint64_t now_ms)
{
    return producer_open(&fixture->producer, &fixture->sinks.maker, now_ms);
}

static void producer_is_conflict_of_one_topic_with_other_properties(void **state)
{
    static const struct sharing cases[] = {
        {"[a]b:9092/t", "[c]b:9092/t", false},
        {"[a]b:9092/t?t.acks=all", "[c]b:9092/u", false},
        {"[a]b:9092/t?t.acks=all", "[c]b:9092/t?t.acks=all", false},
        {"[a]b:9092/t?t.acks=all", "[c]b:9092/t", true},
        {"[a]b:9092/t", "[c]b:9092/t?t.acks=all", true},
        {"[a]b:9092/t?t.acks=all", "[c]b:9092/t?t.acks=-1", true},
    };
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(cases); i++) {
        struct address *own = parse(cases[i].own);
        struct address *other = parse(cases[i].other);
        if (producer_is_conflict(own, other) != cases[i].is_expected) {
            fail_msg("%s and %s", cases[i].own, cases[i].other);
        }
        address_free(&own);
        address_free(&other);
    }
}

static void producer_open_opens_once(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(open_at(fixture, 0), 0);
    assert_int_equal(open_at(fixture, 0), 0);
    assert_int_equal(fixture->sinks.opened_count, 1);
    assert_int_equal(fixture->producer.generation, 1);
}

static void producer_open_waits_after_a_failure_and_says_why(void **state)
{
    struct fixture *fixture = *state;
    struct producer *producer = &fixture->producer;
    fixture->sinks.open_result = SINK_E_REJECTED;
    for (uint64_t now_ms = 1000, i = 0; i < 20; i++) {
        assert_int_equal(open_at(fixture, now_ms), PRODUCER_E_FAILED);
        assert_string_equal(producer->trouble.text, "no such client can be had");
        uint64_t cap_ms = i < 6 ? 500ULL << i : 30000;
        assert_in_range(producer->open_at_ms, now_ms + 1, now_ms + cap_ms);
        /* Before its time it is not tried, and the reason stays. */
        fixture->sinks.open_result = 0;
        assert_int_equal(open_at(fixture, producer->open_at_ms - 1), PRODUCER_E_FAILED);
        fixture->sinks.open_result = SINK_E_REJECTED;
        now_ms = producer->open_at_ms;
    }
    fixture->sinks.open_result = 0;
    assert_int_equal(open_at(fixture, producer->open_at_ms), 0);
    assert_int_equal(fixture->sinks.opened_count, 1);
}

static void producer_open_redacts_the_address(void **state)
{
    struct fixture *fixture = *state;
    fixture->sinks.open_result = -12; /* ENOMEM */
    assert_int_equal(open_at(fixture, 0), PRODUCER_E_FAILED);
    assert_null(strstr(fixture->producer.trouble.text, "hush"));
    assert_non_null(strstr(fixture->producer.trouble.text, "broker:9092"));
}

static void producer_lose_is_counted_once(void **state)
{
    struct fixture *fixture = *state;
    struct producer *producer = &fixture->producer;
    struct message reason = {"first"};
    struct message other = {"second"};
    producer_lose(producer, &reason, 0); /* not open: nothing to lose */
    assert_int_equal(producer->lost_count, 0);
    assert_int_equal(open_at(fixture, 0), 0);
    producer_lose(producer, &reason, 0);
    producer_lose(producer, &other, 0);
    assert_int_equal(producer->lost_count, 1);
    assert_string_equal(producer->trouble.text, "first");
    assert_int_equal(open_at(fixture, 0), PRODUCER_E_LATER);
    /* What it has not sent comes back at once. */
    assert_int_equal(fixture->sinks.purges_count, 1);
}

static void producer_wind_down_closes_when_all_is_reported(void **state)
{
    struct fixture *fixture = *state;
    struct producer *producer = &fixture->producer;
    struct message reason = {"lost"};
    assert_int_equal(open_at(fixture, 0), 0);
    producer->taken_count = 1;
    producer_lose(producer, &reason, 1000);
    assert_false(producer_wind_down(producer, 1000));
    assert_int_equal(fixture->sinks.open_count, 1);
    producer->taken_count = 0;
    assert_false(producer_wind_down(producer, 2000));
    assert_int_equal(fixture->sinks.open_count, 0);
    assert_false(producer->is_lost);
    assert_int_equal(open_at(fixture, 2000), PRODUCER_E_LATER);
    assert_in_range(producer->open_at_ms, 2001, 2500);
    assert_int_equal(open_at(fixture, producer->open_at_ms), 0);
    assert_int_equal(producer->generation, 2);
}

static void producer_wind_down_gives_up_after_its_deadlines(void **state)
{
    struct fixture *fixture = *state;
    struct producer *producer = &fixture->producer;
    struct message reason = {"lost"};
    assert_int_equal(open_at(fixture, 0), 0);
    producer->taken_count = 1;
    producer_lose(producer, &reason, 1000);
    assert_false(producer_wind_down(producer, 11000));
    assert_int_equal(fixture->sinks.purges_count, 2);
    assert_false(producer_wind_down(producer, 15999));
    assert_int_equal(fixture->sinks.purges_count, 2);
    assert_true(producer_wind_down(producer, 16000));
    producer_end(producer, 16000);
    assert_int_equal(producer->taken_count, 0);
    assert_int_equal(fixture->sinks.open_count, 0);
}

/* A request of a lost producer fails, and its record is in the client's queue again. */
static void producer_wind_down_takes_back_what_returns_to_the_client(void **state)
{
    struct fixture *fixture = *state;
    struct producer *producer = &fixture->producer;
    struct message reason = {"lost"};
    assert_int_equal(open_at(fixture, 0), 0);
    producer->taken_count = 1;
    producer_lose(producer, &reason, 1000);
    assert_false(producer_wind_down(producer, 1499));
    assert_int_equal(fixture->sinks.purges_count, 1);
    assert_false(producer_wind_down(producer, 1500));
    assert_false(producer_wind_down(producer, 1999));
    assert_int_equal(fixture->sinks.purges_count, 2);
    assert_false(producer_wind_down(producer, 2000));
    assert_int_equal(fixture->sinks.purges_count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(producer_serves_the_same_brokers_and_global_properties),
        cmocka_unit_test(producer_is_conflict_of_one_topic_with_other_properties),
        cmocka_unit_test_setup_teardown(producer_open_opens_once, setup, teardown),
        cmocka_unit_test_setup_teardown(producer_open_waits_after_a_failure_and_says_why, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(producer_open_redacts_the_address, setup, teardown),
        cmocka_unit_test_setup_teardown(producer_lose_is_counted_once, setup, teardown),
        cmocka_unit_test_setup_teardown(producer_wind_down_closes_when_all_is_reported, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(producer_wind_down_gives_up_after_its_deadlines, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(producer_wind_down_takes_back_what_returns_to_the_client,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
