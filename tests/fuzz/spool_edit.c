/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/spool_edit.h"

#include "spool/little_endian.h"
#include "spool/page/page_layout.h"

#include <isa-l/crc.h>

#define EDITS_MAX 16
#define EDIT_BYTES_MAX 32
#define CHECKSUM_BYTES 4

#define LIVE_AT_VERSION 4
#define LIVE_AT_COUNT 8

struct place {
    uint64_t page;
    uint8_t *bytes;
    size_t left_bytes; /* in the page */
};

static uint64_t edit_pages(const struct base *base, const struct edited *edited)
{
    return edited->mutation.size_bytes / base->page_bytes;
}

static void edit_touch(const struct base *base, struct edited *edited, uint64_t page)
{
    if (page < base->size_bytes / base->page_bytes) {
        edited->mutation.touched[page] = 1;
    }
}

/* u8 page, u16 at. */
static struct place edit_take_place(const struct base *base, struct edited *edited,
                                    struct fuzz_input *input)
{
    struct place place = {.page = fuzz_take_number(input, 1) % edit_pages(base, edited)};
    size_t at = fuzz_take_number(input, 2) % base->page_bytes;
    place.bytes = edited->mutation.bytes + place.page * base->page_bytes + at;
    place.left_bytes = base->page_bytes - at;
    edit_touch(base, edited, place.page);
    return place;
}

/* u8 count, the bytes. */
static void edit_put_bytes(uint8_t *bytes, size_t left_bytes, struct fuzz_input *input)
{
    size_t count = 1 + fuzz_take_number(input, 1) % EDIT_BYTES_MAX;
    struct span taken = fuzz_take(input, count < left_bytes ? count : left_bytes);
    memcpy(bytes, taken.data, taken.size_bytes);
}

static void edit_add(const struct place *place, struct fuzz_input *input)
{
    uint64_t number = 0;
    size_t width = 1 + fuzz_take_number(input, 1) % sizeof(number);
    int8_t what = (int8_t)fuzz_take_number(input, 1);
    width = width < place->left_bytes ? width : place->left_bytes;
    memcpy(&number, place->bytes, width);
    number += (uint64_t)(int64_t)what;
    memcpy(place->bytes, &number, width);
}

static void edit_put_number(const struct place *place, struct fuzz_input *input)
{
    static const uint64_t numbers[] = {
        0,         1,          2,         16,         4080,      4095,       4096,       4097,
        INT16_MAX, UINT16_MAX, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, 1ULL << 31, 1ULL << 63,
    };
    uint64_t which = fuzz_take_number(input, 1);
    size_t width = (size_t)1 << (which >> 4 & 3);
    width = width < place->left_bytes ? width : place->left_bytes;
    memcpy(place->bytes, &numbers[which % SPOOL_COUNT_OF(numbers)], width);
}

static void edit_copy(const struct base *base, struct edited *edited, struct fuzz_input *input)
{
    uint64_t from = fuzz_take_number(input, 1) % edit_pages(base, edited);
    uint64_t to = fuzz_take_number(input, 1) % edit_pages(base, edited);
    bool has_number = (fuzz_take_number(input, 1) & 1) != 0;
    uint8_t *bytes = edited->mutation.bytes + to * base->page_bytes;
    memmove(bytes, edited->mutation.bytes + from * base->page_bytes, base->page_bytes);
    /* A leaf with the right number in another tree is a perfect forgery: nobody could tell. */
    if (has_number && (bytes[PAGE_AT_FLAGS] & PAGE_FLAG_LEAF) == 0) {
        memcpy(bytes, &to, sizeof(to));
    }
    edit_touch(base, edited, to);
}

static void edit_cut(const struct base *base, struct edited *edited, struct fuzz_input *input)
{
    size_t size_bytes = fuzz_take_number(input, 4) % (edited->mutation.size_bytes + 1);
    for (uint64_t page = size_bytes / base->page_bytes; page < base->size_bytes / base->page_bytes;
         page++) {
        edit_touch(base, edited, page);
    }
    edited->mutation.size_bytes = size_bytes;
    edited->mutation.is_unreadable = size_bytes < base->page_bytes;
}

