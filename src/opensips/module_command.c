/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/module_command.h"

#include "spool/futex.h"
#include "src/opensips/kafka_command.h"
#include "src/opensips/opensips.h"
#include "src/opensips/shared_state.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What a command may take in the Kafka process, and more. */
#define ANSWER_MS_MAX 5000
#define LIST_COUNT_DEFAULT 20

#define CODE_BAD_PARAMETER 400
#define CODE_FAILED 500
#define CODE_LATE 504

/* A command and its answer, in OpenSIPS's shared memory, of the two processes: the last one that
 * lets go frees it. */
struct command_call {
    struct kafka_command command;
    _Atomic uint32_t is_answered; /* a futex */
    _Atomic uint32_t holders_count;
    bool has_failed;
    struct message message; /* when it failed */
    char *json;             /* when not; in shared memory too */
};

/* The Kafka process's own. */
static struct pipeline *served;

void module_command_serve(struct pipeline *pipeline)
{
    served = pipeline;
}

static void command_call_release(struct command_call *call)
{
    if (atomic_fetch_sub(&call->holders_count, 1) == 1) {
        if (call->json != NULL) {
            shm_free(call->json);
        }
        shm_free(call);
    }
}

/* --- In the Kafka process --------------------------------------------------------------------- */

static int command_run_json(struct command_call *call)
{
    if (served == NULL) {
        message_set(&call->message, "the spool is not open; the log says why");
        return -EAGAIN;
    }
    json_t *answer = kafka_command_do(served, &call->command, &call->message);
    if (answer == NULL) {
        return -EINVAL;
    }
    char *text = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    size_t size_bytes = text != NULL ? strlen(text) + 1 : 0;
    call->json = text != NULL ? shm_malloc(size_bytes) : NULL;
    if (call->json != NULL) {
        memcpy(call->json, text, size_bytes);
    }
    free(text);
    if (call->json == NULL) {
        message_set(&call->message, "no memory for the answer");
        return -ENOMEM;
    }
    return 0;
}

static void command_run(int sender, void *parameter)
{
    (void)sender;
    struct command_call *call = parameter;
    call->has_failed = command_run_json(call) != 0;
    atomic_store(&call->is_answered, 1);
    futex_wake(&call->is_answered);
    command_call_release(call);
}

/* --- JSON to MI ------------------------------------------------------------------------------- */

/* Adds a value to an MI object or array. 0, -1 (no memory). */
static int command_add(mi_item_t *to, const char *name, const json_t *value);

static int command_add_members(mi_item_t *to, const json_t *value)
{
    const char *name;
    json_t *member;
    size_t at;
    int r = 0;
    if (json_is_array(value)) {
        json_array_foreach(value, at, member)
        {
            r |= command_add(to, NULL, member);
        }
        return r;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        r |= command_add(to, name, member);
    }
    return r;
}

static int command_add(mi_item_t *to, const char *name, const json_t *value)
{
    char *key = (char *)(uintptr_t)name;
    int key_bytes = name != NULL ? (int)strlen(name) : 0;
    mi_item_t *below;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        below = add_mi_object(to, key, key_bytes);
        return below != NULL ? command_add_members(below, value) : -1;
    case JSON_ARRAY:
        below = add_mi_array(to, key, key_bytes);
        return below != NULL ? command_add_members(below, value) : -1;
    case JSON_STRING:
        return add_mi_string(to, key, key_bytes, json_string_value(value),
                             (int)json_string_length(value));
    case JSON_INTEGER:
        return add_mi_number(to, key, key_bytes, (double)json_integer_value(value));
    case JSON_NULL:
        return add_mi_null(to, key, key_bytes);
    default:
        return add_mi_bool(to, key, key_bytes, json_is_true(value));
    }
}

static mi_response_t *command_error(int code, const char *text)
{
    return init_mi_error(code, text, (int)strlen(text));
}

