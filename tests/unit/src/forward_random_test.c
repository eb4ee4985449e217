/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forwarder against a model, in random histories: appends, answers in any order, failures,
 * poison, refusals, expiry, lost producers, crashes, pauses.
 *
 * The broker of the model writes each destination's records in the order of produce, so it writes
 * nothing behind one that failed; its answers come in any order, late, or not at all. Whatever it
 * does, at each produce:
 *   - the record is newer than all that is in-flight to the destination;
 *   - it is not in-flight, and was not reported as delivered since the last crash;
 * and when the broker is well again:
 *   - each record is written, or a dead letter that has a reason to be one;
 *   - the first writings of each destination are in the order of its sequences.
 *
 * A seed is one history; SPOOL_SEED=N runs that one alone, SPOOL_SEEDS=N so many.
 */
#include "src/forward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spool/pause.h"
#include "tests/harness/flow_fixture.h"

#define SEEDS_DEFAULT 300
#define STEPS_COUNT 60
#define DESTINATIONS_COUNT 3
#define RECORDS_MAX 600
/* Until everything is settled, in steps of five seconds each. */
#define HEALING_STEPS_MAX 200

/* One record that was accepted. */
struct known {
    uint64_t sequence;
    size_t destination;
    bool is_poison; /* the broker refuses each batch that it is in */
    bool is_refused;
    bool can_expire;
    bool is_delivered; /* reported as such since the last crash */
    unsigned writings_count;
};

struct model {
    struct flow_fixture *flow;
    uint64_t seed;
    uint64_t random_state;
    uint64_t first_sequence;
    struct known known[RECORDS_MAX];
    size_t known_count;
    size_t records_seen; /* of the fake sinks': their writing is decided up to here */
    bool *is_written;    /* by number of the fake's record */
    bool *is_failed;
    uint64_t written_max[DESTINATIONS_COUNT];
    struct message violation;
};

static const char *const addresses[DESTINATIONS_COUNT] = {
    "[a]broker:9092/a",
    "[b]broker:9092/b",
    "[c]other:9092/c",
};

/* Steele, Lea, Flood: splitmix64. */
static uint64_t draw(struct model *model, uint64_t below)
{
    uint64_t x = model->random_state += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return (x ^ (x >> 31)) % below;
}

static struct known *find(struct model *model, uint64_t sequence)
{
    size_t at = (size_t)(sequence - model->first_sequence);
    return sequence >= model->first_sequence && at < model->known_count ? &model->known[at] : NULL;
}

static void violate(struct model *model, const char *what, uint64_t sequence)
{
    if (model->violation.text[0] == '\0') {
        message_set(&model->violation, "%s, record %llu", what, (unsigned long long)sequence);
    }
}

static bool is_inflight(const struct fake_record *record)
{
    return record->stage == FAKE_TAKEN || record->stage == FAKE_ANSWERED;
}

/* At each produce. Asserting here would leave locks behind. */
static int check_produce(void *context, const struct fake_record *record)
{
    struct model *model = context;
    const struct fake_sinks *sinks = &model->flow->sinks;
    struct known *known = find(model, record->sequence);
    if (known == NULL || known->is_refused) {
        violate(model, "produced what nobody published", record->sequence);
        return FAKE_LATER;
    }
    if (known->is_delivered) {
        violate(model, "produced again after its delivery", record->sequence);
    }
    for (size_t i = 0; i + 1 < sinks->records_count; i++) {
        const struct fake_record *other = &sinks->records[i];
        if (is_inflight(other) && strcmp(other->topic, record->topic) == 0 &&
            other->sequence >= record->sequence) {
            violate(model, "produced behind a newer one that is in-flight", record->sequence);
        }
    }
    return FAKE_LATER;
}

static int refuse(void *context, const struct record *record, uint64_t sequence, int *ret_error)
{
    struct model *model = context;
    const struct known *known = find(model, sequence);
    (void)record;
    if (known != NULL && known->is_refused) {
        *ret_error = FAKE_TOO_LARGE;
        return SINK_E_REJECTED;
    }
    return draw(model, 40) == 0 ? SINK_E_BUSY : 0;
}

/* --- The broker ------------------------------------------------------------------------------- */

