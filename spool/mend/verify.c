/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/mend/verify.h"

#include "spool/environment.h"
#include "spool/mend/verify_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A slice of a spool that has an owner, and how many times as long the rest behind it is: so it
 * costs at most a twentieth of one processor, and holds back no page for long. */
#define SLICE_NS 10000000ULL
#define REST_TIMES 19ULL
#define REST_NS_MAX (REST_TIMES * 2 * SLICE_NS)

/* How often an owner is looked for, and progress told, while there is none. */
#define TURN_NS 20000000ULL

/* How often a slice is looked at, when what was read of it did not stay as it was. */
#define SLICE_TRIES 20

uint64_t verify_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void verify_sleep_ns(uint64_t duration_ns)
{
    struct timespec left = {.tv_sec = (time_t)(duration_ns / 1000000000),
                            .tv_nsec = (long)(duration_ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
}

/* --- Findings --------------------------------------------------------------------------------- */

void verify_find(struct verify *verify, const char *rule, const char *database, uint64_t sequence,
                 uint64_t page, const char *format, ...)
{
    struct verify_finding finding = {
        .rule = rule,
        .database = database,
        .sequence = sequence,
        .page = page,
    };
    if (verify->is_quiet) {
        return;
    }
    if (verify->keeps_back) {
        verify->kept_count++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(finding.text, sizeof(finding.text), format, arguments);
    va_end(arguments);
    verify->result.findings_count++;
    if (verify->host->find != NULL) {
        verify->host->find(verify->host->context, &finding);
    }
}

void verify_find_damage(struct verify *verify, const char *database,
                        const struct page_damage *damage)
{
    verify->is_damaged = true;
    verify_find(verify, "pages", database, VERIFY_NOTHING, damage->page, "%s", damage->what);
}

static void verify_leave_out(struct verify *verify, const char *what)
{
    if (verify->host->leave_out != NULL) {
        verify->host->leave_out(verify->host->context, what);
    }
}

static bool verify_is_owned(const struct verify *verify)
{
    return verify->host->is_owned != NULL && verify->host->is_owned(verify->host->context);
}

static int verify_tell_progress(const struct verify *verify)
{
    uint64_t all_bytes = (verify->view.meta.last_page + 1) * verify->view.file.page_bytes;
    uint64_t done_bytes = verify->result.read_bytes;
    if (verify->host->go_on == NULL ||
        verify->host->go_on(verify->host->context, done_bytes < all_bytes ? done_bytes : all_bytes,
                            all_bytes)) {
        return 0;
    }
    return VERIFY_E_STOPPED;
}

/* --- One state -------------------------------------------------------------------------------- */

static void verify_drop_use(struct verify *verify)
{
    if (verify->has_use) {
        page_use_deinit(&verify->use);
        verify->has_use = false;
    }
}

/* A format that this version does not know. */
#define VERIFY_NEWER 101

/* The first look at a state: what can be seen without looking at all records. 0, VERIFY_NEWER,
 * -errno. */
static int verify_first(struct verify *verify)
{
    memset(verify->counts, 0, sizeof(verify->counts));
    verify->largest_bytes = 0;
    verify->is_damaged = false;
    verify->is_one = true;
    verify_drop_use(verify);
    int r = page_use_init(&verify->use, verify->view.meta.last_page);
    if (r != 0) {
        return r;
    }
    verify->has_use = true;
    if (verify->view.damage.what != NULL) {
        verify_find_damage(verify, "list of databases", &verify->view.damage);
    }
    for (int i = 0; i < 2; i++) {
        if (verify->view.file.metas[i].what != NULL) {
            verify_find(verify, "pages", "meta pages", VERIFY_NOTHING, (uint64_t)i, "%s",
                        verify->view.file.metas[i].what);
        }
    }
    r = verify_rows(verify);
    if (r == 0 && verify->format > SPOOL_FORMAT) {
        return VERIFY_NEWER;
    }
    if (r == 0) {
        r = verify_pages_begin(verify);
    }
    if (r == 0) {
        verify_counters(verify, false);
    }
    return r;
}

/* The look at a further state: what was told of its rows before is not told again. 0, -ENOMEM. */
static int verify_further(struct verify *verify)
{
    uint64_t pages_count = verify->result.pages_count;
    verify->is_one = false;
    verify_drop_use(verify);
    verify->is_quiet = true;
    int r = verify_rows(verify);
    verify->is_quiet = false;
    verify->result.pages_count = pages_count;
    return r;
}

/* The records of the one state that was looked at are all known. */
static void verify_last(struct verify *verify)
{
    verify_pages_end(verify);
    if (!verify->is_damaged) {
        verify_counters(verify, true);
    } else {
        verify_leave_out(verify, "S4: what the counters are to be, since parts of the file are "
                                 "damaged");
    }
}

/* Looks at records until the deadline, or until all were seen. 0: there are more;
 * VERIFY_RECORDS_END; VERIFY_E_STOPPED; -errno. */
static int verify_records(struct verify *verify, uint64_t deadline_ns)
{
    for (;;) {
        int r = verify_records_begin(verify);
        bool may_stay = false;
        while (r == 0) {
            uint64_t turn_ns = verify_now_ns() + TURN_NS;
            r = verify_records_run(verify, turn_ns < deadline_ns ? turn_ns : deadline_ns);
            /* Whoever comes while nobody was there must not be kept waiting for pages. */
            may_stay = deadline_ns == UINT64_MAX && !verify_is_owned(verify);
            if (r != 0 || !may_stay) {
                break;
            }
            r = verify_tell_progress(verify);
        }
        if (r == VERIFY_RECORDS_END && verify->is_one) {
            verify_records_compare(verify);
        }
        verify_records_end(verify);
        if (r != VERIFY_RECORDS_END || verify->at.is_at_reports) {
            return r;
        }
        verify->at.is_at_reports = true;
        verify->at.key = 0;
    }
}

/* --- Slices ----------------------------------------------------------------------------------- */

/* One look at a slice. What verify_records() says; VERIFY_E_REFUSED: the state went away. */
static int verify_look(struct verify *verify, bool is_first, bool is_owned, bool is_second)
{
    uint64_t deadline_ns = is_owned ? verify_now_ns() + SLICE_NS : UINT64_MAX;
    int r = page_view_begin(&verify->view, -1);
    if (r != 0) {
        /* PAGE_VIEW_E_BUSY: it is tried again. A meta page that became damaged meanwhile is told by
         * the next one who opens the file. */
        return r == PAGE_VIEW_E_BUSY || r == PAGE_VIEW_E_DAMAGED ? VERIFY_E_REFUSED : r;
    }
    verify->result.txn = verify->view.meta.txn;
    verify->keeps_back = !is_second && (is_owned || !verify->view.is_pinned);
    r = is_first ? verify_first(verify) : verify_further(verify);
    if (r == 0) {
        r = verify_records(verify, deadline_ns);
    }
    if (r == VERIFY_RECORDS_END && verify->is_one) {
        verify_last(verify);
    }
    if (!page_view_is_intact(&verify->view)) {
        r = r < 0 ? r : VERIFY_E_REFUSED;
    }
    page_view_end(&verify->view);
    return r;
}

/* A slice; where it looks wrong, a second time in a state of its own: only that counts. */
static int verify_slice(struct verify *verify, bool is_first, bool is_owned)
{
    struct verify_position begin = verify->at;
    struct verify_result result = verify->result;
    bool is_second = false;
    int r = VERIFY_E_REFUSED;
    for (int i = 0; i < SLICE_TRIES && r == VERIFY_E_REFUSED; i++) {
        verify->at = begin;
        verify->result = result;
        verify->kept_count = 0;
        r = verify_look(verify, is_first, is_owned, is_second);
        if ((r == 0 || r == VERIFY_RECORDS_END) && verify->kept_count > 0) {
            is_second = true;
            r = VERIFY_E_REFUSED;
        }
    }
    return r;
}

static int verify_run(struct verify *verify)
{
    bool is_first = true;
    int r;
    do {
        uint64_t begin_ns = verify_now_ns();
        bool is_owned = verify_is_owned(verify);
        r = verify_slice(verify, is_first, is_owned);
        is_first = false;
        if (r == 0) {
            r = verify_tell_progress(verify);
        }
        if (r == 0) {
            uint64_t rest_ns = (verify_now_ns() - begin_ns) * REST_TIMES;
            verify_sleep_ns(rest_ns < REST_NS_MAX ? rest_ns : REST_NS_MAX);
        }
    } while (r == 0);
    if (r == VERIFY_RECORDS_END && !verify->is_one) {
        verify_leave_out(verify, "pages: whether each is used exactly once, since the spool is "
                                 "being used");
        verify_leave_out(verify, "S4, S7: whether the counters of bytes are right, since the spool "
                                 "is being used");
    }
    return r;
}

/* --- All -------------------------------------------------------------------------------------- */

static int verify_opened(struct verify *verify, const char *dir, struct message *message)
{
    int r = verify_run(verify);
    switch (r) {
    case VERIFY_RECORDS_END:
        verify->result.is_whole = verify->is_one;
        verify->result.waiting_count = verify->at.waiting_count;
        verify->result.dead_count = verify->at.dead_count;
        verify->result.reports_count = verify->at.reports_count;
        return 0;
    case VERIFY_NEWER:
        message_set(message,
                    "%s: has format %u, this version knows %u: use a newer version of this program",
                    dir, verify->format, SPOOL_FORMAT);
        return VERIFY_E_REFUSED;
    case VERIFY_E_STOPPED:
        message_set(message, "%s: stopped before all was looked at", dir);
        return r;
    case VERIFY_E_REFUSED:
        message_set(message,
                    "%s: the spool is written faster than it can be read without a place among "
                    "LMDB's readers: run this as the spool's owner",
                    dir);
        return r;
    default:
        message_set(message, "%s: cannot verify the spool: %s", dir, strerror(-r));
        return r;
    }
}

int verify_spool(int dir_fd, const char *dir, const struct verify_host *host,
                 struct verify_result *ret_result, struct message *message)
{
    SPOOL_CLEANUP(spool_free) struct verify *verify = calloc(1, sizeof(*verify));
    if (verify == NULL) {
        message_set(message, "%s: out of memory", dir);
        return -ENOMEM;
    }
    verify->host = host;
    int r = page_view_open(&verify->view, dir_fd, dir, false, message);
    if (r == PAGE_VIEW_E_DAMAGED) {
        for (int i = 0; i < 2; i++) {
            verify_find(verify, "pages", "meta pages", VERIFY_NOTHING, (uint64_t)i, "%s",
                        verify->view.file.metas[i].what);
        }
        r = 0;
    } else if (r == 0) {
        r = verify_opened(verify, dir, message);
    } else if (r > 0) {
        r = VERIFY_E_REFUSED;
    }
    if (r == 0) {
        *ret_result = verify->result;
    }
    verify_drop_use(verify);
    page_view_close(&verify->view);
    return r;
}
