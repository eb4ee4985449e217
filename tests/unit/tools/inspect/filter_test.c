/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

static void filter_reads_times_sizes_and_numbers(void **state)
{
    uint64_t value;
    (void)state;
    assert_true(filter_read_duration("90", &value));
    assert_int_equal(value, 90000);
    assert_true(filter_read_duration("5m", &value));
    assert_int_equal(value, 300000);
    assert_true(filter_read_duration("2w", &value));
    assert_int_equal(value, 14ULL * 86400000);
    assert_true(filter_read_bytes("10K", &value));
    assert_int_equal(value, 10240);
    assert_true(filter_read_bytes("7", &value));
    assert_int_equal(value, 7);
    assert_true(filter_read_number("18446744073709551615", &value));
    assert_int_equal(value, UINT64_MAX);
    static const char *const wrong[] = {"",   "m",  "-5m", "5mm",
                                        "5x", " 5", "1e3", "99999999999999999999"};
    for (size_t i = 0; i < SPOOL_COUNT_OF(wrong); i++) {
        assert_false(filter_read_duration(wrong[i], &value));
        assert_false(filter_read_bytes(wrong[i], &value));
        assert_false(filter_read_number(wrong[i], &value));
    }
    assert_false(filter_read_duration("18446744073709551615w", &value));
}

/* The options as a command line. */
static struct filter parse(int argc, const char **argv)
{
    struct filter filter = {0};
    assert_int_equal(argp_parse(&filter_argp, argc, (char **)(uintptr_t)argv,
                                ARGP_NO_EXIT | ARGP_SILENT, NULL, &filter),
                     0);
    return filter;
}

#define PARSE(...)                                                                                 \
    parse((int)SPOOL_COUNT_OF(((const char *[]){"x", __VA_ARGS__})),                               \
          (const char *[]){"x", __VA_ARGS__, NULL})

static bool matches(const struct filter *filter, const struct record *record, size_t size_bytes)
{
    return filter_matches(filter, record, size_bytes, 1000000);
}

static void filter_matches_what_was_asked_for(void **state)
{
    (void)state;
    struct record record = {
        .published_wall_ms = 1000000 - 60000,
        .key = {"k", 1},
        .payload = {"some text", 9},
    };
    struct filter filter = {0};
    assert_true(filter_is_empty(&filter));
    assert_true(matches(&filter, &record, 100));
    assert_true(matches(&filter, NULL, 100));

    filter = PARSE("--key", "k", "--contains=me te", "--older-than", "59s", "--newer-than", "61s",
                   "--larger-than", "99", "--smaller-than", "101");
    assert_false(filter_is_empty(&filter));
    assert_true(matches(&filter, &record, 100));
    assert_false(matches(&filter, NULL, 100));
    assert_false(matches(&filter, &record, 99));
    assert_false(matches(&filter, &record, 101));
    record.published_wall_ms = 1000000 - 59000;
    assert_false(matches(&filter, &record, 100));
    record.published_wall_ms = 1000000 - 61000;
    assert_false(matches(&filter, &record, 100));
    record.published_wall_ms = 2000000; /* of a clock that was set back */
    assert_false(matches(&filter, &record, 100));

    filter = PARSE("--key", "");
    assert_false(matches(&filter, &record, 1));
    record.key.size_bytes = 0;
    assert_true(matches(&filter, &record, 1));
    record.key.data = NULL;
    assert_false(matches(&filter, &record, 1));
    filter = PARSE("--contains", "other");
    assert_false(matches(&filter, &record, 1));
    filter = PARSE("--larger-than", "1");
    assert_true(matches(&filter, NULL, 2));
}

static void filter_reads_a_range(void **state)
{
    (void)state;
    struct filter filter = PARSE("--from", "7", "--to=9");
    assert_int_equal(filter.from_sequence, 7);
    assert_int_equal(filter.to_sequence, 9);
    assert_false(filter_is_empty(&filter));
}

static void filter_finds_destinations(void **state)
{
    struct spool_fixture *fixture = *state;
    struct message message;
    uint32_t made;
    uint32_t found = 0;
    static const char *const identities[] = {"[k1]cdrs", "[k1]events", "[7]x"};
    for (size_t i = 0; i < SPOOL_COUNT_OF(identities); i++) {
        assert_int_equal(
            spool_destination_open(fixture->spool, identities[i], identities[i], &made, &message),
            0);
    }
    assert_int_equal(filter_find_destination(fixture->spool, "[k1]events", &found, &message), 0);
    assert_int_equal(found, 4);
    assert_int_equal(filter_find_destination(fixture->spool, "k1", &found, &message),
                     FILTER_E_NO_DESTINATION);
    assert_non_null(strstr(message.text, "2 destinations"));
    assert_int_equal(filter_find_destination(fixture->spool, "k", &found, &message),
                     FILTER_E_NO_DESTINATION);
    assert_int_equal(filter_find_destination(fixture->spool, "2", &found, &message), 0);
    assert_int_equal(found, 2);
    assert_int_equal(filter_find_destination(fixture->spool, "6", &found, &message),
                     FILTER_E_NO_DESTINATION);

    struct filter filter = PARSE("--destination", "k1", "--destination", "7");
    assert_int_equal(filter_resolve(&filter, fixture->spool, &message), 0);
    assert_true(filter.has_destination[3] && filter.has_destination[4] &&
                filter.has_destination[5]);
    assert_false(filter.has_destination[1] || filter.has_destination[2]);
    struct filter none = PARSE("--destination", "k9");
    assert_int_equal(filter_resolve(&none, fixture->spool, &message), FILTER_E_NO_DESTINATION);
    struct filter all = {0};
    assert_int_equal(filter_resolve(&all, fixture->spool, &message), 0);
    assert_true(all.has_destination[1] && all.has_destination[5]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_reads_times_sizes_and_numbers),
        cmocka_unit_test(filter_matches_what_was_asked_for),
        cmocka_unit_test(filter_reads_a_range),
        cmocka_unit_test_setup_teardown(filter_finds_destinations, spool_fixture_set_up,
                                        spool_fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