static void edit_seal(uint8_t *bytes, size_t size_bytes)
{
    put_u32(bytes,
            ~crc32_iscsi(bytes + CHECKSUM_BYTES, (int)(size_bytes - CHECKSUM_BYTES), UINT32_MAX));
}

/* Where the record is in the file, or was before an earlier edit. */
static uint8_t *edit_find_record(const struct base *base, struct edited *edited,
                                 const struct known *known)
{
    uint64_t first = known->overflow != 0 ? known->overflow : known->leaf;
    uint64_t count = known->overflow != 0 ? known->overflow_count : 1;
    size_t at = first * base->page_bytes;
    const uint8_t *found =
        memmem(base->bytes + at, count * base->page_bytes, known->encoded, known->size_bytes);
    size_t end = found == NULL ? SIZE_MAX : (size_t)(found - base->bytes) + known->size_bytes;
    return end <= edited->mutation.size_bytes ? edited->mutation.bytes + (found - base->bytes)
                                              : NULL;
}

static void edit_record(const struct base *base, struct edited *edited, struct fuzz_input *input)
{
    const struct known *known = &base->known[fuzz_take_number(input, 1) % base->known_count];
    size_t at = fuzz_take_number(input, 2) % known->size_bytes;
    uint8_t *bytes = edit_find_record(base, edited, known);
    if (bytes == NULL || known->size_bytes <= CHECKSUM_BYTES) {
        return;
    }
    edit_put_bytes(bytes + at, known->size_bytes - at, input);
    edit_seal(bytes, known->size_bytes);
    edit_touch(base, edited, known->leaf);
    for (uint64_t i = 0; i < known->overflow_count; i++) {
        edit_touch(base, edited, known->overflow + i);
    }
}

static void edit_live(struct edited *edited, struct fuzz_input *input)
{
    size_t at = fuzz_take_number(input, 2) % sizeof(edited->live);
    if (!edited->has_live) {
        edited->has_live = true;
        put_u32(edited->live + LIVE_AT_VERSION, 1);
        put_u32(edited->live + LIVE_AT_COUNT, 2);
    }
    edit_put_bytes(edited->live + at, sizeof(edited->live) - at, input);
    edit_seal(edited->live, sizeof(edited->live));
}

static void edit_one(const struct base *base, struct fuzz_input *input, struct edited *edited)
{
    struct place place;
    switch (fuzz_take_number(input, 1) % EDIT_COUNT) {
    case EDIT_BYTES:
        place = edit_take_place(base, edited, input);
        edit_put_bytes(place.bytes, place.left_bytes, input);
        break;
    case EDIT_ADD:
        place = edit_take_place(base, edited, input);
        edit_add(&place, input);
        break;
    case EDIT_NUMBER:
        place = edit_take_place(base, edited, input);
        edit_put_number(&place, input);
        break;
    case EDIT_COPY:
        edit_copy(base, edited, input);
        break;
    case EDIT_CUT:
        edit_cut(base, edited, input);
        break;
    case EDIT_RECORD:
        edit_record(base, edited, input);
        break;
    default:
        edit_live(edited, input);
        break;
    }
}

void spool_edit(const struct base *base, struct fuzz_input *input, struct edited *ret_edited)
{
    *ret_edited = (struct edited){.mutation = {.size_bytes = base->size_bytes}};
    ret_edited->mutation.bytes = malloc(base->size_bytes);
    ret_edited->mutation.touched = calloc(base->size_bytes / base->page_bytes + 1, 1);
    fuzz_must(ret_edited->mutation.bytes != NULL && ret_edited->mutation.touched != NULL,
              "out of memory");
    memcpy(ret_edited->mutation.bytes, base->bytes, base->size_bytes);
    for (int i = 0; i < EDITS_MAX && input->left_bytes > 0; i++) {
        if (!ret_edited->mutation.is_unreadable) {
            edit_one(base, input, ret_edited);
        }
    }
}

void spool_edit_free(struct edited *edited)
{
    free(edited->mutation.bytes);
    free(edited->mutation.touched);
}
