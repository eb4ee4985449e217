/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets that stand in a file of their own, such as a password. The file must be one that only
 * its owner can change and only its owner and group can read, or the secret is not used: a
 * readable password is a fault that nobody would notice.
 */
#ifndef SRC_SECRET_FILE_H
#define SRC_SECRET_FILE_H

#include "spool/base.h"
#include "spool/message.h"

#define SECRET_FILE_E_UNUSABLE 1 /* the message names the file and says how to mend it */

/* Reads a secret. path is absolute and names (directly or through symbolic links) a regular file
 * that belongs to root or the effective user, is closed to others, not writable by its group, not
 * empty, without NUL bytes, and within SECRET_FILE_BYTES_MAX. One line end ("\n" or "\r\n") at its
 * end is no part of the secret. The caller releases the value with secret_file_wipe(). message is
 * set for each result but 0, and never holds the file's content. 0, SECRET_FILE_E_UNUSABLE,
 * -ENOMEM. */
SPOOL_MUST_CHECK int secret_file_read(const char *path, char **ret_value, struct message *message);

/* Overwrites a secret with zeros, frees it, and sets it to NULL; NULL is fine. */
void secret_file_wipe(char **secret);

#endif
