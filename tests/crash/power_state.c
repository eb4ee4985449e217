/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/power.h"

#include "spool/page/page_view.h"

#include <fcntl.h>
#include <isa-l/crc.h>
#include <stdio.h>
#include <string.h>

#define WINDOW_BYTES 65536

static void mix(uint64_t digest[2], const void *bytes, size_t size)
{
    /* The library reads only. */
    unsigned char *covered = (unsigned char *)(uintptr_t)bytes;
    for (int i = 0; i < 2; i++) {
        uint32_t seed = (uint32_t)(digest[i] >> 7) ^ (uint32_t)i;
        digest[i] = (digest[i] ^ crc32_iscsi(covered, (int)size, seed) ^ size) *
                    (i == 0 ? 0x9e3779b97f4a7c15ULL : 0xc2b2ae3d27d4eb4fULL);
        digest[i] ^= digest[i] >> 29;
    }
}

static bool is_named(struct span key, const char *name)
{
    return key.size_bytes == strlen(name) && memcmp(key.data, name, key.size_bytes) == 0;
}

/* The keys' size of a database: spool/README.md, Bytes. */
static uint32_t key_bytes_of(const char *name)
{
    if (strcmp(name, "meta") == 0) {
        return 0;
    }
    return strcmp(name, "destinations") == 0 || strcmp(name, "counters") == 0 ? 4 : 8;
}

static void count(struct power_state *state, const char *name, const struct page_entry *entry,
                  struct span value, const struct power_visitor *visitor)
{
    bool is_queue = strncmp(name, "queue.", 6) == 0;
    bool is_dead = strncmp(name, "dead.", 5) == 0;
    bool is_reports = strcmp(name, "reports") == 0;
    state->waiting_count += is_queue;
    state->dead_count += is_dead;
    state->reports_count += is_reports;
    state->destinations_count += strcmp(name, "destinations") == 0;
    if (is_queue || is_dead || is_reports) {
        mix(state->records, name, strlen(name));
        mix(state->records, entry->key.data, entry->key.size_bytes);
        mix(state->records, value.data, value.size_bytes);
    }
    if ((is_queue || is_dead) && visitor != NULL) {
        visitor->see(visitor->context, page_entry_number(entry));
    }
    if (strcmp(name, "meta") == 0 && is_named(entry->key, "next_sequence") &&
        value.size_bytes == sizeof(state->next_sequence)) {
        memcpy(&state->next_sequence, value.data, sizeof(state->next_sequence));
    }
}

static int read_database(struct page_view *view, const struct page_named *named,
                         const struct power_visitor *visitor, struct power_state *state,
                         struct message *message)
{
    struct page_walk walk;
    struct page_entry entry;
    struct span value;
    page_walk_init(&walk, &view->file, &named->tree, view->meta.last_page,
                   key_bytes_of(named->name), WINDOW_BYTES);
    int r;
    while ((r = page_walk_next(&walk, &entry)) == 0 &&
           (r = page_walk_value(&walk, &entry, &value)) == 0) {
        if (is_named(entry.key, "uuid") || is_named(entry.key, "created")) {
            continue;
        }
        mix(state->all, named->name, strlen(named->name));
        mix(state->all, entry.key.data, entry.key.size_bytes);
        mix(state->all, value.data, value.size_bytes);
        count(state, named->name, &entry, value, visitor);
    }
    if (r == PAGE_WALK_E_DAMAGED) {
        message_set(message, "page %llu of %s: %s", (unsigned long long)walk.damage.page,
                    named->name, walk.damage.what);
    }
    page_walk_deinit(&walk);
    return r == PAGE_WALK_E_END ? 0 : r;
}

static bool read_view(struct page_view *view, const struct power_visitor *visitor,
                      struct power_state *state, struct message *message)
{
    int r = page_view_begin(view, -1);
    if (r == 0 && view->damage.what != NULL) {
        message_set(message, "page %llu: %s", (unsigned long long)view->damage.page,
                    view->damage.what);
        return false;
    }
    for (uint32_t i = 0; r == 0 && i < view->named_count; i++) {
        r = read_database(view, &view->named[i], visitor, state, message);
    }
    page_view_end(view);
    if (r == 0 && state->destinations_count == 0 && state->next_sequence <= 1) {
        *state = (struct power_state){0}; /* new, or half-way to it */
    }
    return r == 0;
}

bool power_state_read(const char *dir, const struct power_visitor *visitor,
                      struct power_state *ret_state, struct message *message)
{
    struct page_view view;
    *ret_state = (struct power_state){0};
    message_set(message, "cannot be read");
    SPOOL_CLEANUP(spool_close_fd) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || faccessat(dir_fd, "data.mdb", F_OK, 0) < 0) {
        return true;
    }
    int r = page_view_open(&view, dir_fd, dir, true, message);
    if (r == PAGE_VIEW_E_REFUSED || r < 0) {
        return false;
    }
    bool is_read = r == 0 && read_view(&view, visitor, ret_state, message);
    page_view_close(&view);
    return is_read;
}
