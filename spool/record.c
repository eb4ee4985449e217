/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/record.h"

#include "spool/limits.h"
#include "spool/little_endian.h"
#include "spool/point.h"

#include <assert.h>
#include <isa-l/crc.h>
#include <string.h>

/* Version 1. Checksum and version keep their places in every later version, so that an old reader
 * can tell a newer record from a broken one. */
#define AT_CHECKSUM 0
#define AT_VERSION 4
#define AT_FLAGS 5
#define AT_HEADERS_COUNT 6
#define AT_PUBLISHED 8
#define AT_EXPIRES 16
#define AT_KEY_SIZE 24
#define AT_HEADERS_SIZE 28
#define AT_PAYLOAD_SIZE 32
#define AT_REPORT_ROUTE_SIZE 36
#define AT_RESERVED 38
#define FIXED_BYTES 40
#define ORIGIN_BYTES 24

#define VERSION 1
#define FLAG_HAS_KEY 1
#define FLAG_HAS_ORIGIN 2

/* A header: u16 name size, u8 is null, u8 zero, u32 value size, name, value. */
#define HEADER_FIXED_BYTES 8

static_assert(RECORD_BYTES_MAX <= INT32_MAX, "libisal takes lengths as int");
static_assert(RECORD_HEADERS_MAX <= UINT16_MAX, "headers_count is a u16");
static_assert(REPORT_ROUTE_BYTES_MAX <= UINT16_MAX, "report_route_size is a u16");

static uint8_t *put_span(uint8_t *at, struct span span)
{
    if (span.size_bytes > 0) {
        memcpy(at, span.data, span.size_bytes);
    }
    return at + span.size_bytes;
}

/* CRC32C of what follows the checksum. libisal starts from the value as given and does not invert
 * the result; its parameter lacks the const that its code keeps. */
static uint32_t checksum(const uint8_t *encoded, size_t size_bytes)
{
    uint8_t *covered = (uint8_t *)(uintptr_t)(encoded + AT_VERSION);
    return ~crc32_iscsi(covered, (int)(size_bytes - AT_VERSION), UINT32_MAX);
}

/* Adds part to *size, unless that exceeds the limit; so the sum cannot overflow. */
static bool add_size(size_t *size, size_t part)
{
    if (part > RECORD_BYTES_MAX - *size) {
        return false;
    }
    *size += part;
    return true;
}

/* --- Encoding -------------------------------------------------------------------------------- */

int record_size(const struct record *record, size_t *ret_size_bytes)
{
    assert(record->headers_count == 0 || record->headers != NULL);
    if (record->headers_count > RECORD_HEADERS_MAX ||
        record->report_route.size_bytes > REPORT_ROUTE_BYTES_MAX) {
        return RECORD_E_OVERSIZED;
    }
    size_t size = FIXED_BYTES + (record->has_origin ? ORIGIN_BYTES : 0);
    size_t key_size = record->key.data != NULL ? record->key.size_bytes : 0;
    bool fits = add_size(&size, key_size) && add_size(&size, record->payload.size_bytes) &&
                add_size(&size, record->report_route.size_bytes);
    for (size_t i = 0; fits && i < record->headers_count; i++) {
        const struct record_header *header = &record->headers[i];
        size_t value_size = header->value.data != NULL ? header->value.size_bytes : 0;
        fits = header->name.size_bytes <= UINT16_MAX && add_size(&size, HEADER_FIXED_BYTES) &&
               add_size(&size, header->name.size_bytes) && add_size(&size, value_size);
    }
    if (!fits) {
        return RECORD_E_OVERSIZED;
    }
    *ret_size_bytes = size;
    return 0;
}

static uint8_t *put_headers(uint8_t *at, const struct record *record)
{
    for (size_t i = 0; i < record->headers_count; i++) {
        struct span name = record->headers[i].name;
        struct span value = record->headers[i].value;
        bool is_null = value.data == NULL;
        if (is_null) {
            value.size_bytes = 0;
        }
        put_u16(at, (uint16_t)name.size_bytes);
        at[2] = is_null ? 1 : 0;
        at[3] = 0;
        put_u32(at + 4, (uint32_t)value.size_bytes);
        at = put_span(at + HEADER_FIXED_BYTES, name);
        at = put_span(at, value);
    }
    return at;
}

