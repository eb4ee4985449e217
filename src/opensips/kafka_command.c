/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/kafka_command.h"

#include "spool/audit.h"
#include "spool/cursor.h"
#include "spool/pause.h"
#include "spool/point.h"
#include "src/json_text.h"
#include "src/opensips/destination_table.h"
#include "src/opensips/module_statistics.h"
#include "src/opensips/settings.h"
#include "src/pipeline.h"
#include "src/verdict.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The main loop does nothing else meanwhile: a longer act is left half done, and says so. */
#define ACT_MS_MAX 1000
/* Settlements that are handed to the committer at once. */
#define ACT_PAGE 1000
#define ACT_POLL_MS 2

#define PAYLOAD_SHOWN_BYTES 512

/* Who it was, in the audit log. */
#define COMMAND_WHO "OpenSIPS MI"

static uint64_t command_now_ms(void)
{
    return clock_system()->monotonic_ms(clock_system());
}

static json_t *command_fail(struct message *message, const char *what, const char *why)
{
    message_set(message, "%s: %s", what, why);
    return NULL;
}

/* The number of a destination by its ID, its identity, or its number; 0: there is none. */
static uint32_t command_find(struct spool *spool, const char *name)
{
    uint32_t count = spool_destinations_count(spool);
    const struct table_destination *known = destination_table_find(name, strlen(name));
    const char *identity = known != NULL ? known->identity : name;
    for (uint32_t i = 1; i <= count; i++) {
        if (strcmp(spool_destination_identity(spool, i), identity) == 0) {
            return i;
        }
    }
    char *end;
    errno = 0;
    unsigned long number = strtoul(name, &end, 10);
    return errno == 0 && end != name && *end == '\0' && number <= count ? (uint32_t)number : 0;
}

/* --- Status ----------------------------------------------------------------------------------- */

static json_t *status_of_statistics(const struct statistics_row *row, size_t values_count)
{
    json_t *object = json_object();
    for (enum counter i = 0; i < COUNTER_COUNT; i++) {
        json_object_set_new(object, counter_name(i),
                            json_integer((json_int_t)atomic_load(&row->counters[i])));
    }
    for (size_t i = 0; i < values_count; i++) {
        json_object_set_new(object, module_statistic_name((enum statistic)i),
                            json_integer((json_int_t)atomic_load(&row->values[i])));
    }
    return object;
}

static const char *status_state(const struct forward_status *status)
{
    if (status->is_paused) {
        return "paused";
    }
    if (status->is_held) {
        return "held";
    }
    return status->is_stalled ? "stalled" : forward_state_name(status->state);
}

/* A destination of the spool that is not configured has waiting records, perhaps, but no state. */
static json_t *status_of_destination(struct pipeline *pipeline, uint32_t id)
{
    struct spool *spool = pipeline_spool(pipeline);
    struct forward_status status;
    struct counters counters = {{0}};
    json_t *object = json_object();
    const char *identity = spool_destination_identity(spool, id);
    json_object_set_new(object, "number", json_integer(id));
    json_object_set_new(object, "identity",
                        json_text_new((struct span){identity, strlen(identity)}));
    if (forward_status(pipeline_forward(pipeline), id, &status) != 0) {
        json_object_set_new(object, "state", json_string("not configured"));
        (void)!spool_counters(spool, id, &counters);
        json_object_set_new(object, "queue_records",
                            json_integer((json_int_t)counters.values[COUNTER_QUEUE_RECORDS]));
        json_object_set_new(object, "dead_records",
                            json_integer((json_int_t)counters.values[COUNTER_DEAD_RECORDS]));
        return object;
    }
    json_object_set_new(object, "state", json_string(status_state(&status)));
    json_object_set_new(object, "retry_in_ms", json_integer((json_int_t)status.retry_in_ms));
    if (status.last_error != 0) {
        json_object_set_new(object, "last_error",
                            json_string(verdict_error_name(status.last_error)));
        json_object_set_new(object, "last_error_text",
                            json_text_new((struct span){status.last_error_text.text,
                                                        strlen(status.last_error_text.text)}));
    }
    for (uint32_t i = 0; i < destination_table_count(); i++) {
        const struct table_destination *known = destination_table_at(i);
        if (strcmp(known->identity, identity) == 0) {
            json_object_set_new(object, "address", json_string(known->address));
            json_object_update_new(object, status_of_statistics(module_statistics_of(i),
                                                                STATISTIC_OF_DESTINATION_COUNT));
        }
    }
    return object;
}

