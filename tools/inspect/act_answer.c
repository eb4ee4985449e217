/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/act_answer.h"

#include "spool/live.h"
#include "spool/visit.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"

#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

void act_answer_count(struct act_answer *answer, const struct walk_entry *entry)
{
    uint64_t *oldest = &answer->destinations[entry->destination].oldest_wall_ms;
    answer->found_count++;
    answer->found_bytes += entry->stored.size_bytes;
    answer->destinations[entry->destination].records_count++;
    answer->destinations[entry->destination].bytes += entry->stored.size_bytes;
    if (entry->is_readable && (*oldest == 0 || entry->record.published_wall_ms < *oldest)) {
        *oldest = entry->record.published_wall_ms;
    }
}

uint32_t act_answer_only_destination(const struct act_answer *answer)
{
    uint32_t only = DESTINATION_ALL;
    for (uint32_t i = 1; i <= DESTINATIONS_MAX; i++) {
        if (answer->destinations[i].records_count > 0) {
            if (only != DESTINATION_ALL) {
                return DESTINATION_ALL;
            }
            only = i;
        }
    }
    return only;
}

/* How much is in-flight says the owner itself; without its word it may be all of what was found. */
void act_answer_ask_forwarder(struct act_answer *answer)
{
    bool is_owned = false;
    SPOOL_CLEANUP(spool_free) struct live *live = malloc(sizeof(*live));
    if (answer->kind->place != WALK_QUEUE ||
        spool_owner(answer->spool, &is_owned, answer->forwarder) != 0 || !is_owned) {
        answer->forwarder[0] = '\0';
        return;
    }
    bool is_known = live != NULL && live_read(spool_dir(answer->spool), live) == 0 &&
                    inspect_now_ms() < live->written_wall_ms + LIVE_STALE_MS;
    for (uint32_t i = 1; i <= spool_destinations_count(answer->spool); i++) {
        uint64_t found = answer->destinations[i].records_count;
        uint64_t inflight = found;
        if (is_known) {
            inflight = i <= live->destinations_count ? live->destinations[i].inflight_records : 0;
        }
        answer->inflight_max += found < inflight ? found : inflight;
    }
}

/* --- For people ------------------------------------------------------------------------------- */

static const struct output_column act_columns[] = {
    {"DESTINATION", false, true},
    {"RECORDS", true, false},
    {"BYTES", true, false},
    {"OLDEST", true, false},
};

static void act_answer_print_destinations(const struct act_answer *answer)
{
    struct libscols_table *table = output_table_new(act_columns, SPOOL_COUNT_OF(act_columns));
    uint64_t now_ms = inspect_now_ms();
    for (uint32_t i = 1; table != NULL && i <= spool_destinations_count(answer->spool); i++) {
        uint64_t oldest_ms = answer->destinations[i].oldest_wall_ms;
        char word[OUTPUT_WORD_BYTES];
        if (answer->destinations[i].records_count == 0) {
            continue;
        }
        struct libscols_line *line = scols_table_new_line(table, NULL);
        if (line == NULL) {
            break;
        }
        (void)scols_line_set_data(line, 0, spool_destination_identity(answer->spool, i));
        (void)snprintf(word, sizeof(word), "%" PRIu64, answer->destinations[i].records_count);
        (void)scols_line_set_data(line, 1, word);
        output_bytes(answer->destinations[i].bytes, word);
        (void)scols_line_set_data(line, 2, word);
        output_duration(now_ms > oldest_ms ? now_ms - oldest_ms : 0, word);
        (void)scols_line_set_data(line, 3, oldest_ms == 0 ? "-" : word);
    }
    if (table != NULL) {
        (void)scols_print_table(table);
    }
    output_table_free(&table);
}

void act_answer_print(const struct act_answer *answer)
{
    const struct act_kind *kind = answer->kind;
    uint64_t count = answer->is_done ? answer->done_count : answer->found_count;
    char bytes[OUTPUT_WORD_BYTES];
    output_bytes(answer->is_done ? answer->done_bytes : answer->found_bytes, bytes);
    const char *noun = kind->place == WALK_DEAD ? "dead letter" : "waiting record";
    if (answer->found_count > 0) {
        act_answer_print_destinations(answer);
    }
    if (answer->is_done) {
        printf("%" PRIu64 " %s%s (%s) %s %s", count, noun, count == 1 ? "" : "s", bytes,
               count == 1 ? "was" : "were", kind->done);
    } else {
        printf("%" PRIu64 " %s%s (%s) would be %s", count, noun, count == 1 ? "" : "s", bytes,
               kind->done);
    }
    if (answer->into != 0) {
        printf(" into %s", spool_destination_identity(answer->spool, answer->into));
    }
    printf(": %s.\n", answer->words);
    if (answer->skipped_count > 0) {
        printf("%" PRIu64 " more match%s and stay%s: %s.\n", answer->skipped_count,
               answer->skipped_count == 1 ? "es" : "", answer->skipped_count == 1 ? "s" : "",
               kind->act == AUDIT_MOVE ? "there already" : "no program could decode them");
    }
    if (answer->export_path != NULL) {
        printf("Exported before: %s.\n", answer->export_path);
    }
    if (answer->inflight_max > 0) {
        printf("Up to %" PRIu64 " of them %s in-flight (%s) and may be delivered all the same.\n",
               answer->inflight_max, answer->is_done ? "were" : "are", answer->forwarder);
    }
    if (!answer->is_done && answer->found_count > 0) {
        printf("Nothing was changed. With --yes it is done.\n");
    }
}

/* --- For programs ----------------------------------------------------------------------------- */

static json_t *act_answer_destinations_json(const struct act_answer *answer)
{
    json_t *destinations = json_array();
    for (uint32_t i = 1; i <= spool_destinations_count(answer->spool); i++) {
        if (answer->destinations[i].records_count > 0) {
            json_t *one = json_object();
            const char *identity = spool_destination_identity(answer->spool, i);
            output_json_bytes(one, "destination", (struct span){identity, strlen(identity)});
            output_json_number(one, "records", answer->destinations[i].records_count);
            output_json_number(one, "bytes", answer->destinations[i].bytes);
            output_json_time(one, "oldest_ms", answer->destinations[i].oldest_wall_ms);
            (void)json_array_append_new(destinations, one);
        }
    }
    return destinations;
}

static void act_answer_set_text(json_t *object, const char *name, const char *text)
{
    output_json_bytes(object, name, (struct span){text, text == NULL ? 0 : strlen(text)});
}

void act_answer_print_json(const struct act_answer *answer)
{
    json_t *object = json_object();
    act_answer_set_text(object, "format", "spool-inspect/act/1");
    act_answer_set_text(object, "act", audit_act_name(answer->kind->act));
    act_answer_set_text(object, "filter", answer->words);
    act_answer_set_text(
        object, "into",
        answer->into == 0 ? NULL : spool_destination_identity(answer->spool, answer->into));
    (void)json_object_set_new(object, "done", json_boolean(answer->is_done));
    output_json_number(object, "found_records", answer->found_count);
    output_json_number(object, "found_bytes", answer->found_bytes);
    output_json_number(object, "skipped_records", answer->skipped_count);
    output_json_number(object, "done_records", answer->done_count);
    output_json_number(object, "done_bytes", answer->done_bytes);
    (void)json_object_set_new(object, "destinations", act_answer_destinations_json(answer));
    act_answer_set_text(object, "export", answer->export_path);
    output_json_number(object, "inflight_records_max", answer->inflight_max);
    act_answer_set_text(object, "forwarder",
                        answer->forwarder[0] == '\0' ? NULL : answer->forwarder);
    output_json(object);
}
