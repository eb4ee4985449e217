/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every program of this folder needs: time, a payload, this process's memory and writes. */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include "spool/base.h"

/* The size that all figures are about. */
#define PAYLOAD_BYTES 512

/* Microseconds of a clock that only goes forward. */
SPOOL_MUST_CHECK uint64_t measure_now_us(void);

/* Sleeps; signals do not shorten it. */
void measure_sleep_us(uint64_t us);

/* Writes a record such as a call's details, of exactly PAYLOAD_BYTES. */
void measure_payload(char payload[PAYLOAD_BYTES]);

/* Gives it another call id, which costs next to nothing. */
void measure_stamp(char payload[PAYLOAD_BYTES], uint64_t number);

/* A line of /proc/self/FILE that starts with name, in the file's own unit; 0 when there is none. */
SPOOL_MUST_CHECK uint64_t measure_self(const char *file, const char *name);

/* Ends the program with a message. For programs of this folder only: nothing can be saved. */
__attribute__((noreturn)) SPOOL_PRINTF(1, 2) void measure_fail(const char *format, ...);

#endif
