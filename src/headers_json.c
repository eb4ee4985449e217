/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/headers_json.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

struct headers_json {
    json_t *object;                  /* owns names and strings */
    char *texts[RECORD_HEADERS_MAX]; /* of the values that are no strings; owned */
    struct record_header headers[RECORD_HEADERS_MAX];
    uint16_t headers_count;
};

void headers_json_free(struct headers_json **headers_at)
{
    struct headers_json *headers = SPOOL_TAKE(*headers_at);
    if (headers == NULL) {
        return;
    }
    for (uint16_t i = 0; i < headers->headers_count; i++) {
        free(headers->texts[i]);
    }
    json_decref(headers->object);
    free(headers);
}

static int headers_add(struct headers_json *headers, const char *name, const json_t *value)
{
    uint16_t at = headers->headers_count;
    struct record_header *header = &headers->headers[at];
    header->name = (struct span){name, strlen(name)};
    if (json_is_string(value)) {
        header->value = (struct span){json_string_value(value), json_string_length(value)};
    } else if (json_is_null(value)) {
        header->value = (struct span){NULL, 0};
    } else {
        headers->texts[at] = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (headers->texts[at] == NULL) {
            return -ENOMEM;
        }
        header->value = (struct span){headers->texts[at], strlen(headers->texts[at])};
    }
    headers->headers_count++;
    return 0;
}

static int headers_load(struct headers_json *headers, struct span text, struct message *message)
{
    json_error_t error;
    headers->object =
        json_loadb(text.data, text.size_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (headers->object == NULL) {
        message_set(message, "headers: not JSON: %s (byte %d)", error.text, error.position);
        return HEADERS_JSON_E_MALFORMED;
    }
    if (!json_is_object(headers->object)) {
        message_set(message, "headers: a JSON object is needed");
        return HEADERS_JSON_E_MALFORMED;
    }
    if (json_object_size(headers->object) > RECORD_HEADERS_MAX) {
        message_set(message, "headers: %zu of them, at most %u are possible",
                    json_object_size(headers->object), (unsigned)RECORD_HEADERS_MAX);
        return HEADERS_JSON_E_MALFORMED;
    }
    if (json_object_get(headers->object, "spool-id") != NULL) {
        message_set(message, "headers: \"spool-id\" is the spool's own header");
        return HEADERS_JSON_E_MALFORMED;
    }
    return 0;
}

int headers_json_parse(struct span text, struct headers_json **ret_headers, struct message *message)
{
    SPOOL_CLEANUP(headers_json_free) struct headers_json *headers = calloc(1, sizeof(*headers));
    if (headers == NULL) {
        message_set(message, "headers: out of memory");
        return -ENOMEM;
    }
    int r = headers_load(headers, text, message);
    if (r != 0) {
        return r;
    }
    const char *name;
    json_t *value;
    json_object_foreach(headers->object, name, value)
    {
        r = headers_add(headers, name, value);
        if (r != 0) {
            message_set(message, "headers: out of memory");
            return r;
        }
    }
    *ret_headers = SPOOL_TAKE(headers);
    return 0;
}

void headers_json_give(const struct headers_json *headers, struct record *record)
{
    record->headers = headers != NULL ? headers->headers : NULL;
    record->headers_count = headers != NULL ? headers->headers_count : 0;
}
