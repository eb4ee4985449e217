/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/report_route.h"

#include "spool/point.h"
#include "src/opensips/avp.h"
#include "src/opensips/opensips.h"
#include "src/opensips/shared_state.h"
#include "src/pipeline.h"
#include "src/verdict.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Under way at once: as many as the pipeline hands over, and of together so many bytes; one that is
 * larger goes alone. */
#define JOBS_MAX 256
#define JOBS_BYTES_MAX (512U << 10)

/* Bytes that wait in OpenSIPS's pipe to its workers, above which nothing is added: who writes into
 * a full one hangs. It has 64 KiB. */
#define PIPE_BYTES_MAX (32 << 10)

/* So often shared memory may be missing for a report that goes alone; then its route runs without
 * the payload. */
#define STARVED_MAX 100

enum job_state {
    JOB_FREE,
    JOB_RUNNING,
    JOB_RUN,
};

/* A report under way, in memory that all processes share. */
struct report_slot {
    _Atomic uint32_t state;
    uint64_t number;
    size_t size_bytes;
};

/* What a worker needs, in OpenSIPS's shared memory. The spans point behind it. */
struct report_job {
    struct report_slot *slot;
    int status;
    const char *error; /* static */
    int partition;
    int64_t offset;
    uint32_t attempts;
    uint64_t age_ms;
    struct span route;
    struct span id;
    struct span key;
    struct span payload;
    struct span spool_id;
};

static struct report_slot *slots;

/* The Kafka process's own. */
static size_t jobs_bytes;
static unsigned starved_count;

int report_route_init(void)
{
    slots = shared_memory(JOBS_MAX * sizeof(*slots));
    if (slots == NULL) {
        LM_ERR("no shared memory\n");
        return -1;
    }
    return 0;
}

/* --- In a worker ------------------------------------------------------------------------------ */

/* "kafka_error" of a report: empty for a record that was delivered. */
static const char *report_error(const struct report *report)
{
    if (report->reason == SETTLE_DELIVERED) {
        return "";
    }
    return report->error != 0 ? verdict_error_name(report->error)
                              : settle_action_name(report->reason);
}

static void report_set_avps(const struct report_job *job)
{
    char text[24];
    avp_set_text(AVP_ID, job->id);
    avp_set_number(AVP_STATUS, job->status);
    avp_set_text(AVP_KEY, job->key);
    avp_set_text(AVP_MSG, job->payload);
    avp_set_text(AVP_ERROR, (struct span){job->error, strlen(job->error)});
    avp_set_number(AVP_PARTITION, job->partition);
    /* AVPs have numbers of 32 bits. */
    snprintf(text, sizeof(text), "%" PRId64, job->offset);
    avp_set_text(AVP_OFFSET, (struct span){text, strlen(text)});
    avp_set_number(AVP_ATTEMPTS, job->attempts < INT_MAX ? (int)job->attempts : INT_MAX);
    avp_set_number(AVP_AGE, job->age_ms < INT_MAX ? (int)job->age_ms : INT_MAX);
    avp_set_text(AVP_SPOOL_ID, job->spool_id);
}

static void report_run_route(const struct report_job *job, int route)
{
    struct usr_avp *avps = NULL;
    struct sip_msg *message = get_dummy_sip_msg();
    if (message == NULL) {
        LM_ERR("no memory to run the report route %.*s\n", (int)job->route.size_bytes,
               (const char *)job->route.data);
        return;
    }
    struct usr_avp **avps_before = set_avp_list(&avps);
    int type_before = route_type;
    report_set_avps(job);
    set_route_type(REQUEST_ROUTE);
    run_top_route(sroutes->request[route], message);
    set_route_type(type_before);
    set_avp_list(avps_before);
    destroy_avp_list(&avps);
    release_dummy_sip_msg(message);
}

/* Runs in a worker. */
static void report_run(int sender, void *parameter)
{
    (void)sender;
    struct report_job *job = parameter;
    SPOOL_POINT("report_route.running");
    str name = {(char *)(uintptr_t)job->route.data, (int)job->route.size_bytes};
    int route =
        sroutes != NULL ? get_script_route_ID_by_name_str(&name, sroutes->request, RT_NO) : -1;
    if (route >= 0) {
        report_run_route(job, route);
    } else {
        atomic_fetch_add(&shared_state->reports_without_route, 1);
        LM_ERR("the report route %.*s does not exist any more: the status of %.*s (%s) is told "
               "nobody\n",
               name.len, name.s, (int)job->spool_id.size_bytes, (const char *)job->spool_id.data,
               job->status == 0 ? "delivered" : job->error);
    }
    SPOOL_POINT("report_route.run");
    atomic_store(&job->slot->state, JOB_RUN);
    SPOOL_POINT("report_route.told");
    shared_bell_ring();
    shm_free(job);
}

