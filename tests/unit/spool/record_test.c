/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The codec against bytes written out by hand, against itself over many shapes, and against bytes
 * that it did not write. The checksum is computed a second time here, bit by bit, so that wrong
 * fields can be given a right checksum. Buffers are of exact size, so that ASan sees an overrun.
 */
#include "spool/record.h"

#include "spool/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(text) ((struct span){(text), sizeof(text) - 1})

/* A record with one of everything, and what it must be on disk, for ever. */
static const struct record_header golden_headers[] = {
    {.name = {"a", 1}, .value = {"bc", 2}},
    {.name = {"nv", 2}, .value = {NULL, 0}},
};

static const struct record golden_record = {
    .published_wall_ms = 0x0102030405060708,
    .expires_wall_ms = 0x1112131415161718,
    .key = {"key", 3},
    .payload = {"hello", 5},
    .report_route = {"done", 4},
    .headers = golden_headers,
    .headers_count = 2,
    .has_origin = true,
    .origin_uuid = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac,
                    0xad, 0xae, 0xaf},
    .origin_sequence = 0x2122232425262728,
};

/* clang-format off */
static const uint8_t golden_bytes[] = {
    0x98, 0xde, 0xba, 0x72,                         /* checksum */
    0x01, 0x03, 0x02, 0x00,                         /* version, flags, headers count */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* published */
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* expires */
    0x03, 0x00, 0x00, 0x00, 0x15, 0x00, 0x00, 0x00, /* key size, headers size */
    0x05, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, /* payload size, route size, zero */
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, /* origin uuid */
    0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
    0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, /* origin sequence */
    'k', 'e', 'y',
    0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 'a', 'b', 'c',
    0x02, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 'n', 'v',
    'h', 'e', 'l', 'l', 'o',
    'd', 'o', 'n', 'e',
};
/* clang-format on */

/* Where the fields and parts of golden_bytes are. */
#define AT_VERSION 4
#define AT_FLAGS 5
#define AT_HEADERS_COUNT 6
#define AT_KEY_SIZE 24
#define AT_HEADERS_SIZE 28
#define AT_PAYLOAD_SIZE 32
#define AT_ROUTE_SIZE 36
#define AT_ZERO 38
#define AT_HEADER_1 67
#define AT_HEADER_2 78

/* --- Helpers --------------------------------------------------------------------------------- */

static uint32_t crc32c_by_bits(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
        }
    }
    return ~crc;
}

static void put_checksum(uint8_t *encoded, size_t size)
{
    uint32_t crc = crc32c_by_bits(encoded + 4, size - 4);
    for (int i = 0; i < 4; i++) {
        encoded[i] = (uint8_t)(crc >> (8 * i));
    }
}

static struct span encode(const struct record *record)
{
    size_t size;
    assert_int_equal(record_size(record, &size), 0);
    void *buffer = malloc(size);
    assert_non_null(buffer);
    memset(buffer, 0x5a, size); /* so that a byte that is not written shows */
    record_encode(record, buffer);
    return (struct span){buffer, size};
}

static void free_span(struct span span)
{
    free((void *)(uintptr_t)span.data);
}

static void assert_span_equal(struct span is, struct span expected)
{
    assert_int_equal(is.data == NULL, expected.data == NULL);
    assert_int_equal(is.size_bytes, expected.size_bytes);
    if (expected.size_bytes > 0) {
        assert_memory_equal(is.data, expected.data, expected.size_bytes);
    }
}

/* Empty parts that are always there come back as empty spans, not as none. */
static struct span or_empty(struct span span)
{
    return span.data != NULL ? span : TEXT("");
}

static void assert_record_equal(const struct record *is, const struct record *expected)
{
    assert_int_equal(is->published_wall_ms, expected->published_wall_ms);
    assert_int_equal(is->expires_wall_ms, expected->expires_wall_ms);
    assert_span_equal(is->key, expected->key);
    assert_span_equal(is->payload, or_empty(expected->payload));
    assert_span_equal(is->report_route, or_empty(expected->report_route));
    assert_int_equal(is->has_origin, expected->has_origin);
    assert_memory_equal(is->origin_uuid, expected->origin_uuid, sizeof(is->origin_uuid));
    assert_int_equal(is->origin_sequence, expected->origin_sequence);
    assert_int_equal(is->headers_count, expected->headers_count);
    size_t position = 0;
    struct record_header header;
    for (size_t i = 0; i < expected->headers_count; i++) {
        assert_int_equal(record_header_next(is, &position, &header), 0);
        assert_span_equal(header.name, or_empty(expected->headers[i].name));
        assert_span_equal(header.value, expected->headers[i].value);
    }
    assert_int_equal(record_header_next(is, &position, &header), RECORD_E_END);
}

