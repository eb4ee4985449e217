/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/settlement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t tail[3] = {'a', 'b', 'c'};

/* The bytes on disk must not change: files of earlier versions are read for ever. */
static void dead_letter_encode_writes_these_bytes(void **state)
{
    (void)state;
    static const uint8_t expected[DEAD_LETTER_BYTES] = {
        1, 1, 0, 0, 0xd6, 0xff, 0xff, 0xff, /* version, reason, zeros, error -42 */
        7, 0, 0, 0, 0,    0,    0,    0,    /* attempts, zeros */
        1, 2, 3, 4, 5,    6,    7,    8,    /* first attempt */
        8, 7, 6, 5, 4,    3,    2,    1,    /* settled */
    };
    struct dead_letter dead = {
        .reason = SETTLE_DEAD,
        .error = -42,
        .attempts = 7,
        .first_attempt_wall_ms = 0x0807060504030201,
        .settled_wall_ms = 0x0102030405060708,
    };
    uint8_t bytes[DEAD_LETTER_BYTES];
    memset(bytes, 0xee, sizeof(bytes));
    dead_letter_encode(&dead, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void report_encode_writes_these_bytes(void **state)
{
    (void)state;
    static const uint8_t expected[REPORT_BYTES] = {
        1,    5,    1,    0,    3,    0,    0,    0,    /* version, reason, flags, zero, error */
        0xff, 0xff, 0xff, 0xff, 2,    0,    0,    0,    /* partition -1, attempts */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* offset -1 */
        9,    0,    0,    0,    0,    0,    0,    0,    /* settled */
        4,    0,    0,    0,    0,    0,    0,    0,    /* destination, zeros */
        5,    1,    0,    0,    0,    0,    0,    0,    /* sequence */
    };
    struct report report = {
        .reason = SETTLE_DROP,
        .is_payload_left_out = true,
        .error = 3,
        .partition = -1,
        .attempts = 2,
        .offset = -1,
        .settled_wall_ms = 9,
        .destination = 4,
        .sequence = 261,
    };
    uint8_t bytes[REPORT_BYTES];
    memset(bytes, 0xee, sizeof(bytes));
    report_encode(&report, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void dead_letter_decode_reads_what_was_written(void **state)
{
    (void)state;
    struct dead_letter dead = {
        .reason = SETTLE_CORRUPT, .error = INT32_MIN, .attempts = UINT32_MAX};
    struct dead_letter decoded;
    struct span record;
    uint8_t bytes[DEAD_LETTER_BYTES + sizeof(tail)];
    dead_letter_encode(&dead, bytes);
    memcpy(bytes + DEAD_LETTER_BYTES, tail, sizeof(tail));
    assert_int_equal(dead_letter_decode((struct span){bytes, sizeof(bytes)}, &decoded, &record), 0);
    assert_int_equal(decoded.reason, SETTLE_CORRUPT);
    assert_int_equal(decoded.error, INT32_MIN);
    assert_int_equal(decoded.attempts, UINT32_MAX);
    assert_int_equal(record.size_bytes, sizeof(tail));
    assert_memory_equal(record.data, tail, sizeof(tail));
}

static void report_decode_reads_what_was_written(void **state)
{
    (void)state;
    struct report report = {.reason = SETTLE_DELIVERED,
                            .partition = 7,
                            .offset = INT64_MAX,
                            .destination = UINT32_MAX,
                            .sequence = UINT64_MAX};
    struct report decoded;
    struct span record;
    uint8_t bytes[REPORT_BYTES];
    report_encode(&report, bytes);
    assert_int_equal(report_decode((struct span){bytes, sizeof(bytes)}, &decoded, &record), 0);
    assert_int_equal(decoded.reason, SETTLE_DELIVERED);
    assert_false(decoded.is_payload_left_out);
    assert_int_equal(decoded.partition, 7);
    assert_int_equal(decoded.offset, INT64_MAX);
    assert_int_equal(decoded.destination, UINT32_MAX);
    assert_int_equal(decoded.sequence, UINT64_MAX);
    assert_int_equal(record.size_bytes, 0);
}

static void decode_refuses_what_no_encode_wrote(void **state)
{
    (void)state;
    struct dead_letter dead = {.reason = SETTLE_DEAD};
    struct report report = {.reason = SETTLE_DEAD};
    struct span record;
    uint8_t bytes[REPORT_BYTES];
    for (size_t size = 0; size < DEAD_LETTER_BYTES; size++) {
        dead_letter_encode(&dead, bytes);
        assert_int_equal(dead_letter_decode((struct span){bytes, size}, &dead, &record),
                         SETTLEMENT_E_MALFORMED);
    }
    for (size_t size = 0; size < REPORT_BYTES; size++) {
        report_encode(&report, bytes);
        assert_int_equal(report_decode((struct span){bytes, size}, &report, &record),
                         SETTLEMENT_E_MALFORMED);
    }
    report_encode(&report, bytes);
    bytes[0] = 2; /* a newer version */
    assert_int_equal(report_decode((struct span){bytes, sizeof(bytes)}, &report, &record),
                     SETTLEMENT_E_MALFORMED);
    assert_int_equal(dead_letter_decode((struct span){bytes, sizeof(bytes)}, &dead, &record),
                     SETTLEMENT_E_MALFORMED);
    bytes[0] = 1;
    bytes[1] = SETTLE_ACTION_COUNT; /* no such reason */
    assert_int_equal(report_decode((struct span){bytes, sizeof(bytes)}, &report, &record),
                     SETTLEMENT_E_MALFORMED);
    assert_int_equal(dead_letter_decode((struct span){bytes, sizeof(bytes)}, &dead, &record),
                     SETTLEMENT_E_MALFORMED);
}

static void settle_action_name_has_one_for_each(void **state)
{
    (void)state;
    for (int action = 0; action < SETTLE_ACTION_COUNT; action++) {
        const char *name = settle_action_name((enum settle_action)action);
        assert_non_null(name);
        assert_true(name[0] != '\0');
    }
    assert_string_equal(settle_action_name(SETTLE_DEAD), "dead");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_letter_encode_writes_these_bytes),
        cmocka_unit_test(report_encode_writes_these_bytes),
        cmocka_unit_test(dead_letter_decode_reads_what_was_written),
        cmocka_unit_test(report_decode_reads_what_was_written),
        cmocka_unit_test(decode_refuses_what_no_encode_wrote),
        cmocka_unit_test(settle_action_name_has_one_for_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
