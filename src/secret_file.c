/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/secret_file.h"

#include "spool/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much of a path a message shows. */
#define PATH_SHOWN_BYTES 255

/* The file as it is on disk, with room for one byte too many, by which a long file is known. */
struct content {
    size_t size_bytes;
    char bytes[SECRET_FILE_BYTES_MAX + 1];
};

static void content_free(struct content **content)
{
    if (*content != NULL) {
        explicit_bzero(*content, sizeof(**content));
        free(*content);
        *content = NULL;
    }
}

static void close_fd(const int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

void secret_file_wipe(char **secret)
{
    if (*secret != NULL) {
        explicit_bzero(*secret, strlen(*secret));
        free(*secret);
        *secret = NULL;
    }
}

/* Whether the open file is one that a secret may stand in. */
static int check_file(int fd, const char *path, struct message *message)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0) {
        message_set(message, "'%.*s' cannot be examined: %s", PATH_SHOWN_BYTES, path,
                    strerrordesc_np(errno));
        return SECRET_FILE_E_UNUSABLE;
    }
    if (!S_ISREG(stat.st_mode)) {
        message_set(message, "'%.*s' is not a regular file", PATH_SHOWN_BYTES, path);
        return SECRET_FILE_E_UNUSABLE;
    }
    uid_t user = geteuid();
    if (stat.st_uid != 0 && stat.st_uid != user) {
        message_set(message,
                    "the file belongs to user %u, who could change it; run: chown %u '%.*s'",
                    stat.st_uid, user, PATH_SHOWN_BYTES, path);
        return SECRET_FILE_E_UNUSABLE;
    }
    mode_t refused = S_IRWXO | S_IWGRP;
    if ((stat.st_mode & refused) != 0) {
        message_set(message, "the file's mode %04o lets %s; run: chmod %04o '%.*s'",
                    stat.st_mode & ACCESSPERMS,
                    (stat.st_mode & S_IRWXO) != 0 ? "everybody in" : "its group write",
                    stat.st_mode & ACCESSPERMS & ~refused, PATH_SHOWN_BYTES, path);
        return SECRET_FILE_E_UNUSABLE;
    }
    return 0;
}

/* Reads the open file up to its end, or to one byte above the limit. */
static int read_file(int fd, const char *path, struct content *content, struct message *message)
{
    while (content->size_bytes < sizeof(content->bytes)) {
        ssize_t count = read(fd, content->bytes + content->size_bytes,
                             sizeof(content->bytes) - content->size_bytes);
        if (count == 0) {
            break;
        }
        if (count > 0) {
            content->size_bytes += (size_t)count;
        } else if (errno != EINTR) {
            message_set(message, "'%.*s' cannot be read: %s", PATH_SHOWN_BYTES, path,
                        strerrordesc_np(errno));
            return SECRET_FILE_E_UNUSABLE;
        }
    }
    return 0;
}

/* The size without the line end that editors and echo put there. */
static size_t size_without_line_end(const struct content *content)
{
    size_t size_bytes = content->size_bytes;
    if (size_bytes > 0 && content->bytes[size_bytes - 1] == '\n') {
        size_bytes--;
        if (size_bytes > 0 && content->bytes[size_bytes - 1] == '\r') {
            size_bytes--;
        }
    }
    return size_bytes;
}

/* The secret in a file's content. */
static int take_value(const struct content *content, const char *path, char **ret_value,
                      struct message *message)
{
    if (content->size_bytes > SECRET_FILE_BYTES_MAX) {
        message_set(message, "'%.*s' has more than %u bytes: it is no secret", PATH_SHOWN_BYTES,
                    path, SECRET_FILE_BYTES_MAX);
        return SECRET_FILE_E_UNUSABLE;
    }
    size_t size_bytes = size_without_line_end(content);
    if (size_bytes == 0) {
        message_set(message, "'%.*s' is empty: write the secret into it", PATH_SHOWN_BYTES, path);
        return SECRET_FILE_E_UNUSABLE;
    }
    if (memchr(content->bytes, '\0', size_bytes) != NULL) {
        message_set(message, "'%.*s' has a NUL byte in it: it must be text", PATH_SHOWN_BYTES,
                    path);
        return SECRET_FILE_E_UNUSABLE;
    }
    char *value = strndup(content->bytes, size_bytes);
    if (value == NULL) {
        message_set(message, "out of memory");
        return -ENOMEM;
    }
    *ret_value = value;
    return 0;
}

int secret_file_read(const char *path, char **ret_value, struct message *message)
{
    if (path[0] != '/') {
        /* Not shown: it may be a secret that was put in the place of its path. */
        message_set(message, "the path of a secret's file must start with '/'");
        return SECRET_FILE_E_UNUSABLE;
    }
    /* Never wait for a fifo's writer, never let a terminal become ours. */
    SPOOL_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        message_set(message, "'%.*s' cannot be opened: %s", PATH_SHOWN_BYTES, path,
                    strerrordesc_np(errno));
        return SECRET_FILE_E_UNUSABLE;
    }
    int result = check_file(fd, path, message);
    if (result != 0) {
        return result;
    }
    SPOOL_CLEANUP(content_free) struct content *content = calloc(1, sizeof(*content));
    if (content == NULL) {
        message_set(message, "out of memory");
        return -ENOMEM;
    }
    result = read_file(fd, path, content, message);
    if (result != 0) {
        return result;
    }
    return take_value(content, path, ret_value, message);
}
