/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is imported: lines of a file or of standard input, with a checksum over all lines so far, by
 * which a file that was imported in part is known again. */
#ifndef TOOLS_INSPECT_IMPORT_SOURCE_H
#define TOOLS_INSPECT_IMPORT_SOURCE_H

#include "spool/base.h"
#include "spool/message.h"
#include "spool/spool.h"

#include <stdio.h>

struct import_source {
    const char *name; /* for messages */
    FILE *stream;
    bool is_file;         /* it can be read twice */
    uint64_t lines_count; /* that were read so far */
    uint64_t checksum;    /* of these, with their ends */
    char *line;
    size_t line_bytes;
    size_t line_room_bytes;
};

#define IMPORT_SOURCE_E_END 1
#define IMPORT_SOURCE_E_TOO_LONG 2 /* longer than any record's line */

/* Opens a file, or standard input for "-". message is set when the result is not 0. 0, -errno. */
SPOOL_MUST_CHECK int import_source_open(struct import_source *source, const char *path,
                                        struct message *message);
void import_source_close(struct import_source *source);

/* Reads the next line into source->line, without its end. 0, IMPORT_SOURCE_E_END,
 * IMPORT_SOURCE_E_TOO_LONG, -errno. */
SPOOL_MUST_CHECK int import_source_next(struct import_source *source);

/* Goes back to the first line of a file. */
void import_source_rewind(struct import_source *source);

/* --- What the audit log knows ----------------------------------------------------------------- */

#define IMPORT_MARK_BYTES 512

/* Prints what an import's entry in the audit log says: how far it came in which file. */
void import_mark_print(const struct import_source *source, uint64_t lines_count, uint64_t checksum,
                       char ret_text[IMPORT_MARK_BYTES]);

struct import_marks {
    struct {
        uint64_t lines_count;
        uint64_t checksum;
    } * marks; /* by lines_count */

    size_t count;
    size_t next; /* the first that the lines read so far do not reach */
};

/* Reads the marks of earlier imports. 0, -errno. */
SPOOL_MUST_CHECK int import_marks_read(struct import_marks *marks, struct spool *spool);
void import_marks_free(struct import_marks *marks);

/* Whether an earlier import came exactly as far as the source was read, with the same lines. To be
 * asked behind each line. */
SPOOL_MUST_CHECK bool import_marks_match(struct import_marks *marks,
                                         const struct import_source *source);

#endif