void record_encode(const struct record *record, void *buffer)
{
    uint8_t *start = buffer;
    struct span key = record->key;
    uint8_t flags = record->has_origin ? FLAG_HAS_ORIGIN : 0;
    if (key.data != NULL) {
        flags |= FLAG_HAS_KEY;
    } else {
        key.size_bytes = 0;
    }
    uint8_t *at = start + FIXED_BYTES;
    if (record->has_origin) {
        memcpy(at, record->origin_uuid, sizeof(record->origin_uuid));
        put_u64(at + sizeof(record->origin_uuid), record->origin_sequence);
        at += ORIGIN_BYTES;
    }
    uint8_t *headers = put_span(at, key);
    at = put_headers(headers, record);
    put_u32(start + AT_HEADERS_SIZE, (uint32_t)(at - headers));
    at = put_span(at, record->payload);
    at = put_span(at, record->report_route);
    SPOOL_POINT("record.half_encoded");

    start[AT_VERSION] = VERSION;
    start[AT_FLAGS] = flags;
    put_u16(start + AT_HEADERS_COUNT, record->headers_count);
    put_u64(start + AT_PUBLISHED, record->published_wall_ms);
    put_u64(start + AT_EXPIRES, record->expires_wall_ms);
    put_u32(start + AT_KEY_SIZE, (uint32_t)key.size_bytes);
    put_u32(start + AT_PAYLOAD_SIZE, (uint32_t)record->payload.size_bytes);
    put_u16(start + AT_REPORT_ROUTE_SIZE, (uint16_t)record->report_route.size_bytes);
    put_u16(start + AT_RESERVED, 0);
    put_u32(start + AT_CHECKSUM, checksum(start, (size_t)(at - start)));
}

void record_clear_expiry(void *encoded, size_t size_bytes)
{
    uint8_t *at = encoded;
    put_u64(at + AT_EXPIRES, 0);
    put_u32(at + AT_CHECKSUM, checksum(at, size_bytes));
}

/* --- Decoding -------------------------------------------------------------------------------- */

/* Reads the header at *position. 0, RECORD_E_END at the end, RECORD_E_MALFORMED. */
static int header_read(struct span headers, size_t *position, struct record_header *ret_header)
{
    const uint8_t *at = (const uint8_t *)headers.data + *position;
    size_t left = headers.size_bytes - *position;
    if (left == 0) {
        return RECORD_E_END;
    }
    if (left < HEADER_FIXED_BYTES) {
        return RECORD_E_MALFORMED;
    }
    size_t name_size = get_u16(at);
    size_t value_size = get_u32(at + 4);
    bool is_null = at[2] == 1;
    if (at[2] > 1 || at[3] != 0 || (is_null && value_size != 0)) {
        return RECORD_E_MALFORMED;
    }
    left -= HEADER_FIXED_BYTES;
    if (name_size > left || value_size > left - name_size) {
        return RECORD_E_MALFORMED;
    }
    const uint8_t *name = at + HEADER_FIXED_BYTES;
    ret_header->name = (struct span){name, name_size};
    ret_header->value = (struct span){is_null ? NULL : name + name_size, value_size};
    *position += HEADER_FIXED_BYTES + name_size + value_size;
    return 0;
}

/* Whether the block is exactly so many headers: so record_header_next() cannot overrun. */
static bool headers_are_whole(struct span headers, size_t headers_count)
{
    struct record_header header;
    size_t position = 0;
    for (size_t i = 0; i < headers_count; i++) {
        if (header_read(headers, &position, &header) != 0) {
            return false;
        }
    }
    return position == headers.size_bytes;
}

/* Where the parts behind the fixed one are: each begins where the one before it ends. */
struct record_parts {
    size_t key_at;
    size_t headers_at;
    size_t payload_at;
    size_t report_route_at;
    size_t end;
};

