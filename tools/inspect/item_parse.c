/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a line of JSON to what a spool stores. */
#include "tools/inspect/base64.h"
#include "tools/inspect/item.h"
#include "tools/inspect/item_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

/* What reading a line needs until the record is encoded. */
struct item_reader {
    json_t *root;
    struct item_line *line;
    struct message *message;
    uint8_t *bytes; /* what was base64, one behind the other; no larger than the line */
    size_t bytes_used;
    struct record_header headers[RECORD_HEADERS_MAX];
};

/* --- Fields ----------------------------------------------------------------------------------- */

static int item_refuse(struct item_reader *reader, const char *field, const char *what)
{
    message_set(reader->message, "\"%s\": %s", field, what);
    return ITEM_E_MALFORMED;
}

static int item_get_text(struct item_reader *reader, const char *field, const char **ret_text)
{
    const json_t *value = json_object_get(reader->root, field);
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value)) {
        return item_refuse(reader, field, "must be text");
    }
    *ret_text = json_string_value(value);
    return 0;
}

/* A number of the object; a missing one, or null, is the default where there is one. */
static int item_get_number(struct item_reader *reader, const json_t *object, const char *field,
                           const int64_t *otherwise, int64_t *ret_number)
{
    const json_t *value = json_object_get(object, field);
    if (json_is_integer(value)) {
        *ret_number = json_integer_value(value);
        return 0;
    }
    if (otherwise != NULL && (value == NULL || json_is_null(value))) {
        *ret_number = *otherwise;
        return 0;
    }
    return item_refuse(reader, field, "must be a whole number");
}

static int item_get_int32(struct item_reader *reader, const json_t *object, const char *field,
                          int32_t *ret_number)
{
    int64_t number;
    int r = item_get_number(reader, object, field, NULL, &number);
    if (r == 0 && (number < INT32_MIN || number > INT32_MAX)) {
        r = item_refuse(reader, field, "is too large a number");
    }
    if (r == 0) {
        *ret_number = (int32_t)number;
    }
    return r;
}

static int item_get_u32(struct item_reader *reader, const json_t *object, const char *field,
                        uint32_t *ret_number)
{
    int64_t number;
    int r = item_get_number(reader, object, field, NULL, &number);
    if (r == 0 && (number < 0 || number > UINT32_MAX)) {
        r = item_refuse(reader, field, "is no number that can be stored");
    }
    if (r == 0) {
        *ret_number = (uint32_t)number;
    }
    return r;
}

static int item_get_u64(struct item_reader *reader, const json_t *object, const char *field,
                        bool is_optional, uint64_t *ret_number)
{
    static const int64_t none = 0;
    int64_t number;
    int r = item_get_number(reader, object, field, is_optional ? &none : NULL, &number);
    if (r == 0) {
        *ret_number = (uint64_t)number;
    }
    return r;
}

/* The text of "field", or the bytes that are base64 in "field_base64"; null, or neither: none. */
static int item_get_bytes(struct item_reader *reader, const json_t *object, const char *field,
                          struct span *ret_bytes)
{
    char longer[32];
    size_t size_bytes;
    uint8_t *at = reader->bytes + reader->bytes_used;
    (void)snprintf(longer, sizeof(longer), "%s" ITEM_BASE64, field);
    const json_t *text = json_object_get(object, field);
    const json_t *base64 = json_object_get(object, longer);
    if (base64 == NULL) {
        if (text != NULL && !json_is_null(text) && !json_is_string(text)) {
            return item_refuse(reader, field, "must be text or null");
        }
        *ret_bytes = (struct span){json_string_value(text), json_string_length(text)};
        return 0;
    }
    if (text != NULL || !json_is_string(base64) ||
        base64_decode(json_string_value(base64), json_string_length(base64), at, &size_bytes) !=
            0) {
        return item_refuse(reader, longer, "must be base64, and stand alone");
    }
    reader->bytes_used += size_bytes;
    *ret_bytes = (struct span){at, size_bytes};
    return 0;
}

static int item_get_reason(struct item_reader *reader, const json_t *object,
                           enum settle_action *ret_reason)
{
    const char *text = json_string_value(json_object_get(object, "reason"));
    for (int i = 0; text != NULL && i < (int)ITEM_REASONS_COUNT; i++) {
        if (strcmp(text, item_reasons[i]) == 0) {
            *ret_reason = (enum settle_action)i;
            return 0;
        }
    }
    return item_refuse(reader, "reason", "is none that a record can have");
}

/* --- Heads ------------------------------------------------------------------------------------ */

