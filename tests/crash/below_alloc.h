/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that cannot be had: calls from this program's own code, from LMDB and from jansson; those
 * of the C library and of librdkafka are let be (the latter ends its program when it gets none).
 */
#ifndef TESTS_CRASH_BELOW_ALLOC_H
#define TESTS_CRASH_BELOW_ALLOC_H

#include "spool/base.h"

/* From the nth call on, count of them get nothing. count 0: none, calls are counted alone. */
void below_alloc_arm(uint64_t nth, uint64_t count);

/* Counts no more. How many calls there were. */
uint64_t below_alloc_disarm(void);

bool below_alloc_has_hit(void);

#endif
