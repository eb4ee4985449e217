/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The new spool, and how what was found comes into it: with its old identity as its origin. */
#include "spool/mend/salvage_private.h"
#include "spool/outcome.h"
#include "spool/pause.h"
#include "spool/point.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

/* One transaction. */
#define SAVE_RECORDS_MAX 1000U
#define SAVE_BYTES_MAX (4U << 20)

/* Room for what a record becomes larger by, and for pages that are filled less well. */
#define SAVE_BYTES_MORE (64ULL << 20)

/* --- The new spool ---------------------------------------------------------------------------- */

static bool salvage_is_empty(const char *dir)
{
    DIR *stream = opendir(dir);
    struct dirent *entry = NULL;
    bool is_empty = true;
    if (stream == NULL) {
        return errno == ENOENT;
    }
    while (is_empty && (entry = readdir(stream)) != NULL) {
        is_empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    closedir(stream);
    return is_empty;
}

static int salvage_open_destinations(struct salvage *salvage)
{
    for (uint32_t i = 1; i <= salvage->destinations_count; i++) {
        struct salvage_destination *destination = &salvage->destinations[i];
        char unknown[64];
        /* Its queue is there, its row is not. */
        (void)snprintf(unknown, sizeof(unknown), "[salvaged-%u]unknown", i);
        bool is_known = destination->identity != NULL;
        int r = spool_destination_open(salvage->into, is_known ? destination->identity : unknown,
                                       is_known ? destination->address : unknown, &destination->to,
                                       salvage->message);
        if (r == 0 && destination->is_paused) {
            r = spool_pause(salvage->into, destination->to, true, salvage->message);
        }
        SPOOL_POINT("salvage.destination_made");
        if (r != 0) {
            return r < 0 ? r : SALVAGE_E_REFUSED;
        }
    }
    return 0;
}

int salvage_save_begin(struct salvage *salvage)
{
    const char *into = salvage->config->into;
    uint64_t max_bytes = 2 * salvage->view.file.file_bytes + SAVE_BYTES_MORE;
    const struct page_meta *meta = page_file_newest(&salvage->view.file);
    if (meta != NULL && meta->map_bytes > max_bytes && meta->map_bytes <= SPOOL_BYTES_MAX) {
        max_bytes = meta->map_bytes;
    }
    struct spool_config config = {
        .dir = into,
        .owner_name = "spool-inspect salvage",
        .max_bytes = max_bytes < SPOOL_BYTES_MAX ? max_bytes : SPOOL_BYTES_MAX,
        .durability = SPOOL_SYNC,
        .may_create = true,
        .clock = salvage->config->clock,
    };
    if (!salvage_is_empty(into)) {
        message_set(salvage->message, "%s: not empty: name a folder that is empty or not there",
                    into);
        return SALVAGE_E_REFUSED;
    }
    salvage->encoded = malloc(RECORD_BYTES_MAX);
    if (salvage->encoded == NULL) {
        return -ENOMEM;
    }
    uuid_unparse_lower(salvage->uuid, salvage->result.uuid_text);
    int r = spool_open(&config, &salvage->into, salvage->message);
    if (r != 0) {
        return r < 0 ? r : SALVAGE_E_REFUSED;
    }
    SPOOL_POINT("salvage.begun");
    r = salvage_open_destinations(salvage);
    return r == 0 ? batch_new(salvage->into, &salvage->batch) : r;
}

/* --- One record ------------------------------------------------------------------------------- */

/* The record with the identity that it had; *encoded stays as it is when that makes it too large,
 * and when the old spool's uuid is not known. */
static void salvage_set_origin(struct salvage *salvage, uint64_t sequence, struct span *encoded)
{
    struct record record;
    struct record_header headers[RECORD_HEADERS_MAX];
    size_t position = 0;
    size_t size_bytes;
    if (!salvage->result.is_uuid_known || record_decode(*encoded, &record) != 0 ||
        record.has_origin) {
        return;
    }
    for (size_t i = 0; i < record.headers_count; i++) {
        if (record_header_next(&record, &position, &headers[i]) != 0) {
            return;
        }
    }
    record.headers = headers;
    record.has_origin = true;
    record.origin_sequence = sequence;
    memcpy(record.origin_uuid, salvage->uuid, sizeof(record.origin_uuid));
    if (record_size(&record, &size_bytes) == 0) {
        record_encode(&record, salvage->encoded);
        *encoded = (struct span){salvage->encoded, size_bytes};
    }
}

/* The number of the destination in the new spool; that of the homeless is made when it is needed.
 * Not while a batch is open: it is a transaction of its own. */
static int salvage_find_home(struct salvage *salvage, uint32_t destination, uint32_t *ret_to)
{
    if (destination >= 1 && destination <= salvage->destinations_count) {
        *ret_to = salvage->destinations[destination].to;
        return 0;
    }
    if (salvage->homeless == 0) {
        int r = salvage_save_turn(salvage);
        if (r == 0) {
            r = spool_destination_open(salvage->into, SALVAGE_HOMELESS, SALVAGE_HOMELESS,
                                       &salvage->homeless, salvage->message);
        }
        if (r != 0) {
            return r < 0 ? r : SALVAGE_E_PARTIAL;
        }
    }
    *ret_to = salvage->homeless;
    return 0;
}

static int salvage_put_dead(struct salvage *salvage, uint32_t to, struct span value,
                            uint64_t sequence, int *ret_refusal)
{
    struct dead_letter dead;
    struct span encoded;
    uint64_t given;
    if (dead_letter_decode(value, &dead, &encoded) != 0) {
        dead = (struct dead_letter){.reason = SETTLE_CORRUPT};
        encoded = value;
        salvage->result.damaged_count++;
    } else if (dead.reason != SETTLE_CORRUPT && record_check(encoded) != 0) {
        salvage->result.damaged_count++;
    }
    if (dead.reason != SETTLE_DEAD && dead.reason != SETTLE_EXPIRED) {
        dead.reason = SETTLE_CORRUPT;
    }
    salvage_set_origin(salvage, sequence, &encoded);
    return batch_append_dead(salvage->batch, to, &dead, encoded, &given, ret_refusal);
}

/* S8: a record that fails its checksum becomes a dead letter as it is. */
static int salvage_put_damaged(struct salvage *salvage, uint32_t to, struct span value,
                               int *ret_refusal)
{
    struct dead_letter dead = {
        .reason = SETTLE_CORRUPT,
        .settled_wall_ms = salvage->config->clock->wall_ms(salvage->config->clock),
    };
    uint64_t given;
    return batch_append_dead(salvage->batch, to, &dead, value, &given, ret_refusal);
}

static int salvage_put_report(struct salvage *salvage, uint32_t to, struct span value,
                              int *ret_refusal)
{
    struct report report;
    struct span encoded;
    uint64_t given;
    if (report_decode(value, &report, &encoded) != 0) {
        return 0; /* nobody could be told what it was */
    }
    salvage_set_origin(salvage, report.sequence, &encoded);
    report.destination = to;
    return batch_append_report(salvage->batch, &report, encoded, &given, ret_refusal);
}

static int salvage_put(struct salvage *salvage, const struct salvage_found *found, uint32_t to,
                       int *ret_refusal)
{
    struct salvage_result *result = &salvage->result;
    bool is_whole = salvage_is_whole(found->kind, found->value);
    int r = 0;
    if (found->kind == SALVAGE_REPORTS) {
        if (!is_whole) {
            result->lost_count++;
            return 0;
        }
        r = salvage_put_report(salvage, to, found->value, ret_refusal);
        result->reports_count += r == 0;
    } else if (found->kind == SALVAGE_DEAD) {
        r = salvage_put_dead(salvage, to, found->value, found->sequence, ret_refusal);
        result->dead_count += r == 0;
    } else if (is_whole) {
        struct span encoded = found->value;
        uint64_t given;
        salvage_set_origin(salvage, found->sequence, &encoded);
        r = batch_append(salvage->batch, to, encoded, &given, ret_refusal);
        result->waiting_count += r == 0;
    } else {
        r = salvage_put_damaged(salvage, to, found->value, ret_refusal);
        result->dead_count += r == 0;
        result->damaged_count += r == 0;
    }
    result->doubtful_count += r == 0 && found->is_doubtful;
    result->homeless_count += r == 0 && to == salvage->homeless;
    return r;
}

/* --- Transactions ----------------------------------------------------------------------------- */

static int salvage_full(struct salvage *salvage, const char *what)
{
    salvage->is_batch_open = false;
    message_set(salvage->message, "%s: %s: the new spool has only a part of what was found",
                salvage->config->into, what);
    return SALVAGE_E_PARTIAL;
}

int salvage_save_turn(struct salvage *salvage)
{
    if (!salvage->is_batch_open) {
        return 0;
    }
    salvage->is_batch_open = false;
    SPOOL_POINT("salvage.turning");
    int r = batch_commit(salvage->batch);
    SPOOL_POINT("salvage.turned");
    if (r > 0) {
        return salvage_full(salvage, "the disk is full, or cannot be written");
    }
    return r;
}

static int salvage_save_open(struct salvage *salvage)
{
    if (salvage->is_batch_open) {
        return 0;
    }
    int r = batch_begin(salvage->batch, SAVE_BYTES_MAX + RECORD_BYTES_MAX, SAVE_RECORDS_MAX);
    if (r > 0) {
        return salvage_full(salvage, "the disk is full, or cannot be written");
    }
    salvage->is_batch_open = r == 0;
    salvage->batch_count = 0;
    salvage->batch_bytes = 0;
    return r;
}

int salvage_save(struct salvage *salvage, const struct salvage_found *found)
{
    uint32_t to = 0;
    int refusal = 0;
    int r = salvage_find_home(salvage, found->destination, &to);
    if (r == 0) {
        r = salvage_save_open(salvage);
    }
    if (r != 0) {
        return r;
    }
    r = salvage_put(salvage, found, to, &refusal);
    if (r == BATCH_E_REFUSED) {
        r = salvage_save_turn(salvage);
        return r == 0 ? salvage_full(salvage, outcome_text((enum outcome)refusal)) : r;
    }
    if (r != 0) { /* the batch was aborted */
        salvage->is_batch_open = false;
        return r < 0 ? r : salvage_full(salvage, "the disk is full, or cannot be written");
    }
    salvage->batch_count++;
    salvage->batch_bytes += found->value.size_bytes;
    bool is_large =
        salvage->batch_count >= SAVE_RECORDS_MAX || salvage->batch_bytes >= SAVE_BYTES_MAX;
    return is_large ? salvage_save_turn(salvage) : 0;
}

int salvage_save_end(struct salvage *salvage)
{
    int r = salvage_save_turn(salvage);
    batch_free(&salvage->batch);
    spool_close(&salvage->into);
    SPOOL_POINT("salvage.ended");
    return r;
}
