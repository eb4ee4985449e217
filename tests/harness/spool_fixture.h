/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A spool for tests: in a folder of its own, with a clock that the test holds in its hand. Include
 * it behind cmocka.h. Whatever cannot fail in a test is asserted here.
 */
#ifndef TESTS_HARNESS_SPOOL_FIXTURE_H
#define TESTS_HARNESS_SPOOL_FIXTURE_H

#include "spool/batch.h"
#include "spool/spool.h"

struct spool_fixture {
    struct clock clock; /* first: its functions find the fixture by it */
    uint64_t now_ms;    /* both clocks */
    char root[64];      /* the test's folder; removed in the end with all that is in it */
    char dir[96];       /* the spool's folder in it */
    struct spool_config config;
    struct message message; /* of the last spool_open() */
    struct spool *spool;
    struct batch *batch;
};

/* cmocka's set-up (a spool of 4 MiB, open, with the destinations 1 and 2) and tear-down. */
int spool_fixture_set_up(void **state);
int spool_fixture_tear_down(void **state);

/* The same, not yet open. */
int spool_fixture_set_up_closed(void **state);

/* Opens it and its two destinations; must succeed. */
void spool_fixture_open(struct spool_fixture *fixture);

/* Tries to open it: spool_open()'s result, and fixture->message. */
int spool_fixture_try_open(struct spool_fixture *fixture);

void spool_fixture_close(struct spool_fixture *fixture);

/* A path in the spool's folder. The next call overwrites it. */
const char *spool_fixture_path(const struct spool_fixture *fixture, const char *name);

/* An encoded record of exactly so many bytes (at least 64); the caller frees it. Its payload is
 * made of the seed; route NULL: none. */
struct span spool_fixture_record(size_t size_bytes, uint32_t seed, const char *route);
void spool_fixture_free_record(struct span *record);

/* Appends one record in a batch of its own; its sequence. */
uint64_t spool_fixture_append(struct spool_fixture *fixture, uint32_t destination,
                              size_t size_bytes);

/* The same with what batch_append() says; *ret_refusal is set when it refuses. */
int spool_fixture_try_append(struct spool_fixture *fixture, uint32_t destination,
                             struct span record, uint64_t *ret_sequence, int *ret_refusal);

/* Settles one record in a batch of its own. */
void spool_fixture_settle(struct spool_fixture *fixture, enum settle_action action,
                          uint32_t destination, uint64_t sequence);

/* A counter as committed. */
uint64_t spool_fixture_counter(struct spool_fixture *fixture, uint32_t destination,
                               enum counter counter);

/* Counts every database in full and compares it with the counters (S4); no sequence is in a queue
 * and in dead letters at once (S2); every record decodes. */
void spool_fixture_check(struct spool_fixture *fixture);

/* The sequences in a destination's queue or dead letters, at most max; returns how many. */
size_t spool_fixture_sequences(struct spool_fixture *fixture, uint32_t destination, bool is_dead,
                               uint64_t *sequences, size_t max);

#endif
