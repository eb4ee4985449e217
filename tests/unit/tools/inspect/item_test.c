/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any record goes to a line and back as it was; a line that says anything else is refused. */
#include "tools/inspect/item.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spool/environment.h"
#include "tests/harness/spool_fixture.h"

#define ROUNDS_COUNT 2000
#define BYTES_MAX 300
#define HEADERS_MAX 6

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

/* Bytes that hold every trap: text, no UTF-8, NUL, quotes, nothing at all. */
static struct span random_bytes(uint8_t *buffer, size_t max)
{
    static const char *const texts[] = {"",
                                        "plain",
                                        "\"quoted\\\"",
                                        "b\xc3\xb6se",
                                        "\xed\xa0\x80",
                                        "\xf0\x9f\x98\x80",
                                        "line\r\n\tend\x1b[31m",
                                        "\xff"};
    size_t size = random_below(max + 1);
    if (random_below(2) == 0) {
        const char *text = texts[random_below(SPOOL_COUNT_OF(texts))];
        size = strlen(text);
        memcpy(buffer, text, size);
    } else {
        bool is_ascii = random_below(2) == 0;
        for (size_t i = 0; i < size; i++) {
            buffer[i] = (uint8_t)random_below(is_ascii ? 128 : 256);
        }
    }
    return (struct span){buffer, size};
}

struct random_record {
    struct record record;
    struct record_header headers[HEADERS_MAX];
    uint8_t bytes[2 * HEADERS_MAX + 3][BYTES_MAX];
};

static void make_random(struct random_record *made)
{
    size_t at = 0;
    *made = (struct random_record){
        .record =
            {
                .published_wall_ms = random_below(1ULL << 62),
                .expires_wall_ms = random_below(2) == 0 ? 0 : random_below(UINT64_MAX),
                .headers_count = (uint16_t)random_below(HEADERS_MAX + 1),
                .has_origin = random_below(2) == 0,
                .origin_sequence = random_below(UINT64_MAX),
            },
    };
    struct record *record = &made->record;
    record->key = random_bytes(made->bytes[at++], 40);
    if (random_below(3) == 0) {
        record->key = (struct span){0};
    }
    record->payload = random_bytes(made->bytes[at++], BYTES_MAX);
    record->report_route = random_bytes(made->bytes[at++], 255);
    for (size_t i = 0; i < record->headers_count; i++) {
        made->headers[i].name = random_bytes(made->bytes[at++], 20);
        made->headers[i].value = random_bytes(made->bytes[at++], BYTES_MAX);
        if (random_below(4) == 0) {
            made->headers[i].value = (struct span){0};
        }
    }
    record->headers = made->headers;
    for (size_t i = 0; i < sizeof(record->origin_uuid); i++) {
        record->origin_uuid[i] = (uint8_t)random_below(256);
    }
}

static struct span encode(const struct record *record)
{
    size_t size_bytes;
    assert_int_equal(record_size(record, &size_bytes), 0);
    void *encoded = malloc(size_bytes);
    assert_non_null(encoded);
    record_encode(record, encoded);
    return (struct span){encoded, size_bytes};
}

/* Writes the stored bytes as a line and reads that again; the caller frees what was read. */
static struct item_line there_and_back(struct spool_fixture *fixture, enum item_place place,
                                       struct span stored)
{
    struct item item;
    struct item_line line = {0};
    assert_int_equal(item_of_stored(fixture->spool, place, 1, 77, stored, &item), 0);
    json_t *root = item_json(&item);
    assert_non_null(root);
    char *text = json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(root);
    assert_non_null(text);
    int r = item_parse((struct span){text, strlen(text)}, &line, &fixture->message);
    if (r != 0) {
        fail_msg("%s: %s", fixture->message.text, text);
    }
    assert_int_equal(line.item.place, place);
    assert_string_equal(line.item.identity, item.identity);
    assert_string_equal(line.item.address, item.address);
    assert_string_equal(line.item.spool_id, item.spool_id);
    free(text);
    return line;
}

/* What comes back is what the record is with its spool-id as its origin. */
static void assert_same(struct spool_fixture *fixture, const struct item_line *line,
                        struct record record)
{
    if (!record.has_origin) {
        record.has_origin = true;
        memcpy(record.origin_uuid, fixture->spool->uuid, sizeof(record.origin_uuid));
        record.origin_sequence = 77;
    }
    struct span wanted = encode(&record);
    assert_int_equal(line->item.encoded.size_bytes, wanted.size_bytes);
    assert_memory_equal(line->item.encoded.data, wanted.data, wanted.size_bytes);
    spool_fixture_free_record(&wanted);
}

static void item_parse_reads_any_record_that_item_json_wrote(void **state)
{
    struct spool_fixture *fixture = *state;
    for (int i = 0; i < ROUNDS_COUNT; i++) {
        struct random_record made;
        make_random(&made);
        struct span stored = encode(&made.record);
        struct item_line line = there_and_back(fixture, ITEM_QUEUE, stored);
        assert_same(fixture, &line, made.record);
        item_line_free(&line);
        spool_fixture_free_record(&stored);
    }
}