static json_t *command_status(struct pipeline *pipeline, uint32_t only)
{
    struct message trouble;
    struct spool *spool = pipeline_spool(pipeline);
    module_statistics_step(pipeline);
    json_t *answer = json_object();
    json_t *destinations = json_array();
    json_object_set_new(answer, "spool", json_string(settings.spool_dir));
    json_object_set_new(answer, "uuid", json_string(spool_uuid(spool)));
    json_object_set_new(answer, "trouble",
                        committer_trouble(pipeline_committer(pipeline), &trouble)
                            ? json_string(trouble.text)
                            : json_null());
    json_object_set_new(answer, "all",
                        status_of_statistics(module_statistics_all(), STATISTIC_COUNT));
    for (uint32_t i = 1; i <= spool_destinations_count(spool); i++) {
        if (only == 0 || only == i) {
            json_array_append_new(destinations, status_of_destination(pipeline, i));
        }
    }
    json_object_set_new(answer, "destinations", destinations);
    return answer;
}

/* --- List ------------------------------------------------------------------------------------- */

static void list_add_dead(json_t *object, const struct dead_letter *dead)
{
    json_object_set_new(object, "reason", json_string(settle_action_name(dead->reason)));
    json_object_set_new(object, "error",
                        dead->error != 0 ? json_string(verdict_error_name(dead->error))
                                         : json_null());
    json_object_set_new(object, "attempts", json_integer(dead->attempts));
    json_object_set_new(object, "settled_wall_ms", json_integer((json_int_t)dead->settled_wall_ms));
}

static void list_add_record(json_t *object, const struct record *record)
{
    struct span payload = record->payload;
    bool is_cut = payload.size_bytes > PAYLOAD_SHOWN_BYTES;
    if (is_cut) {
        payload.size_bytes = PAYLOAD_SHOWN_BYTES;
    }
    json_object_set_new(object, "published_wall_ms",
                        json_integer((json_int_t)record->published_wall_ms));
    json_object_set_new(object, "expires_wall_ms",
                        json_integer((json_int_t)record->expires_wall_ms));
    json_object_set_new(object, "key",
                        record->key.data != NULL ? json_text_new(record->key) : json_null());
    json_object_set_new(object, "report_route", json_text_new(record->report_route));
    json_object_set_new(object, "headers", json_integer(record->headers_count));
    json_object_set_new(object, "payload_bytes",
                        json_integer((json_int_t)record->payload.size_bytes));
    json_object_set_new(object, "payload", json_text_new(payload));
    json_object_set_new(object, "payload_is_cut", json_boolean(is_cut));
}

static json_t *list_entry(bool is_dead, uint64_t sequence, struct span stored)
{
    struct dead_letter dead;
    struct record record;
    json_t *object = json_object();
    json_object_set_new(object, "sequence", json_integer((json_int_t)sequence));
    if (is_dead && dead_letter_decode(stored, &dead, &stored) == 0) {
        list_add_dead(object, &dead);
    }
    if (record_decode(stored, &record) == 0) {
        list_add_record(object, &record);
    } else {
        json_object_set_new(object, "damaged", json_true());
    }
    return object;
}

static bool command_begin(struct cursor *cursor, struct spool *spool, bool is_dead, uint32_t id,
                          uint64_t from, struct message *message)
{
    int r = is_dead ? cursor_begin_dead(cursor, spool, id, from)
                    : cursor_begin_queue(cursor, spool, id, from);
    if (r != 0) {
        message_set(message, "%s: the spool cannot be read now", settings.spool_dir);
    }
    return r == 0;
}

