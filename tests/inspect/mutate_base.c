/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/inspect/mutate.h"

#include "spool/little_endian.h"
#include "spool/page/page_view.h"
#include "spool/settlement.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define WINDOW_BYTES 65536

uint64_t dice_next(struct dice *dice)
{
    dice->state += 0x9e3779b97f4a7c15ULL;
    uint64_t z = dice->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

uint64_t dice_below(struct dice *dice, uint64_t limit)
{
    return dice_next(dice) % limit;
}

/* The pages that the walk went through to its entry. */
static void base_note_pages(struct known *known, const struct page_walk *walk,
                            const struct page_entry *entry)
{
    known->leaf = entry->page;
    known->overflow = entry->value_page;
    if (entry->value_page != 0) {
        known->overflow_count = page_overflow_pages(entry->value_bytes, walk->rules.page_bytes);
    }
    must(walk->level <= KNOWN_PATH_MAX, "a tree is too deep");
    known->path_count = walk->level;
    for (uint32_t i = 0; i < walk->level; i++) {
        memcpy(&known->path[i], walk->levels[i].bytes, sizeof(known->path[i]));
    }
}

static void base_note(struct base *base, struct page_walk *walk, const struct page_entry *entry,
                      enum known_kind kind, uint32_t destination)
{
    struct span value;
    struct span encoded;
    struct dead_letter dead;
    struct report report;
    base->known = realloc(base->known, (base->known_count + 1) * sizeof(*base->known));
    must(base->known != NULL, "out of memory");
    struct known *known = &base->known[base->known_count++];
    *known = (struct known){
        .kind = kind, .destination = destination, .sequence = page_entry_number(entry)};
    must(page_walk_value(walk, entry, &value) == 0, "a base is damaged");
    encoded = value;
    if (kind == KNOWN_DEAD) {
        must(dead_letter_decode(value, &dead, &encoded) == 0, "a base is damaged");
    } else if (kind == KNOWN_REPORT) {
        must(report_decode(value, &report, &encoded) == 0, "a base is damaged");
        known->destination = report.destination;
        known->sequence = report.sequence;
    }
    known->encoded = malloc(encoded.size_bytes);
    must(known->encoded != NULL, "out of memory");
    memcpy(known->encoded, encoded.data, encoded.size_bytes);
    known->size_bytes = encoded.size_bytes;
    base_note_pages(known, walk, entry);
}

static void base_see_row(struct base *base, const struct page_entry *entry, struct span value)
{
    uint64_t id = page_entry_number(entry);
    const uint8_t *bytes = value.data;
    base->identities = realloc(base->identities, (id + 1) * sizeof(*base->identities));
    must(base->identities != NULL, "out of memory");
    base->identities[id] = strndup((const char *)bytes + 8, get_u32(bytes));
    base->destinations_count = (uint32_t)id;
}

static void base_walk(struct base *base, struct page_view *view, const char *name,
                      uint32_t key_bytes, int kind, uint32_t destination)
{
    struct page_tree tree = view->meta.main;
    struct page_walk walk;
    struct page_entry entry;
    struct span value;
    must(name == NULL || page_view_tree(view, name, &tree) == 0, "a base has no such database");
    page_walk_init(&walk, &view->file, &tree, view->meta.last_page, key_bytes, WINDOW_BYTES);
    while (page_walk_next(&walk, &entry) == 0) {
        if (kind >= 0) {
            base_note(base, &walk, &entry, (enum known_kind)kind, destination);
            continue;
        }
        must(page_walk_value(&walk, &entry, &value) == 0, "a base is damaged");
        base->common[entry.page] = 1;
        for (uint64_t i = 0;
             entry.value_page != 0 && i < page_overflow_pages(entry.value_bytes, base->page_bytes);
             i++) {
            base->common[entry.value_page + i] = 1;
        }
        for (uint32_t i = 0; i < walk.level; i++) {
            uint64_t page;
            memcpy(&page, walk.levels[i].bytes, sizeof(page));
            base->common[page] = 1;
        }
        if (name != NULL && strcmp(name, "destinations") == 0) {
            base_see_row(base, &entry, value);
        }
    }
    page_walk_deinit(&walk);
}

static void base_read_bytes(struct base *base, int dir_fd)
{
    int fd = openat(dir_fd, "data.mdb", O_RDONLY | O_CLOEXEC);
    must(fd >= 0, "a base has no data.mdb");
    off_t size = lseek(fd, 0, SEEK_END);
    base->size_bytes = (size_t)size;
    base->bytes = malloc(base->size_bytes);
    must(base->bytes != NULL &&
             pread(fd, base->bytes, base->size_bytes, 0) == (ssize_t)base->size_bytes,
         "a base cannot be read");
    close(fd);
}

void base_read(struct base *base, const char *dir)
{
    struct page_view view;
    struct message message;
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *base = (struct base){.dir = dir};
    must(dir_fd >= 0, "a base is not there");
    base_read_bytes(base, dir_fd);
    must(page_view_open(&view, dir_fd, dir, true, &message) == 0, "a base is no spool");
    must(page_view_begin(&view, -1) == 0, "a base cannot be read");
    base->page_bytes = view.file.page_bytes;
    base->common = calloc(base->size_bytes / base->page_bytes + view.meta.last_page + 1, 1);
    must(base->common != NULL, "out of memory");
    base->common[page_file_newest(&view.file) == &view.file.metas[1].meta ? 1 : 0] = 1;
    base_walk(base, &view, NULL, 0, -1, 0);
    base_walk(base, &view, "meta", 0, -1, 0);
    base_walk(base, &view, "destinations", 4, -1, 0);
    for (uint32_t i = 1; i <= base->destinations_count; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "queue.%u", i);
        base_walk(base, &view, name, 8, KNOWN_WAITING, i);
        (void)snprintf(name, sizeof(name), "dead.%u", i);
        base_walk(base, &view, name, 8, KNOWN_DEAD, i);
    }
    base_walk(base, &view, "reports", 8, KNOWN_REPORT, 0);
    page_view_close(&view);
    close(dir_fd);
}