/* Puts a head in front of the record. */
static struct span with_head(const void *head, size_t head_bytes, struct span record)
{
    uint8_t *stored = malloc(head_bytes + record.size_bytes);
    assert_non_null(stored);
    memcpy(stored, head, head_bytes);
    memcpy(stored + head_bytes, record.data, record.size_bytes);
    return (struct span){stored, head_bytes + record.size_bytes};
}

static void item_parse_reads_dead_letters_and_reports(void **state)
{
    struct spool_fixture *fixture = *state;
    struct record record = {.payload = {"p", 1}, .report_route = {"route", 5}};
    struct dead_letter dead = {
        .reason = SETTLE_EXPIRED,
        .error = -195,
        .attempts = UINT32_MAX,
        .settled_wall_ms = 1700000000123,
    };
    struct report report = {
        .reason = SETTLE_DROP,
        .is_payload_left_out = true,
        .error = 7,
        .partition = -1,
        .attempts = 2,
        .offset = 1LL << 60,
        .settled_wall_ms = 5,
        .destination = 2,
        .sequence = 88,
    };
    uint8_t head[REPORT_BYTES];
    struct span encoded = encode(&record);
    dead_letter_encode(&dead, head);
    struct span stored = with_head(head, DEAD_LETTER_BYTES, encoded);
    struct item_line line = there_and_back(fixture, ITEM_DEAD, stored);
    assert_same(fixture, &line, record);
    assert_int_equal(line.item.dead.reason, SETTLE_EXPIRED);
    assert_int_equal(line.item.dead.error, -195);
    assert_int_equal(line.item.dead.attempts, UINT32_MAX);
    assert_int_equal(line.item.dead.first_attempt_wall_ms, 0);
    assert_int_equal(line.item.dead.settled_wall_ms, 1700000000123);
    item_line_free(&line);
    spool_fixture_free_record(&stored);

    report_encode(&report, head);
    stored = with_head(head, REPORT_BYTES, encoded);
    line = there_and_back(fixture, ITEM_REPORTS, stored);
    assert_string_equal(line.item.identity, spool_destination_identity(fixture->spool, 2));
    assert_int_equal(line.item.report.reason, SETTLE_DROP);
    assert_true(line.item.report.is_payload_left_out);
    assert_int_equal(line.item.report.error, 7);
    assert_int_equal(line.item.report.partition, -1);
    assert_int_equal(line.item.report.attempts, 2);
    assert_int_equal(line.item.report.offset, 1LL << 60);
    assert_int_equal(line.item.report.settled_wall_ms, 5);
    assert_int_equal(line.item.report.sequence, 88);
    item_line_free(&line);
    spool_fixture_free_record(&stored);
    spool_fixture_free_record(&encoded);
}

static void item_of_a_damaged_record_keeps_its_bytes(void **state)
{
    struct spool_fixture *fixture = *state;
    static const uint8_t bytes[] = {0, 1, 2, 0xff, 'n', 'o', ' ', 'r', 'e', 'c', 'o', 'r', 'd'};
    struct span stored = {bytes, sizeof(bytes)};
    struct item_line line = there_and_back(fixture, ITEM_QUEUE, stored);
    assert_int_equal(line.item.encoded.size_bytes, sizeof(bytes));
    assert_memory_equal(line.item.encoded.data, bytes, sizeof(bytes));
    item_line_free(&line);
}

static void item_of_stored_refuses_a_head_that_nobody_can_read(void **state)
{
    struct spool_fixture *fixture = *state;
    uint8_t head[REPORT_BYTES] = {1, SETTLE_MOVE};
    struct item item;
    struct span stored = {head, sizeof(head)};
    assert_int_equal(item_of_stored(fixture->spool, ITEM_DEAD, 1, 1, stored, &item),
                     SETTLEMENT_E_MALFORMED);
    head[1] = SETTLE_DEAD; /* a report of destination 0 */
    assert_int_equal(item_of_stored(fixture->spool, ITEM_REPORTS, 0, 1, stored, &item),
                     SETTLEMENT_E_MALFORMED);
}

/* --- Lines that are refused ------------------------------------------------------------------- */

#define UUID "0188cf3a-0000-7000-8000-000000000001"
#define HEAD                                                                                       \
    "{\"format\":\"spool-inspect/export/1\",\"place\":\"queue\",\"spool_id\":\"" UUID ":5\","
#define WHOSE "\"destination\":\"d\",\"address\":\"a\",\"sequence\":5,"
#define DEAD                                                                                       \
    "{\"format\":\"spool-inspect/export/1\",\"place\":\"dead\",\"spool_id\":\"" UUID ":5\"," WHOSE \
    "\"reason\":\"dead\",\"error\":0,\"attempts\":"
#define REST "\"published_ms\":1,\"expires_ms\":null,\"key\":null,\"headers\":[],\"payload\":\"p\"}"

static void item_parse_takes_the_line_that_the_next_test_changes(void **state)
{
    struct spool_fixture *fixture = *state;
    static const char text[] = HEAD WHOSE REST;
    struct item_line line = {0};
    assert_int_equal(item_parse((struct span){text, strlen(text)}, &line, &fixture->message), 0);
    item_line_free(&line);
}

