/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes a small spool with everything in it that this version can store, and is killed: two
 * destinations, waiting records of every kind, dead letters for each reason, reports. Used once for
 * each format (tests/format/keep); the tests of later versions read what it made.
 */
#include "spool/batch.h"
#include "spool/limits.h"
#include "spool/record.h"
#include "src/address.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_WALL_MS 1700000000000
#define LARGE_BYTES 9000

static uint64_t made_now_ms = FIRST_WALL_MS;

static uint64_t made_clock_ms(struct clock *clock)
{
    (void)clock;
    return made_now_ms;
}

static struct clock made_clock = {.wall_ms = made_clock_ms, .monotonic_ms = made_clock_ms};

static void must(bool is_so, const char *what)
{
    if (!is_so) {
        (void)fprintf(stderr, "make-spool: %s\n", what);
        _exit(1);
    }
}

#define BYTES(text)                                                                                \
    (struct span)                                                                                  \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

static const struct record_header made_headers[] = {
    {BYTES("origin"), BYTES("edge-1")},
    {BYTES("null"), {NULL, 0}},
    {BYTES("empty"), BYTES("")},
    {BYTES("binary"), BYTES("\x00\xff\xfe\x80")},
    {BYTES("origin"), BYTES("a name twice")},
};

/* Appends a record; its sequence. */
static uint64_t append(struct batch *batch, uint32_t destination, struct record record,
                       bool is_damaged)
{
    size_t size_bytes;
    uint64_t sequence = 0;
    int refusal;
    record.published_wall_ms = made_now_ms++;
    must(record_size(&record, &size_bytes) == 0, "a record is too large");
    uint8_t *encoded = malloc(size_bytes);
    must(encoded != NULL, "out of memory");
    record_encode(&record, encoded);
    if (is_damaged) {
        encoded[size_bytes - 1] ^= 0x01;
    }
    must(batch_begin(batch, size_bytes, 1) == 0, "cannot begin");
    must(batch_append(batch, destination, (struct span){encoded, size_bytes}, &sequence,
                      &refusal) == 0,
         "cannot append");
    must(batch_commit(batch) == 0, "cannot commit");
    free(encoded);
    return sequence;
}

static void settle(struct batch *batch, struct settlement settlement)
{
    made_now_ms++;
    must(batch_begin(batch, 0, 0) == 0, "cannot begin");
    must(batch_settle(batch, &settlement) == 0, "cannot settle");
    must(batch_commit(batch) == 0, "cannot commit");
}

static void append_waiting(struct batch *batch)
{
    static uint8_t large[LARGE_BYTES];
    for (size_t i = 0; i < sizeof(large); i++) {
        large[i] = (uint8_t)(i * i >> 3);
    }
    struct record all = {
        .key = BYTES("call-1"),
        .payload = BYTES("{\"from\": \"alice\", \"to\": \"b\xc3\xb6"
                         "b\"}"),
        .report_route = BYTES("cdr_report"),
        .headers = made_headers,
        .headers_count = SPOOL_COUNT_OF(made_headers),
        .expires_wall_ms = FIRST_WALL_MS * 2,
        .has_origin = true,
        .origin_uuid = "sixteen bytes id",
        .origin_sequence = 4711,
    };
    append(batch, 1, all, false);
    append(batch, 1, (struct record){.payload = BYTES("only a payload")}, false);
    append(batch, 2, (struct record){.key = BYTES(""), .payload = BYTES("an empty key")}, false);
    append(batch, 1, (struct record){.key = BYTES("\x80\x00\x01"), .payload = {large, LARGE_BYTES}},
           false);
    append(batch, 2, (struct record){.key = BYTES("no payload"), .payload = BYTES("")}, false);
    append(batch, 2,
           (struct record){.payload = BYTES("\x1b[31mescape\x07\t\r\n"),
                           .expires_wall_ms = FIRST_WALL_MS + 1},
           false);
}

/* Dead letters for each reason, and reports of each kind. */
static void append_settled(struct batch *batch)
{
    struct record waited = {
        .key = BYTES("call-2"),
        .payload = BYTES("somebody waits for its report"),
        .report_route = BYTES("cdr_report"),
        .headers = made_headers,
        .headers_count = SPOOL_COUNT_OF(made_headers),
    };
    struct settlement settlement = {
        .action = SETTLE_DEAD,
        .destination = 1,
        .sequence = append(batch, 1, waited, false),
        .error = 10, /* message too large */
        .partition = 3,
        .offset = -1,
        .attempts = 2,
        .first_attempt_wall_ms = made_now_ms,
    };
    settle(batch, settlement);
    settlement = (struct settlement){.destination = 1, .partition = -1, .offset = -1};
    settlement.action = SETTLE_CORRUPT;
    settlement.sequence = append(batch, 1, (struct record){.payload = BYTES("damaged")}, true);
    settle(batch, settlement);
    settlement.destination = 2;
    settlement.action = SETTLE_EXPIRED;
    waited.expires_wall_ms = FIRST_WALL_MS + 1;
    settlement.sequence = append(batch, 2, waited, false);
    settle(batch, settlement);
    settlement.action = SETTLE_DROP;
    settlement.sequence = append(batch, 2, waited, false);
    settle(batch, settlement);
    settlement.action = SETTLE_DELIVERED;
    settlement.partition = 0;
    settlement.offset = 41;
    settlement.attempts = 1;
    settlement.first_attempt_wall_ms = made_now_ms;
    settlement.sequence = append(batch, 2, waited, false);
    settle(batch, settlement);
}

static void open_destination(struct spool *spool, const char *text, uint32_t wanted)
{
    struct address *address = NULL;
    struct message message;
    uint32_t id;
    must(address_parse(text, strlen(text), &address, &message) == 0, "the address is wrong");
    must(spool_destination_open(spool, address->identity, address->text, &id, &message) == 0 &&
             id == wanted,
         "cannot open a destination");
    address_free(&address);
}

int main(int argc, char **argv)
{
    must(argc == 2, "usage: make-spool FOLDER");
    struct spool_config config = {
        .dir = argv[1],
        .owner_name = "make-spool",
        .max_bytes = SPOOL_BYTES_DEFAULT,
        .durability = SPOOL_SYNC,
        .may_create = true,
        .clock = &made_clock,
    };
    struct spool *spool = NULL;
    struct batch *batch = NULL;
    struct message message;
    must(spool_open(&config, &spool, &message) == 0, "cannot open the spool");
    open_destination(spool, "[cdr]kafka1.example:9092,kafka2.example:9092/cdrs?s.ttl.ms=60000", 1);
    open_destination(spool, "kafka1.example:9092/fraud?g.sasl.username=u&g.sasl.password=pw", 2);
    must(batch_new(spool, &batch) == 0, "out of memory");
    append_settled(batch);
    append_waiting(batch);
    kill(getpid(), SIGKILL);
    return 1;
}
