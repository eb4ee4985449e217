/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the spool to JSON. */
#include "tools/inspect/base64.h"
#include "tools/inspect/item.h"
#include "tools/inspect/item_private.h"

#include <stdio.h>

const char *const item_reasons[ITEM_REASONS_COUNT] = {
    [SETTLE_DELIVERED] = "delivered",
    [SETTLE_DEAD] = "dead",
    [SETTLE_CORRUPT] = "corrupt",
    [SETTLE_EXPIRED] = "expired",
    [SETTLE_EXPIRED_DROP] = "expired_dropped",
    [SETTLE_DROP] = "dropped",
};

const char *item_place_name(enum item_place place)
{
    static const char *const names[] = {
        [ITEM_QUEUE] = "queue",
        [ITEM_DEAD] = "dead",
        [ITEM_REPORTS] = "reports",
    };
    return names[place];
}

int item_of_stored(const struct spool *spool, enum item_place place, uint32_t destination,
                   uint64_t sequence, struct span stored, struct item *ret_item)
{
    struct item item = {.place = place, .sequence = sequence, .encoded = stored};
    struct record record;
    int r = 0;
    if (place == ITEM_DEAD) {
        r = dead_letter_decode(stored, &item.dead, &item.encoded);
    } else if (place == ITEM_REPORTS) {
        r = report_decode(stored, &item.report, &item.encoded);
    }
    if (r != 0) {
        return r;
    }
    if (place == ITEM_REPORTS) {
        destination = item.report.destination;
        item.sequence = item.report.sequence;
    }
    if (destination == 0 || destination > spool_destinations_count(spool) ||
        item.dead.reason >= ITEM_REASONS_COUNT || item.report.reason >= ITEM_REASONS_COUNT) {
        return SETTLEMENT_E_MALFORMED;
    }
    item.identity = spool_destination_identity(spool, destination);
    item.address = spool_destination_address(spool, destination);
    bool has_origin = record_decode(item.encoded, &record) == 0 && record.has_origin;
    spool_id_print(spool, has_origin ? record.origin_uuid : NULL,
                   has_origin ? record.origin_sequence : item.sequence, item.spool_id);
    *ret_item = item;
    return 0;
}

/* --- Values ----------------------------------------------------------------------------------- */

/* Numbers above INT64_MAX, which no clock gives, come out negative, and go in again as they were.
 */
static json_t *json_of_u64(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Sets "name" to text where the bytes are UTF-8, to null where there are none; else "name_base64".
 * Returns whether it could. */
static bool item_set_bytes(json_t *object, const char *name, struct span bytes)
{
    json_t *text = bytes.data == NULL ? json_null() : json_stringn(bytes.data, bytes.size_bytes);
    if (text != NULL) {
        return json_object_set_new(object, name, text) == 0;
    }
    char longer[32];
    size_t size = base64_size(bytes.size_bytes);
    SPOOL_CLEANUP(spool_free) char *base64 = malloc(size + 1);
    if (base64 == NULL) {
        return false;
    }
    (void)snprintf(longer, sizeof(longer), "%s" ITEM_BASE64, name);
    base64_encode(bytes, base64);
    return json_object_set_new(object, longer, json_stringn(base64, size)) == 0;
}

/* The same where no bytes are the same as empty ones. */
static bool item_set_text(json_t *object, const char *name, struct span bytes)
{
    return item_set_bytes(object, name, bytes.size_bytes == 0 ? (struct span){"", 0} : bytes);
}

static bool item_set_u64(json_t *object, const char *name, uint64_t value)
{
    return json_object_set_new(object, name, json_of_u64(value)) == 0;
}

/* 0 means none. */
static bool item_set_time(json_t *object, const char *name, uint64_t wall_ms)
{
    json_t *time = wall_ms == 0 ? json_null() : json_of_u64(wall_ms);
    return json_object_set_new(object, name, time) == 0;
}

/* --- Parts ------------------------------------------------------------------------------------ */

static bool item_set_headers(json_t *root, const struct record *record)
{
    json_t *headers = json_array();
    struct record_header header;
    size_t position = 0;
    bool is_whole = json_object_set_new(root, "headers", headers) == 0;
    while (is_whole && record_header_next(record, &position, &header) == 0) {
        json_t *one = json_object();
        is_whole = json_array_append_new(headers, one) == 0 &&
                   item_set_text(one, "name", header.name) &&
                   item_set_bytes(one, "value", header.value);
    }
    return is_whole;
}

static bool item_set_record(json_t *root, struct span encoded)
{
    struct record record;
    if (record_decode(encoded, &record) != 0) {
        return item_set_bytes(root, "stored", encoded);
    }
    bool has_route = record.report_route.size_bytes > 0;
    return item_set_u64(root, "published_ms", record.published_wall_ms) &&
           item_set_time(root, "expires_ms", record.expires_wall_ms) &&
           item_set_bytes(root, "report_route",
                          has_route ? record.report_route : (struct span){0}) &&
           item_set_bytes(root, "key", record.key) && item_set_headers(root, &record) &&
           item_set_text(root, "payload", record.payload);
}

static bool item_set_dead(json_t *root, const struct dead_letter *dead)
{
    json_t *object = json_pack("{s:s,s:i,s:I}", "reason", item_reasons[dead->reason], "error",
                               (int)dead->error, "attempts", (json_int_t)dead->attempts);
    bool is_whole = object != NULL && json_object_update(root, object) == 0;
    json_decref(object);
    return is_whole && item_set_time(root, "first_attempt_ms", dead->first_attempt_wall_ms) &&
           item_set_u64(root, "settled_ms", dead->settled_wall_ms);
}

static bool item_set_report(json_t *root, const struct report *report)
{
    json_t *object =
        json_pack("{s:s,s:i,s:I,s:i,s:I,s:b}", "reason", item_reasons[report->reason], "error",
                  (int)report->error, "attempts", (json_int_t)report->attempts, "partition",
                  (int)report->partition, "offset", (json_int_t)report->offset, "payload_left_out",
                  (int)report->is_payload_left_out);
    bool is_whole = object != NULL && json_object_update(root, object) == 0;
    json_decref(object);
    return is_whole && item_set_u64(root, "settled_ms", report->settled_wall_ms);
}

json_t *item_json(const struct item *item)
{
    json_t *root = json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "format", ITEM_FORMAT, "place",
                             item_place_name(item->place), "destination", item->identity, "address",
                             item->address, "spool_id", item->spool_id, "sequence",
                             json_of_u64(item->sequence));
    bool is_whole = root != NULL;
    if (is_whole && item->place == ITEM_DEAD) {
        is_whole = item_set_dead(root, &item->dead);
    } else if (is_whole && item->place == ITEM_REPORTS) {
        is_whole = item_set_report(root, &item->report);
    }
    if (!is_whole || !item_set_record(root, item->encoded)) {
        json_decref(root);
        return NULL;
    }
    return root;
}