static void assert_round_trip(const struct record *record)
{
    struct span encoded = encode(record);
    struct record decoded;
    assert_int_equal(record_decode(encoded, &decoded), 0);
    assert_record_equal(&decoded, record);
    free_span(encoded);
}

/* Decodes a copy of exactly that size. */
static int decode_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct record untouched = {.published_wall_ms = 4711};
    int result = record_decode((struct span){copy, size}, &untouched);
    assert_true(result == 0 || untouched.published_wall_ms == 4711);
    free(copy);
    return result;
}

/* The golden bytes with one byte changed and the checksum put right. */
static int decode_changed(size_t at, uint8_t byte)
{
    uint8_t bytes[sizeof(golden_bytes)];
    memcpy(bytes, golden_bytes, sizeof(bytes));
    assert_int_not_equal(bytes[at], byte);
    bytes[at] = byte;
    put_checksum(bytes, sizeof(bytes));
    return decode_copy(bytes, sizeof(bytes));
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void record_encode_writes_the_golden_bytes(void **state)
{
    (void)state;
    assert_int_equal(crc32c_by_bits((const uint8_t *)"123456789", 9), 0xe3069283);
    struct span encoded = encode(&golden_record);
    assert_int_equal(encoded.size_bytes, sizeof(golden_bytes));
    assert_memory_equal(encoded.data, golden_bytes, sizeof(golden_bytes));
    free_span(encoded);
}

static void record_decode_reads_the_golden_bytes(void **state)
{
    (void)state;
    struct record record;
    assert_int_equal(record_decode((struct span){golden_bytes, sizeof(golden_bytes)}, &record), 0);
    assert_record_equal(&record, &golden_record);
}

static void record_decode_gives_back_what_was_encoded(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 8, 63, 64, 65, 1000, 70000};
    static uint8_t noise[70016];
    unsigned int seed = 1;
    for (size_t i = 0; i < sizeof(noise); i++) {
        seed = seed * 1103515245U + 12345U;
        noise[i] = (uint8_t)(seed >> 16);
    }
    for (unsigned int shape = 0; shape < 6 * 9 * 9 * 4; shape++) {
        size_t key_shape = shape % 3; /* none, empty, some */
        size_t size = sizes[shape / 6 % 9];
        size_t other_size = sizes[shape / 54 % 9];
        struct record_header headers[3] = {
            {.name = {noise, other_size % UINT16_MAX}, .value = {noise + 1, size % 60000}},
            {.name = {noise, 0}, .value = {NULL, 0}},
            {.name = {noise + 3, 5}, .value = {noise + 9, 0}},
        };
        struct record record = {
            .published_wall_ms = shape * 0x9e3779b97f4a7c15U,
            .expires_wall_ms = shape % 2 != 0 ? UINT64_MAX - shape : 0,
            .key = {key_shape != 0 ? noise + 2 : NULL, key_shape == 2 ? other_size : 0},
            .payload = {size != 0 || shape % 2 != 0 ? noise : NULL, size},
            .report_route = {noise, other_size % (REPORT_ROUTE_BYTES_MAX + 1)},
            .headers = headers,
            .headers_count = (uint16_t)(shape / 486 % 4),
            .has_origin = shape / 3 % 2 != 0,
        };
        if (record.has_origin) {
            memcpy(record.origin_uuid, noise + shape, sizeof(record.origin_uuid));
            record.origin_sequence = ~(uint64_t)shape;
        }
        assert_round_trip(&record);
    }
}

static void record_decode_finds_every_flipped_bit(void **state)
{
    (void)state;
    uint8_t bytes[sizeof(golden_bytes)];
    memcpy(bytes, golden_bytes, sizeof(bytes));
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        assert_int_equal(decode_copy(bytes, sizeof(bytes)), RECORD_E_MALFORMED);
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] ^= 0xff;
        assert_int_equal(decode_copy(bytes, sizeof(bytes)), RECORD_E_MALFORMED);
        bytes[i] ^= 0xff;
    }
    assert_int_equal(decode_copy(bytes, sizeof(bytes)), 0);
}

static void record_decode_refuses_every_other_size(void **state)
{
    (void)state;
    uint8_t bytes[sizeof(golden_bytes) + 64];
    for (size_t size = 0; size < sizeof(bytes); size++) {
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes, golden_bytes, sizeof(golden_bytes));
        int expected = size == sizeof(golden_bytes) ? 0 : RECORD_E_MALFORMED;
        assert_int_equal(decode_copy(bytes, size), expected);
        if (size > 4) { /* and with a checksum that fits the size */
            put_checksum(bytes, size);
            assert_int_equal(decode_copy(bytes, size), expected);
        }
    }
}

