/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flow without threads and without time: a real spool in a temporary folder, a real committer
 * that is stepped by hand, a forwarder, and fakes for all around it.
 */
#ifndef TESTS_HARNESS_FLOW_FIXTURE_H
#define TESTS_HARNESS_FLOW_FIXTURE_H

#include "spool/batch.h"
#include "spool/committer.h"
#include "spool/record.h"
#include "spool/spool.h"
#include "src/address.h"
#include "src/forward.h"
#include "tests/harness/fake_clock.h"
#include "tests/harness/fake_host.h"
#include "tests/harness/fake_sink.h"

#define FLOW_ADDRESSES_MAX 8

struct flow_fixture {
    char dir[64];
    uint64_t seed;
    enum spool_durability durability; /* at the next flow_start() */
    struct fake_clock clock;
    struct fake_host host;
    struct fake_sinks sinks;
    struct ring *ring;
    struct spool *spool;
    struct batch *batch;
    struct committer *committer;
    struct forward *forward;
    struct address *addresses[FLOW_ADDRESSES_MAX];
    uint32_t destinations[FLOW_ADDRESSES_MAX];
    size_t addresses_count;
};

/* cmocka's setup and teardown: *state is a struct flow_fixture. */
int flow_fixture_setup(void **state);
int flow_fixture_teardown(void **state);

/* Adds a destination, as users write it. Returns its number in the spool. */
uint32_t flow_add(struct flow_fixture *flow, const char *address);

/* The process ends and starts again: all but the spool's folder is new, the fake sinks' records and
 * the host's memory are kept. */
void flow_restart(struct flow_fixture *flow);
/* The two halves of it. */
void flow_stop(struct flow_fixture *flow);
void flow_start(struct flow_fixture *flow);

/* The same, quicker, with the spool left open: all that is only in memory is gone. */
void flow_forget(struct flow_fixture *flow);

/* Appends a record. Returns its sequence. */
uint64_t flow_append_record(struct flow_fixture *flow, uint32_t destination,
                            const struct record *record);
/* The same, with no key and the payload "record". */
uint64_t flow_append(struct flow_fixture *flow, uint32_t destination);
/* Appends count such records. Returns the first's sequence. */
uint64_t flow_append_many(struct flow_fixture *flow, uint32_t destination, size_t count);

/* Several in one commit: flow_begin() says how many bytes and records, about. */
#define FLOW_RECORD_BYTES 128
void flow_begin(struct flow_fixture *flow, size_t bytes, size_t count);
uint64_t flow_put(struct flow_fixture *flow, uint32_t destination, const struct record *record);
void flow_commit(struct flow_fixture *flow);

/* One step of the forwarder, one commit, and one more step. */
void flow_step(struct flow_fixture *flow);

/* Steps until nothing more happens by itself: no time passes. */
void flow_run(struct flow_fixture *flow);

/* Lets time pass, and runs. */
void flow_pass(struct flow_fixture *flow, uint64_t ms);

/* A counter of a destination. */
uint64_t flow_counter(struct flow_fixture *flow, uint32_t destination, enum counter counter);

/* A destination's status. */
struct forward_status flow_status(struct flow_fixture *flow, uint32_t destination);

/* The sequences of a destination's dead letters: up to max of them. Returns how many there are. */
size_t flow_dead(struct flow_fixture *flow, uint32_t destination, uint64_t *sequences,
                 struct dead_letter *heads, size_t max);

/* Changes a byte of a waiting record, or of a report, as it is stored: damage. */
void flow_damage_record(struct flow_fixture *flow, uint32_t destination, uint64_t sequence,
                        size_t at);
void flow_damage_report(struct flow_fixture *flow, uint64_t number, size_t at);

#endif
