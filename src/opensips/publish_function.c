/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/publish_function.h"

#include "spool/outcome.h"
#include "spool/point.h"
#include "src/headers_json.h"
#include "src/opensips/avp.h"
#include "src/opensips/destination_table.h"
#include "src/opensips/opensips.h"
#include "src/opensips/shared_state.h"

#include <string.h>

#ifndef ASYNC_SET_RESUME_F /* before OpenSIPS 4.0 */
#define ASYNC_SET_RESUME_F(context, function) ((context)->resume_f = (function))
#endif

#define ACCEPTED 1
#define REFUSED (-1)

/* --- Fixups ----------------------------------------------------------------------------------- */

int publish_function_fix_destination(void **parameter)
{
    const str *id = *parameter;
    struct table_destination *destination = destination_table_find(id->s, (size_t)id->len);
    if (destination == NULL) {
        LM_ERR("kafka_publish: no parameter broker_id has the ID [%.*s]\n", id->len, id->s);
        return E_CFG;
    }
    *parameter = destination;
    return 0;
}

int publish_function_fix_route(void **parameter)
{
    str *name = *parameter;
    if (name->len > REPORT_ROUTE_BYTES_MAX) {
        LM_ERR("kafka_publish: a report route's name has at most %d characters: %.*s\n",
               REPORT_ROUTE_BYTES_MAX, name->len, name->s);
        return E_CFG;
    }
    struct script_route_ref *route =
        ref_script_route_by_name_str(name, sroutes->request, RT_NO, REQUEST_ROUTE, 0);
    /* A reference that async() or launch() made while the script was read has no index yet. */
    if (route != NULL && !ref_script_route_is_valid(route)) {
        (void)update_script_route_ref(route);
    }
    if (!ref_script_route_is_valid(route)) {
        LM_ERR("kafka_publish: the report route [%.*s] does not exist\n", name->len, name->s);
        return E_CFG;
    }
    *parameter = route;
    return 0;
}

int publish_function_free_route(void **parameter)
{
    if (*parameter != NULL) {
        unref_script_route(*parameter);
    }
    return 0;
}

/* --- A publish -------------------------------------------------------------------------------- */

/* A publish's record, and who owns what it borrows. */
struct publish_record {
    struct record record;
    struct headers_json *headers;
};

static void publish_record_deinit(struct publish_record *publish)
{
    headers_json_free(&publish->headers);
}

static struct span publish_span(const str *text)
{
    return text != NULL ? (struct span){text->s != NULL ? text->s : "", (size_t)text->len}
                        : (struct span){NULL, 0};
}

/* Fills the record. False: the headers are no headers, and that is logged. */
static bool publish_record_init(struct publish_record *publish, const str *payload, const str *key,
                                const struct script_route_ref *route, const str *headers)
{
    *publish = (struct publish_record){
        .record =
            {
                .payload = publish_span(payload),
                /* The reference guide knows no difference between no key and an empty one. */
                .key = key != NULL && key->len > 0 ? publish_span(key) : (struct span){NULL, 0},
                .report_route = route != NULL ? publish_span(&route->name) : (struct span){"", 0},
            },
    };
    if (headers == NULL || headers->len == 0) {
        return true;
    }
    struct message message;
    if (headers_json_parse(publish_span(headers), &publish->headers, &message) != 0) {
        LM_ERR("kafka_publish: %s\n", message.text);
        return false;
    }
    headers_json_give(publish->headers, &publish->record);
    return true;
}

/* Tells the script. */
static int publish_result(const char *error)
{
    if (error == NULL) {
        avp_unset(AVP_ERROR);
        return ACCEPTED;
    }
    avp_set_text(AVP_ERROR, (struct span){error, strlen(error)});
    return REFUSED;
}

static int publish_result_of(enum outcome outcome)
{
    return publish_result(outcome == OUTCOME_ACCEPTED ? NULL : outcome_name(outcome));
}

#define ERROR_BAD_HEADERS "bad_headers"

