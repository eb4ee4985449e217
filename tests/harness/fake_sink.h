/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Kafka client that does what a test says. It keeps every record that it was given, in order,
 * until the test answers it: with success or any error, in any order, later or never. It holds its
 * user to the contract of src/sink.h. Safe from any thread.
 */
#ifndef TESTS_HARNESS_FAKE_SINK_H
#define TESTS_HARNESS_FAKE_SINK_H

#include "spool/message.h"
#include "spool/record.h"
#include "src/sink.h"

#include <limits.h>
#include <pthread.h>

/* Error codes as the client has them, for those that tests use often. */
#define FAKE_TRANSPORT (-195)
#define FAKE_UNKNOWN_TOPIC 3
#define FAKE_TOO_LARGE 10
#define FAKE_OUT_OF_ORDER 45
#define FAKE_FATAL (-150)
#define FAKE_PURGED_QUEUE (-152)
#define FAKE_PURGED_INFLIGHT (-151)

/* What fake_sinks.decide says of a record that is to wait for fake_sinks_answer(). */
#define FAKE_LATER INT_MIN

enum fake_stage {
    FAKE_TAKEN,    /* given, not answered */
    FAKE_ANSWERED, /* its report waits for poll() */
    FAKE_REPORTED, /* its report was taken */
    FAKE_LOST,     /* its sink was closed before */
};

/* A record as it was given to produce(). */
struct fake_record {
    unsigned sink_number; /* the sink that it was given to, from 1, in the order of opening */
    char topic[64];
    char spool_id[64];
    uint64_t sequence; /* from the spool id */
    char *key;         /* NULL: none; ends in a NUL that is not part of it */
    size_t key_bytes;
    char *payload; /* ends in a NUL that is not part of it */
    size_t payload_bytes;
    uint64_t published_wall_ms;
    bool is_on_wire; /* purge() without include_inflight leaves it */
    enum fake_stage stage;
    int error; /* its answer, once it is answered */
    void *cookie;
};

struct fake_report {
    size_t at; /* of its record */
    struct sink_report report;
};

/* The maker, what it made, and what they were given. */
struct fake_sinks {
    struct sink_maker maker;
    pthread_mutex_t lock;
    struct fake_sink *first; /* the open ones */
    unsigned opened_count;
    unsigned open_count;
    unsigned purges_count;

    struct fake_record *records; /* of all sinks, in the order of produce() */
    size_t records_count;
    size_t records_capacity;
    size_t unanswered_count;
    struct fake_report *reports; /* answers in the order of answering */
    size_t reports_count;
    size_t reports_capacity;

    /* --- What a test sets. --- */

    /* Answers a record at once: 0, an error, or FAKE_LATER. NULL: all wait. */
    int (*decide)(void *context, const struct fake_record *record);
    void *context;
    /* Refuses a record at produce(), with a SINK_E_ result and an error; 0: takes it. */
    int (*refuse)(void *context, const struct record *record, uint64_t sequence, int *ret_error);
    int open_result;       /* what opening a sink gives; not 0: it fails */
    int topic_result;      /* what opening a topic gives */
    size_t unanswered_max; /* SINK_E_BUSY above */
    bool ignores_purge;    /* a client that hangs: purge() gives nothing back */
    bool wires_all;        /* records are on the wire as soon as they are given */
    bool is_purge_slow;    /* a purge is over only after fake_sinks_end_purge() */
};

void fake_sinks_init(struct fake_sinks *sinks);

/* All sinks must be closed. */
void fake_sinks_deinit(struct fake_sinks *sinks);

/* Answers a record that waits: its report comes from the next poll(). */
void fake_sinks_answer(struct fake_sinks *sinks, size_t at, int error);

/* The same, with all that a report has but the cookie. */
void fake_sinks_report(struct fake_sinks *sinks, size_t at, const struct sink_report *report);

/* Answers all records that wait, in their order. Returns how many. */
size_t fake_sinks_answer_all(struct fake_sinks *sinks, int error);

/* Makes every open sink fail for good: what is not on the wire is given back. */
void fake_sinks_fail(struct fake_sinks *sinks);

/* Has every open sink say this of itself at the next poll(). */
void fake_sinks_say(struct fake_sinks *sinks, int error, bool all_brokers_down, const char *text);

/* Ends purges that are slow. */
void fake_sinks_end_purge(struct fake_sinks *sinks);

#endif
