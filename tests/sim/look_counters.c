/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters, limits and sequences: moved by exactly what was seen. */
#include "tests/sim/look_private.h"

#include <string.h>

/* Those that were appended and dropped at once, and nobody heard of: as many as the counters say,
 * if there can be so many. */
void look_count_unseen(struct world *world, struct found *found, uint32_t destination,
                       const struct counters *now)
{
    const struct model *model = &world->model;
    const struct address *address = world->addresses[destination];
    uint64_t before = model->counters[destination].values[COUNTER_APPENDED];
    uint64_t expected = before + found->totals[destination][COUNTER_APPENDED];
    uint64_t appended = now->values[COUNTER_APPENDED];
    uint64_t unheard_count = 0;
    for (uint32_t i = 1; i <= model->known_count; i++) {
        const struct known *known = &model->known[i];
        unheard_count += known->place == KNOWN_NOWHERE && known->destination == destination &&
                         (known->answer == KNOWN_UNKNOWN || known->answer == KNOWN_WAITS);
    }
    if (appended > expected && appended - expected <= unheard_count &&
        address->on_full == ADDRESS_ON_FULL_DROP_OLDEST) {
        found->unseen[destination] = appended - expected;
        found_count(found, destination, COUNTER_APPENDED, appended - expected);
        found_count(found, destination, COUNTER_DROPPED, appended - expected);
    }
}

static void look_compare(struct world *world, const struct found *found, uint32_t row,
                         const struct counters *now)
{
    const struct counters *before = &world->model.counters[row];
    for (enum counter i = 0; i < COUNTER_PAGES; i++) {
        if (now->values[i] != found->levels[row][i]) {
            violate(world, "S4", "row %u: %s is %llu, and counted %llu", row, counter_name(i),
                    (unsigned long long)now->values[i], (unsigned long long)found->levels[row][i]);
        }
    }
    for (enum counter i = COUNTER_APPENDED; i <= COUNTER_MOVED; i++) {
        bool is_total = i <= COUNTER_REPORTS_RUN || i == COUNTER_MOVED;
        uint64_t wanted = before->values[i] + found->totals[row][i];
        if (i == COUNTER_REPORTS_RUN && row != DESTINATION_ALL) {
            continue; /* a report's row does not say any more whose it was */
        }
        if (is_total && now->values[i] != wanted) {
            violate(world, "S4", "row %u: %s went from %llu to %llu, and %llu were seen", row,
                    counter_name(i), (unsigned long long)before->values[i],
                    (unsigned long long)now->values[i], (unsigned long long)found->totals[row][i]);
        }
    }
}

/* P6: nothing that is published takes a level above its limit; what an operator puts back may. */
static void look_check_limit(struct world *world, const struct counters *now, uint32_t row,
                             enum counter level, uint64_t max)
{
    const struct counters *before = &world->model.counters[row];
    bool was_put_back = now->values[COUNTER_REQUEUED] > before->values[COUNTER_REQUEUED];
    if (max != 0 && now->values[level] > max && !was_put_back &&
        now->values[level] > before->values[level]) {
        violate(world, "P6", "row %u: %s is %llu, and the limit is %llu", row, counter_name(level),
                (unsigned long long)now->values[level], (unsigned long long)max);
    }
}

static void look_check_limits(struct world *world, const struct counters *now, uint32_t row)
{
    if (row == DESTINATION_ALL) {
        look_check_limit(world, now, row, COUNTER_QUEUE_RECORDS, world->config.max_records);
    } else if (world->is_configured[row]) {
        const struct address *address = world->addresses[row];
        look_check_limit(world, now, row, COUNTER_QUEUE_RECORDS, address->max_records);
        look_check_limit(world, now, row, COUNTER_QUEUE_BYTES, address->max_bytes);
    }
}

void look_at_counters(struct world *world, struct found *found,
                      const struct counters now[MODEL_DESTINATIONS + 1])
{
    uint64_t next_sequence = 0;
    for (uint32_t i = 0; i <= world->numbers_count; i++) {
        look_compare(world, found, i, &now[i]);
        look_check_limits(world, &now[i], i);
    }
    memcpy(world->model.counters, now, sizeof(world->model.counters));
    if (spool_next_sequence(world->spool, &next_sequence) != 0 ||
        next_sequence < world->model.next_sequence) {
        violate(world, "S3", "the next sequence went from %llu to %llu",
                (unsigned long long)world->model.next_sequence, (unsigned long long)next_sequence);
    }
    for (uint64_t i = next_sequence; i < MODEL_SEQUENCES_MAX && i < next_sequence + 64; i++) {
        if (world->model.by_sequence[i] != 0) {
            violate(world, "S3", "sequence %llu is given, and the next is %llu",
                    (unsigned long long)i, (unsigned long long)next_sequence);
        }
    }
    world->model.next_sequence = next_sequence;
}
