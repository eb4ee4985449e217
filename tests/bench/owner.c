/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/owner.h"

#include "spool/limits.h"
#include "tests/bench/measure.h"

#include <stdio.h>
#include <string.h>

/* As spool-forward has it. */
#define RING_SLOTS 4096
#define RING_BYTES (8U << 20)
#define LOOK_US 1000
#define WAIT_MAX_US 120000000ULL
#define SETTLE_MS 3000

static void owner_tell(struct host *host, enum host_event event, const char *destination,
                       const char *text)
{
    (void)host;
    if (getenv("BENCH_TELL") != NULL) {
        fprintf(stderr, "%s %s: %s\n", host_event_name(event),
                destination != NULL ? destination : "", text);
    }
}

static int owner_run_report(struct host *host, const struct host_report *report)
{
    (void)host;
    (void)report;
    return HOST_E_UNABLE;
}

void owner_init(struct owner *owner)
{
    struct ring_config config = {.slots_count = RING_SLOTS, .bytes = RING_BYTES};

    *owner = (struct owner){.host = {.tell = owner_tell, .run_report = owner_run_report}};
    if (ring_new(&config, &owner->ring) != 0) {
        measure_fail("no memory for the ring");
    }
}

static void owner_add(struct owner *owner, size_t index, const char *text)
{
    struct message message;
    int r;

    if (text[0] == '\0') {
        r = spool_destination_open(pipeline_spool(owner->pipeline), "stored only", "stored only",
                                   &owner->destinations[index], &message);
    } else {
        r = address_parse(text, strlen(text), &owner->addresses[index], &message);
        if (r == 0) {
            r = pipeline_add(owner->pipeline, owner->addresses[index], &owner->destinations[index],
                             &message);
        }
    }
    if (r != 0) {
        measure_fail("%s", message.text);
    }
}

void owner_start(struct owner *owner, const char *dir, const char *const *addresses)
{
    struct message message;

    sink_rdkafka_maker_init(&owner->maker, NULL, NULL);
    struct pipeline_config config = {
        .spool =
            {
                .dir = dir,
                .owner_name = "bench-pipeline",
                .max_bytes = SPOOL_BYTES_DEFAULT,
                .durability = SPOOL_SYNC,
                .may_create = true,
                .clock = clock_system(),
            },
        .ring = owner->ring,
        .host = &owner->host,
        .maker = &owner->maker.maker,
        .clock = clock_system(),
    };
    if (pipeline_open(&config, &owner->pipeline, &message) != 0) {
        measure_fail("%s", message.text);
    }
    for (size_t i = 0; i < OWNER_DESTINATIONS_MAX && addresses[i] != NULL; i++) {
        owner_add(owner, i, addresses[i]);
    }
    if (pipeline_start(owner->pipeline) != 0) {
        measure_fail("cannot start the pipeline");
    }
}

uint64_t owner_waiting(struct owner *owner, uint32_t destination)
{
    struct counters counters;

    if (spool_counters(pipeline_spool(owner->pipeline), destination, &counters) != 0) {
        measure_fail("the spool's counters cannot be read");
    }
    return counters.values[COUNTER_QUEUE_RECORDS];
}

uint64_t owner_wait_empty(struct owner *owner, uint32_t destination)
{
    uint64_t until_us = measure_now_us() + WAIT_MAX_US;

    while (owner_waiting(owner, destination) > 0) {
        if (measure_now_us() > until_us) {
            measure_fail("%llu records are still in the spool",
                         (unsigned long long)owner_waiting(owner, destination));
        }
        measure_sleep_us(LOOK_US);
    }
    return measure_now_us();
}

void owner_stop(struct owner *owner)
{
    pipeline_stop(owner->pipeline, 0);
    pipeline_free(&owner->pipeline);
    (void)sink_rdkafka_settle(SETTLE_MS);
    for (size_t i = 0; i < OWNER_DESTINATIONS_MAX; i++) {
        address_free(&owner->addresses[i]);
    }
    ring_free(&owner->ring);
}
