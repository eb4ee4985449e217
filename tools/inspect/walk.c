/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/walk.h"

#include "spool/cursor.h"
#include "tools/inspect/inspect.h"

#include <errno.h>
#include <string.h>

/* One read transaction: its time, asked for now and then, and what is copied in it at most. */
#define WALK_TXN_MS 20
#define WALK_TIME_INTERVAL 64
#define WALK_BUFFER_BYTES (2U << 20)
#define WALK_ENTRIES_MAX 4096

struct walk_copied {
    uint64_t sequence;
    size_t at_bytes;
    size_t size_bytes;
};

struct walk_state {
    const struct walk_config *config;
    uint64_t now_ms;
    uint64_t read_count;
    uint64_t matched_count;
    uint8_t *buffer;
    size_t buffer_bytes;
    size_t used_bytes;
    size_t entries_count;
    bool is_damaged; /* something could not be read, and was passed over */
    struct walk_copied entries[WALK_ENTRIES_MAX];
};

static void walk_free(struct walk_state **state)
{
    if (*state != NULL) {
        free((*state)->buffer);
        free(SPOOL_TAKE(*state));
    }
}

/* Reads what was stored: a dead letter's head, the record. */
static void walk_decode(struct walk_entry *entry)
{
    entry->encoded = entry->stored;
    if (entry->place == WALK_DEAD) {
        entry->has_dead = dead_letter_decode(entry->stored, &entry->dead, &entry->encoded) == 0;
    } else if (entry->place == WALK_REPORTS) {
        entry->has_report = report_decode(entry->stored, &entry->report, &entry->encoded) == 0;
    }
    if (entry->has_report) {
        entry->destination = entry->report.destination;
        entry->sequence = entry->report.sequence;
    }
    entry->is_readable = record_decode(entry->encoded, &entry->record) == 0;
}

/* Keeps a copy of the entry. *ret_is_full: there was no room, it is to come again. 0, -ENOMEM. */
static int walk_copy(struct walk_state *state, uint64_t sequence, struct span stored,
                     bool *ret_is_full)
{
    *ret_is_full =
        state->entries_count == WALK_ENTRIES_MAX ||
        (state->used_bytes + stored.size_bytes > state->buffer_bytes && state->entries_count > 0);
    if (*ret_is_full) {
        return 0;
    }
    if (stored.size_bytes > state->buffer_bytes) {
        uint8_t *larger = realloc(state->buffer, stored.size_bytes);
        if (larger == NULL) {
            return -ENOMEM;
        }
        state->buffer = larger;
        state->buffer_bytes = stored.size_bytes;
    }
    /* An empty value may have no place. */
    if (stored.size_bytes > 0) {
        memcpy(state->buffer + state->used_bytes, stored.data, stored.size_bytes);
    }
    state->entries[state->entries_count++] =
        (struct walk_copied){sequence, state->used_bytes, stored.size_bytes};
    state->used_bytes += stored.size_bytes;
    return 0;
}

/* Reports are kept by number, whosever they are. */
static bool walk_is_report_meant(const struct filter *filter, const struct walk_entry *entry)
{
    return entry->has_report && entry->destination >= 1 && entry->destination <= DESTINATIONS_MAX &&
           filter->has_destination[entry->destination] &&
           entry->sequence >= filter->from_sequence &&
           (filter->to_sequence == 0 || entry->sequence <= filter->to_sequence);
}

static bool walk_matches(const struct walk_state *state, uint32_t destination, struct span stored)
{
    struct walk_entry entry = {
        .place = state->config->place, .destination = destination, .stored = stored};
    walk_decode(&entry);
    if (entry.place == WALK_REPORTS && !walk_is_report_meant(state->config->filter, &entry)) {
        return false;
    }
    return filter_matches(state->config->filter, entry.is_readable ? &entry.record : NULL,
                          entry.encoded.size_bytes, state->now_ms);
}

/* Reads with an open cursor until the time is up, or the buffer full. *from becomes the first
 * sequence that was not looked at. CURSOR_E_END, -errno; 0: there may be more. */
static int walk_read(struct walk_state *state, struct cursor *cursor, uint32_t destination,
                     uint64_t *from)
{
    struct clock *clock = clock_system();
    uint64_t until_ms = clock->monotonic_ms(clock) + WALK_TXN_MS;
    uint64_t to_sequence =
        state->config->place == WALK_REPORTS ? 0 : state->config->filter->to_sequence;
    for (unsigned i = 1;; i++) {
        uint64_t sequence;
        struct span stored;
        bool is_full = false;
        int r = cursor_next(cursor, &sequence, &stored);
        if (r == CURSOR_E_DAMAGED) {
            state->is_damaged = true;
            continue;
        }
        if (r != 0) {
            return r;
        }
        if (to_sequence != 0 && sequence > to_sequence) {
            return CURSOR_E_END;
        }
        if (walk_matches(state, destination, stored)) {
            r = walk_copy(state, sequence, stored, &is_full);
        }
        if (r != 0 || is_full) {
            *from = sequence;
            return r;
        }
        state->read_count++;
        *from = sequence + 1;
        if (*from == 0 || (i % WALK_TIME_INTERVAL == 0 && clock->monotonic_ms(clock) >= until_ms)) {
            return *from == 0 ? CURSOR_E_END : 0;
        }
    }
}