static int item_read_dead(struct item_reader *reader)
{
    const json_t *object = reader->root;
    struct dead_letter *dead = &reader->line->item.dead;
    int r = item_get_reason(reader, object, &dead->reason);
    if (r == 0) {
        r = item_get_int32(reader, object, "error", &dead->error);
    }
    if (r == 0) {
        r = item_get_u32(reader, object, "attempts", &dead->attempts);
    }
    if (r == 0) {
        r = item_get_u64(reader, object, "first_attempt_ms", true, &dead->first_attempt_wall_ms);
    }
    if (r == 0) {
        r = item_get_u64(reader, object, "settled_ms", false, &dead->settled_wall_ms);
    }
    return r;
}

static int item_read_report(struct item_reader *reader)
{
    const json_t *object = reader->root;
    struct report *report = &reader->line->item.report;
    uint64_t offset = 0;
    report->is_payload_left_out = json_is_true(json_object_get(object, "payload_left_out"));
    report->sequence = reader->line->item.sequence;
    int r = item_get_reason(reader, object, &report->reason);
    if (r == 0) {
        r = item_get_int32(reader, object, "error", &report->error);
    }
    if (r == 0) {
        r = item_get_int32(reader, object, "partition", &report->partition);
    }
    if (r == 0) {
        r = item_get_u32(reader, object, "attempts", &report->attempts);
    }
    if (r == 0) {
        r = item_get_u64(reader, object, "offset", false, &offset);
    }
    if (r == 0) {
        r = item_get_u64(reader, object, "settled_ms", false, &report->settled_wall_ms);
    }
    report->offset = (int64_t)offset;
    return r;
}

/* --- The record ------------------------------------------------------------------------------- */

/* "uuid:sequence". */
static int item_read_origin(struct item_reader *reader, struct record *record)
{
    const char *text = reader->line->item.spool_id;
    char uuid_text[37] = "";
    char *end;
    errno = 0;
    if (strlen(text) > 37 && text[36] == ':' && text[37] >= '0' && text[37] <= '9') {
        memcpy(uuid_text, text, 36);
        record->origin_sequence = strtoull(text + 37, &end, 10);
        if (errno == 0 && *end == '\0' && uuid_parse(uuid_text, record->origin_uuid) == 0) {
            record->has_origin = true;
            return 0;
        }
    }
    return item_refuse(reader, "spool_id", "must be a uuid, ':', and a sequence");
}

static int item_read_headers(struct item_reader *reader, struct record *record)
{
    const json_t *headers = json_object_get(reader->root, "headers");
    size_t count = json_array_size(headers);
    if (!json_is_array(headers) || count > RECORD_HEADERS_MAX) {
        return item_refuse(reader, "headers", "must be an array of at most 256 headers");
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *header = json_array_get(headers, i);
        struct span *name = &reader->headers[i].name;
        int r = item_get_bytes(reader, header, "name", name);
        if (r == 0 && name->data == NULL) {
            r = item_refuse(reader, "headers", "each must have a \"name\"");
        }
        if (r == 0) {
            r = item_get_bytes(reader, header, "value", &reader->headers[i].value);
        }
        if (r != 0) {
            return r;
        }
    }
    record->headers = reader->headers;
    record->headers_count = (uint16_t)count;
    return 0;
}

static int item_encode(struct item_reader *reader, const struct record *record)
{
    size_t size_bytes;
    if (record_size(record, &size_bytes) != 0) {
        message_set(reader->message, "the record is too large: at most %u bytes, %u of its route",
                    RECORD_BYTES_MAX, REPORT_ROUTE_BYTES_MAX);
        return ITEM_E_MALFORMED;
    }
    reader->line->encoded = malloc(size_bytes);
    if (reader->line->encoded == NULL) {
        return -ENOMEM;
    }
    record_encode(record, reader->line->encoded);
    reader->line->item.encoded = (struct span){reader->line->encoded, size_bytes};
    return 0;
}

static int item_read_record(struct item_reader *reader)
{
    struct record record = {0};
    int r = item_read_origin(reader, &record);
    if (r == 0) {
        r = item_get_u64(reader, reader->root, "published_ms", false, &record.published_wall_ms);
    }
    if (r == 0) {
        r = item_get_u64(reader, reader->root, "expires_ms", true, &record.expires_wall_ms);
    }
    if (r == 0) {
        r = item_get_bytes(reader, reader->root, "report_route", &record.report_route);
    }
    if (r == 0) {
        r = item_get_bytes(reader, reader->root, "key", &record.key);
    }
    if (r == 0) {
        r = item_read_headers(reader, &record);
    }
    if (r == 0) {
        r = item_get_bytes(reader, reader->root, "payload", &record.payload);
    }
    return r == 0 ? item_encode(reader, &record) : r;
}

