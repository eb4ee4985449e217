/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Headers as JSON. What is accepted makes a record, comes out of it again, and, written as JSON
 * once more, gives the same headers in the same order.
 */
#include "src/headers_json.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>

/* The headers as a JSON object of strings and nulls. */
static char *headers_dump(const struct record *record)
{
    json_t *object = json_object();
    for (uint16_t i = 0; i < record->headers_count; i++) {
        struct span name = record->headers[i].name;
        struct span value = record->headers[i].value;
        json_t *json =
            value.data == NULL ? json_null() : json_stringn(value.data, value.size_bytes);
        fuzz_must(json != NULL, "a value is not UTF-8");
        fuzz_must(json_object_set_new(object, name.data, json) == 0, "a name is not UTF-8");
    }
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    fuzz_must(text != NULL, "no JSON");
    return text;
}

static void check_record(const struct record *record)
{
    size_t size_bytes;
    size_t position = 0;
    struct record decoded;
    struct record_header header;
    if (record_size(record, &size_bytes) != 0) {
        return;
    }
    SPOOL_CLEANUP(spool_free) uint8_t *encoded = malloc(size_bytes);
    fuzz_must(encoded != NULL, "out of memory");
    record_encode(record, encoded);
    fuzz_must(record_decode((struct span){encoded, size_bytes}, &decoded) == 0, "no record");
    fuzz_must(decoded.headers_count == record->headers_count, "another number of headers");
    for (uint16_t i = 0; i < record->headers_count; i++) {
        fuzz_must(record_header_next(&decoded, &position, &header) == 0, "a header is missing");
        fuzz_must(fuzz_is_same(header.name, record->headers[i].name) &&
                      fuzz_is_same(header.value, record->headers[i].value),
                  "another header");
    }
    fuzz_must(record_header_next(&decoded, &position, &header) == RECORD_E_END, "one too many");
}

static void check_again(const struct record *record)
{
    struct headers_json *again = NULL;
    struct message message;
    struct record other = {0};
    SPOOL_CLEANUP(spool_free) char *text = headers_dump(record);
    fuzz_must(headers_json_parse((struct span){text, strlen(text)}, &again, &message) == 0,
              "they cannot be read again");
    headers_json_give(again, &other);
    fuzz_must(other.headers_count == record->headers_count, "another number of headers");
    for (uint16_t i = 0; i < other.headers_count; i++) {
        fuzz_must(fuzz_is_same(other.headers[i].name, record->headers[i].name) &&
                      fuzz_is_same(other.headers[i].value, record->headers[i].value),
                  "another header when read again");
    }
    headers_json_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct headers_json *headers = NULL;
    struct message message = {""};
    struct record record = {.payload = {"", 0}};
    int r = headers_json_parse((struct span){data, size_bytes}, &headers, &message);
    if (r != 0) {
        fuzz_must(r == HEADERS_JSON_E_MALFORMED && headers == NULL, "no documented result");
        fuzz_must(message.text[0] != '\0', "refused without a message");
        return 0;
    }
    headers_json_give(headers, &record);
    fuzz_must(record.headers_count <= RECORD_HEADERS_MAX, "too many headers");
    check_record(&record);
    check_again(&record);
    headers_json_free(&headers);
    return 0;
}