/* Hands the copies to on_entry. */
static int walk_show(struct walk_state *state, uint32_t destination)
{
    const struct walk_config *config = state->config;
    int r = 0;
    for (size_t i = 0; r == 0 && i < state->entries_count; i++) {
        struct walk_copied *copied = &state->entries[i];
        struct walk_entry entry = {
            .place = config->place,
            .destination = destination,
            .sequence = copied->sequence,
            .stored = {state->buffer + copied->at_bytes, copied->size_bytes},
        };
        walk_decode(&entry);
        r = config->on_entry(config->context, &entry);
    }
    state->matched_count += state->entries_count;
    state->entries_count = 0;
    state->used_bytes = 0;
    if (r == 0 && config->on_progress != NULL) {
        r = config->on_progress(config->context, state->read_count, state->matched_count);
    }
    return r;
}

static int walk_begin(struct spool *spool, enum walk_place place, uint32_t destination,
                      uint64_t from, struct cursor *cursor)
{
    switch (place) {
    case WALK_DEAD:
        return cursor_begin_dead(cursor, spool, destination, from);
    case WALK_REPORTS:
        return cursor_begin_reports(cursor, spool, from);
    default:
        return cursor_begin_queue(cursor, spool, destination, from);
    }
}

static int walk_destination(struct walk_state *state, uint32_t destination)
{
    const struct walk_config *config = state->config;
    uint64_t from = config->place == WALK_REPORTS ? 0 : config->filter->from_sequence;
    for (;;) {
        struct cursor cursor;
        int r = walk_begin(config->spool, config->place, destination, from, &cursor);
        if (r == 0) {
            r = walk_read(state, &cursor, destination, &from);
            cursor_end(&cursor);
        }
        int shown = walk_show(state, destination);
        if (shown == WALK_SKIP) {
            return 0;
        }
        if (shown != 0) {
            return shown;
        }
        if (r == CURSOR_E_END) {
            return 0;
        }
        if (r == CURSOR_E_DAMAGED || r == CURSOR_E_LATCHED) {
            return WALK_E_DAMAGED;
        }
        if (r != 0) {
            return r;
        }
    }
}

int walk(const struct walk_config *config)
{
    SPOOL_CLEANUP(walk_free) struct walk_state *state = calloc(1, sizeof(*state));
    if (state == NULL) {
        return -ENOMEM;
    }
    state->config = config;
    state->now_ms = inspect_now_ms();
    state->buffer = malloc(WALK_BUFFER_BYTES);
    state->buffer_bytes = WALK_BUFFER_BYTES;
    if (state->buffer == NULL) {
        return -ENOMEM;
    }
    if (config->place == WALK_REPORTS) {
        int r = walk_destination(state, 0);
        return r == WALK_SKIP ? 0 : r;
    }
    for (uint32_t i = 1; i <= spool_destinations_count(config->spool); i++) {
        if (!config->filter->has_destination[i]) {
            continue;
        }
        int r = walk_destination(state, i);
        if (r != 0 && r != WALK_E_DAMAGED) {
            return r;
        }
        state->is_damaged = state->is_damaged || r == WALK_E_DAMAGED;
    }
    return state->is_damaged ? WALK_E_DAMAGED : 0;
}

int walk_one(struct spool *spool, enum walk_place place, uint32_t destination, uint64_t sequence,
             void **ret_copy, struct walk_entry *ret_entry)
{
    struct cursor cursor;
    struct span stored = {0};
    uint64_t found = 0;
    int r = walk_begin(spool, place, destination, sequence, &cursor);
    if (r == 0) {
        void *copy = NULL;
        r = cursor_next(&cursor, &found, &stored);
        if (r == 0 && found == sequence) {
            copy = malloc(stored.size_bytes + 1);
            r = copy == NULL ? -ENOMEM : 0;
        }
        if (copy != NULL) {
            memcpy(copy, stored.data, stored.size_bytes);
            *ret_copy = copy;
        }
        cursor_end(&cursor);
    }
    if (r == CURSOR_E_END || (r == 0 && found != sequence)) {
        return WALK_E_NOT_FOUND;
    }
    if (r != 0) {
        return r < 0 ? r : WALK_E_DAMAGED;
    }
    *ret_entry = (struct walk_entry){
        .place = place,
        .destination = destination,
        .sequence = sequence,
        .stored = {*ret_copy, stored.size_bytes},
    };
    walk_decode(ret_entry);
    return 0;
}