static void item_parse_refuses_and_says_why(void **state)
{
    struct spool_fixture *fixture = *state;
    static const char *const cases[][2] = {
        {"", "no JSON"},
        {"[]", "\"format\""},
        {"{\"format\":\"spool-inspect/export/2\"}", "\"format\": must be"},
        {"{\"format\":\"spool-inspect/export/1\",\"place\":\"new\"}", "\"place\": must be"},
        {HEAD WHOSE REST "x", "no JSON"},
        {HEAD "\"destination\":\"\",\"address\":\"a\",\"sequence\":5," REST, "is empty"},
        {HEAD "\"destination\":\"d\\u0000\",\"address\":\"a\",\"sequence\":5," REST,
         "must be text"},
        {HEAD "\"destination\":\"d\",\"address\":\"a\"," REST, "\"sequence\""},
        {"{\"format\":\"spool-inspect/export/1\",\"place\":\"queue\",\"spool_id\":\"5\"," WHOSE
             REST,
         "\"spool_id\""},
        {"{\"format\":\"spool-inspect/export/1\",\"place\":\"queue\",\"spool_id\":\"" UUID
         ":\"," WHOSE REST,
         "\"spool_id\""},
        {"{\"format\":\"spool-inspect/export/1\",\"place\":\"queue\",\"spool_id\":\"" UUID
         ":5x\"," WHOSE REST,
         "\"spool_id\""},
        {"{\"format\":\"spool-inspect/export/1\",\"place\":\"dead\",\"spool_id\":\"" UUID
         ":5\"," WHOSE REST,
         "\"reason\""},
        {"{\"format\":\"spool-inspect/export/1\",\"place\":\"reports\",\"spool_id\":\"" UUID
         ":5\"," WHOSE REST,
         "\"reason\""},
        {"{\"format\":\"spool-inspect/export/1\",\"place\":\"queue\",\"spool_id\":\"" UUID
         ":000000000000000000000000005\"," WHOSE REST,
         "\"spool_id\": is too long"},
        {DEAD "-1}", "\"attempts\""},
        {DEAD "4294967296}", "\"attempts\""},
        {HEAD WHOSE "\"published_ms\":\"1\"}", "\"published_ms\""},
        {HEAD WHOSE "\"published_ms\":1,\"key\":3}", "\"key\""},
        {HEAD WHOSE "\"published_ms\":1,\"key_base64\":\"a\"}", "\"key_base64\""},
        {HEAD WHOSE "\"published_ms\":1,\"key\":\"k\",\"key_base64\":\"aaaa\"}", "stand alone"},
        {HEAD WHOSE "\"published_ms\":1}", "\"headers\""},
        {HEAD WHOSE "\"published_ms\":1,\"headers\":[{}]}", "must have a \"name\""},
        {HEAD WHOSE "\"stored\":\"\"}", "\"stored\""},
        {HEAD WHOSE "\"published_ms\":1,\"published_ms\":2}", "no JSON"},
    };
    for (size_t i = 0; i < SPOOL_COUNT_OF(cases); i++) {
        struct item_line line = {0};
        struct span text = {cases[i][0], strlen(cases[i][0])};
        assert_int_equal(item_parse(text, &line, &fixture->message), ITEM_E_MALFORMED);
        if (strstr(fixture->message.text, cases[i][1]) == NULL) {
            fail_msg("'%s' is not in '%s'", cases[i][1], fixture->message.text);
        }
        assert_null(line.root);
    }
}

static void item_parse_refuses_what_is_too_large(void **state)
{
    struct spool_fixture *fixture = *state;
    struct item_line line = {0};
    char text[2048];
    char route[300];
    memset(route, 'r', sizeof(route) - 1);
    route[sizeof(route) - 1] = '\0';
    (void)snprintf(text, sizeof(text), "%s%s\"report_route\":\"%s\",%s", HEAD, WHOSE, route, REST);
    assert_int_equal(item_parse((struct span){text, strlen(text)}, &line, &fixture->message),
                     ITEM_E_MALFORMED);
    assert_non_null(strstr(fixture->message.text, "too large"));
}

#define ITEM_TEST(function)                                                                        \
    cmocka_unit_test_setup_teardown(function, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    const char *seed = getenv("SPOOL_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : 20261125;
    const struct CMUnitTest tests[] = {
        ITEM_TEST(item_parse_reads_any_record_that_item_json_wrote),
        ITEM_TEST(item_parse_reads_dead_letters_and_reports),
        ITEM_TEST(item_of_a_damaged_record_keeps_its_bytes),
        ITEM_TEST(item_of_stored_refuses_a_head_that_nobody_can_read),
        ITEM_TEST(item_parse_takes_the_line_that_the_next_test_changes),
        ITEM_TEST(item_parse_refuses_and_says_why),
        ITEM_TEST(item_parse_refuses_what_is_too_large),
    };
    return cmocka_run_group_tests_name("item", tests, NULL, NULL);
}
