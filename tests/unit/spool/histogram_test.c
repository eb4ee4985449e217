/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void histogram_percentile_of_nothing_is_zero(void **state)
{
    struct histogram histogram = {0};

    (void)state;
    assert_int_equal(histogram_percentile(&histogram, 50), 0);
}

static void histogram_percentile_is_within_an_eighth(void **state)
{
    (void)state;
    for (uint64_t duration = 0; duration < 100000000; duration += 1 + duration / 7) {
        struct histogram histogram = {0};
        histogram_add(&histogram, duration, 1);
        uint64_t found = histogram_percentile(&histogram, 99);
        assert_true(found >= duration);
        assert_true(found <= duration + duration / 8);
    }
}

static void histogram_percentile_tells_the_middle_from_the_end(void **state)
{
    struct histogram histogram = {0};

    (void)state;
    for (int i = 0; i < 98; i++) {
        histogram_add(&histogram, 100, 1);
    }
    histogram_add(&histogram, 5000, 1);
    histogram_add(&histogram, 5000, 1);
    assert_in_range(histogram_percentile(&histogram, 50), 100, 112);
    assert_in_range(histogram_percentile(&histogram, 98), 100, 112);
    assert_in_range(histogram_percentile(&histogram, 99), 5000, 5625);
}

static void histogram_add_takes_what_is_beyond_all_buckets(void **state)
{
    struct histogram histogram = {0};

    (void)state;
    histogram_add(&histogram, UINT64_MAX, 1);
    assert_true(histogram_percentile(&histogram, 50) > 1000000000);
}

static void histogram_add_forgets_after_two_windows(void **state)
{
    struct histogram histogram = {0};

    (void)state;
    histogram_add(&histogram, 7, 1);
    histogram_add(&histogram, 1000, HISTOGRAM_WINDOW_MS + 1);
    assert_int_equal(histogram_percentile(&histogram, 1), 7);
    histogram_add(&histogram, 1000, 2 * HISTOGRAM_WINDOW_MS + 2);
    assert_in_range(histogram_percentile(&histogram, 1), 1000, 1125);
    histogram_add(&histogram, 3, 9ULL * HISTOGRAM_WINDOW_MS);
    assert_int_equal(histogram_percentile(&histogram, 100), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_percentile_of_nothing_is_zero),
        cmocka_unit_test(histogram_percentile_is_within_an_eighth),
        cmocka_unit_test(histogram_percentile_tells_the_middle_from_the_end),
        cmocka_unit_test(histogram_add_takes_what_is_beyond_all_buckets),
        cmocka_unit_test(histogram_add_forgets_after_two_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
