/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/mend/salvage.h"

#include "spool/mend/salvage_private.h"
#include "spool/owner_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

bool salvage_is_lost(const struct salvage_tree *tree, uint64_t key)
{
    for (uint32_t i = 0; i < tree->lost_count; i++) {
        if (key >= tree->lost[i].from &&
            (key < tree->lost[i].to || tree->lost[i].to == UINT64_MAX)) {
            return true;
        }
    }
    return false;
}

void salvage_tell(const struct salvage *salvage, uint64_t done, uint64_t all)
{
    if (salvage->config->tell != NULL) {
        salvage->config->tell(salvage->config->context, done, all);
    }
}

bool salvage_is_whole(enum salvage_kind kind, struct span value)
{
    struct span encoded = value;
    struct dead_letter dead;
    struct report report;
    if (kind == SALVAGE_DEAD && dead_letter_decode(value, &dead, &encoded) != 0) {
        return false;
    }
    if (kind == SALVAGE_REPORTS && report_decode(value, &report, &encoded) != 0) {
        return false;
    }
    return record_check(encoded) == 0;
}

/* --- Before ----------------------------------------------------------------------------------- */

static int salvage_open(struct salvage *salvage)
{
    const char *from = salvage->config->from;
    char owner[OWNER_TEXT_BYTES];
    salvage->dir_fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (salvage->dir_fd < 0) {
        message_set(salvage->message, "%s: cannot open the folder: %s", from, strerror(errno));
        return SALVAGE_E_REFUSED;
    }
    if (owner_lock_probe(salvage->dir_fd, owner) == OWNER_LOCK_E_OWNED) {
        message_set(salvage->message,
                    "%s: the spool is in use by %s: stop it first, or use 'export', which needs no "
                    "stop",
                    from, owner);
        return SALVAGE_E_REFUSED;
    }
    int r = page_view_open(&salvage->view, salvage->dir_fd, from, true, salvage->message);
    if (r == PAGE_VIEW_E_DAMAGED) {
        r = 0; /* without a meta page there are still the pages */
    }
    if (r == 0 && salvage->view.file.file_bytes < salvage->view.file.page_bytes) {
        message_set(salvage->message, "%s/data.mdb: too short to hold anything", from);
        return SALVAGE_E_REFUSED;
    }
    return r > 0 ? SALVAGE_E_REFUSED : r;
}

static void salvage_close(struct salvage *salvage)
{
    for (uint32_t i = 0; i < salvage->trees_count; i++) {
        free(salvage->trees[i].lost);
    }
    for (uint32_t i = 0; i <= DESTINATIONS_MAX; i++) {
        free(salvage->destinations[i].identity);
        free(salvage->destinations[i].address);
    }
    free(salvage->leaves);
    free(salvage->encoded);
    page_use_deinit(&salvage->reached);
    page_use_deinit(&salvage->values);
    page_use_deinit(&salvage->free);
    page_view_close(&salvage->view);
    spool_close_fd(&salvage->dir_fd);
}

/* --- All of it -------------------------------------------------------------------------------- */

static int salvage_run(struct salvage *salvage)
{
    int r = salvage_open(salvage);
    if (r == 0) {
        r = salvage_map(salvage);
    }
    if (r == 0 && (salvage->has_lost || salvage->config->takes_stale)) {
        r = salvage_scan(salvage);
    }
    if (r == 0) {
        r = salvage_save_begin(salvage);
    }
    if (r == 0) {
        r = salvage_merge(salvage);
    }
    if (salvage->into != NULL) {
        int ended = salvage_save_end(salvage);
        r = r != 0 ? r : ended;
    }
    return r;
}

int salvage(const struct salvage_config *config, struct salvage_result *ret_result,
            struct message *message)
{
    SPOOL_CLEANUP(spool_free) struct salvage *all = calloc(1, sizeof(*all));
    if (all == NULL) {
        message_set(message, "%s: out of memory", config->from);
        return -ENOMEM;
    }
    all->config = config;
    all->message = message;
    all->dir_fd = -1;
    all->view.file.fd = -1;
    all->newest = -1;
    message_set(message, "%s: cannot be read", config->from);
    int r = salvage_run(all);
    if (r == -ENOMEM) {
        message_set(message, "%s: out of memory", config->from);
    }
    if (r == 0 || r == SALVAGE_E_PARTIAL) {
        *ret_result = all->result;
    }
    salvage_close(all);
    return r;
}
