/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/headers_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static void assert_header(const struct record *record, uint16_t at, const char *name,
                          const char *value)
{
    assert_true(at < record->headers_count);
    const struct record_header *header = &record->headers[at];
    assert_int_equal(header->name.size_bytes, strlen(name));
    assert_memory_equal(header->name.data, name, strlen(name));
    if (value == NULL) {
        assert_null(header->value.data);
        return;
    }
    assert_non_null(header->value.data);
    assert_int_equal(header->value.size_bytes, strlen(value));
    assert_memory_equal(header->value.data, value, strlen(value));
}

static void assert_malformed(const char *text, const char *reason)
{
    struct headers_json *headers = NULL;
    struct message message = {{0}};
    assert_int_equal(headers_json_parse(span_of(text), &headers, &message),
                     HEADERS_JSON_E_MALFORMED);
    assert_null(headers);
    assert_non_null(strstr(message.text, reason));
}

static void headers_json_parse_keeps_order_and_values(void **state)
{
    struct headers_json *headers = NULL;
    struct message message;
    struct record record = {0};

    (void)state;
    assert_int_equal(headers_json_parse(span_of("{\"z\":\"last first\",\"empty\":\"\",\"n\":null,"
                                                "\"i\":5,\"t\":true,\"o\":{\"a\":[1,2]}}"),
                                        &headers, &message),
                     0);
    headers_json_give(headers, &record);
    assert_int_equal(record.headers_count, 6);
    assert_header(&record, 0, "z", "last first");
    assert_header(&record, 1, "empty", "");
    assert_header(&record, 2, "n", NULL);
    assert_header(&record, 3, "i", "5");
    assert_header(&record, 4, "t", "true");
    assert_header(&record, 5, "o", "{\"a\":[1,2]}");
    headers_json_free(&headers);
    assert_null(headers);
}

static void headers_json_parse_keeps_a_nul(void **state)
{
    struct headers_json *headers = NULL;
    struct message message;
    struct record record = {0};

    (void)state;
    assert_int_equal(headers_json_parse(span_of("{\"a\":\"x\\u0000y\"}"), &headers, &message), 0);
    headers_json_give(headers, &record);
    assert_int_equal(record.headers[0].value.size_bytes, 3);
    assert_memory_equal(record.headers[0].value.data, "x\0y", 3);
    headers_json_free(&headers);
}

static void headers_json_parse_says_what_is_wrong(void **state)
{
    (void)state;
    assert_malformed("", "not JSON");
    assert_malformed("{\"a\":1", "not JSON");
    assert_malformed("{\"a\":1} x", "not JSON");
    assert_malformed("{\"a\":1,\"a\":2}", "not JSON");
    assert_malformed("{\"a\":\"\xff\"}", "not JSON");
    assert_malformed("[1]", "a JSON object is needed");
    assert_malformed("{\"spool-id\":\"x\"}", "spool-id");
}

static void headers_json_parse_knows_the_limit(void **state)
{
    char text[16 * (RECORD_HEADERS_MAX + 2)];
    struct headers_json *headers = NULL;
    struct message message;

    (void)state;
    for (unsigned count = RECORD_HEADERS_MAX; count <= RECORD_HEADERS_MAX + 1; count++) {
        size_t at = 0;
        for (unsigned i = 0; i < count; i++) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%c\"h%u\":1", i == 0 ? '{' : ',',
                                   i);
        }
        snprintf(text + at, sizeof(text) - at, "}");
        if (count > RECORD_HEADERS_MAX) {
            assert_malformed(text, "at most 256");
        } else {
            assert_int_equal(headers_json_parse(span_of(text), &headers, &message), 0);
            headers_json_free(&headers);
        }
    }
}

static void headers_json_give_gives_none_without_headers(void **state)
{
    struct record record = {.headers_count = 7};

    (void)state;
    headers_json_give(NULL, &record);
    assert_int_equal(record.headers_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_json_parse_keeps_order_and_values),
        cmocka_unit_test(headers_json_parse_keeps_a_nul),
        cmocka_unit_test(headers_json_parse_says_what_is_wrong),
        cmocka_unit_test(headers_json_parse_knows_the_limit),
        cmocka_unit_test(headers_json_give_gives_none_without_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
