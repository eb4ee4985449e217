/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports: each record that left with a route leaves one, and it stays until its route ran. */
#include "spool/little_endian.h"
#include "tests/sim/look_private.h"
#include "tests/sim/tally.h"

#include <assert.h>

static void look_check_report(struct world *world, const struct report *report,
                              const struct record *record, const struct known *known,
                              enum settle_action action)
{
    struct record wanted;
    known_record(known, &wanted);
    if (report->reason != action) {
        violate(world, "P4", "the report of record %u says %s, and it was %s", known->number,
                settle_action_name(report->reason), settle_action_name(action));
    }
    if (report->destination != known->destination) {
        violate(world, "P4", "the report of record %u is of another destination", known->number);
    }
    if (record->key.size_bytes != wanted.key.size_bytes ||
        record->report_route.size_bytes != wanted.report_route.size_bytes) {
        violate(world, "P4", "the report of record %u has lost its key or route", known->number);
    }
    size_t payload_bytes = report->is_payload_left_out ? 0 : known->payload_bytes;
    if (record->payload.size_bytes != payload_bytes) {
        violate(world, "P4", "the report of record %u has lost its payload", known->number);
    }
    if (report->is_payload_left_out) {
        tally("report", "without payload");
    }
}

/* A report that was not there at the last look. */
static void look_new_report(struct world *world, struct found *found, uint64_t number,
                            struct span stored)
{
    struct model *model = &world->model;
    struct report report;
    struct record record;
    struct span encoded;
    if (report_decode(stored, &report, &encoded) != 0 || record_decode(encoded, &record) != 0) {
        violate(world, "S5", "report %llu cannot be read", (unsigned long long)number);
        return;
    }
    if (number < model->next_report) {
        violate(world, "S5", "report %llu comes after %llu", (unsigned long long)number,
                (unsigned long long)model->next_report - 1);
    }
    model->reports[number] = (struct kept_report){.is_there = true};
    struct known *known = model_find_sequence(model, report.sequence);
    if (known == NULL) {
        known = model_find_record(model, &record);
    }
    if (known != NULL && known->is_import_report && known->place == KNOWN_NOWHERE) {
        known->place = KNOWN_GONE;
        found_count(found, known->destination, COUNTER_REPORT_RECORDS, 0);
        return;
    }
    if (known == NULL) {
        /* Of one that was dropped in the commit that appended it: its publisher died. */
        if (report.reason != SETTLE_DROP || found->unseen[report.destination] == 0) {
            violate(world, "S5", "report %llu is of no record", (unsigned long long)number);
        }
        return;
    }
    if (found->left[known->number] == 0) {
        violate(world, "S5", "report %llu is of record %u, which did not leave its queue",
                (unsigned long long)number, known->number);
        return;
    }
    model->reports[number].known = known->number;
    look_check_report(world, &report, &record, known,
                      (enum settle_action)(found->left[known->number] - 1));
    found->left[known->number] = 0;
}

void look_at_reports(struct world *world, struct found *found)
{
    static unsigned seen_at[MODEL_REPORTS_MAX];
    struct model *model = &world->model;
    struct cursor cursor;
    uint64_t number;
    struct span stored;
    uint64_t last = 0;
    if (cursor_begin_reports(&cursor, world->spool, 0) != 0) {
        return;
    }
    while (cursor_next(&cursor, &number, &stored) == 0 && !world->violation.is_set) {
        uint32_t destination = get_u32((const uint8_t *)stored.data + 32);
        assert(number < MODEL_REPORTS_MAX && destination <= MODEL_DESTINATIONS);
        seen_at[number] = model->looks_count;
        last = number;
        if (!model->reports[number].is_there) {
            look_new_report(world, found, number, stored);
        }
        found->levels[destination][COUNTER_REPORT_RECORDS]++;
        found->levels[destination][COUNTER_REPORT_BYTES] += stored.size_bytes;
        found->levels[0][COUNTER_REPORT_RECORDS]++;
        found->levels[0][COUNTER_REPORT_BYTES] += stored.size_bytes;
    }
    cursor_end(&cursor);
    for (uint64_t i = 1; i < model->next_report && i < MODEL_REPORTS_MAX; i++) {
        struct kept_report *report = &model->reports[i];
        if (report->is_there && seen_at[i] != model->looks_count) {
            report->is_there = false;
            found->totals[0][COUNTER_REPORTS_RUN]++;
            if (!report->is_done) {
                violate(world, "S5", "report %llu is gone, and its route was not run",
                        (unsigned long long)i);
            }
        }
    }
    model->next_report = last >= model->next_report ? last + 1 : model->next_report;
}
