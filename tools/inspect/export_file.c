/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/export_file.h"

#include "spool/point.h"
#include "tools/inspect/item.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct export_file {
    FILE *stream;
    int folder_fd;
};

void export_file_close(struct export_file **file_at)
{
    struct export_file *file = SPOOL_TAKE(*file_at);
    if (file != NULL) {
        if (file->stream != NULL) {
            (void)fclose(file->stream);
        }
        spool_close_fd(&file->folder_fd);
        free(file);
    }
}

/* Opens the folder that the file is to be in; *ret_name is the file's name in it. */
static int export_file_open_folder(const char *path, const char **ret_name, int *ret_fd)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    if (size >= sizeof(folder)) {
        return -ENAMETOOLONG;
    }
    memcpy(folder, path, size);
    (void)snprintf(folder + size, sizeof(folder) - size, "%s", size == 0 ? "." : "");
    *ret_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *ret_name = slash == NULL ? path : slash + 1;
    return *ret_fd < 0 ? -errno : 0;
}

/* A file of somebody else, say of root, is not for a spool's folder. */
static bool export_file_is_in_spool(int folder_fd, const char *spool_dir)
{
    struct stat folder;
    struct stat spool;
    return fstat(folder_fd, &folder) == 0 && stat(spool_dir, &spool) == 0 &&
           folder.st_ino == spool.st_ino && folder.st_dev == spool.st_dev;
}

/* Another name would do; else it is the disk, or want of something, whatever the name. */
static bool export_file_is_misnamed(int error)
{
    return error == EEXIST || error == ENOENT || error == ENOTDIR || error == EISDIR ||
           error == ENAMETOOLONG || error == ELOOP || error == EACCES || error == EPERM ||
           error == EROFS;
}

int export_file_create(const char *path, const char *spool_dir, struct export_file **ret_file,
                       struct message *message)
{
    const char *name;
    SPOOL_CLEANUP(export_file_close) struct export_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        message_set(message, "out of memory");
        return -ENOMEM;
    }
    file->folder_fd = -1;
    int r = export_file_open_folder(path, &name, &file->folder_fd);
    if (r == 0 && export_file_is_in_spool(file->folder_fd, spool_dir)) {
        message_set(message, "%s: in the spool's folder: choose another", path);
        return EXPORT_FILE_E_REFUSED;
    }
    int fd =
        r != 0 ? -1 : openat(file->folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    file->stream = fd < 0 ? NULL : fdopen(fd, "w+");
    if (file->stream == NULL) {
        r = r != 0 ? r : -errno;
        spool_close_fd(&fd);
        message_set(message, "%s: %s: the records are not written anywhere, so nothing is done",
                    path, strerror(-r));
        return export_file_is_misnamed(-r) ? EXPORT_FILE_E_REFUSED : r;
    }
    SPOOL_POINT("export.file_made");
    *ret_file = SPOOL_TAKE(file);
    return 0;
}

int export_line_write(FILE *stream, const struct spool *spool, const struct walk_entry *entry)
{
    struct item item;
    enum item_place place = entry->place == WALK_DEAD      ? ITEM_DEAD
                            : entry->place == WALK_REPORTS ? ITEM_REPORTS
                                                           : ITEM_QUEUE;
    if (item_of_stored(spool, place, entry->destination, entry->sequence, entry->stored, &item) !=
        0) {
        return -EBADMSG;
    }
    json_t *root = item_json(&item);
    if (root == NULL) {
        return -ENOMEM;
    }
    int r = json_dumpf(root, stream, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(root);
    if (r != 0 || putc('\n', stream) == EOF) {
        return errno != 0 ? -errno : -EIO;
    }
    SPOOL_POINT("export.written");
    return 0;
}

int export_file_write(struct export_file *file, const struct spool *spool,
                      const struct walk_entry *entry)
{
    return export_line_write(file->stream, spool, entry);
}

int export_file_flush(struct export_file *file)
{
    if (fflush(file->stream) != 0 || fsync(fileno(file->stream)) < 0 ||
        fsync(file->folder_fd) < 0) {
        return -errno;
    }
    SPOOL_POINT("export.file_flushed");
    return 0;
}

static uint32_t export_file_destination(const struct spool *spool, const char *identity)
{
    uint32_t destination = spool_destinations_count(spool);
    while (destination > 0 &&
           strcmp(spool_destination_identity(spool, destination), identity) != 0) {
        destination--;
    }
    return destination;
}

int export_file_read(struct export_file *file, const struct spool *spool,
                     int (*on_record)(void *context, uint32_t destination, uint64_t sequence),
                     void *context)
{
    SPOOL_CLEANUP(spool_free) char *text = NULL;
    size_t text_bytes = 0;
    ssize_t size;
    int r = 0;
    rewind(file->stream);
    while (r == 0 && (size = getline(&text, &text_bytes, file->stream)) > 0) {
        struct item_line line;
        struct message message;
        r = item_parse((struct span){text, (size_t)size - 1}, &line, &message);
        if (r != 0) {
            return r < 0 ? r : -EBADMSG; /* our own line: the disk gave something else back */
        }
        uint32_t destination = export_file_destination(spool, line.item.identity);
        r = destination == 0 ? -EBADMSG : on_record(context, destination, line.item.sequence);
        item_line_free(&line);
    }
    return r == 0 && ferror(file->stream) ? -EIO : r;
}