static void grow(struct model *model)
{
    size_t count = model->flow->sinks.records_count;
    if (count <= model->records_seen) {
        return;
    }
    bool *is_written = realloc(model->is_written, count * sizeof(bool));
    bool *is_failed = realloc(model->is_failed, count * sizeof(bool));
    if (is_written == NULL || is_failed == NULL) {
        abort();
    }
    for (size_t i = model->records_seen; i < count; i++) {
        is_written[i] = false;
        is_failed[i] = false;
    }
    model->is_written = is_written;
    model->is_failed = is_failed;
    model->records_seen = count;
}

/* A record that was given back without being written leaves a hole: what was in-flight behind it
 * is not written either. To be called before anything else is produced. */
static void notice_holes(struct model *model)
{
    const struct fake_sinks *sinks = &model->flow->sinks;
    grow(model);
    for (size_t i = 0; i < sinks->records_count; i++) {
        const struct fake_record *record = &sinks->records[i];
        if (record->stage == FAKE_TAKEN || model->is_written[i] || model->is_failed[i]) {
            continue;
        }
        model->is_failed[i] = true;
        for (size_t j = i + 1; j < sinks->records_count; j++) {
            const struct fake_record *behind = &sinks->records[j];
            if (behind->stage == FAKE_TAKEN && behind->sink_number == record->sink_number &&
                strcmp(behind->topic, record->topic) == 0) {
                model->is_failed[j] = true;
            }
        }
    }
}

static void step(struct model *model)
{
    notice_holes(model);
    (void)!forward_step(model->flow->forward);
    notice_holes(model);
}

static void write_record(struct model *model, size_t at)
{
    struct known *known = find(model, model->flow->sinks.records[at].sequence);
    model->is_written[at] = true;
    if (known->writings_count++ == 0) {
        uint64_t *max = &model->written_max[known->destination];
        if (known->sequence < *max) {
            violate(model, "written for the first time behind a newer one", known->sequence);
        }
        *max = known->sequence;
    }
}

/* The unanswered records of a destination, in order. */
static size_t list_unanswered(const struct model *model, size_t destination, size_t *ret_at)
{
    const struct fake_sinks *sinks = &model->flow->sinks;
    char topic[2] = {(char)('a' + destination), '\0'};
    size_t count = 0;
    for (size_t i = 0; i < sinks->records_count && count < RECORDS_MAX; i++) {
        if (sinks->records[i].stage == FAKE_TAKEN && strcmp(sinks->records[i].topic, topic) == 0) {
            ret_at[count++] = i;
        }
    }
    return count;
}

/* Writes the first so many unanswered records, up to one that fails or failed. */
static void write_some(struct model *model, const size_t *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct known *known = find(model, model->flow->sinks.records[at[i]].sequence);
        if (known->is_poison || model->is_failed[at[i]]) {
            return;
        }
        if (!model->is_written[at[i]]) {
            write_record(model, at[i]);
        }
    }
}

static void answer(struct model *model, size_t at, int error)
{
    bool is_written = model->is_written[at];
    struct sink_report report = {
        .error = error,
        .persistence = is_written ? SINK_PERSISTENCE_POSSIBLY : SINK_PERSISTENCE_NOT,
        .partition = -1,
        .offset = -1,
    };
    if (error == 0) {
        find(model, model->flow->sinks.records[at].sequence)->is_delivered = true;
    }
    fake_sinks_report(&model->flow->sinks, at, &report);
}

/* Answers some of those that are written, in any order; some of these as if the answer were lost.
 */
static void acknowledge_some(struct model *model, const size_t *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t one = at[draw(model, count)];
        if (model->is_written[one] && model->flow->sinks.records[one].stage == FAKE_TAKEN) {
            answer(model, one, draw(model, 30) == 0 ? FAKE_TRANSPORT : 0);
        }
    }
}

/* Fails the first record that is not written, and with it those behind it in its batch. */
static void fail_some(struct model *model, const size_t *at, size_t count)
{
    static const int errors[] = {FAKE_TRANSPORT, FAKE_UNKNOWN_TOPIC, -192};
    size_t first = 0;
    while (first < count && model->is_written[at[first]]) {
        first++;
    }
    if (first == count) {
        return;
    }
    size_t batch = 1 + (size_t)draw(model, 8);
    int error = errors[draw(model, SPOOL_COUNT_OF(errors))];
    for (size_t i = first; i < count && i < first + batch; i++) {
        if (find(model, model->flow->sinks.records[at[i]].sequence)->is_poison) {
            error = FAKE_TOO_LARGE;
        }
    }
    for (size_t i = first; i < count && i < first + batch; i++) {
        answer(model, at[i], error);
    }
    notice_holes(model);
}