static mi_response_t *command_response(const char *text)
{
    json_t *answer = json_loads(text, JSON_ALLOW_NUL, NULL);
    mi_item_t *object = NULL;
    mi_response_t *response = answer != NULL ? init_mi_result_object(&object) : NULL;
    if (response != NULL && command_add_members(object, answer) != 0) {
        free_mi_response(response);
        response = NULL;
    }
    json_decref(answer);
    return response != NULL ? response : command_error(CODE_FAILED, "no memory for the answer");
}

/* --- In an MI process ------------------------------------------------------------------------- */

static mi_response_t *command_wait(struct command_call *call)
{
    uint64_t deadline_ns = futex_deadline_ms(ANSWER_MS_MAX);
    while (atomic_load(&call->is_answered) == 0 &&
           futex_wait_until(&call->is_answered, 0, deadline_ns)) {
    }
    if (atomic_load(&call->is_answered) == 0) {
        return command_error(CODE_LATE,
                             "the Kafka process did not answer in time; it may yet do it");
    }
    if (call->has_failed) {
        return command_error(CODE_FAILED, call->message.text);
    }
    return command_response(call->json);
}

static mi_response_t *command_ask(const struct kafka_command *command)
{
    int process = atomic_load(&shared_state->process_no);
    struct command_call *call = process >= 0 ? shm_malloc(sizeof(*call)) : NULL;
    if (call == NULL) {
        return command_error(CODE_FAILED, "no shared memory, or no Kafka process yet");
    }
    memset(call, 0, sizeof(*call));
    call->command = *command;
    atomic_store(&call->holders_count, 2);
    if (ipc_send_rpc(process, command_run, call) < 0) {
        shm_free(call);
        return command_error(CODE_FAILED, "the Kafka process cannot be reached");
    }
    mi_response_t *response = command_wait(call);
    command_call_release(call);
    return response;
}

/* --- Parameters ------------------------------------------------------------------------------- */

/* Copies a parameter that may be missing. False: it is too long, or of another type. */
static bool command_get_text(const mi_params_t *parameters, const char *name,
                             char text[KAFKA_COMMAND_TEXT_BYTES])
{
    char *value = NULL;
    int size_bytes = 0;
    if (try_get_mi_string_param(parameters, (char *)(uintptr_t)name, &value, &size_bytes) != 0) {
        text[0] = '\0';
        return true;
    }
    if (size_bytes < 0 || size_bytes >= KAFKA_COMMAND_TEXT_BYTES) {
        return false;
    }
    memcpy(text, value, (size_t)size_bytes);
    text[size_bytes] = '\0';
    return true;
}

/* Reads a number that may be missing; a large one must be a JSON string, as MI's numbers have 32
 * bits. */
static bool command_get_number(const mi_params_t *parameters, const char *name, uint64_t otherwise,
                               uint64_t *ret_number)
{
    char text[KAFKA_COMMAND_TEXT_BYTES];
    if (!command_get_text(parameters, name, text)) {
        return false;
    }
    if (text[0] == '\0') {
        *ret_number = otherwise;
        return true;
    }
    char *end;
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    return errno == 0 && text[0] != '-' && *end == '\0';
}

/* "dead" or "waiting", the default. */
static bool command_get_what(const mi_params_t *parameters, bool *ret_is_dead)
{
    char text[KAFKA_COMMAND_TEXT_BYTES];
    if (!command_get_text(parameters, "what", text)) {
        return false;
    }
    *ret_is_dead = strcmp(text, "dead") == 0;
    return *ret_is_dead || text[0] == '\0' || strcmp(text, "waiting") == 0;
}

static mi_response_t *command_with(enum kafka_command_kind kind, const mi_params_t *parameters)
{
    struct kafka_command command = {.kind = kind};
    if (!command_get_text(parameters, "destination", command.destination) ||
        !command_get_text(parameters, "to", command.to)) {
        return command_error(CODE_BAD_PARAMETER, "destination, to: a text is needed");
    }
    if (!command_get_what(parameters, &command.is_dead)) {
        return command_error(CODE_BAD_PARAMETER, "what: \"waiting\" or \"dead\" is needed");
    }
    if (!command_get_number(parameters, "sequence", 0, &command.sequence) ||
        !command_get_number(parameters, "from", 0, &command.from) ||
        !command_get_number(parameters, "count", LIST_COUNT_DEFAULT, &command.count) ||
        command.count > KAFKA_COMMAND_LIST_MAX) {
        return command_error(CODE_BAD_PARAMETER,
                             "sequence, from, count: a number is needed; count is at most 1000");
    }
    return command_ask(&command);
}

