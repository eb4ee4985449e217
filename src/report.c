/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/report.h"

#include "spool/cursor.h"
#include "spool/point.h"
#include "spool/record.h"

#include <errno.h>
#include <pthread.h>

/* Reports that the host has, and those whose marks are not committed: bounds the host's queue of
 * work, and what the committer is given while it cannot write. */
#define REPORTS_OUTSTANDING_MAX 256

struct reports {
    struct spool *spool;
    struct committer *committer;
    struct host *host;
    bool is_unable;
    uint64_t position;    /* the next number to read */
    pthread_mutex_t lock; /* of what follows */
    size_t outstanding_count;
    /* Of the marks that are not known to be committed, where: a circular queue, ascending. */
    uint64_t marks[REPORTS_OUTSTANDING_MAX];
    size_t marks_first;
    size_t marks_count;
};

int reports_new(struct spool *spool, struct committer *committer, struct host *host,
                struct reports **ret_reports)
{
    struct reports *reports = calloc(1, sizeof(*reports));
    if (reports == NULL) {
        return -ENOMEM;
    }
    *reports = (struct reports){.spool = spool, .committer = committer, .host = host};
    pthread_mutex_init(&reports->lock, NULL);
    *ret_reports = reports;
    return 0;
}

void reports_free(struct reports **reports_at)
{
    struct reports *reports = SPOOL_TAKE(*reports_at);
    if (reports != NULL) {
        pthread_mutex_destroy(&reports->lock);
        free(reports);
    }
}

void reports_done(struct reports *reports, uint64_t number)
{
    struct settlement settlement = {.action = SETTLE_REPORT_RUN, .sequence = number};
    uint64_t position;
    SPOOL_POINT("report.run");
    pthread_mutex_lock(&reports->lock);
    if (reports->outstanding_count > 0) { /* else it is not one of ours */
        reports->outstanding_count--;
        /* When the committer has no room the report stays, and is run again after the next start:
         * at least once. */
        if (committer_settle(reports->committer, &settlement, 1, &position) == 0) {
            size_t at = (reports->marks_first + reports->marks_count) % REPORTS_OUTSTANDING_MAX;
            reports->marks[at] = position;
            reports->marks_count++;
        }
    }
    pthread_mutex_unlock(&reports->lock);
}

/* Counted before the host has it: it may be done before the call returns. */
static bool reports_reserve(struct reports *reports)
{
    uint64_t settled = committer_settled(reports->committer);
    pthread_mutex_lock(&reports->lock);
    while (reports->marks_count > 0 && reports->marks[reports->marks_first] <= settled) {
        reports->marks_first = (reports->marks_first + 1) % REPORTS_OUTSTANDING_MAX;
        reports->marks_count--;
    }
    bool has_room = reports->outstanding_count + reports->marks_count < REPORTS_OUTSTANDING_MAX;
    reports->outstanding_count += has_room;
    pthread_mutex_unlock(&reports->lock);
    return has_room;
}

static void reports_unreserve(struct reports *reports)
{
    pthread_mutex_lock(&reports->lock);
    reports->outstanding_count--;
    pthread_mutex_unlock(&reports->lock);
}

/* Hands one report over. Returns whether to go on to the next. */
static bool reports_run(struct reports *reports, uint64_t number, struct span stored)
{
    struct report report;
    struct record record;
    struct span encoded;
    if (report_decode(stored, &report, &encoded) != 0 || record_decode(encoded, &record) != 0 ||
        report.destination < 1 || report.destination > spool_destinations_count(reports->spool)) {
        reports_done(reports, number); /* damaged: nobody can be told of it */
        return true;
    }
    char spool_id[SPOOL_ID_BYTES];
    spool_id_print(reports->spool, record.has_origin ? record.origin_uuid : NULL,
                   record.has_origin ? record.origin_sequence : report.sequence, spool_id);
    struct host_report host_report = {
        .number = number,
        .report = &report,
        .record = &record,
        .destination_identity = spool_destination_identity(reports->spool, report.destination),
        .spool_id = spool_id,
    };
    SPOOL_POINT("report.handing_over");
    int r = reports->host->run_report(reports->host, &host_report);
    SPOOL_POINT("report.handed_over");
    if (r != 0) {
        reports_unreserve(reports);
        reports->is_unable = r == HOST_E_UNABLE;
        return false;
    }
    return true;
}

size_t reports_step(struct reports *reports)
{
    struct cursor cursor;
    if (reports->is_unable ||
        cursor_begin_reports(&cursor, reports->spool, reports->position) != 0) {
        return 0;
    }
    size_t count = 0;
    uint64_t number;
    struct span stored;
    while (reports_reserve(reports)) {
        if (cursor_next(&cursor, &number, &stored) != 0) {
            reports_unreserve(reports);
            break;
        }
        if (!reports_run(reports, number, stored)) {
            break;
        }
        reports->position = number + 1;
        count++;
    }
    cursor_end(&cursor);
    return count;
}
