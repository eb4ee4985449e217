/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MI commands, in whatever process answers them: each asks the Kafka process, waits for its
 * answer, and gives it back as MI's JSON.
 */
#ifndef SRC_OPENSIPS_MODULE_COMMAND_H
#define SRC_OPENSIPS_MODULE_COMMAND_H

#include "src/opensips/opensips.h"

struct pipeline;

/* OpenSIPS's table of them, ended by an empty one. */
extern const mi_export_t module_commands[];

/* Tells where the pipeline is, in the Kafka process; NULL: nowhere. */
void module_command_serve(struct pipeline *pipeline);

#endif
