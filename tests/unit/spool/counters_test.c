/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void counters_encode_writes_little_endian_in_order(void **state)
{
    (void)state;
    struct counters counters = {0};
    struct counters stored;
    counters.values[COUNTER_QUEUE_BYTES] = 0x0102030405060708;
    counters_encode(&counters, &stored);
    static const uint8_t expected[8] = {8, 7, 6, 5, 4, 3, 2, 1};
    assert_memory_equal((const uint8_t *)&stored + 8, expected, sizeof(expected));
}

/* The numbers are places on disk: a new counter goes to the end. */
static void counters_keep_their_places(void **state)
{
    (void)state;
    assert_int_equal(COUNTER_QUEUE_RECORDS, 0);
    assert_int_equal(COUNTER_DEAD_RECORDS, 2);
    assert_int_equal(COUNTER_REPORT_RECORDS, 4);
    assert_int_equal(COUNTER_PAGES, 6);
    assert_int_equal(COUNTER_APPENDED, 7);
    assert_int_equal(COUNTER_DROPPED, 12);
    assert_int_equal(COUNTER_REPORTS_RUN, 15);
    assert_int_equal(COUNTER_LAST_DELIVERED_WALL_MS, 17);
    assert_int_equal(COUNTER_LARGEST_BYTES, 18);
    assert_int_equal(COUNTER_MOVED, 19);
}

static void counters_decode_reads_rows_of_any_length(void **state)
{
    (void)state;
    struct counters counters;
    struct counters stored;
    struct counters decoded;
    uint8_t longer[sizeof(stored) + 24];
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        counters.values[i] = i + 1;
    }
    counters_encode(&counters, &stored);
    for (size_t size = 0; size <= sizeof(stored); size++) {
        counters_decode((struct span){&stored, size}, &decoded);
        for (size_t i = 0; i < COUNTER_COUNT; i++) {
            assert_int_equal(decoded.values[i], i < size / 8 ? i + 1 : 0);
        }
    }
    memset(longer, 0xff, sizeof(longer));
    memcpy(longer, &stored, sizeof(stored));
    counters_decode((struct span){longer, sizeof(longer)}, &decoded);
    assert_memory_equal(&decoded, &counters, sizeof(decoded));
    counters_decode((struct span){0}, &decoded);
    assert_int_equal(decoded.values[0], 0);
}

static void counters_add_never_goes_below_zero(void **state)
{
    (void)state;
    struct counters counters = {0};
    counters_add(&counters, COUNTER_DEAD, 5);
    counters_add(&counters, COUNTER_DEAD, -3);
    assert_int_equal(counters.values[COUNTER_DEAD], 2);
    counters_add(&counters, COUNTER_DEAD, -3);
    assert_int_equal(counters.values[COUNTER_DEAD], 0);
    counters_add(&counters, COUNTER_DEAD, INT64_MIN);
    assert_int_equal(counters.values[COUNTER_DEAD], 0);
}

static void counter_name_has_a_different_one_for_each(void **state)
{
    (void)state;
    for (int i = 0; i < COUNTER_COUNT; i++) {
        assert_non_null(counter_name((enum counter)i));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(counter_name((enum counter)i), counter_name((enum counter)j));
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_encode_writes_little_endian_in_order),
        cmocka_unit_test(counters_keep_their_places),
        cmocka_unit_test(counters_decode_reads_rows_of_any_length),
        cmocka_unit_test(counters_add_never_goes_below_zero),
        cmocka_unit_test(counter_name_has_a_different_one_for_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
