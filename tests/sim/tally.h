/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often each kind of thing happened over all seeds: a simulator that never did something has
 * shown nothing about it. The table is in memory that forked processes share; one writes at a time.
 */
#ifndef TESTS_SIM_TALLY_H
#define TESTS_SIM_TALLY_H

#include "spool/base.h"

#include <stdio.h>

/* Makes the table, with a row of zero for each thing that must happen; before the fork. */
void tally_init(void);

/* One more of a kind ("answer"), by its name ("accepted"). */
void tally(const char *kind, const char *name);

/* Prints the table: kind, name and count, with tabs between them. */
void tally_print(FILE *file);

#endif
