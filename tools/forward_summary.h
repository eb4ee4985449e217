/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The statistics that spool-forward prints at its end, as one line of JSON. */
#ifndef TOOLS_FORWARD_SUMMARY_H
#define TOOLS_FORWARD_SUMMARY_H

#include "src/pipeline.h"

#include <stdio.h>

struct forward_summary {
    struct pipeline *pipeline;
    struct address *const *addresses;
    const uint32_t *destinations;
    size_t destinations_count;
    const struct counters *counters_at_start;
    uint64_t elapsed_ms;
};

void forward_summary_print(const struct forward_summary *summary, FILE *stream);

#endif
