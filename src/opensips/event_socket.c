/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/event_socket.h"

#include "src/notification.h"
#include "src/opensips/destination_table.h"
#include "src/opensips/opensips.h"
#include "src/opensips/shared_state.h"

#include <string.h>

/* The bit of the stock module: both cannot be loaded together anyway. */
#define EVENT_SOCKET_FLAG (1 << 21)

#define PARAMETERS_MAX 256

/* What a subscription waits for the Kafka process to look at a new address. */
#define RESOLVE_MS 2000

#define RAISED 0
#define NOT_RAISED (-1)

static struct table_destination *socket_destination(const evi_reply_sock *socket)
{
    return socket->params;
}

/* --- Sockets ---------------------------------------------------------------------------------- */

static evi_reply_sock *socket_new(struct table_destination *destination)
{
    size_t size_bytes = strlen(destination->address);
    evi_reply_sock *socket = shm_malloc(sizeof(*socket) + size_bytes);
    if (socket == NULL) {
        LM_ERR("no shared memory for an event socket\n");
        return NULL;
    }
    memset(socket, 0, sizeof(*socket));
    socket->address.s = (char *)(socket + 1);
    socket->address.len = (int)size_bytes;
    memcpy(socket->address.s, destination->address, size_bytes);
    socket->params = destination;
    socket->flags = EVI_ADDRESS | EVI_PARAMS | EVI_EXPIRE | EVI_ASYNC_STATUS;
    return socket;
}

/* Whether this process answers an operator, who should hear what is wrong with an address. The
 * Kafka process, which raises events too, would wait for itself. */
static bool event_socket_may_wait(void)
{
    uint32_t serving = atomic_load(&shared_state->serving);
    return (serving == SERVING_STARTING || serving == SERVING_OPEN) && pt != NULL &&
           pt[process_no].type == TYPE_MODULE &&
           process_no != atomic_load(&shared_state->process_no);
}

/* Reads an address. In any process, at any time. While the module starts, and in a SIP worker, the
 * Kafka process looks at it later: then what is wrong with it is found at the first event.
 * event_virtual reads its sockets at their first event, without a lock: while one worker read an
 * address, the others would lose their events. */
static evi_reply_sock *event_socket_parse(str text)
{
    struct message message;
    if (text.s == NULL || text.len <= 0) {
        LM_ERR("an event socket needs an address: kafka:brokers/topic?properties\n");
        return NULL;
    }
    struct table_destination *destination =
        destination_table_add(text.s, (size_t)text.len, false, &message);
    if (destination == NULL) {
        LM_ERR("event socket: %s\n", message.text);
        return NULL;
    }
    shared_bell_ring();
    if (event_socket_may_wait() &&
        destination_table_wait(destination, RESOLVE_MS) == TABLE_REFUSED) {
        LM_ERR("event socket: %s\n", destination->refusal.text);
        return NULL;
    }
    return socket_new(destination);
}

static int event_socket_match(evi_reply_sock *one, evi_reply_sock *other)
{
    return one != NULL && other != NULL && (one->flags & EVI_PARAMS) != 0 &&
           (other->flags & EVI_PARAMS) != 0 && one->params == other->params;
}

static void event_socket_free(evi_reply_sock *socket)
{
    shm_free(socket);
}

static str event_socket_print(evi_reply_sock *socket)
{
    return socket->address;
}

/* --- Events ----------------------------------------------------------------------------------- */

/* The Call-ID of the message, if there is one. */
static struct span event_callid(struct sip_msg *message)
{
    if (message == NULL || is_dummy_sip_msg(message) == 0 ||
        parse_headers(message, HDR_CALLID_F, 0) < 0 || message->callid == NULL ||
        message->callid->body.len <= 0) {
        return (struct span){NULL, 0};
    }
    return (struct span){message->callid->body.s, (size_t)message->callid->body.len};
}