static void record_decode_refuses_fields_that_do_not_fit(void **state)
{
    (void)state;

    static const struct {
        size_t at;
        uint8_t byte;
    } changes[] = {
        {AT_VERSION, 0},
        {AT_FLAGS, 0x07}, /* an unknown flag */
        {AT_FLAGS, 0x83},
        {AT_FLAGS, 0x02}, /* a key without its flag */
        {AT_FLAGS, 0x01}, /* an origin without its flag */
        {AT_HEADERS_COUNT, 1},
        {AT_HEADERS_COUNT, 3},
        {AT_HEADERS_COUNT, 0},
        {AT_HEADERS_COUNT + 1, 1}, /* 258 */
        {AT_KEY_SIZE, 4},
        {AT_KEY_SIZE + 3, 0xff},
        {AT_HEADERS_SIZE, 0x14},
        {AT_HEADERS_SIZE + 3, 0x80},
        {AT_PAYLOAD_SIZE, 6},
        {AT_PAYLOAD_SIZE + 3, 0x7f},
        {AT_ROUTE_SIZE, 3},
        {AT_ROUTE_SIZE + 1, 1}, /* 260 */
        {AT_ZERO, 1},
        {AT_ZERO + 1, 1},
        {AT_HEADER_1, 0}, /* its name size */
        {AT_HEADER_1, 0xff},
        {AT_HEADER_1 + 1, 0xff},
        {AT_HEADER_1 + 2, 1}, /* null, with a value */
        {AT_HEADER_1 + 2, 2},
        {AT_HEADER_1 + 3, 1}, /* reserved */
        {AT_HEADER_1 + 4, 3}, /* its value size */
        {AT_HEADER_1 + 7, 0xff},
        {AT_HEADER_2, 1},
        {AT_HEADER_2, 3},
        {AT_HEADER_2 + 2, 3},
        {AT_HEADER_2 + 4, 1},
    };

    for (size_t i = 0; i < SPOOL_COUNT_OF(changes); i++) {
        assert_int_equal(decode_changed(changes[i].at, changes[i].byte), RECORD_E_MALFORMED);
    }
}

static void record_decode_tells_a_newer_version_from_a_broken_record(void **state)
{
    (void)state;
    assert_int_equal(decode_changed(AT_VERSION, 2), RECORD_E_NEWER);
    assert_int_equal(decode_changed(AT_VERSION, 255), RECORD_E_NEWER);
}

static void record_decode_refuses_more_than_the_limits(void **state)
{
    (void)state;
    /* 257 headers, each empty, which no encoder of ours writes. */
    size_t headers_size = (size_t)(RECORD_HEADERS_MAX + 1) * 8;
    uint8_t *bytes = calloc(1, 40 + headers_size);
    assert_non_null(bytes);
    bytes[AT_VERSION] = 1;
    bytes[AT_HEADERS_COUNT] = 1;
    bytes[AT_HEADERS_COUNT + 1] = 1;
    bytes[AT_HEADERS_SIZE] = (uint8_t)headers_size;
    bytes[AT_HEADERS_SIZE + 1] = (uint8_t)(headers_size >> 8);
    put_checksum(bytes, 40 + headers_size);
    assert_int_equal(decode_copy(bytes, 40 + headers_size), RECORD_E_MALFORMED);
    /* One fewer is fine. */
    bytes[AT_HEADERS_COUNT] = 0;
    bytes[AT_HEADERS_SIZE] = (uint8_t)(headers_size - 8);
    bytes[AT_HEADERS_SIZE + 1] = (uint8_t)((headers_size - 8) >> 8);
    put_checksum(bytes, 40 + headers_size - 8);
    assert_int_equal(decode_copy(bytes, 40 + headers_size - 8), 0);
    free(bytes);

    uint8_t *large = calloc(1, RECORD_BYTES_MAX + 1);
    assert_non_null(large);
    assert_int_equal(record_decode((struct span){large, RECORD_BYTES_MAX + 1}, NULL),
                     RECORD_E_MALFORMED);
    free(large);
}

