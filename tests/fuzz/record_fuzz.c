/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the spool stores: records, the heads of dead letters and reports, entries of the audit log.
 * Whatever the bytes are, they are read or refused; a record that is read is written as the same
 * bytes again.
 *
 * An input: u8 kind; then the stored bytes (kinds 0 to 3), or the parts of a record to store (4).
 * A record's checksum is tried as it is and, since no chance would find it, put right.
 */
#include "spool/record.h"

#include "spool/audit.h"
#include "spool/limits.h"
#include "spool/little_endian.h"
#include "spool/settlement.h"
#include "tests/fuzz/fuzz.h"

#include <isa-l/crc.h>

#define CHECKSUM_BYTES 4
#define HEADERS_MAX 4

static void record_seal(uint8_t *encoded, size_t size_bytes)
{
    if (size_bytes > CHECKSUM_BYTES) {
        put_u32(encoded, ~crc32_iscsi(encoded + CHECKSUM_BYTES, (int)(size_bytes - CHECKSUM_BYTES),
                                      UINT32_MAX));
    }
}

/* Takes the headers out; the record has them to encode then. */
static void record_unfold(struct record *record, struct record_header headers[RECORD_HEADERS_MAX])
{
    size_t position = 0;
    for (uint16_t i = 0; i < record->headers_count; i++) {
        fuzz_must(record_header_next(record, &position, &headers[i]) == 0, "a header is missing");
    }
    struct record_header further;
    fuzz_must(record_header_next(record, &position, &further) == RECORD_E_END, "one too many");
    record->headers = headers;
}

static void check_record(struct span encoded)
{
    struct record_header headers[RECORD_HEADERS_MAX];
    struct record record;
    size_t size_bytes = 0;
    int r = record_decode(encoded, &record);
    fuzz_must(record_check(encoded) == r, "check and decode differ");
    size_t route_bytes = record_report_route_size(encoded);
    if (r != 0) {
        return;
    }
    fuzz_must(route_bytes == record.report_route.size_bytes, "another report route");
    record_unfold(&record, headers);
    fuzz_must(record_size(&record, &size_bytes) == 0 && size_bytes == encoded.size_bytes &&
                  size_bytes > 0,
              "another size");
    SPOOL_CLEANUP(spool_free) uint8_t *again = malloc(size_bytes);
    fuzz_must(again != NULL, "out of memory");
    record_encode(&record, again);
    fuzz_must(memcmp(again, encoded.data, size_bytes) == 0, "other bytes when written again");
    record_clear_expiry(again, size_bytes);
    fuzz_must(record_decode((struct span){again, size_bytes}, &record) == 0 &&
                  record.expires_wall_ms == 0,
              "it cannot be kept from expiry");
}

static void check_record_sealed_too(struct span encoded)
{
    check_record(encoded);
    if (encoded.size_bytes == 0) {
        return;
    }
    SPOOL_CLEANUP(spool_free) uint8_t *sealed = malloc(encoded.size_bytes);
    fuzz_must(sealed != NULL, "out of memory");
    memcpy(sealed, encoded.data, encoded.size_bytes);
    record_seal(sealed, encoded.size_bytes);
    check_record((struct span){sealed, encoded.size_bytes});
}

static void check_dead_letter(struct span stored)
{
    uint8_t bytes[DEAD_LETTER_BYTES];
    struct dead_letter dead;
    struct dead_letter again;
    struct span encoded;
    struct span rest;
    if (dead_letter_decode(stored, &dead, &encoded) != 0) {
        return;
    }
    fuzz_must(encoded.size_bytes == stored.size_bytes - DEAD_LETTER_BYTES, "another record");
    fuzz_must(settle_action_name(dead.reason) != NULL, "a reason without a name");
    dead_letter_encode(&dead, bytes);
    fuzz_must(dead_letter_decode((struct span){bytes, sizeof(bytes)}, &again, &rest) == 0 &&
                  again.reason == dead.reason && again.error == dead.error &&
                  again.attempts == dead.attempts &&
                  again.first_attempt_wall_ms == dead.first_attempt_wall_ms &&
                  again.settled_wall_ms == dead.settled_wall_ms,
              "another dead letter");
    check_record_sealed_too(encoded);
}

