/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/counters.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

const char *counter_name(enum counter counter)
{
    static const char *const names[COUNTER_COUNT] = {
        [COUNTER_QUEUE_RECORDS] = "queue_records",
        [COUNTER_QUEUE_BYTES] = "queue_bytes",
        [COUNTER_DEAD_RECORDS] = "dead_records",
        [COUNTER_DEAD_BYTES] = "dead_bytes",
        [COUNTER_REPORT_RECORDS] = "report_records",
        [COUNTER_REPORT_BYTES] = "report_bytes",
        [COUNTER_PAGES] = "pages",
        [COUNTER_APPENDED] = "appended",
        [COUNTER_DELIVERED] = "delivered",
        [COUNTER_DELIVERED_BYTES] = "delivered_bytes",
        [COUNTER_DEAD] = "dead",
        [COUNTER_EXPIRED] = "expired",
        [COUNTER_DROPPED] = "dropped",
        [COUNTER_CORRUPT] = "corrupt",
        [COUNTER_REQUEUED] = "requeued",
        [COUNTER_REPORTS_RUN] = "reports_run",
        [COUNTER_LAST_APPENDED_WALL_MS] = "last_appended_wall_ms",
        [COUNTER_LAST_DELIVERED_WALL_MS] = "last_delivered_wall_ms",
        [COUNTER_LARGEST_BYTES] = "largest_bytes",
        [COUNTER_MOVED] = "moved",
    };
    assert(counter < COUNTER_COUNT);
    return names[counter];
}

void counters_add(struct counters *counters, enum counter counter, int64_t delta)
{
    uint64_t *value = &counters->values[counter];
    if (delta < 0 && *value < 0 - (uint64_t)delta) {
        /* Only a damaged spool gets here; a huge level would refuse every publish. */
        *value = 0;
        return;
    }
    *value += (uint64_t)delta;
}

void counters_encode(const struct counters *counters, struct counters *ret_stored)
{
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        ret_stored->values[i] = htole64(counters->values[i]);
    }
}

void counters_decode(struct span stored, struct counters *ret_counters)
{
    *ret_counters = (struct counters){0};
    for (size_t i = 0; i < COUNTER_COUNT && (i + 1) * 8 <= stored.size_bytes; i++) {
        uint64_t value;
        memcpy(&value, (const uint8_t *)stored.data + i * 8, sizeof(value));
        ret_counters->values[i] = le64toh(value);
    }
}
