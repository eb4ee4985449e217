/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/model.h"

#include "spool/little_endian.h"
#include "tests/sim/dice.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define KNOWN_PAYLOAD_MAX (256U << 10)
#define KNOWN_NUMBER_BYTES 9 /* the number in eight digits, and a space */

/* A payload is its record's number and then bytes that follow from it. */
static const char *known_payload(const struct known *known)
{
    static char payload[KNOWN_PAYLOAD_MAX + sizeof(uint64_t)];
    struct dice dice = {known->number};
    assert(known->payload_bytes >= KNOWN_NUMBER_BYTES && known->payload_bytes < KNOWN_PAYLOAD_MAX);
    for (size_t i = KNOWN_NUMBER_BYTES; i < known->payload_bytes; i += sizeof(uint64_t)) {
        uint64_t some = dice_next(&dice);
        memcpy(payload + i, &some, sizeof(some)); /* perhaps beyond its end */
    }
    char head[KNOWN_NUMBER_BYTES + 1];
    (void)snprintf(head, sizeof(head), "%08u ", known->number);
    memcpy(payload, head, KNOWN_NUMBER_BYTES);
    return payload;
}

void known_record(const struct known *known, struct record *ret_record)
{
    static const struct record_header headers[] = {
        {.name = {"trace", 5}, .value = {"abc", 3}},
        {.name = {"none", 4}, .value = {NULL, 0}},
    };
    static const uint8_t origin[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    static char key[16];
    *ret_record = (struct record){
        .published_wall_ms = known->published_wall_ms,
        .expires_wall_ms = known->expires_wall_ms,
        .payload = {known_payload(known), known->payload_bytes},
        .headers = headers,
        .headers_count = (uint16_t)(known->number % (SPOOL_COUNT_OF(headers) + 1)),
    };
    if (known->key >= 0) {
        int size = snprintf(key, sizeof(key), "key-%d", known->key);
        ret_record->key = (struct span){key, (size_t)size};
    }
    if (known->has_route) {
        ret_record->report_route = (struct span){"route", 5};
    }
    if (known->origin_sequence != 0) {
        ret_record->has_origin = true;
        ret_record->origin_sequence = known->origin_sequence;
        memcpy(ret_record->origin_uuid, origin, sizeof(origin));
    }
}

struct known *model_add(struct model *model, uint32_t destination, size_t payload_bytes)
{
    assert(model->known_count < MODEL_KNOWN_MAX);
    struct known *known = &model->known[++model->known_count];
    *known = (struct known){
        .number = model->known_count,
        .destination = destination,
        .payload_bytes = payload_bytes,
        .key = -1,
        .act = -1,
    };
    return known;
}

void known_seal(struct known *known)
{
    struct record record;
    size_t size_bytes = 0;
    known_record(known, &record);
    int r = record_size(&record, &size_bytes);
    uint8_t *encoded = malloc(size_bytes);
    assert(r == 0 && encoded != NULL);
    (void)r;
    record_encode(&record, encoded);
    known->size_bytes = (uint32_t)size_bytes;
    known->checksum = get_u32(encoded);
    free(encoded);
}

static bool span_equal(struct span one, struct span other)
{
    return one.size_bytes == other.size_bytes && (one.data == NULL) == (other.data == NULL) &&
           (one.size_bytes == 0 || memcmp(one.data, other.data, one.size_bytes) == 0);
}

struct known *model_find_record(struct model *model, const struct record *record)
{
    char head[KNOWN_NUMBER_BYTES] = {0};
    struct record wanted;
    if (record->payload.size_bytes < KNOWN_NUMBER_BYTES) {
        return NULL;
    }
    memcpy(head, record->payload.data, KNOWN_NUMBER_BYTES - 1);
    unsigned long number = strtoul(head, NULL, 10);
    if (number < 1 || number > model->known_count) {
        return NULL;
    }
    struct known *known = &model->known[number];
    known_record(known, &wanted);
    bool is_equal = span_equal(record->payload, wanted.payload) &&
                    span_equal(record->key, wanted.key) &&
                    record->published_wall_ms == wanted.published_wall_ms &&
                    record->headers_count == wanted.headers_count;
    return is_equal ? known : NULL;
}

struct known *model_find_encoded(struct model *model, struct span encoded)
{
    struct record record;
    if (record_decode(encoded, &record) != 0) {
        return NULL;
    }
    struct known *known = model_find_record(model, &record);
    return known != NULL && encoded.size_bytes == known->size_bytes &&
                   get_u32(encoded.data) == known->checksum
               ? known
               : NULL;
}

struct known *model_find_sequence(struct model *model, uint64_t sequence)
{
    assert(sequence < MODEL_SEQUENCES_MAX);
    uint32_t number = model->by_sequence[sequence];
    return number != 0 ? &model->known[number] : NULL;
}
