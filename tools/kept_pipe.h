/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pipe whose content stays in it until it is taken: who ends before that, however, leaves it to
 * whoever reads the pipe next.
 */
#ifndef TOOLS_KEPT_PIPE_H
#define TOOLS_KEPT_PIPE_H

#include "spool/base.h"

struct kept_pipe;

/* fd: the pipe or FIFO, borrowed. 0, -errno (-EBADF: fd is something else). */
SPOOL_MUST_CHECK int kept_pipe_new(int fd, struct kept_pipe **ret_pipe);

/* Frees *pipe and sets it to NULL; NULL is fine. */
void kept_pipe_free(struct kept_pipe **pipe);

/* How much the pipe can hold at most, in bytes. */
size_t kept_pipe_capacity(const struct kept_pipe *pipe);

/* Copies what is in the pipe to buffer, which has room for the pipe's capacity. *ret_is_end: nobody
 * can write more than that. 0, -errno. */
SPOOL_MUST_CHECK int kept_pipe_look(struct kept_pipe *pipe, char *buffer, size_t *ret_size_bytes,
                                    bool *ret_is_end);

/* Takes the first bytes out of the pipe; they were looked at before. 0, -errno. */
SPOOL_MUST_CHECK int kept_pipe_take(struct kept_pipe *pipe, size_t size_bytes);

#endif
