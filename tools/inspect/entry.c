/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/entry.h"

#include "src/verdict.h"
#include "tools/inspect/output.h"

const char *entry_error_name(int32_t error)
{
    return error == 0 ? "-" : verdict_error_name(error);
}

/* [{"name": ..., "value": ...}, ...] in their order; a name may come twice. */
static json_t *entry_headers(const struct record *record)
{
    json_t *headers = json_array();
    struct record_header header;
    size_t position = 0;
    while (record_header_next(record, &position, &header) == 0) {
        json_t *object = json_object();
        output_json_bytes(object, "name", header.name);
        output_json_bytes(object, "value", header.value);
        (void)json_array_append_new(headers, object);
    }
    return headers;
}

static void entry_set_record(json_t *object, const struct spool *spool,
                             const struct walk_entry *entry, bool has_body)
{
    const struct record *record = &entry->record;
    char id[SPOOL_ID_BYTES];
    spool_id_print(spool, record->has_origin ? record->origin_uuid : NULL,
                   record->has_origin ? record->origin_sequence : entry->sequence, id);
    (void)json_object_set_new(object, "spool_id", json_string(id));
    output_json_time(object, "published_ms", record->published_wall_ms);
    output_json_time(object, "expires_ms", record->expires_wall_ms);
    output_json_bytes(object, "key", record->key);
    output_json_number(object, "payload_bytes", record->payload.size_bytes);
    output_json_number(object, "headers_count", record->headers_count);
    if (record->report_route.size_bytes > 0) {
        output_json_bytes(object, "report_route", record->report_route);
    }
    if (has_body) {
        (void)json_object_set_new(object, "headers", entry_headers(record));
        output_json_bytes(object, "payload", record->payload);
    }
}

static void entry_set_dead(json_t *object, const struct dead_letter *dead)
{
    (void)json_object_set_new(object, "reason", json_string(settle_action_name(dead->reason)));
    (void)json_object_set_new(object, "error", json_integer(dead->error));
    (void)json_object_set_new(object, "error_name",
                              dead->error == 0 ? json_null()
                                               : json_string(entry_error_name(dead->error)));
    output_json_number(object, "attempts", dead->attempts);
    output_json_time(object, "first_attempt_ms", dead->first_attempt_wall_ms);
    output_json_time(object, "settled_ms", dead->settled_wall_ms);
}

json_t *entry_json(const struct spool *spool, const struct walk_entry *entry, const char *format,
                   bool has_body)
{
    json_t *object = json_object();
    if (object == NULL) {
        return NULL;
    }
    (void)json_object_set_new(object, "format", json_string(format));
    (void)json_object_set_new(object, "place",
                              json_string(entry->place == WALK_DEAD ? "dead" : "queue"));
    (void)json_object_set_new(object, "destination",
                              json_string(spool_destination_identity(spool, entry->destination)));
    output_json_number(object, "sequence", entry->sequence);
    output_json_number(object, "stored_bytes", entry->encoded.size_bytes);
    (void)json_object_set_new(object, "readable", json_boolean(entry->is_readable));
    if (entry->is_readable) {
        entry_set_record(object, spool, entry, has_body);
    } else if (has_body) {
        output_json_bytes(object, "stored", entry->encoded);
    }
    if (entry->has_dead) {
        entry_set_dead(object, &entry->dead);
    }
    return object;
}