/* Whatever the bytes are, decoding ends with a result, and what it accepts can be walked. */
static void record_decode_survives_any_bytes(void **state)
{
    (void)state;
    unsigned int seed = 42;
    uint8_t bytes[sizeof(golden_bytes)];
    unsigned int accepted_count = 0;
    for (unsigned int run = 0; run < 200000; run++) {
        memcpy(bytes, golden_bytes, sizeof(bytes));
        for (unsigned int change = 0; change <= run % 4; change++) {
            seed = seed * 1103515245U + 12345U;
            bytes[4 + (seed >> 16) % (sizeof(bytes) - 4)] = (uint8_t)(seed >> 8);
        }
        put_checksum(bytes, sizeof(bytes));
        struct record record;
        if (record_decode((struct span){bytes, sizeof(bytes)}, &record) == 0) {
            size_t position = 0;
            struct record_header header;
            unsigned int count = 0;
            while (record_header_next(&record, &position, &header) == 0) {
                count++;
            }
            assert_int_equal(count, record.headers_count);
            accepted_count++;
        }
    }
    assert_true(accepted_count > 0 && accepted_count < 200000);
}

static void record_size_accepts_the_limits_and_nothing_above(void **state)
{
    (void)state;
    static struct record_header headers[RECORD_HEADERS_MAX + 1];
    size_t size = 4711;

    struct record record = {.payload = {"", RECORD_BYTES_MAX - 40}};
    assert_int_equal(record_size(&record, &size), 0);
    assert_int_equal(size, RECORD_BYTES_MAX);
    size = 4711;
    record.payload.size_bytes++;
    assert_int_equal(record_size(&record, &size), RECORD_E_OVERSIZED);
    record.payload.size_bytes = SIZE_MAX;
    assert_int_equal(record_size(&record, &size), RECORD_E_OVERSIZED);
    record.key = (struct span){"", SIZE_MAX};
    assert_int_equal(record_size(&record, &size), RECORD_E_OVERSIZED);

    record = (struct record){.headers = headers, .headers_count = RECORD_HEADERS_MAX + 1};
    assert_int_equal(record_size(&record, &size), RECORD_E_OVERSIZED);
    record.headers_count = 1;
    headers[0].name = (struct span){"", UINT16_MAX + 1};
    assert_int_equal(record_size(&record, &size), RECORD_E_OVERSIZED);
    headers[0] = (struct record_header){.value = {"", SIZE_MAX}};
    assert_int_equal(record_size(&record, &size), RECORD_E_OVERSIZED);

    record = (struct record){.report_route = {"", REPORT_ROUTE_BYTES_MAX + 1}};
    assert_int_equal(record_size(&record, &size), RECORD_E_OVERSIZED);
    assert_int_equal(size, 4711);
}

static void record_encode_carries_the_largest_parts(void **state)
{
    (void)state;
    static struct record_header headers[RECORD_HEADERS_MAX];
    static uint8_t bytes[RECORD_BYTES_MAX];
    memset(bytes, 0xc3, sizeof(bytes));
    headers[RECORD_HEADERS_MAX - 1] = (struct record_header){
        .name = {bytes, UINT16_MAX},
        .value = {bytes, 100000},
    };
    struct record record = {
        .headers = headers,
        .headers_count = RECORD_HEADERS_MAX,
        .report_route = {bytes, REPORT_ROUTE_BYTES_MAX},
    };
    assert_round_trip(&record);
    record = (struct record){.payload = {bytes, RECORD_BYTES_MAX - 40}};
    assert_round_trip(&record);
    record = (struct record){.key = {bytes, RECORD_BYTES_MAX - 40}};
    assert_round_trip(&record);
}

static void record_header_next_stays_at_the_end(void **state)
{
    (void)state;
    struct record record;
    assert_int_equal(record_decode((struct span){golden_bytes, sizeof(golden_bytes)}, &record), 0);
    struct record_header header;
    size_t position = 0;
    assert_int_equal(record_header_next(&record, &position, &header), 0);
    assert_int_equal(record_header_next(&record, &position, &header), 0);
    struct record_header last = header;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(record_header_next(&record, &position, &header), RECORD_E_END);
        assert_ptr_equal(header.name.data, last.name.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_encode_writes_the_golden_bytes),
        cmocka_unit_test(record_decode_reads_the_golden_bytes),
        cmocka_unit_test(record_decode_gives_back_what_was_encoded),
        cmocka_unit_test(record_decode_finds_every_flipped_bit),
        cmocka_unit_test(record_decode_refuses_every_other_size),
        cmocka_unit_test(record_decode_refuses_fields_that_do_not_fit),
        cmocka_unit_test(record_decode_tells_a_newer_version_from_a_broken_record),
        cmocka_unit_test(record_decode_refuses_more_than_the_limits),
        cmocka_unit_test(record_decode_survives_any_bytes),
        cmocka_unit_test(record_size_accepts_the_limits_and_nothing_above),
        cmocka_unit_test(record_encode_carries_the_largest_parts),
        cmocka_unit_test(record_header_next_stays_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