/* Bytes that no program could read are kept as they are, and have no origin. */
static int item_read_damaged(struct item_reader *reader)
{
    struct span bytes;
    int r = item_get_bytes(reader, reader->root, "stored", &bytes);
    if (r != 0) {
        return r;
    }
    if (bytes.size_bytes == 0 || bytes.size_bytes > RECORD_BYTES_MAX) {
        return item_refuse(reader, "stored", "must be 1 byte to the largest record's size");
    }
    reader->line->encoded = malloc(bytes.size_bytes);
    if (reader->line->encoded == NULL) {
        return -ENOMEM;
    }
    memcpy(reader->line->encoded, bytes.data, bytes.size_bytes);
    reader->line->item.encoded = (struct span){reader->line->encoded, bytes.size_bytes};
    return 0;
}

/* --- The line --------------------------------------------------------------------------------- */

static int item_read_place(struct item_reader *reader)
{
    const char *text = "";
    int r = item_get_text(reader, "format", &text);
    if (r == 0 && strcmp(text, ITEM_FORMAT) != 0) {
        r = item_refuse(reader, "format", "must be \"" ITEM_FORMAT "\"");
    }
    if (r == 0) {
        r = item_get_text(reader, "place", &text);
    }
    if (r != 0) {
        return r;
    }
    for (int place = ITEM_QUEUE; place <= (int)ITEM_REPORTS; place++) {
        if (strcmp(text, item_place_name((enum item_place)place)) == 0) {
            reader->line->item.place = (enum item_place)place;
            return 0;
        }
    }
    return item_refuse(reader, "place", "must be \"queue\", \"dead\" or \"reports\"");
}

static int item_read(struct item_reader *reader)
{
    struct item *item = &reader->line->item;
    const char *spool_id = "";
    int r = item_read_place(reader);
    if (r == 0) {
        r = item_get_text(reader, "spool_id", &spool_id);
    }
    if (r == 0 && strlen(spool_id) >= sizeof(item->spool_id)) {
        r = item_refuse(reader, "spool_id", "is too long");
    }
    if (r == 0) {
        r = item_get_text(reader, "destination", &item->identity);
    }
    if (r == 0) {
        r = item_get_text(reader, "address", &item->address);
    }
    if (r == 0) {
        r = item_get_u64(reader, reader->root, "sequence", false, &item->sequence);
    }
    if (r == 0 && (item->identity[0] == '\0' || strlen(item->identity) > ADDRESS_BYTES_MAX ||
                   strlen(item->address) > ADDRESS_BYTES_MAX)) {
        r = item_refuse(reader, "destination", "is empty or too long");
    }
    if (r == 0 && item->place == ITEM_DEAD) {
        r = item_read_dead(reader);
    } else if (r == 0 && item->place == ITEM_REPORTS) {
        r = item_read_report(reader);
    }
    if (r != 0) {
        return r;
    }
    (void)snprintf(item->spool_id, sizeof(item->spool_id), "%s", spool_id);
    bool is_damaged = json_object_get(reader->root, "stored") != NULL ||
                      json_object_get(reader->root, "stored" ITEM_BASE64) != NULL;
    return is_damaged ? item_read_damaged(reader) : item_read_record(reader);
}

int item_parse(struct span line, struct item_line *ret_line, struct message *message)
{
    json_error_t error;
    struct item_line read = {0};
    read.root =
        json_loadb(line.data, line.size_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (read.root == NULL) {
        message_set(message, "no JSON: %s (at byte %d)", error.text, error.position);
        return ITEM_E_MALFORMED;
    }
    SPOOL_CLEANUP(spool_free)
    struct item_reader *reader = calloc(1, sizeof(*reader));
    SPOOL_CLEANUP(spool_free) uint8_t *bytes = malloc(line.size_bytes + 1);
    int r = -ENOMEM;
    if (reader != NULL && bytes != NULL) {
        *reader = (struct item_reader){
            .root = read.root,
            .line = &read,
            .message = message,
            .bytes = bytes,
        };
        r = item_read(reader);
    }
    if (r != 0) {
        item_line_free(&read);
        return r;
    }
    *ret_line = read;
    return 0;
}

void item_line_free(struct item_line *line)
{
    json_decref(line->root);
    free(line->encoded);
    *line = (struct item_line){0};
}
