/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/alarms.h"

#include "spool/clock.h"
#include "src/opensips/destination_table.h"
#include "src/opensips/module_statistics.h"
#include "src/opensips/opensips.h"
#include "src/opensips/settings.h"
#include "src/opensips/shared_state.h"

#include <string.h>

/* Dead letters come in crowds: one event for all of so much time, with how many. */
#define DEAD_INTERVAL_MS 10000
/* Full has ended when nothing was refused for so long. */
#define FULL_ENDS_MS 10000
/* Reports that OpenSIPS keeps for each identifier. */
#define REPORTS_MAX 100

#define GROUP "kafka"
#define SPOOL_IDENTIFIER "spool"

enum alarm {
    ALARM_DOWN,    /* destination, reason: no broker can be reached, or an operator is needed */
    ALARM_UP,      /* destination, reason: records are delivered again */
    ALARM_HIGH,    /* fill_percent: the high mark was reached */
    ALARM_LOW,     /* fill_percent: ... and the fill is below the low mark again */
    ALARM_FULL,    /* reason: publishes are refused */
    ALARM_STALLED, /* destination: in-flight, and nothing is delivered */
    ALARM_DEAD,    /* destination, reason, count: records became dead letters */
    ALARM_CORRUPT, /* reason: a damaged spool was set aside */
    ALARM_COUNT,
};

static const char *const names[ALARM_COUNT] = {
    [ALARM_DOWN] = "E_KAFKA_DOWN", [ALARM_UP] = "E_KAFKA_UP",
    [ALARM_HIGH] = "E_KAFKA_HIGH", [ALARM_LOW] = "E_KAFKA_LOW",
    [ALARM_FULL] = "E_KAFKA_FULL", [ALARM_STALLED] = "E_KAFKA_STALLED",
    [ALARM_DEAD] = "E_KAFKA_DEAD", [ALARM_CORRUPT] = "E_KAFKA_CORRUPT",
};

static event_id_t event_ids[ALARM_COUNT];
static void *report_group;

/* The Kafka process's own. */
static struct {
    bool is_high;
    bool is_full;
    uint64_t refused_counts[OUTCOME_COUNT];
    uint64_t refused_at_ms;
    bool is_stalled[DESTINATIONS_MAX];
    uint64_t dead_count; /* not told yet */
    uint64_t dead_told_ms;
    struct message dead_destination;
    struct message dead_reason;
} state;

/* --- Registering ------------------------------------------------------------------------------ */

static str alarms_str(const char *text)
{
    return (str){(char *)(uintptr_t)text, (int)strlen(text)};
}

static int alarms_register_identifier(const char *identifier, int initial, const char *text)
{
    str name = alarms_str(identifier);
    str status = alarms_str(text);
    if (sr_register_identifier(report_group, name.s, name.len, initial, status.s, status.len,
                               REPORTS_MAX) != 0) {
        LM_ERR("cannot register the status/report identifier %s\n", identifier);
        return -1;
    }
    return 0;
}

int alarms_init(void)
{
    for (int i = 0; i < ALARM_COUNT; i++) {
        event_ids[i] = evi_publish_event(alarms_str(names[i]));
        if (event_ids[i] == EVI_ERROR) {
            LM_ERR("cannot publish the event %s\n", names[i]);
            return -1;
        }
    }
    str name = alarms_str(GROUP);
    report_group = sr_register_group(name.s, name.len, 0);
    if (report_group == NULL) {
        LM_ERR("cannot register the status/report group %s\n", GROUP);
        return -1;
    }
    int r = alarms_register_identifier(SPOOL_IDENTIFIER, SR_STATUS_NOT_READY, "not open yet");
    for (uint32_t i = 0; r == 0 && i < destination_table_count(); i++) {
        const char *id = destination_table_at(i)->id;
        if (id[0] != '\0') {
            r = alarms_register_identifier(id, SR_STATUS_READY, "no trouble since the start");
        }
    }
    return r;
}

/* --- Raising ---------------------------------------------------------------------------------- */

/* What an event says; NULL and 0: not said. */
struct alarm_text {
    const char *destination;
    const char *reason;
    const char *number_name;
    int number;
};

static void alarms_raise(enum alarm alarm, const struct alarm_text *text)
{
    if (evi_probe_event(event_ids[alarm]) <= 0) {
        return;
    }
    evi_params_p parameters = evi_get_params();
    if (parameters == NULL) {
        return;
    }
    str name = alarms_str("destination");
    str value;
    int failures = 0;
    if (text->destination != NULL) {
        value = alarms_str(text->destination);
        failures |= evi_param_add_str(parameters, &name, &value);
    }
    if (text->reason != NULL) {
        name = alarms_str("reason");
        value = alarms_str(text->reason);
        failures |= evi_param_add_str(parameters, &name, &value);
    }
    if (text->number_name != NULL) {
        name = alarms_str(text->number_name);
        failures |= evi_param_add_int(parameters, &name, (void *)(uintptr_t)&text->number);
    }
    if (failures != 0) {
        evi_free_params(parameters);
        LM_ERR("no memory for the event %s\n", names[alarm]);
        return;
    }
    (void)evi_raise_event(event_ids[alarm], parameters);
}

/* The identifier of a destination: its ID. Those of event sockets have none. */
static const char *alarms_identifier(const char *identity)
{
    for (uint32_t i = 0; i < destination_table_count(); i++) {
        const struct table_destination *destination = destination_table_at(i);
        if (destination->id[0] != '\0' && strcmp(destination->identity, identity) == 0) {
            return destination->id;
        }
    }
    return NULL;
}