static mi_response_t *command_status(const mi_params_t *parameters, struct mi_handler *handler)
{
    (void)handler;
    return command_with(KAFKA_COMMAND_STATUS, parameters);
}

static mi_response_t *command_list(const mi_params_t *parameters, struct mi_handler *handler)
{
    (void)handler;
    return command_with(KAFKA_COMMAND_LIST, parameters);
}

static mi_response_t *command_pause(const mi_params_t *parameters, struct mi_handler *handler)
{
    (void)handler;
    return command_with(KAFKA_COMMAND_PAUSE, parameters);
}

static mi_response_t *command_resume(const mi_params_t *parameters, struct mi_handler *handler)
{
    (void)handler;
    return command_with(KAFKA_COMMAND_RESUME, parameters);
}

static mi_response_t *command_requeue(const mi_params_t *parameters, struct mi_handler *handler)
{
    (void)handler;
    return command_with(KAFKA_COMMAND_REQUEUE, parameters);
}

static mi_response_t *command_drop(const mi_params_t *parameters, struct mi_handler *handler)
{
    (void)handler;
    return command_with(KAFKA_COMMAND_DROP, parameters);
}

static mi_response_t *command_flush(const mi_params_t *parameters, struct mi_handler *handler)
{
    (void)handler;
    return command_with(KAFKA_COMMAND_FLUSH, parameters);
}

const mi_export_t module_commands[] = {
    {.name = "kafka_status",
     .help = "The spool, its destinations and their statistics.",
     .recipes = {{command_status, {NULL}},
                 {command_status, {"destination", NULL}},
                 {EMPTY_MI_RECIPE}}},
    {.name = "kafka_list",
     .help = "Records of a destination: what (waiting, dead), from a sequence on, at most count.",
     .recipes = {{command_list, {"destination", NULL}},
                 {command_list, {"destination", "what", NULL}},
                 {command_list, {"destination", "what", "from", NULL}},
                 {command_list, {"destination", "what", "from", "count", NULL}},
                 {command_list, {"destination", "what", "count", NULL}},
                 {EMPTY_MI_RECIPE}}},
    {.name = "kafka_pause",
     .help = "Stops forwarding a destination; kept across restarts.",
     .recipes = {{command_pause, {"destination", NULL}}, {EMPTY_MI_RECIPE}}},
    {.name = "kafka_resume",
     .help = "Goes on to forward a paused destination.",
     .recipes = {{command_resume, {"destination", NULL}}, {EMPTY_MI_RECIPE}}},
    {.name = "kafka_requeue",
     .help = "Puts dead letters (all, or one sequence) back into the queue, or that of another.",
     .recipes = {{command_requeue, {"destination", NULL}},
                 {command_requeue, {"destination", "sequence", NULL}},
                 {command_requeue, {"destination", "to", NULL}},
                 {command_requeue, {"destination", "sequence", "to", NULL}},
                 {EMPTY_MI_RECIPE}}},
    {.name = "kafka_drop",
     .help = "Deletes records: what (waiting, dead), all or one sequence.",
     .recipes = {{command_drop, {"destination", "what", NULL}},
                 {command_drop, {"destination", "what", "sequence", NULL}},
                 {EMPTY_MI_RECIPE}}},
    {.name = "kafka_flush",
     .help = "Tries again now what waits after an error: one destination, or all.",
     .recipes = {{command_flush, {NULL}},
                 {command_flush, {"destination", NULL}},
                 {EMPTY_MI_RECIPE}}},
    {EMPTY_MI_EXPORT},
};
