/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can happen to a spool's files. */
#include "tests/inspect/mutate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CHANGES_MAX 3

static void mutation_say(struct mutation *mutation, const char *format, ...) SPOOL_PRINTF(2, 3);

static void mutation_say(struct mutation *mutation, const char *format, ...)
{
    size_t length = strlen(mutation->text);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(mutation->text + length, sizeof(mutation->text) - length, format, arguments);
    va_end(arguments);
}

static void mutation_touch(const struct base *base, struct mutation *mutation, uint64_t page)
{
    if (page < base->size_bytes / base->page_bytes) {
        mutation->touched[page] = 1;
    }
}

static uint64_t mutation_pick_page(const struct base *base, const struct mutation *mutation,
                                   struct dice *dice)
{
    (void)base;
    uint64_t pages = mutation->size_bytes / base->page_bytes;
    /* The meta pages and what all need are few: they get more than their share. */
    return dice_below(dice, 5) == 0 ? dice_below(dice, pages < 12 ? pages : 12)
                                    : dice_below(dice, pages);
}

/* --- Pages ------------------------------------------------------------------------------------ */

static void mutate_bits(const struct base *base, struct mutation *mutation, struct dice *dice)
{
    uint64_t count = 1 + dice_below(dice, 8);
    uint64_t page = mutation_pick_page(base, mutation, dice);
    for (uint64_t i = 0; i < count; i++) {
        /* Heads and lists of entries are small, and what decides. */
        uint64_t at =
            dice_below(dice, 2) == 0 ? dice_below(dice, 64) : dice_below(dice, base->page_bytes);
        mutation->bytes[page * base->page_bytes + at] ^= (uint8_t)(1U << dice_below(dice, 8));
    }
    mutation_touch(base, mutation, page);
    mutation_say(mutation, "%lu bits of page %lu; ", count, page);
}

static void mutate_number(const struct base *base, struct mutation *mutation, struct dice *dice)
{
    static const uint64_t numbers[] = {
        0, 1, 2, 16, 4095, 4096, UINT16_MAX, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    uint64_t page = mutation_pick_page(base, mutation, dice);
    uint64_t at = 2 * dice_below(dice, dice_below(dice, 2) == 0 ? 90 : base->page_bytes / 2 - 4);
    size_t size = (size_t)2 << dice_below(dice, 3);
    uint64_t number =
        dice_below(dice, 2) == 0 ? dice_below(dice, 300) : numbers[dice_below(dice, 11)];
    memcpy(mutation->bytes + page * base->page_bytes + at, &number, size);
    mutation_touch(base, mutation, page);
    mutation_say(mutation, "%zu bytes at %lu of page %lu are %lu; ", size, at, page, number);
}

static void mutate_fill(const struct base *base, struct mutation *mutation, struct dice *dice)
{
    uint64_t page = mutation_pick_page(base, mutation, dice);
    uint64_t kind = dice_below(dice, 3);
    uint8_t *bytes = mutation->bytes + page * base->page_bytes;
    for (uint32_t i = 0; i < base->page_bytes; i++) {
        bytes[i] = kind == 0 ? 0 : kind == 1 ? 0xff : (uint8_t)dice_next(dice);
    }
    mutation_touch(base, mutation, page);
    mutation_say(mutation, "page %lu filled (%lu); ", page, kind);
}

static bool mutation_is_leaf(const uint8_t *page)
{
    return (page[PAGE_AT_FLAGS] & PAGE_FLAG_LEAF) != 0;
}

static void mutate_swap(const struct base *base, struct mutation *mutation, struct dice *dice)
{
    uint64_t a = mutation_pick_page(base, mutation, dice);
    uint64_t b = mutation_pick_page(base, mutation, dice);
    /* A leaf with the right number in another tree is a perfect forgery: nobody could tell. */
    bool keeps_numbers = dice_below(dice, 2) == 0 &&
                         !mutation_is_leaf(mutation->bytes + a * base->page_bytes) &&
                         !mutation_is_leaf(mutation->bytes + b * base->page_bytes);
    bool is_copy = dice_below(dice, 3) == 0;
    size_t size = base->page_bytes;
    uint8_t *a_bytes = mutation->bytes + a * size;
    uint8_t *b_bytes = mutation->bytes + b * size;
    uint8_t *held = malloc(size);
    must(held != NULL, "out of memory");
    memcpy(held, a_bytes, size);
    if (!is_copy) {
        memmove(a_bytes, b_bytes, size);
        mutation_touch(base, mutation, a);
    }
    memcpy(b_bytes, held, size);
    mutation_touch(base, mutation, b);
    if (keeps_numbers) {
        memcpy(b_bytes, &b, sizeof(b));
        if (!is_copy) {
            memcpy(a_bytes, &a, sizeof(a));
        }
    }
    free(held);
    mutation_say(mutation, "page %lu %s %lu%s; ", a, is_copy ? "copied over" : "swapped with", b,
                 keeps_numbers ? ", numbers kept" : "");
}

static void mutate_cut(const struct base *base, struct mutation *mutation, struct dice *dice)
{
    size_t size = dice_below(dice, mutation->size_bytes + 1);
    if (dice_below(dice, 2) == 0) {
        size -= size % base->page_bytes;
    }
    for (uint64_t page = size / base->page_bytes; page < base->size_bytes / base->page_bytes;
         page++) {
        mutation_touch(base, mutation, page);
    }
    mutation->size_bytes = size;
    mutation->is_unreadable = size < base->page_bytes;
    mutation_say(mutation, "cut to %zu bytes; ", size);
}

static void mutate_foreign(const struct base *base, struct mutation *mutation, struct dice *dice)
{
    uint64_t kind = dice_below(dice, 3);
    size_t size = dice_below(dice, mutation->size_bytes + 1);
    for (size_t i = 0; i < size; i++) {
        mutation->bytes[i] = kind == 0 ? (uint8_t)dice_next(dice) : (uint8_t) "text\n"[i % 5];
    }
    mutation->size_bytes = size;
    mutation->is_unreadable = true;
    memset(mutation->touched, 1, base->size_bytes / base->page_bytes);
    mutation_say(mutation, "foreign bytes (%lu), %zu of them; ", kind, size);
}

static void mutation_change(const struct base *base, struct mutation *mutation, struct dice *dice)
{
    static void (*const pages[])(const struct base *, struct mutation *, struct dice *) = {
        mutate_bits, mutate_bits, mutate_number, mutate_number, mutate_fill, mutate_swap};
    uint64_t chance = dice_below(dice, 100);
    if (chance < 88) {
        uint64_t count = 1 + dice_below(dice, CHANGES_MAX);
        for (uint64_t i = 0; i < count; i++) {
            pages[dice_below(dice, SPOOL_COUNT_OF(pages))](base, mutation, dice);
        }
    } else if (chance < 94) {
        mutate_cut(base, mutation, dice);
    } else if (chance < 96) {
        mutate_foreign(base, mutation, dice);
    }
}

/* --- Files ------------------------------------------------------------------------------------ */

static void write_at(const char *dir, const char *name, const uint8_t *bytes, size_t size)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    must(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, "a file cannot be written");
    close(fd);
}