static void check_report(struct span stored)
{
    uint8_t bytes[REPORT_BYTES];
    struct report report;
    struct report again;
    struct span encoded;
    struct span rest;
    if (report_decode(stored, &report, &encoded) != 0) {
        return;
    }
    fuzz_must(encoded.size_bytes == stored.size_bytes - REPORT_BYTES, "another record");
    fuzz_must(settle_action_name(report.reason) != NULL, "a reason without a name");
    report_encode(&report, bytes);
    fuzz_must(report_decode((struct span){bytes, sizeof(bytes)}, &again, &rest) == 0 &&
                  again.reason == report.reason && again.error == report.error &&
                  again.partition == report.partition && again.attempts == report.attempts &&
                  again.offset == report.offset &&
                  again.settled_wall_ms == report.settled_wall_ms &&
                  again.destination == report.destination && again.sequence == report.sequence &&
                  again.is_payload_left_out == report.is_payload_left_out,
              "another report");
    check_record_sealed_too(encoded);
}

static void check_audit(struct span stored)
{
    struct audit_entry entry;
    if (audit_decode(stored, &entry) != 0) {
        return;
    }
    fuzz_must(audit_act_name(entry.act) != NULL, "an act without a name");
    const uint8_t *begin = stored.data;
    const uint8_t *who = entry.who.data;
    const uint8_t *what = entry.what.data;
    fuzz_must(who >= begin && who + entry.who.size_bytes == what &&
                  what + entry.what.size_bytes == begin + stored.size_bytes,
              "a text outside of the entry");
}

/* A record of such parts comes out of its bytes as it went in. */
static void check_parts(struct fuzz_input *input)
{
    struct record_header headers[HEADERS_MAX];
    struct record_header found[RECORD_HEADERS_MAX];
    struct record decoded;
    size_t size_bytes = 0;
    uint64_t flags = fuzz_take_number(input, 1);
    struct record record = {
        .published_wall_ms = fuzz_take_number(input, 8),
        .expires_wall_ms = fuzz_take_number(input, 8),
        .has_origin = (flags & 1) != 0,
        .origin_sequence = (flags & 1) != 0 ? fuzz_take_number(input, 8) : 0,
        .headers = headers,
        .headers_count = (uint16_t)(flags >> 4 & (HEADERS_MAX - 1)),
    };
    record.key = (flags & 2) != 0 ? fuzz_take(input, fuzz_take_number(input, 1)) : record.key;
    record.report_route = fuzz_take(input, fuzz_take_number(input, 2));
    for (uint16_t i = 0; i < record.headers_count; i++) {
        uint64_t value_bytes = fuzz_take_number(input, 1);
        headers[i].name = fuzz_take(input, fuzz_take_number(input, 2));
        headers[i].value =
            value_bytes == UINT8_MAX ? (struct span){NULL, 0} : fuzz_take(input, value_bytes);
    }
    record.payload = fuzz_take(input, SIZE_MAX);
    bool is_oversized = record.report_route.size_bytes > REPORT_ROUTE_BYTES_MAX;
    int r = record_size(&record, &size_bytes);
    fuzz_must(r == (is_oversized ? RECORD_E_OVERSIZED : 0), "another result of record_size");
    if (r != 0) {
        return;
    }
    SPOOL_CLEANUP(spool_free) uint8_t *encoded = malloc(size_bytes);
    fuzz_must(encoded != NULL, "out of memory");
    record_encode(&record, encoded);
    fuzz_must(record_decode((struct span){encoded, size_bytes}, &decoded) == 0, "no record");
    record_unfold(&decoded, found);
    fuzz_must(decoded.published_wall_ms == record.published_wall_ms &&
                  decoded.expires_wall_ms == record.expires_wall_ms &&
                  decoded.has_origin == record.has_origin &&
                  decoded.origin_sequence == record.origin_sequence &&
                  decoded.headers_count == record.headers_count &&
                  fuzz_is_same(decoded.key, record.key) &&
                  fuzz_is_same(decoded.payload, record.payload) &&
                  fuzz_is_same(decoded.report_route, record.report_route),
              "another record");
    for (uint16_t i = 0; i < record.headers_count; i++) {
        fuzz_must(fuzz_is_same(found[i].name, headers[i].name) &&
                      fuzz_is_same(found[i].value, headers[i].value),
                  "another header");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_input input = {data, size_bytes};
    uint64_t kind = fuzz_take_number(&input, 1);
    struct span stored = {input.at, input.left_bytes};
    switch (kind) {
    case 0:
        check_record_sealed_too(stored);
        break;
    case 1:
        check_dead_letter(stored);
        break;
    case 2:
        check_report(stored);
        break;
    case 3:
        check_audit(stored);
        break;
    default:
        check_parts(&input);
        break;
    }
    return 0;
}