static void broker_works(struct model *model)
{
    size_t at[RECORDS_MAX];
    notice_holes(model);
    for (size_t destination = 0; destination < DESTINATIONS_COUNT; destination++) {
        size_t count = list_unanswered(model, destination, at);
        if (count == 0 || draw(model, 3) == 0) {
            continue;
        }
        write_some(model, at, (size_t)draw(model, count + 1));
        acknowledge_some(model, at, count);
        if (draw(model, 6) == 0) {
            fail_some(model, at, list_unanswered(model, destination, at));
        }
    }
}

/* Writes and answers everything; what cannot be written is refused. */
static void broker_is_well(struct model *model)
{
    size_t at[RECORDS_MAX];
    notice_holes(model);
    for (size_t destination = 0; destination < DESTINATIONS_COUNT; destination++) {
        size_t count = list_unanswered(model, destination, at);
        write_some(model, at, count);
        for (size_t i = 0; i < count; i++) {
            if (model->is_written[at[i]]) {
                answer(model, at[i], 0);
            }
        }
        fail_some(model, at, list_unanswered(model, destination, at));
    }
}

/* --- What else happens ------------------------------------------------------------------------ */

static void append_some(struct model *model)
{
    struct flow_fixture *flow = model->flow;
    size_t count = 1 + (size_t)draw(model, 12);
    flow_begin(flow, count * FLOW_RECORD_BYTES, count);
    for (size_t i = 0; i < count && model->known_count < RECORDS_MAX; i++) {
        struct known *known = &model->known[model->known_count];
        *known = (struct known){
            .destination = (size_t)draw(model, DESTINATIONS_COUNT),
            .is_poison = draw(model, 50) == 0,
            .is_refused = draw(model, 50) == 0,
            .can_expire = draw(model, 10) == 0,
        };
        uint64_t now_ms = flow->clock.wall_now_ms;
        struct record record = {
            .published_wall_ms = now_ms,
            .expires_wall_ms = known->can_expire ? now_ms + 1 + draw(model, 20000) : 0,
            .payload = {"x", 1},
        };
        known->sequence = flow_put(flow, flow->destinations[known->destination], &record);
        if (model->known_count == 0) {
            model->first_sequence = known->sequence;
        }
        assert_int_equal(known->sequence, model->first_sequence + model->known_count);
        model->known_count++;
    }
    flow_commit(flow);
}

static void crash(struct model *model)
{
    flow_forget(model->flow);
    for (size_t i = 0; i < model->known_count; i++) {
        model->known[i].is_delivered = false;
    }
}

/* As an operator does. The forwarder sees it when it looks at the spool the next time. */
static void pause_destination(struct flow_fixture *flow, size_t at, bool pauses)
{
    struct message message;
    assert_int_equal(spool_pause(flow->spool, flow->destinations[at], pauses, &message), 0);
}

static void do_something(struct model *model)
{
    struct flow_fixture *flow = model->flow;
    switch (draw(model, 12)) {
    case 0:
        fake_clock_pass(&flow->clock, draw(model, 15000));
        break;
    case 1:
        if (draw(model, 4) == 0) {
            fake_sinks_fail(&flow->sinks);
        }
        break;
    case 2:
        if (draw(model, 4) == 0) {
            crash(model);
        }
        break;
    case 3:
        pause_destination(flow, draw(model, DESTINATIONS_COUNT), draw(model, 2) == 0);
        break;
    case 4:
        flow->sinks.wires_all = draw(model, 2) == 0;
        flow->sinks.ignores_purge = draw(model, 5) == 0;
        break;
    case 5:
    case 6:
    case 7:
        append_some(model);
        break;
    default:
        broker_works(model);
        break;
    }
}

static void check(struct model *model, const char *when)
{
    if (model->violation.text[0] != '\0') {
        fail_msg("%s: %s; repeat with SPOOL_SEED=%llu", when, model->violation.text,
                 (unsigned long long)model->seed);
    }
}

