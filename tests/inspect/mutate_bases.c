/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the sound spools that tests/inspect/mutate.c changes:
 *
 *   mutate-bases FOLDER
 *
 * small (few records), large (values on overflow pages), many (destinations), lived (most of what
 * was in it is gone, so that it has free pages, dead letters, reports and an audit log).
 */
#include "spool/audit.h"
#include "spool/batch.h"
#include "spool/record.h"
#include "spool/spool.h"
#include "tests/inspect/mutate.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PAYLOAD_BYTES_MAX 70000

static uint64_t bases_now_ms = 1700000000000;

static uint64_t bases_clock_ms(struct clock *clock)
{
    (void)clock;
    return bases_now_ms++;
}

static struct clock bases_clock = {.wall_ms = bases_clock_ms, .monotonic_ms = bases_clock_ms};

struct made {
    struct spool *spool;
    struct batch *batch;
    struct dice dice;
    uint64_t last_sequence;
};

static void made_open(struct made *made, const char *root, const char *name, uint32_t destinations)
{
    char dir[512];
    struct message message;
    (void)snprintf(dir, sizeof(dir), "%s/%s", root, name);
    struct spool_config config = {
        .dir = dir,
        .owner_name = "mutate-bases",
        .max_bytes = 64ULL << 20,
        .durability = SPOOL_NOMETASYNC,
        .may_create = true,
        .clock = &bases_clock,
    };
    *made = (struct made){.dice = {strlen(name)}};
    must(spool_open(&config, &made->spool, &message) == 0, "cannot open a spool");
    must(batch_new(made->spool, &made->batch) == 0, "out of memory");
    for (uint32_t i = 1; i <= destinations; i++) {
        char text[128];
        uint32_t id;
        (void)snprintf(text, sizeof(text), "[d%u]topic-%u", i, i);
        must(spool_destination_open(made->spool, text, text, &id, &message) == 0 && id == i,
             "cannot make a destination");
    }
}

static void made_close(struct made *made)
{
    batch_free(&made->batch);
    spool_close(&made->spool);
}

static void made_append(struct made *made, uint32_t destination, size_t payload_bytes)
{
    static uint8_t payload[PAYLOAD_BYTES_MAX];
    static uint8_t encoded[PAYLOAD_BYTES_MAX + 1000];
    size_t size_bytes;
    int refusal;
    struct record_header header = {{"origin", 6}, {"edge", 4}};
    for (size_t i = 0; i < payload_bytes; i += 8) {
        uint64_t bytes = dice_next(&made->dice);
        memcpy(payload + i, &bytes, payload_bytes - i < 8 ? payload_bytes - i : 8);
    }
    struct record record = {
        .published_wall_ms = bases_now_ms++,
        .key = {"key", 3},
        .payload = {payload, payload_bytes},
        .headers = &header,
        .headers_count = dice_below(&made->dice, 2) == 0 ? 1 : 0,
        .report_route = {"route", dice_below(&made->dice, 3) == 0 ? 5 : 0},
    };
    must(record_size(&record, &size_bytes) == 0, "too large");
    record_encode(&record, encoded);
    must(batch_append(made->batch, destination, (struct span){encoded, size_bytes},
                      &made->last_sequence, &refusal) == 0,
         "cannot append");
}

static void made_settle(struct made *made, uint32_t destination, uint64_t sequence,
                        enum settle_action action)
{
    struct settlement settlement = {
        .action = action,
        .destination = destination,
        .sequence = sequence,
        .partition = -1,
        .offset = -1,
    };
    must(batch_settle(made->batch, &settlement) == 0, "cannot settle");
}

static void made_begin(struct made *made)
{
    must(batch_begin(made->batch, 1U << 20, 100) == 0, "cannot begin");
}

static void made_commit(struct made *made)
{
    must(batch_commit(made->batch) == 0, "cannot commit");
}

/* Appends in batches of some records each. */
static void made_fill(struct made *made, uint32_t count, uint32_t destinations, const size_t *sizes,
                      size_t sizes_count)
{
    made_begin(made);
    for (uint32_t i = 1; i <= count; i++) {
        made_append(made, 1 + i % destinations, sizes[(size_t)i * 3 % sizes_count]);
        if (i % 17 == 0) {
            made_commit(made);
            made_begin(made);
        }
    }
    made_commit(made);
}

static void make_lived(struct made *made)
{
    static const size_t sizes[] = {60, 300, 700, 1500, 2600};
    made_fill(made, 700, 3, sizes, SPOOL_COUNT_OF(sizes));
    made_begin(made);
    for (uint64_t i = 1; i <= 500; i++) {
        made_settle(made, 1 + (uint32_t)(i % 3), i,
                    i % 9 == 0   ? SETTLE_DEAD
                    : i % 9 == 4 ? SETTLE_EXPIRED
                                 : SETTLE_DELIVERED);
        if (i % 23 == 0) {
            made_commit(made);
            made_begin(made);
        }
    }
    struct audit_entry entry = {
        .act = AUDIT_DROP, .destination = 1, .who = {"root", 4}, .what = {"older", 5}};
    uint64_t number = 0;
    must(batch_audit(made->batch, &entry, &number) == 0, "cannot write the audit log");
    made_commit(made);
}

int main(int argc, char **argv)
{
    static const size_t small[] = {10, 100, 400, 50};
    static const size_t large[] = {100, 3000, 9000, 2000, 70000, 2023, 500};
    struct made made;
    must(argc == 2, "usage: mutate-bases FOLDER");
    made_open(&made, argv[1], "small", 2);
    made_fill(&made, 30, 2, small, SPOOL_COUNT_OF(small));
    made_begin(&made);
    made_settle(&made, 1, 2, SETTLE_DEAD);
    made_settle(&made, 2, 3, SETTLE_DELIVERED);
    made_settle(&made, 1, 4, SETTLE_CORRUPT);
    made_commit(&made);
    made_close(&made);
    made_open(&made, argv[1], "large", 2);
    made_fill(&made, 120, 2, large, SPOOL_COUNT_OF(large));
    made_close(&made);
    made_open(&made, argv[1], "many", 40);
    made_fill(&made, 200, 40, small, SPOOL_COUNT_OF(small));
    made_close(&made);
    made_open(&made, argv[1], "lived", 3);
    make_lived(&made);
    made_close(&made);
    return 0;
}
