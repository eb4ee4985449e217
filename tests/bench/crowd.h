/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A crowd of publishers: processes that were forked off before the spool was opened, as SIP workers
 * are. Each keeps so many publishes under way; with one, it waits for each commit.
 */
#ifndef TESTS_BENCH_CROWD_H
#define TESTS_BENCH_CROWD_H

#include "spool/ring.h"
#include "tests/bench/latency.h"

struct crowd;

struct crowd_config {
    struct ring *ring;
    unsigned processes;
    unsigned outstanding; /* publishes under way in each process */
};

/* Forks the crowd; it waits for crowd_go(). */
struct crowd *crowd_new(const struct crowd_config *config);

/* Lets the crowd publish to the destination: so many records in all, or without an end (0). */
void crowd_go(struct crowd *crowd, uint32_t destination, uint64_t records);

/* Records accepted since crowd_go(). */
SPOOL_MUST_CHECK uint64_t crowd_accepted(const struct crowd *crowd);

/* Latencies count from now on. */
void crowd_measure(struct crowd *crowd);

/* Ends what goes on: each process finishes what it has under way, and waits for the next
 * crowd_go(). With records given, waits until they are published. */
void crowd_finish(struct crowd *crowd);
void crowd_stop(struct crowd *crowd);

/* All processes' latencies since crowd_measure(), after crowd_finish(). */
void crowd_latency(const struct crowd *crowd, struct latency *ret_latency);

/* Ends the processes. A refused publish ends its process, and so this program, with a message. */
void crowd_free(struct crowd **crowd);

#endif