static json_t *command_list(struct pipeline *pipeline, const struct kafka_command *command,
                            uint32_t id, struct message *message)
{
    struct cursor cursor;
    struct span stored;
    uint64_t sequence = 0;
    if (!command_begin(&cursor, pipeline_spool(pipeline), command->is_dead, id, command->from,
                       message)) {
        return NULL;
    }
    json_t *records = json_array();
    while (json_array_size(records) < command->count &&
           cursor_next(&cursor, &sequence, &stored) == 0) {
        json_array_append_new(records, list_entry(command->is_dead, sequence, stored));
    }
    bool has_more = cursor_next(&cursor, &sequence, &stored) == 0;
    cursor_end(&cursor);
    json_t *answer = json_object();
    json_object_set_new(answer, "records", records);
    json_object_set_new(answer, "next",
                        has_more ? json_integer((json_int_t)sequence) : json_null());
    return answer;
}

/* --- Acts ------------------------------------------------------------------------------------- */

/* A page of settlements of what stands in a queue or in the dead letters. */
struct act_page {
    struct settlement settlements[ACT_PAGE];
    size_t count;
    uint64_t bytes;
    uint64_t next; /* where to read on; 0: there is no more */
};

static bool act_read(struct spool *spool, const struct kafka_command *command,
                     const struct settlement *model, uint64_t from, struct act_page *page,
                     struct message *message)
{
    struct cursor cursor;
    struct span stored;
    uint64_t sequence;
    if (!command_begin(&cursor, spool, command->is_dead, model->destination, from, message)) {
        return false;
    }
    *page = (struct act_page){.next = 0};
    while (cursor_next(&cursor, &sequence, &stored) == 0 &&
           (command->sequence == 0 || command->sequence == sequence)) {
        if (page->count == ACT_PAGE) {
            page->next = sequence;
            break;
        }
        page->settlements[page->count] = *model;
        page->settlements[page->count++].sequence = sequence;
        page->bytes += stored.size_bytes;
    }
    cursor_end(&cursor);
    return true;
}

/* Hands a page over, and waits for its commit until the deadline. Whether all of it is committed.
 */
static bool act_settle(struct committer *committer, const struct act_page *page,
                       uint64_t deadline_ms)
{
    uint64_t position;
    uint32_t destination = page->settlements[0].destination;
    uint64_t given_back = committer_given_back(committer, destination);
    struct timespec pause = {.tv_nsec = ACT_POLL_MS * 1000000L};
    while (committer_settle(committer, page->settlements, page->count, &position) != 0) {
        if (command_now_ms() >= deadline_ms) {
            return false;
        }
        nanosleep(&pause, NULL);
    }
    while (committer_settled(committer) < position) {
        if (command_now_ms() >= deadline_ms) {
            return false;
        }
        nanosleep(&pause, NULL);
    }
    return committer_given_back(committer, destination) == given_back;
}

static void act_audit(struct spool *spool, const struct kafka_command *command, enum audit_act act,
                      const struct settlement *model, uint64_t records_count, uint64_t bytes)
{
    char what[64];
    struct message message;
    uint64_t now_ms = clock_system()->wall_ms(clock_system());
    snprintf(what, sizeof(what), command->sequence != 0 ? "sequence %" PRIu64 : "all",
             command->sequence);
    struct audit_entry entry = {
        .act = act,
        .destination = model->destination,
        .to_destination = model->to_destination == model->destination ? 0 : model->to_destination,
        .begun_wall_ms = now_ms,
        .ended_wall_ms = now_ms,
        .records_count = records_count,
        .bytes = bytes,
        .who = {COMMAND_WHO, strlen(COMMAND_WHO)},
        .what = {what, strlen(what)},
    };
    (void)!spool_audit_append(spool, &entry, &message);
}

