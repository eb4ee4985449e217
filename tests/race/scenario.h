/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What publishers and the owner do with a ring, and what must hold whatever the order of steps. */
#ifndef TESTS_RACE_SCENARIO_H
#define TESTS_RACE_SCENARIO_H

#include "spool/base.h"

struct scenario {
    const char *name;
    const char *text;
    int publishers_count;
    int publishes_count; /* of each */
    uint32_t slots_count;
    size_t payload_bytes;
    size_t entries_before; /* published before, so that the ring's end comes by */
    int deaths_count;
    int preemptions_max; /* -1: any order of steps */
    bool has_timeout;    /* publishers may stop waiting at any moment */
    bool polls;          /* they wait for an fd */
    bool closes;         /* somebody closes the ring */
    bool is_weak;
    bool needs_sweep; /* who dies may hold what the others wait for, until the owner sweeps */
};

extern const struct scenario scenarios[];
extern const size_t scenarios_count;

/* Makes the ring and the processes. */
void scenario_begin(const struct scenario *scenario);

/* What must hold when nothing can happen any more. */
void scenario_end(const struct scenario *scenario);

void scenario_free(void);

#endif