static void alarms_report(const char *identifier, int status, const char *text)
{
    if (identifier == NULL) {
        return;
    }
    str name = alarms_str(identifier);
    str said = alarms_str(text);
    (void)sr_set_status(report_group, name.s, name.len, status, said.s, said.len, 0);
    (void)sr_add_report(report_group, name.s, name.len, said.s, said.len, 0);
}

void alarms_spool(const char *text)
{
    alarms_report(SPOOL_IDENTIFIER, text == NULL ? SR_STATUS_READY : SR_STATUS_NOT_READY,
                  text == NULL ? "open" : text);
}

static void alarms_note_dead(const char *destination, const char *text)
{
    state.dead_count++;
    message_set(&state.dead_reason, "%s", text);
    message_set(&state.dead_destination, "%s", destination);
}

void alarms_tell(enum host_event event, const char *destination, const char *text)
{
    const char *identifier = alarms_identifier(destination);
    const struct alarm_text alarm = {.destination = destination, .reason = text};
    switch (event) {
    case HOST_EVENT_BROKERS_DOWN:
    case HOST_EVENT_HELD:
        alarms_report(identifier, SR_STATUS_NOT_READY, text);
        alarms_raise(ALARM_DOWN, &alarm);
        break;
    case HOST_EVENT_BROKERS_UP:
        alarms_report(identifier, SR_STATUS_READY, "delivering");
        alarms_raise(ALARM_UP, &alarm);
        break;
    case HOST_EVENT_DEAD_LETTER:
        alarms_note_dead(destination, text);
        break;
    case HOST_EVENT_SET_ASIDE:
        alarms_report(SPOOL_IDENTIFIER, SR_STATUS_READY, text);
        alarms_raise(ALARM_CORRUPT, &(struct alarm_text){.reason = text});
        break;
    case HOST_EVENT_TROUBLE:
        alarms_spool(text);
        break;
    case HOST_EVENT_MENDED:
        alarms_spool(NULL);
        break;
    default:
        break;
    }
}

/* --- Looking ---------------------------------------------------------------------------------- */

static void alarms_look_marks(void)
{
    int fill_percent = (int)module_statistics_all()->values[STATISTIC_FILL_PERCENT];
    struct alarm_text text = {.number_name = "fill_percent", .number = fill_percent};
    if (!state.is_high && fill_percent >= (int)settings.high_mark_percent) {
        state.is_high = true;
        LM_WARN("the spool is %d %% full: the high mark is %u %%\n", fill_percent,
                settings.high_mark_percent);
        alarms_raise(ALARM_HIGH, &text);
    } else if (state.is_high && fill_percent < (int)settings.low_mark_percent) {
        state.is_high = false;
        LM_NOTICE("the spool is %d %% full: below the low mark again\n", fill_percent);
        alarms_raise(ALARM_LOW, &text);
    }
}

/* The last reason of which there are more refusals than the last time; OUTCOME_ACCEPTED: none. */
static enum outcome alarms_refusal(void)
{
    enum outcome reason = OUTCOME_ACCEPTED;
    for (enum outcome i = OUTCOME_FULL_BYTES; i <= OUTCOME_FULL_DISK; i++) {
        uint64_t count = atomic_load(&shared_state->outcomes[i]);
        if (count != state.refused_counts[i]) {
            state.refused_counts[i] = count;
            reason = i;
        }
    }
    return reason;
}

static void alarms_look_full(uint64_t now_ms)
{
    enum outcome reason = alarms_refusal();
    if (reason != OUTCOME_ACCEPTED) {
        state.refused_at_ms = now_ms;
        if (!state.is_full) {
            state.is_full = true;
            LM_ERR("publishes are refused: %s\n", outcome_text(reason));
            alarms_raise(ALARM_FULL, &(struct alarm_text){.reason = outcome_name(reason)});
        }
    } else if (state.is_full && now_ms - state.refused_at_ms >= FULL_ENDS_MS) {
        state.is_full = false;
        LM_NOTICE("publishes have not been refused for a while\n");
    }
}

static void alarms_look_stalled(void)
{
    for (uint32_t i = 0; i < destination_table_count(); i++) {
        bool is_stalled = module_statistics_of(i)->values[STATISTIC_STALLED] != 0;
        const struct table_destination *destination = destination_table_at(i);
        if (is_stalled && !state.is_stalled[i]) {
            LM_WARN("%s: stalled: records are in-flight, and none is delivered\n",
                    destination->address);
            alarms_raise(ALARM_STALLED, &(struct alarm_text){.destination = destination->identity});
        }
        state.is_stalled[i] = is_stalled;
    }
}

static void alarms_look_dead(uint64_t now_ms)
{
    if (state.dead_count > 0 && now_ms - state.dead_told_ms >= DEAD_INTERVAL_MS) {
        alarms_raise(ALARM_DEAD, &(struct alarm_text){
                                     .destination = state.dead_destination.text,
                                     .reason = state.dead_reason.text,
                                     .number_name = "count",
                                     .number = (int)state.dead_count,
                                 });
        state.dead_count = 0;
        state.dead_told_ms = now_ms;
    }
}

void alarms_step(void)
{
    uint64_t now_ms = clock_system()->monotonic_ms(clock_system());
    alarms_look_marks();
    alarms_look_full(now_ms);
    alarms_look_stalled();
    alarms_look_dead(now_ms);
}
