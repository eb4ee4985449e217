/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all fuzz targets share: how they say what they found, and how they take an input apart. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "spool/base.h"

#include <stdio.h>
#include <string.h>

/* The target: called with each input by libFuzzer, or by replay.c. 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* Called once, before the first input; only some targets have it. 0. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A finding, when it is not so: ends the program in a way that libFuzzer keeps the input. */
static inline void fuzz_must(bool is_so, const char *what)
{
    if (!is_so) {
        (void)fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

static inline bool fuzz_is_same(struct span a, struct span b)
{
    if (a.data == NULL || b.data == NULL) {
        return a.data == b.data && a.size_bytes == b.size_bytes;
    }
    return a.size_bytes == b.size_bytes && memcmp(a.data, b.data, a.size_bytes) == 0;
}

/* An input that is taken apart from its start on; behind its end there are zeros. */
struct fuzz_input {
    const uint8_t *at;
    size_t left_bytes;
};

/* The next bytes; fewer where the input ends. Never NULL. */
static inline struct span fuzz_take(struct fuzz_input *input, size_t size_bytes)
{
    struct span taken = {input->at,
                         size_bytes < input->left_bytes ? size_bytes : input->left_bytes};
    input->at += taken.size_bytes;
    input->left_bytes -= taken.size_bytes;
    return taken;
}

/* The next bytes as a number, the least significant first. */
static inline uint64_t fuzz_take_number(struct fuzz_input *input, size_t size_bytes)
{
    struct span taken = fuzz_take(input, size_bytes);
    uint64_t number = 0;
    for (size_t i = 0; i < taken.size_bytes; i++) {
        number |= (uint64_t)((const uint8_t *)taken.data)[i] << (8 * i);
    }
    return number;
}

#endif