/* Settles all that the command names, page by page. */
static json_t *command_act(struct pipeline *pipeline, const struct kafka_command *command,
                           enum audit_act act, const struct settlement *model,
                           struct message *message)
{
    static struct act_page page;
    struct spool *spool = pipeline_spool(pipeline);
    uint64_t deadline_ms = command_now_ms() + ACT_MS_MAX;
    uint64_t records_count = 0;
    uint64_t bytes = 0;
    bool is_complete = true;
    page.next = command->sequence != 0 ? command->sequence : 1;
    while (is_complete && page.next != 0) {
        if (!act_read(spool, command, model, page.next, &page, message)) {
            return NULL;
        }
        is_complete =
            page.count == 0 || act_settle(pipeline_committer(pipeline), &page, deadline_ms);
        SPOOL_POINT("command.settled");
        records_count += page.count;
        bytes += page.bytes;
    }
    if (records_count > 0) {
        act_audit(spool, command, act, model, records_count, bytes);
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "records", json_integer((json_int_t)records_count));
    json_object_set_new(answer, "is_complete", json_boolean(is_complete));
    return answer;
}

static json_t *command_requeue(struct pipeline *pipeline, const struct kafka_command *command,
                               uint32_t id, struct message *message)
{
    struct kafka_command dead = *command;
    struct settlement model = {.action = SETTLE_REQUEUE, .destination = id, .to_destination = id};
    dead.is_dead = true;
    if (command->to[0] != '\0') {
        model.to_destination = command_find(pipeline_spool(pipeline), command->to);
        if (model.to_destination == 0) {
            return command_fail(message, command->to, "no such destination");
        }
    }
    return command_act(pipeline, &dead, AUDIT_DEAD_REQUEUE, &model, message);
}

static json_t *command_drop(struct pipeline *pipeline, const struct kafka_command *command,
                            uint32_t id, struct message *message)
{
    struct settlement model = {
        .action = command->is_dead ? SETTLE_DEAD_DROP : SETTLE_DROP,
        .destination = id,
        .partition = -1,
        .offset = -1,
    };
    return command_act(pipeline, command, command->is_dead ? AUDIT_DEAD_DROP : AUDIT_DROP, &model,
                       message);
}

static json_t *command_pause(struct pipeline *pipeline, const struct kafka_command *command,
                             uint32_t id, struct message *message)
{
    bool pauses = command->kind == KAFKA_COMMAND_PAUSE;
    struct spool *spool = pipeline_spool(pipeline);
    uint64_t now_ms = clock_system()->wall_ms(clock_system());
    struct audit_entry entry = {
        .act = pauses ? AUDIT_PAUSE : AUDIT_RESUME,
        .destination = id,
        .begun_wall_ms = now_ms,
        .ended_wall_ms = now_ms,
        .who = {COMMAND_WHO, strlen(COMMAND_WHO)},
    };
    if (spool_pause_audited(spool, id, pauses, &entry, message) != 0) {
        return NULL;
    }
    return json_pack("{s:b}", "is_paused", pauses);
}

static json_t *command_flush(struct pipeline *pipeline, uint32_t id)
{
    struct counters counters = {{0}};
    forward_retry_now(pipeline_forward(pipeline), id);
    (void)!spool_counters(pipeline_spool(pipeline), id, &counters);
    return json_pack("{s:I}", "queue_records", (json_int_t)counters.values[COUNTER_QUEUE_RECORDS]);
}

struct json_t *kafka_command_do(struct pipeline *pipeline, const struct kafka_command *command,
                                struct message *message)
{
    uint32_t id = 0;
    if (command->destination[0] != '\0') {
        id = command_find(pipeline_spool(pipeline), command->destination);
        if (id == 0) {
            return command_fail(message, command->destination, "no such destination");
        }
    }
    switch (command->kind) {
    case KAFKA_COMMAND_STATUS:
        return command_status(pipeline, id);
    case KAFKA_COMMAND_LIST:
        return command_list(pipeline, command, id, message);
    case KAFKA_COMMAND_PAUSE:
    case KAFKA_COMMAND_RESUME:
        return command_pause(pipeline, command, id, message);
    case KAFKA_COMMAND_REQUEUE:
        return command_requeue(pipeline, command, id, message);
    case KAFKA_COMMAND_DROP:
        return command_drop(pipeline, command, id, message);
    default:
        return command_flush(pipeline, id);
    }
}
