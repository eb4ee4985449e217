/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file that --export writes before records are touched, and that says which are. */
#ifndef TOOLS_INSPECT_EXPORT_FILE_H
#define TOOLS_INSPECT_EXPORT_FILE_H

#include "spool/base.h"
#include "spool/message.h"
#include "spool/spool.h"
#include "tools/inspect/walk.h"

struct export_file;

#define EXPORT_FILE_E_REFUSED                                                                      \
    1 /* it exists, its name cannot be, or it is in the spool's folder                             \
       */

/* Makes the file, for its maker's eyes only. message is set for each result but 0. 0,
 * EXPORT_FILE_E_REFUSED, -errno. */
SPOOL_MUST_CHECK int export_file_create(const char *path, const char *spool_dir,
                                        struct export_file **ret_file, struct message *message);

/* Closes *file and sets it to NULL; NULL is fine. */
void export_file_close(struct export_file **file);

/* Writes a line. 0, -errno. */
SPOOL_MUST_CHECK int export_file_write(struct export_file *file, const struct spool *spool,
                                       const struct walk_entry *entry);

/* Makes sure that all lines, and the file's name, are on disk. 0, -errno. */
SPOOL_MUST_CHECK int export_file_flush(struct export_file *file);

/* Reads the lines again, from the first. 0, -errno, or what on_record gave, which ends it. */
SPOOL_MUST_CHECK int export_file_read(struct export_file *file, const struct spool *spool,
                                      int (*on_record)(void *context, uint32_t destination,
                                                       uint64_t sequence),
                                      void *context);

/* Writes an entry as a line of an export. 0, -errno. */
SPOOL_MUST_CHECK int export_line_write(FILE *stream, const struct spool *spool,
                                       const struct walk_entry *entry);

#endif
