/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is printed: text for people, where nothing that a record holds can control the terminal, and
 * JSON for programs. */
#ifndef TOOLS_INSPECT_OUTPUT_H
#define TOOLS_INSPECT_OUTPUT_H

#include "spool/base.h"
#include "spool/spool.h"

#include <jansson.h>
#include <stdio.h>

struct libscols_table;

/* --- Text ------------------------------------------------------------------------------------- */

/* Prints bytes as text: what is no UTF-8, control characters and marks of writing direction become
 * "\x1b" and the like. Newlines and tabs stay when is_multiline. */
void output_text(FILE *stream, struct span text, bool is_multiline);

/* The same into a new string, without newlines, cut to max_bytes (then "..." stands at its end).
 * The caller frees it. NULL: out of memory. */
char *output_text_new(struct span text, size_t max_bytes);

/* Short forms for people, into buffers of OUTPUT_WORD_BYTES: "2d 3h", "4m 10s"; "1.2 GiB";
 * "2026-11-21 08:15:02Z" (0: "-"). */
#define OUTPUT_WORD_BYTES 32
void output_duration(uint64_t ms, char ret_word[OUTPUT_WORD_BYTES]);
void output_bytes(uint64_t bytes, char ret_word[OUTPUT_WORD_BYTES]);
void output_time(uint64_t wall_ms, char ret_word[OUTPUT_WORD_BYTES]);

/* Whether standard output takes colours: a terminal, and no NO_COLOR. */
SPOOL_MUST_CHECK bool output_has_colours(void);

/* --- Tables ----------------------------------------------------------------------------------- */

struct output_column {
    const char *name;
    bool is_right; /* numbers */
    bool is_cut;   /* what gives way when the terminal is narrow */
};

/* A table of libsmartcols; print it with scols_print_table(), free it with output_table_free().
 * NULL: out of memory. */
struct libscols_table *output_table_new(const struct output_column *columns, size_t count);
void output_table_free(struct libscols_table **table);

/* --- JSON ------------------------------------------------------------------------------------- */

/* Prints the document in one line, and releases it (also NULL: out of memory, which it says). */
void output_json(json_t *document);

/* For owning locals. */
void output_json_free(json_t **document);

/* Sets object's "name" to bytes as text, or, when they are no UTF-8, "name_base64" to them in
 * base64. Bytes without data are null. */
void output_json_bytes(json_t *object, const char *name, struct span bytes);

/* Sets a number; JSON's are signed, so what is larger becomes the largest. */
void output_json_number(json_t *object, const char *name, uint64_t number);

/* The same for a time; 0 (never, none) becomes null. */
void output_json_time(json_t *object, const char *name, uint64_t wall_ms);

#endif
