/* SPDX-License-Identifier: GPL-2.0-or-later */
/* status: the verdict, the reasons, the spool, its destinations. */
#include "tools/inspect/command.h"
#include "tools/inspect/filter.h"
#include "tools/inspect/output.h"
#include "tools/inspect/snapshot.h"
#include "tools/inspect/snapshot_json.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

enum {
    OPTION_MAX_AGE = 0x3000,
    OPTION_MAX_DEPTH,
};

struct status {
    struct inspect *inspect;
    struct snapshot_limits limits;
};

static const struct argp_option status_options[] = {
    {"max-age", OPTION_MAX_AGE, "TIME", 0,
     "Attention when a record waits for longer (30s, 5m, 2h, 3d)", 1},
    {"max-depth", OPTION_MAX_DEPTH, "N", 0, "Attention when more records wait for a destination",
     1},
    {0},
};

static error_t status_parse(int key, char *argument, struct argp_state *state)
{
    struct status *status = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = status->inspect;
        return 0;
    case OPTION_MAX_AGE:
        if (!filter_read_duration(argument, &status->limits.max_age_ms) ||
            status->limits.max_age_ms == 0) {
            argp_error(state, "--max-age: '%.40s' is no time like 30s, 5m, 2h or 3d", argument);
        }
        return 0;
    case OPTION_MAX_DEPTH:
        if (!filter_read_number(argument, &status->limits.max_depth_records) ||
            status->limits.max_depth_records == 0) {
            argp_error(state, "--max-depth: '%.40s' is no number from 1", argument);
        }
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%.40s' belongs to no option", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- The verdict ------------------------------------------------------------------------------ */

static void status_print_verdict(const struct snapshot *snapshot)
{
    enum verdict_kind verdict = snapshot_verdict(snapshot);
    const char *colour = verdict == VERDICT_HEALTHY     ? "\033[1;32m"
                         : verdict >= VERDICT_ATTENTION ? "\033[1;31m"
                                                        : "\033[1;33m";
    bool has_colours = output_has_colours();
    printf("%s%s%s\n", has_colours ? colour : "", snapshot_verdict_name(verdict),
           has_colours ? "\033[0m" : "");
    for (size_t i = 0; i < snapshot->reasons_count; i++) {
        const char *text = snapshot->reasons[i].text.text;
        printf("  - ");
        output_text(stdout, (struct span){text, strlen(text)}, false);
        (void)putchar('\n');
    }
    (void)putchar('\n');
}

/* --- The spool -------------------------------------------------------------------------------- */

static void status_print_owner(const struct snapshot *snapshot)
{
    char age[OUTPUT_WORD_BYTES];
    const struct live *live = &snapshot->live;
    printf("owner       ");
    if (!snapshot->is_owned) {
        printf("nobody");
        if (snapshot->has_live && snapshot->taken_wall_ms >= live->written_wall_ms) {
            output_duration(snapshot->taken_wall_ms - live->written_wall_ms, age);
            printf("; the last one %s %s ago", live->is_stopped ? "ended" : "was last heard of",
                   age);
        }
    } else {
        output_text(stdout, (struct span){snapshot->owner, strlen(snapshot->owner)}, false);
        if (snapshot->is_live && snapshot->taken_wall_ms >= live->started_wall_ms) {
            output_duration(snapshot->taken_wall_ms - live->started_wall_ms, age);
            printf(", for %s", age);
        }
    }
    (void)putchar('\n');
}

static void status_print_durability(const struct snapshot *snapshot)
{
    const struct live *live = &snapshot->live;
    if (!snapshot->has_live) {
        return;
    }
    printf("durability  %s", live->durability == SPOOL_SYNC
                                 ? "sync: a power loss costs nothing that was accepted"
                                 : "nometasync: a power loss may cost the last commit");
    if (live->commits_count > 0) {
        printf("; commits take %.1f ms (median), %.1f ms (99 %%)",
               (double)live->commit_us_p50 / 1000, (double)live->commit_us_p99 / 1000);
    }
    (void)putchar('\n');
}

static void status_print_spool(const struct inspect *inspect, const struct snapshot *snapshot)
{
    const struct spool_space *space = &snapshot->space;
    char used[OUTPUT_WORD_BYTES];
    char limit[OUTPUT_WORD_BYTES];
    char room[OUTPUT_WORD_BYTES];
    char file[OUTPUT_WORD_BYTES];
    char disk[OUTPUT_WORD_BYTES];
    const char *dir = spool_dir(inspect->spool);
    output_bytes(space->used_bytes, used);
    output_bytes(space->limit_bytes, limit);
    output_bytes(space->room_bytes, room);
    output_bytes(space->file_bytes, file);
    output_bytes(snapshot->disk_free_bytes, disk);
    printf("spool       ");
    output_text(stdout, (struct span){dir, strlen(dir)}, false);
    printf(" (%s)\n", spool_uuid(inspect->spool));
    status_print_owner(snapshot);
    status_print_durability(snapshot);
    printf("fill        %s of %s (%.0f %%), room for %s; the file is %s\n", used, limit,
           space->limit_bytes > 0 ? 100 * (double)space->used_bytes / (double)space->limit_bytes
                                  : 0,
           room, file);
    printf("disk        %s free%s\n", disk, space->is_disk_full ? ", full for the spool" : "");
    printf("readers     ");
    if (snapshot->readers.count == 0) {
        printf("none\n\n");
    } else {
        printf("%u; the oldest (pid %" PRIu64 ") is %" PRIu64 " commits behind\n\n",
               snapshot->readers.count, snapshot->readers.oldest_pid,
               snapshot->readers.behind_count);
    }
}

/* --- The destinations ------------------------------------------------------------------------- */

static const struct output_column status_columns[] = {
    {"DESTINATION", false, false}, {"STATE", false, false},     {"DEPTH", true, false},
    {"BYTES", true, false},        {"OLDEST", true, false},     {"IN-FLIGHT", true, false},
    {"IN/s", true, false},         {"OUT/s", true, false},      {"LAST SUCCESS", true, false},
    {"DEAD", true, false},         {"LAST ERROR", false, true},
};

static void status_set(struct libscols_line *line, size_t column, bool is_known, const char *format,
                       ...) SPOOL_PRINTF(4, 5);

static void status_set(struct libscols_line *line, size_t column, bool is_known, const char *format,
                       ...)
{
    char text[128] = "-";
    va_list arguments;
    va_start(arguments, format);
    if (is_known) {
        (void)vsnprintf(text, sizeof(text), format, arguments);
    }
    va_end(arguments);
    (void)scols_line_set_data(line, column, text);
}

static void status_set_text(struct libscols_line *line, size_t column, const char *text)
{
    SPOOL_CLEANUP(spool_free)
    char *shown = output_text_new((struct span){text, strlen(text)}, LIVE_TEXT_BYTES);
    (void)scols_line_set_data(line, column, shown != NULL && shown[0] != '\0' ? shown : "-");
}

static int status_add_line(struct libscols_table *table, const struct snapshot *snapshot,
                           uint32_t id)
{
    const struct snapshot_destination *it = &snapshot->destinations[id];
    const struct live_destination *live = &it->live;
    const uint64_t *counters = it->counters.values;
    char bytes[OUTPUT_WORD_BYTES];
    char age[OUTPUT_WORD_BYTES];
    char delivered[OUTPUT_WORD_BYTES];
    uint64_t last_ms = counters[COUNTER_LAST_DELIVERED_WALL_MS];
    struct libscols_line *line = scols_table_new_line(table, NULL);
    if (line == NULL) {
        return -ENOMEM;
    }
    output_bytes(counters[COUNTER_QUEUE_BYTES], bytes);
    output_duration(snapshot_age_ms(snapshot, id), age);
    output_duration(snapshot->taken_wall_ms > last_ms ? snapshot->taken_wall_ms - last_ms : 0,
                    delivered);
    status_set_text(line, 0, it->identity);
    status_set_text(line, 1, snapshot_state(snapshot, id));
    status_set(line, 2, true, "%" PRIu64, counters[COUNTER_QUEUE_RECORDS]);
    status_set(line, 3, true, "%s", bytes);
    status_set(line, 4, it->oldest_wall_ms != 0, "%s", age);
    status_set(line, 5, snapshot->is_live, "%" PRIu64, live->inflight_records);
    status_set(line, 6, snapshot->is_live, "%.1f", (double)live->in_per_ks / 1000);
    status_set(line, 7, snapshot->is_live, "%.1f", (double)live->out_per_ks / 1000);
    status_set(line, 8, last_ms != 0, "%s ago", delivered);
    status_set(line, 9, true, "%" PRIu64, counters[COUNTER_DEAD_RECORDS]);
    status_set_text(line, 10, live->last_error_text);
    return 0;
}

static void status_print_destinations(const struct snapshot *snapshot)
{
    if (snapshot->destinations_count == 0) {
        printf("no destination was ever configured\n");
        return;
    }
    SPOOL_CLEANUP(output_table_free)
    struct libscols_table *table = output_table_new(status_columns, SPOOL_COUNT_OF(status_columns));
    int r = table == NULL ? -ENOMEM : 0;
    for (uint32_t i = 1; r == 0 && i <= snapshot->destinations_count; i++) {
        r = status_add_line(table, snapshot, i);
    }
    if (r != 0) {
        inspect_say("out of memory");
        return;
    }
    (void)scols_print_table(table);
}

/* --- The command ------------------------------------------------------------------------------ */

static enum inspect_exit status_show(struct status *status)
{
    struct inspect *inspect = status->inspect;
    SPOOL_CLEANUP(snapshot_free) struct snapshot *snapshot = malloc(sizeof(*snapshot));
    int r = snapshot == NULL ? -ENOMEM : snapshot_take(inspect->spool, snapshot);
    if (r != 0) {
        inspect_say("%s: cannot be read: %s", spool_dir(inspect->spool), strerror(-r));
        return INSPECT_EXIT_SPOOL;
    }
    snapshot_judge(snapshot, &status->limits);
    if (inspect->prints_json) {
        output_json(snapshot_json(inspect->spool, snapshot));
    } else {
        status_print_verdict(snapshot);
        status_print_spool(inspect, snapshot);
        status_print_destinations(snapshot);
    }
    return snapshot_verdict(snapshot) == VERDICT_HEALTHY ? INSPECT_EXIT_DONE
                                                         : INSPECT_EXIT_ATTENTION;
}

enum inspect_exit status_run(struct inspect *inspect, int argc, char **argv)
{
    static const struct argp_child children[] = {{&inspect_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = status_options,
        .parser = status_parse,
        .doc =
            "Say how the spool is: healthy, waiting, stalled, full, or what needs attention and "
            "why.\v"
            "Exit code 0 when it is healthy, else 1. With --max-age or --max-depth, records that "
            "only wait are judged by these alone, so that a short outage is no alarm.\n"
            "\n"
            "Examples:\n"
            "  spool-inspect\n"
            "  spool-inspect status --max-age 10m --max-depth 100000\n"
            "  spool-inspect status --json | jq .verdict\n",
        .children = children,
    };
    struct status status = {.inspect = inspect};
    inspect_parse(&argp, argc, argv, &status);
    enum inspect_exit code = inspect_open(inspect);
    return code == INSPECT_EXIT_DONE ? status_show(&status) : code;
}
