/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes in a sound spool, as an input of the target spool says them. */
#ifndef TESTS_FUZZ_SPOOL_EDIT_H
#define TESTS_FUZZ_SPOOL_EDIT_H

#include "tests/fuzz/fuzz.h"
#include "tests/inspect/mutate.h"

/* Head and two rows of the file "live": spool/README.md draws it. */
#define EDIT_LIVE_BYTES (416 + 2 * 352)

/* The kinds of an edit, its first byte (modulo their count). What follows each: */
enum edit {
    EDIT_BYTES,  /* u8 page, u16 at, u8 count (to 32), the bytes */
    EDIT_ADD,    /* u8 page, u16 at, u8 width (1 to 8), i8 what to add to the number */
    EDIT_NUMBER, /* u8 page, u16 at, u8 which of the numbers that limits are made of */
    EDIT_COPY,   /* u8 page, u8 to page, u8: 1 the page's number is put right */
    EDIT_CUT,    /* u32 size of the file */
    EDIT_RECORD, /* u8 record, u16 at, u8 count, the bytes: its checksum is put right */
    EDIT_LIVE,   /* u16 at, u8 count, the bytes: there is a file "live"; its checksum is right */
    EDIT_COUNT,
};

struct edited {
    struct mutation mutation; /* of data.mdb; the folder is not yet written */
    bool has_live;
    uint8_t live[EDIT_LIVE_BYTES];
};

/* Changes a copy of the base. The caller frees it with spool_edit_free(). */
void spool_edit(const struct base *base, struct fuzz_input *input, struct edited *ret_edited);
void spool_edit_free(struct edited *edited);

#endif
