/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to the files that look at all that is stored. */
#ifndef TESTS_SIM_LOOK_PRIVATE_H
#define TESTS_SIM_LOOK_PRIVATE_H

#include "tests/sim/world.h"

/* What one look finds, by destination; [0] is the sum. */
struct found {
    uint64_t levels[MODEL_DESTINATIONS + 1][COUNTER_PAGES]; /* counted in full */
    uint64_t totals[MODEL_DESTINATIONS + 1][COUNTER_COUNT]; /* that were to come on top */
    /* Appended and dropped in one commit, and nobody has heard of them. */
    uint64_t unseen[MODEL_DESTINATIONS + 1];
    /* Records that left with a route in this look, and how. */
    int8_t left[MODEL_KNOWN_MAX + 1]; /* enum settle_action + 1; 0: no report is due */
};

void found_count(struct found *found, uint32_t destination, enum counter counter, uint64_t delta);

/* The reports: those that came, by what left, and those that went. */
void look_at_reports(struct world *world, struct found *found);

/* The counters, by what was counted and seen. */
void look_at_counters(struct world *world, struct found *found,
                      const struct counters now[MODEL_DESTINATIONS + 1]);
void look_count_unseen(struct world *world, struct found *found, uint32_t destination,
                       const struct counters *now);

#endif