/* --- In the Kafka process --------------------------------------------------------------------- */

static struct report_slot *report_find_slot(void)
{
    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (atomic_load(&slots[i].state) == JOB_FREE) {
            return &slots[i];
        }
    }
    return NULL;
}

static bool report_is_pipe_full(void)
{
    int size_bytes = 0;
    return ioctl(IPC_FD_READ_SHARED, FIONREAD, &size_bytes) == 0 && size_bytes > PIPE_BYTES_MAX;
}

/* The ID in "[ID]topic"; without one, the identity. */
static struct span report_id(const char *identity)
{
    const char *end = identity[0] == '[' ? strchr(identity, ']') : NULL;
    return end != NULL ? (struct span){identity + 1, (size_t)(end - identity - 1)}
                       : (struct span){identity, strlen(identity)};
}

static struct span report_copy(char **at, struct span from)
{
    struct span copy = {*at, from.size_bytes};
    if (from.size_bytes > 0) {
        memcpy(*at, from.data, from.size_bytes);
    }
    *at += from.size_bytes;
    return copy;
}

static struct report_job *report_job_new(const struct host_report *host_report, struct span payload,
                                         size_t *ret_size_bytes)
{
    const struct report *report = host_report->report;
    const struct record *record = host_report->record;
    struct span id = report_id(host_report->destination_identity);
    struct span spool_id = {host_report->spool_id, strlen(host_report->spool_id)};
    size_t size_bytes = sizeof(struct report_job) + record->report_route.size_bytes +
                        id.size_bytes + record->key.size_bytes + payload.size_bytes +
                        spool_id.size_bytes;
    struct report_job *job = shm_malloc(size_bytes);
    if (job == NULL) {
        return NULL;
    }
    char *at = (char *)(job + 1);
    *job = (struct report_job){
        .status = report->reason == SETTLE_DELIVERED ? 0 : -1,
        .error = report_error(report),
        .partition = report->partition,
        .offset = report->offset,
        .attempts = report->attempts,
        .age_ms = report->settled_wall_ms > record->published_wall_ms
                      ? report->settled_wall_ms - record->published_wall_ms
                      : 0,
        .route = report_copy(&at, record->report_route),
        .id = report_copy(&at, id),
        .key = report_copy(&at, record->key),
        .payload = report_copy(&at, payload),
        .spool_id = report_copy(&at, spool_id),
    };
    *ret_size_bytes = size_bytes;
    return job;
}

/* A job for the report; NULL: there is no room for it now. */
static struct report_job *report_prepare(const struct host_report *report, size_t *ret_size_bytes)
{
    struct span payload = report->record->payload;
    if (jobs_bytes > 0 && jobs_bytes + payload.size_bytes > JOBS_BYTES_MAX) {
        return NULL;
    }
    struct report_job *job = report_job_new(report, payload, ret_size_bytes);
    if (job == NULL && jobs_bytes == 0 && ++starved_count > STARVED_MAX) {
        LM_ERR("no shared memory for a payload of %zu bytes: its report route runs without\n",
               payload.size_bytes);
        job = report_job_new(report, (struct span){"", 0}, ret_size_bytes);
    }
    if (job != NULL) {
        starved_count = 0;
    }
    return job;
}

int report_route_dispatch(struct host *host, const struct host_report *report)
{
    (void)host;
    struct report_slot *slot = report_find_slot();
    if (slot == NULL || report_is_pipe_full() || sr_get_core_status() != STATE_RUNNING) {
        return HOST_E_BUSY;
    }
    size_t size_bytes;
    struct report_job *job = report_prepare(report, &size_bytes);
    if (job == NULL) {
        return HOST_E_BUSY;
    }
    job->slot = slot;
    slot->number = report->number;
    slot->size_bytes = size_bytes;
    atomic_store(&slot->state, JOB_RUNNING);
    if (ipc_dispatch_rpc(report_run, job) < 0) {
        atomic_store(&slot->state, JOB_FREE);
        shm_free(job);
        return HOST_E_BUSY;
    }
    SPOOL_POINT("report_route.dispatched");
    jobs_bytes += size_bytes;
    return 0;
}

void report_route_step(struct pipeline *pipeline)
{
    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (atomic_load(&slots[i].state) == JOB_RUN) {
            pipeline_report_done(pipeline, slots[i].number);
            SPOOL_POINT("report_route.done");
            jobs_bytes -= slots[i].size_bytes;
            atomic_store(&slots[i].state, JOB_FREE);
        }
    }
}