static void run_history(struct model *model)
{
    struct flow_fixture *flow = model->flow;
    for (int i = 0; i < STEPS_COUNT; i++) {
        do_something(model);
        if (draw(model, 4) != 0) {
            step(model);
        }
        if (draw(model, 3) == 0) {
            (void)!committer_step(flow->committer, true);
        }
        check(model, "in the history");
    }
}

static void heal(struct model *model)
{
    struct flow_fixture *flow = model->flow;
    flow->sinks.ignores_purge = false;
    for (size_t i = 0; i < DESTINATIONS_COUNT; i++) {
        pause_destination(flow, i, false);
    }
    for (int i = 0; flow_counter(flow, DESTINATION_ALL, COUNTER_QUEUE_RECORDS) > 0; i++) {
        if (i == HEALING_STEPS_MAX) {
            violate(model, "never settled", 0);
            break;
        }
        step(model);
        broker_is_well(model);
        step(model);
        while (committer_step(flow->committer, true) > 0) {
        }
        fake_clock_pass(&flow->clock, 5000);
    }
    check(model, "while it heals");
}

/* --- The end ---------------------------------------------------------------------------------- */

static void drop_dead(struct flow_fixture *flow, uint32_t destination, uint64_t sequence)
{
    struct settlement drop = {
        .action = SETTLE_DEAD_DROP, .destination = destination, .sequence = sequence};
    assert_int_equal(batch_settle(flow->batch, &drop), 0);
}

static void check_end(struct model *model)
{
    struct flow_fixture *flow = model->flow;
    bool is_dead[RECORDS_MAX] = {false};
    assert_int_equal(batch_begin(flow->batch, 0, 0), 0);
    for (size_t i = 0; i < DESTINATIONS_COUNT; i++) {
        uint64_t dead[RECORDS_MAX];
        size_t count = flow_dead(flow, flow->destinations[i], dead, NULL, RECORDS_MAX);
        for (size_t j = 0; j < count; j++) {
            struct known *known = find(model, dead[j]);
            if (known == NULL || known->destination != i) {
                violate(model, "dead, and not its own", dead[j]);
                continue;
            }
            is_dead[known - model->known] = true;
            drop_dead(flow, flow->destinations[i], dead[j]);
        }
    }
    assert_int_equal(batch_commit(flow->batch), 0);
    for (size_t i = 0; i < model->known_count; i++) {
        const struct known *known = &model->known[i];
        bool must_die = known->is_poison || known->is_refused;
        if (is_dead[i] && !must_die && !known->can_expire) {
            violate(model, "dead without a reason", known->sequence);
        }
        if (must_die && (!is_dead[i] || known->writings_count > 0)) {
            violate(model, "not dead, and had to be", known->sequence);
        }
        if (!is_dead[i] && known->writings_count == 0) {
            violate(model, "lost", known->sequence);
        }
    }
    check(model, "at the end");
}

static void run_seed(struct flow_fixture *flow, uint64_t seed)
{
    struct model *model = calloc(1, sizeof(*model));
    assert_non_null(model);
    model->flow = flow;
    model->seed = seed;
    model->random_state = seed;
    flow->seed = seed;
    flow_forget(flow);
    fake_sinks_deinit(&flow->sinks);
    fake_sinks_init(&flow->sinks);
    flow->sinks.decide = check_produce;
    flow->sinks.refuse = refuse;
    flow->sinks.context = model;
    run_history(model);
    heal(model);
    check_end(model);
    free(model->is_written);
    free(model->is_failed);
    free(model);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void forward_keeps_its_promises_in_any_history(void **state)
{
    struct flow_fixture *flow = *state;
    for (size_t i = 0; i < DESTINATIONS_COUNT; i++) {
        (void)flow_add(flow, addresses[i]);
    }
    uint64_t first = number_of("SPOOL_SEED", 1);
    uint64_t count = getenv("SPOOL_SEED") != NULL ? 1 : number_of("SPOOL_SEEDS", SEEDS_DEFAULT);
    for (uint64_t seed = first; seed < first + count; seed++) {
        run_seed(flow, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(forward_keeps_its_promises_in_any_history,
                                        flow_fixture_setup, flow_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