static struct record_parts record_split(const uint8_t *start)
{
    bool has_origin = (start[AT_FLAGS] & FLAG_HAS_ORIGIN) != 0;
    struct record_parts parts = {.key_at = FIXED_BYTES + (has_origin ? ORIGIN_BYTES : 0)};
    parts.headers_at = parts.key_at + get_u32(start + AT_KEY_SIZE);
    parts.payload_at = parts.headers_at + get_u32(start + AT_HEADERS_SIZE);
    parts.report_route_at = parts.payload_at + get_u32(start + AT_PAYLOAD_SIZE);
    parts.end = parts.report_route_at + get_u16(start + AT_REPORT_ROUTE_SIZE);
    return parts;
}

int record_check(struct span encoded)
{
    const uint8_t *start = encoded.data;
    if (encoded.size_bytes < FIXED_BYTES || encoded.size_bytes > RECORD_BYTES_MAX ||
        get_u32(start + AT_CHECKSUM) != checksum(start, encoded.size_bytes)) {
        return RECORD_E_MALFORMED;
    }
    if (start[AT_VERSION] > VERSION) {
        return RECORD_E_NEWER;
    }
    /* 64-bit sums of 32-bit sizes cannot overflow. */
    struct record_parts parts = record_split(start);
    struct span headers = {start + parts.headers_at, parts.payload_at - parts.headers_at};
    uint16_t headers_count = get_u16(start + AT_HEADERS_COUNT);
    bool has_key = (start[AT_FLAGS] & FLAG_HAS_KEY) != 0;
    if (start[AT_VERSION] != VERSION ||
        (start[AT_FLAGS] & ~(FLAG_HAS_KEY | FLAG_HAS_ORIGIN)) != 0 ||
        get_u16(start + AT_RESERVED) != 0 || headers_count > RECORD_HEADERS_MAX ||
        get_u16(start + AT_REPORT_ROUTE_SIZE) > REPORT_ROUTE_BYTES_MAX ||
        parts.end != encoded.size_bytes || (!has_key && parts.headers_at != parts.key_at) ||
        !headers_are_whole(headers, headers_count)) {
        return RECORD_E_MALFORMED;
    }
    return 0;
}

int record_decode(struct span encoded, struct record *ret_record)
{
    const uint8_t *start = encoded.data;
    int r = record_check(encoded);
    if (r != 0) {
        return r;
    }
    struct record_parts parts = record_split(start);
    bool has_key = (start[AT_FLAGS] & FLAG_HAS_KEY) != 0;
    *ret_record = (struct record){
        .published_wall_ms = get_u64(start + AT_PUBLISHED),
        .expires_wall_ms = get_u64(start + AT_EXPIRES),
        .key = {has_key ? start + parts.key_at : NULL, parts.headers_at - parts.key_at},
        .payload = {start + parts.payload_at, parts.report_route_at - parts.payload_at},
        .report_route = {start + parts.report_route_at, parts.end - parts.report_route_at},
        .headers_encoded = {start + parts.headers_at, parts.payload_at - parts.headers_at},
        .headers_count = get_u16(start + AT_HEADERS_COUNT),
        .has_origin = (start[AT_FLAGS] & FLAG_HAS_ORIGIN) != 0,
    };
    if (ret_record->has_origin) {
        const uint8_t *origin = start + FIXED_BYTES;
        memcpy(ret_record->origin_uuid, origin, sizeof(ret_record->origin_uuid));
        ret_record->origin_sequence = get_u64(origin + sizeof(ret_record->origin_uuid));
    }
    return 0;
}

int record_header_next(const struct record *record, size_t *position,
                       struct record_header *ret_header)
{
    struct record_header header;
    int result = header_read(record->headers_encoded, position, &header);
    assert(result != RECORD_E_MALFORMED); /* record_decode() checked every header */
    if (result == 0) {
        *ret_header = header;
    }
    return result;
}

size_t record_report_route_size(struct span encoded)
{
    if (encoded.size_bytes < FIXED_BYTES) {
        return 0;
    }
    return get_u16((const uint8_t *)encoded.data + AT_REPORT_ROUTE_SIZE);
}