static struct span event_span(const str *text)
{
    return (struct span){text->s, (size_t)text->len};
}

static char *event_payload(const str *event, const evi_params_t *parameters)
{
    struct notification_parameter list[PARAMETERS_MAX];
    size_t count = 0;
    char *payload = NULL;
    for (const evi_param_t *each = parameters != NULL ? parameters->first : NULL; each != NULL;
         each = each->next) {
        if (count == PARAMETERS_MAX) {
            LM_ERR("the event %.*s has more than %d parameters\n", event->len, event->s,
                   PARAMETERS_MAX);
            return NULL;
        }
        list[count] = (struct notification_parameter){
            .name = event_span(&each->name),
            .is_number = (each->flags & EVI_INT_VAL) != 0,
        };
        if (list[count].is_number) {
            list[count].number = each->val.n;
        } else {
            list[count].text = event_span(&each->val.s);
        }
        count++;
    }
    if (notification_build(event_span(event), list, count, &payload) != 0) {
        LM_ERR("no memory for the event %.*s\n", event->len, event->s);
    }
    return payload;
}

/* --- Status ----------------------------------------------------------------------------------- */

/* Runs in a worker. */
static void event_run_status(int sender, void *parameter)
{
    (void)sender;
    evi_async_ctx_t *status = parameter;
    status->status_cb(status->cb_param, EVI_STATUS_SUCCESS);
    shm_free(status);
}

/* Who asked for the status of an event that was raised hears it once, from a worker: never from
 * inside raise, where the caller may hold locks that its callback takes. One that was not raised
 * has its answer in raise's result. */
static void event_tell_status(const evi_async_ctx_t *status)
{
    if (status == NULL || status->status_cb == NULL || sr_get_core_status() == STATE_TERMINATING) {
        return;
    }
    evi_async_ctx_t *copy = shm_malloc(sizeof(*copy));
    if (copy != NULL) {
        *copy = *status;
    }
    if (copy == NULL || ipc_dispatch_rpc(event_run_status, copy) < 0) {
        LM_ERR("no memory to tell that an event was accepted\n");
        if (copy != NULL) {
            shm_free(copy);
        }
    }
}

/* Accepted means on disk, so the result is final: whoever has a second socket for this case can use
 * it now. */
static int event_socket_raise(struct sip_msg *message, str *event, evi_reply_sock *socket,
                              evi_params_t *parameters, evi_async_ctx_t *status)
{
    if (socket == NULL || socket->params == NULL) {
        LM_ERR("no event socket\n");
        return NOT_RAISED;
    }
    struct table_destination *destination = socket_destination(socket);
    SPOOL_CLEANUP(spool_free) char *payload = event_payload(event, parameters);
    if (payload == NULL) {
        return NOT_RAISED;
    }
    struct record record = {.payload = {payload, strlen(payload)}, .report_route = {"", 0}};
    if (destination->key_is_callid) {
        record.key = event_callid(message);
    }
    uint64_t sequence;
    enum outcome outcome = destination_publish(destination, &record, &sequence);
    if (outcome != OUTCOME_ACCEPTED) {
        /* The Kafka process says why, once for all events. */
        LM_DBG("the event %.*s is not accepted: %s\n", event->len, event->s, outcome_text(outcome));
        return NOT_RAISED;
    }
    event_tell_status(status);
    return RAISED;
}

int event_socket_register(void)
{
    static char protocol[] = "kafka";
    static const evi_export_t transport = {
        .proto = {protocol, sizeof(protocol) - 1},
        .raise = event_socket_raise,
        .parse = event_socket_parse,
        .match = event_socket_match,
        .free = event_socket_free,
        .print = event_socket_print,
        .flags = EVENT_SOCKET_FLAG,
    };
    if (register_event_mod(&transport) != 0) {
        LM_ERR("cannot register as the transport \"kafka\": is another module loaded for it?\n");
        return -1;
    }
    return 0;
}
