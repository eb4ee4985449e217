/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What salvage owes: each record whose leaf and overflow pages nothing happened to is in the new
 * spool; when its way there is whole too, in its own destination and as what it was. (Where the
 * latest state is lost, the one before it counts: there a dead letter may still have been waiting.)
 */
#include "tests/inspect/mutate.h"

#include "spool/cursor.h"
#include "spool/record.h"
#include "spool/visit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_touched(const struct base *base, const struct mutation *mutation, uint64_t page)
{
    return page >= base->size_bytes / base->page_bytes || mutation->touched[page] != 0;
}

static bool is_whole(const struct base *base, const struct mutation *mutation,
                     const struct known *known)
{
    bool whole = !is_touched(base, mutation, known->leaf);
    for (uint64_t i = 0; i < known->overflow_count; i++) {
        whole = whole && !is_touched(base, mutation, known->overflow + i);
    }
    return whole;
}

static bool has_whole_path(const struct base *base, const struct mutation *mutation,
                           const struct known *known)
{
    bool whole = true;
    for (uint32_t i = 0; i < known->path_count; i++) {
        whole = whole && !is_touched(base, mutation, known->path[i]);
    }
    for (uint64_t page = 0; page < base->size_bytes / base->page_bytes; page++) {
        whole = whole && (base->common[page] == 0 || !is_touched(base, mutation, page));
    }
    return whole;
}

/* The same record, but for the origin that salvage gave it. */
static bool is_same(const struct known *known, struct span stored)
{
    struct record a;
    struct record b;
    if (record_decode((struct span){known->encoded, known->size_bytes}, &a) != 0) {
        /* It was damaged before: kept as it is. */
        return stored.size_bytes == known->size_bytes &&
               memcmp(stored.data, known->encoded, known->size_bytes) == 0;
    }
    if (record_decode(stored, &b) != 0) {
        return false;
    }
    uint64_t sequence = a.has_origin ? a.origin_sequence : known->sequence;
    return (!b.has_origin || b.origin_sequence == sequence) &&
           a.published_wall_ms == b.published_wall_ms && a.expires_wall_ms == b.expires_wall_ms &&
           a.key.size_bytes == b.key.size_bytes && a.payload.size_bytes == b.payload.size_bytes &&
           a.headers_encoded.size_bytes == b.headers_encoded.size_bytes &&
           a.report_route.size_bytes == b.report_route.size_bytes &&
           memcmp(a.payload.data, b.payload.data, a.payload.size_bytes) == 0 &&
           memcmp(a.headers_encoded.data, b.headers_encoded.data, a.headers_encoded.size_bytes) ==
               0;
}

/* What was found of each known record: 0 nothing, 1 somewhere, 3 in its destination. */
struct look {
    const struct base *base;
    struct spool *spool;
    uint8_t *found;
    bool is_twice;
};

static void look_at(struct look *look, enum known_kind kind, uint32_t to, struct span encoded)
{
    const char *identity = spool_destination_identity(look->spool, to);
    for (size_t i = 0; i < look->base->known_count; i++) {
        const struct known *known = &look->base->known[i];
        if (is_same(known, encoded)) {
            bool is_home = known->kind == kind &&
                           strcmp(look->base->identities[known->destination], identity) == 0;
            look->found[i] |= is_home ? 3 : 1;
        }
    }
}

static void look_through(struct look *look, enum known_kind kind, uint32_t to)
{
    struct cursor cursor;
    uint64_t sequence;
    struct span stored;
    int r = kind == KNOWN_WAITING ? cursor_begin_queue(&cursor, look->spool, to, 0)
            : kind == KNOWN_DEAD  ? cursor_begin_dead(&cursor, look->spool, to, 0)
                                  : cursor_begin_reports(&cursor, look->spool, 0);
    must(r == 0, "the salvaged spool cannot be read");
    while ((r = cursor_next(&cursor, &sequence, &stored)) == 0) {
        struct span encoded = stored;
        struct dead_letter dead;
        struct report report = {.destination = to};
        if (kind == KNOWN_DEAD) {
            must(dead_letter_decode(stored, &dead, &encoded) == 0, "a salvaged head is damaged");
        } else if (kind == KNOWN_REPORT) {
            must(report_decode(stored, &report, &encoded) == 0, "a salvaged head is damaged");
        }
        look_at(look, kind, report.destination, encoded);
    }
    must(r == CURSOR_E_END, "the salvaged spool is damaged");
    cursor_end(&cursor);
}

/* A record that was damaged before is known only by the tree that leads to it. */
static bool is_readable(const struct known *known)
{
    return record_check((struct span){known->encoded, known->size_bytes}) == 0;
}

static bool look_missing(const struct look *look, const struct mutation *mutation,
                         uint64_t *ret_expected, uint64_t *ret_found)
{
    bool is_all = true;
    for (size_t i = 0; i < look->base->known_count; i++) {
        const struct known *known = &look->base->known[i];
        bool is_led_to = has_whole_path(look->base, mutation, known);
        if (!is_whole(look->base, mutation, known) || !(is_led_to || is_readable(known))) {
            continue;
        }
        uint8_t owed = is_led_to ? 3 : 1;
        *ret_expected += 1;
        *ret_found += look->found[i] >= owed;
        if (look->found[i] < owed) {
            is_all = false;
            (void)fprintf(stderr,
                          "not salvaged: kind %d, destination %u, sequence %" PRIu64
                          ", leaf %" PRIu64 " (owed %u, found %u)\n",
                          known->kind, known->destination, known->sequence, known->leaf, owed,
                          look->found[i]);
        }
    }
    return is_all;
}

bool mutation_is_salvaged(const struct base *base, const struct mutation *mutation,
                          const char *saved_dir, uint64_t *ret_expected, uint64_t *ret_found)
{
    struct message message;
    struct look look = {.base = base};
    look.found = calloc(base->known_count + 1, 1);
    must(look.found != NULL, "out of memory");
    must(spool_visit(saved_dir, clock_system(), &look.spool, &message) == 0,
         "the salvaged spool cannot be opened");
    for (uint32_t i = 1; i <= spool_destinations_count(look.spool); i++) {
        look_through(&look, KNOWN_WAITING, i);
        look_through(&look, KNOWN_DEAD, i);
    }
    look_through(&look, KNOWN_REPORT, 0);
    bool is_all = look_missing(&look, mutation, ret_expected, ret_found);
    spool_close(&look.spool);
    free(look.found);
    return is_all;
}