/* NOLINTNEXTLINE(readability-function-size): the parameters are OpenSIPS's. */
int publish_function(struct sip_msg *message, void *destination, void *payload, void *key,
                     void *report_route, void *headers, void *unused6, void *unused7, void *unused8)
{
    (void)message, (void)unused6, (void)unused7, (void)unused8;
    SPOOL_CLEANUP(publish_record_deinit) struct publish_record publish = {.headers = NULL};
    if (!publish_record_init(&publish, payload, key, report_route, headers)) {
        return publish_result(ERROR_BAD_HEADERS);
    }
    uint64_t sequence;
    return publish_result_of(destination_publish(destination, &publish.record, &sequence));
}

/* --- async() and launch() --------------------------------------------------------------------- */

/* What the process that began a publish keeps until it is resumed. */
struct publish_under_way {
    struct ring_ticket ticket;
};

static enum async_ret_code publish_end_async(void *parameter, uint64_t timeout_ms)
{
    struct publish_under_way *under_way = parameter;
    struct publisher publisher = shared_publisher;
    uint64_t sequence;
    publisher.commit_timeout_ms = timeout_ms;
    enum outcome outcome = publish_end(&publisher, under_way->ticket, &sequence);
    SPOOL_POINT("module.resumed");
    pkg_free(under_way);
    async_status = ASYNC_DONE;
    atomic_fetch_add(&shared_state->outcomes[outcome], 1);
    return (enum async_ret_code)publish_result_of(outcome);
}

/* The answer is there; or OpenSIPS could not wait for the fd, and so waits here. */
static enum async_ret_code publish_resume(int fd, struct sip_msg *message, void *parameter)
{
    (void)fd, (void)message;
    return publish_end_async(parameter, shared_publisher.commit_timeout_ms);
}

static enum async_ret_code publish_resume_late(int fd, struct sip_msg *message, void *parameter)
{
    (void)fd, (void)message;
    return publish_end_async(parameter, 0);
}

/* Begins it. NULL: *ret_refusal says why not. */
static struct publish_under_way *publish_begin_async(struct table_destination *destination,
                                                     struct record *record,
                                                     enum outcome *ret_refusal)
{
    enum outcome refusal = destination_wait_open(destination);
    struct publish_under_way *under_way = NULL;
    if (refusal == OUTCOME_ACCEPTED) {
        under_way = pkg_malloc(sizeof(*under_way));
        refusal = OUTCOME_BROKEN;
    }
    if (under_way != NULL && publish_begin(&shared_publisher, &destination->target, record, true,
                                           &under_way->ticket, &refusal) != 0) {
        pkg_free(under_way);
        under_way = NULL;
    }
    *ret_refusal = refusal;
    return under_way;
}

/* Done already, and refused: the resume route runs at once. */
static int publish_refuse_async(const char *error)
{
    async_status = ASYNC_SYNC;
    return publish_result(error);
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are OpenSIPS's. */
int publish_function_async(struct sip_msg *message, async_ctx *context, void *destination,
                           void *payload, void *key, void *report_route, void *headers,
                           void *unused6, void *unused7, void *unused8)
{
    (void)message, (void)unused6, (void)unused7, (void)unused8;
    SPOOL_CLEANUP(publish_record_deinit) struct publish_record publish = {.headers = NULL};
    if (!publish_record_init(&publish, payload, key, report_route, headers)) {
        return publish_refuse_async(ERROR_BAD_HEADERS);
    }
    enum outcome refusal;
    struct publish_under_way *under_way =
        publish_begin_async(destination, &publish.record, &refusal);
    if (under_way == NULL) {
        atomic_fetch_add(&shared_state->outcomes[refusal], 1);
        return publish_refuse_async(outcome_name(refusal));
    }
    SPOOL_POINT("module.begun");
    ASYNC_SET_RESUME_F(context, publish_resume);
    context->resume_param = under_way;
    /* A worker that is scaled down, or an owner that hangs, must not wait for ever. In seconds. */
    context->timeout_f = publish_resume_late;
    context->timeout_s = (unsigned)(shared_publisher.commit_timeout_ms / 1000 + 1);
    async_status = ring_ticket_fd(shared_publisher.ring, under_way->ticket);
    return ACCEPTED;
}
