/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/broker/control.h"

#include "tests/broker/command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_BYTES_MAX 1024
#define CHANNELS_MAX 16

enum {
    SIGNALS = 0,
    LISTENER = 1,
    INPUT = 2,
    CHANNELS_FIRST = INPUT,
};

/* One peer: what it sent of a line so far. */
struct channel {
    int write_fd;
    size_t used_bytes;
    char line[LINE_BYTES_MAX];
};

struct control {
    struct embedded_broker *broker;
    struct pollfd fds[CHANNELS_FIRST + CHANNELS_MAX];
    struct channel channels[CHANNELS_MAX];
};

static void close_fd(const int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

static int open_listener(const char *path, struct message *message)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        message_set(message, "the control path is longer than %zu bytes",
                    sizeof(address.sun_path) - 1);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, CHANNELS_MAX) < 0) {
        message_set(message, "cannot listen at \"%s\": %m", path);
        close_fd(&fd);
        return -1;
    }
    return fd;
}

static int open_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

static void answer_line(struct control *control, struct channel *channel, char *line)
{
    struct message answer;

    command_run(control->broker, line, &answer);
    if (dprintf(channel->write_fd, "%s\n", answer.text) < 0) {
        /* The peer has gone; its end is seen by the next read. */
        errno = 0;
    }
}

/* Returns false at the end of the peer's input. */
static bool read_channel(struct control *control, int fd, struct channel *channel)
{
    ssize_t size_bytes = read(fd, channel->line + channel->used_bytes,
                              sizeof(channel->line) - 1 - channel->used_bytes);
    if (size_bytes <= 0) {
        return false;
    }
    channel->used_bytes += (size_t)size_bytes;
    channel->line[channel->used_bytes] = '\0';

    char *start = channel->line;
    for (char *end = strchr(start, '\n'); end != NULL; end = strchr(start, '\n')) {
        *end = '\0';
        answer_line(control, channel, start);
        start = end + 1;
    }
    channel->used_bytes -= (size_t)(start - channel->line);
    memmove(channel->line, start, channel->used_bytes);
    return channel->used_bytes < sizeof(channel->line) - 1;
}

static void accept_channel(struct control *control)
{
    int fd = accept4(control->fds[LISTENER].fd, NULL, NULL, SOCK_CLOEXEC);

    for (size_t i = 1; fd >= 0 && i < CHANNELS_MAX; i++) {
        struct pollfd *entry = &control->fds[CHANNELS_FIRST + i];
        if (entry->fd < 0) {
            *entry = (struct pollfd){.fd = fd, .events = POLLIN};
            control->channels[i].write_fd = fd;
            control->channels[i].used_bytes = 0;
            return;
        }
    }
    close_fd(&fd);
}

static void serve_channels(struct control *control, bool has_listener)
{
    for (size_t i = 0; i < CHANNELS_MAX; i++) {
        struct pollfd *entry = &control->fds[CHANNELS_FIRST + i];
        if (entry->fd < 0 || entry->revents == 0 ||
            read_channel(control, entry->fd, &control->channels[i])) {
            continue;
        }
        if (i == 0 && !has_listener) {
            control->broker->is_quitting = true;
        }
        if (i > 0) {
            close(entry->fd);
        }
        entry->fd = -1;
    }
}

bool control_serve(struct embedded_broker *broker, const char *socket_path, struct message *message)
{
    struct control control = {.broker = broker, .channels[0].write_fd = STDOUT_FILENO};

    for (size_t i = 0; i < SPOOL_COUNT_OF(control.fds); i++) {
        control.fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    }
    SPOOL_CLEANUP(close_fd) int signals = open_signals();
    SPOOL_CLEANUP(close_fd)
    int listener = socket_path != NULL ? open_listener(socket_path, message) : -1;
    if (socket_path != NULL && listener < 0) {
        return false;
    }
    control.fds[SIGNALS].fd = signals;
    control.fds[LISTENER].fd = listener;
    control.fds[INPUT].fd = STDIN_FILENO;

    while (!broker->is_quitting) {
        if (poll(control.fds, SPOOL_COUNT_OF(control.fds), -1) < 0 && errno != EINTR) {
            break;
        }
        if (control.fds[SIGNALS].revents != 0) {
            broker->is_quitting = true;
        }
        if (control.fds[LISTENER].revents != 0) {
            accept_channel(&control);
        }
        serve_channels(&control, listener >= 0);
    }
    if (socket_path != NULL) {
        unlink(socket_path);
    }
    return true;
}