/* Copies a small file of the base, changed sometimes; one that is not there is left out. */
static void copy_small(const struct base *base, const char *dir, const char *name,
                       struct mutation *mutation, struct dice *dice)
{
    char path[512];
    static uint8_t bytes[1U << 20];
    (void)snprintf(path, sizeof(path), "%s/%s", base->dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    ssize_t size = read(fd, bytes, sizeof(bytes));
    close(fd);
    must(size >= 0, "a file cannot be read");
    if (size > 0 && dice_below(dice, 10) == 0) {
        uint64_t count = 1 + dice_below(dice, 40);
        for (uint64_t i = 0; i < count; i++) {
            bytes[dice_below(dice, (uint64_t)size)] = (uint8_t)dice_next(dice);
        }
        size = dice_below(dice, 3) == 0 ? (ssize_t)dice_below(dice, (uint64_t)size) : size;
        mutation_say(mutation, "%s changed, %zd bytes; ", name, size);
    }
    write_at(dir, name, bytes, (size_t)size);
}

/* Something else stands where a file is to be. */
static void replace_file(const char *dir, struct mutation *mutation, struct dice *dice)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "owner.lock", "live"};
    static const char *const kinds[] = {"missing", "a folder", "a link to nothing", "a FIFO",
                                        "a link to /dev/zero"};
    char path[512];
    uint64_t name = dice_below(dice, 4);
    uint64_t kind = dice_below(dice, 5);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, names[name]);
    (void)unlink(path);
    int r = kind == 0   ? 0
            : kind == 1 ? mkdir(path, 0755)
            : kind == 2 ? symlink("nowhere", path)
            : kind == 3 ? mkfifo(path, 0644)
                        : symlink("/dev/zero", path);
    must(r == 0, "a file cannot be replaced");
    mutation->is_unreadable = mutation->is_unreadable || name == 0;
    mutation_say(mutation, "%s is %s; ", names[name], kinds[kind]);
}

void mutation_make(const struct base *base, struct dice *dice, const char *dir,
                   struct mutation *ret_mutation)
{
    struct mutation mutation = {.size_bytes = base->size_bytes};
    mutation.bytes = malloc(base->size_bytes + 8);
    mutation.touched = calloc(base->size_bytes / base->page_bytes + 1, 1);
    must(mutation.bytes != NULL && mutation.touched != NULL, "out of memory");
    memcpy(mutation.bytes, base->bytes, base->size_bytes);
    mutation_say(&mutation, "%s: ", base->dir);
    mutation_change(base, &mutation, dice);
    write_at(dir, "data.mdb", mutation.bytes, mutation.size_bytes);
    copy_small(base, dir, "lock.mdb", &mutation, dice);
    copy_small(base, dir, "owner.lock", &mutation, dice);
    copy_small(base, dir, "live", &mutation, dice);
    if (dice_below(dice, 20) == 0) {
        replace_file(dir, &mutation, dice);
    }
    mutation.is_not_permitted = dice_below(dice, 50) == 0;
    *ret_mutation = mutation;
}

void mutation_free(struct mutation *mutation)
{
    free(mutation->bytes);
    free(mutation->touched);
}
