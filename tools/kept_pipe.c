/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/kept_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct kept_pipe {
    int fd;
    int copy[2]; /* a pipe of our own, which the kernel copies the content into */
    size_t capacity_bytes;
};

/* Makes our own pipe as large as the other. */
static int kept_pipe_open_copy(struct kept_pipe *pipe)
{
    int capacity_bytes = fcntl(pipe->fd, F_GETPIPE_SZ);
    if (capacity_bytes < 0 || pipe2(pipe->copy, O_CLOEXEC | O_NONBLOCK) < 0 ||
        fcntl(pipe->copy[1], F_SETPIPE_SZ, capacity_bytes) < 0) {
        return -errno;
    }
    pipe->capacity_bytes = (size_t)capacity_bytes;
    return 0;
}

int kept_pipe_new(int fd, struct kept_pipe **ret_pipe)
{
    struct kept_pipe *pipe = calloc(1, sizeof(*pipe));
    if (pipe == NULL) {
        return -ENOMEM;
    }
    *pipe = (struct kept_pipe){.fd = fd, .copy = {-1, -1}};
    int r = kept_pipe_open_copy(pipe);
    if (r != 0) {
        kept_pipe_free(&pipe);
        return r;
    }
    *ret_pipe = pipe;
    return 0;
}

void kept_pipe_free(struct kept_pipe **pipe_at)
{
    struct kept_pipe *pipe = SPOOL_TAKE(*pipe_at);
    if (pipe != NULL) {
        spool_close_fd(&pipe->copy[0]);
        spool_close_fd(&pipe->copy[1]);
        free(pipe);
    }
}

size_t kept_pipe_capacity(const struct kept_pipe *pipe)
{
    return pipe->capacity_bytes;
}

/* Reads exactly so many bytes, which are there. */
static int read_exactly(int fd, char *buffer, size_t size_bytes)
{
    size_t done = 0;
    while (done < size_bytes) {
        ssize_t size = read(fd, buffer + done, size_bytes - done);
        if (size < 0 && errno != EINTR) {
            return -errno;
        }
        if (size == 0) {
            return -EPIPE;
        }
        done += size > 0 ? (size_t)size : 0;
    }
    return 0;
}

int kept_pipe_look(struct kept_pipe *pipe, char *buffer, size_t *ret_size_bytes, bool *ret_is_end)
{
    /* Before the copy: what a writer left when it closed the pipe is in the copy then. */
    struct pollfd polled = {.fd = pipe->fd, .events = POLLIN};
    if (poll(&polled, 1, 0) < 0) {
        return -errno;
    }
    ssize_t size = tee(pipe->fd, pipe->copy[1], pipe->capacity_bytes, SPLICE_F_NONBLOCK);
    if (size < 0 && errno != EAGAIN && errno != EINTR) {
        return -errno;
    }
    *ret_size_bytes = size > 0 ? (size_t)size : 0;
    *ret_is_end = size >= 0 && (polled.revents & POLLHUP) != 0;
    return read_exactly(pipe->copy[0], buffer, *ret_size_bytes);
}

int kept_pipe_take(struct kept_pipe *pipe, size_t size_bytes)
{
    char taken[4096];
    int r = 0;
    while (r == 0 && size_bytes > 0) {
        size_t now_bytes = size_bytes < sizeof(taken) ? size_bytes : sizeof(taken);
        r = read_exactly(pipe->fd, taken, now_bytes);
        size_bytes -= now_bytes;
    }
    return r;
}
