/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks in memory become files. */
#include "tests/crash/disk_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* --- Which fates can be ----------------------------------------------------------------------- */

static bool is_of_names(const struct disk_event *event)
{
    return event->kind == DISK_EVENT_CREATE || event->kind == DISK_EVENT_FOLDER ||
           event->kind == DISK_EVENT_RENAME || event->kind == DISK_EVENT_REMOVE;
}

static bool is_stopped(const uint64_t *stopped, size_t count, uint64_t folder)
{
    for (size_t i = 0; i < count; i++) {
        if (stopped[i] == folder) {
            return true;
        }
    }
    return false;
}

/* Within a folder the order of changes is kept: behind one that is lost, all are. */
static void make_possible(const struct disk_model *model, uint8_t *fates)
{
    uint64_t stopped[128];
    size_t count = 0;
    for (size_t i = 0; i < model->pending_count; i++) {
        const struct disk_event *event = model->steps[model->pending[i]].event;
        if (!is_of_names(event)) {
            continue;
        }
        uint64_t other = event->kind == DISK_EVENT_RENAME ? event->to_folder : event->folder;
        if (fates[i] != DISK_KEPT || is_stopped(stopped, count, event->folder) ||
            is_stopped(stopped, count, other)) {
            fates[i] = DISK_LOST;
            disk_must(count + 2 <= SPOOL_COUNT_OF(stopped), "too many names are pending");
            stopped[count++] = event->folder;
            stopped[count++] = other;
        }
    }
}

/* --- Names ------------------------------------------------------------------------------------ */

struct build {
    const struct disk_model *model;
    const uint8_t *fates;
    uint64_t seed;
    struct disk_name names[64];
    size_t names_count;
};

static size_t build_find(const struct build *build, uint64_t folder, const char *name)
{
    size_t at = 0;
    while (at < build->names_count &&
           (build->names[at].folder != folder ||
            strncmp(build->names[at].name, name, DISK_NAME_BYTES) != 0)) {
        at++;
    }
    return at;
}

static void build_put(struct build *build, uint64_t folder, const char *name, size_t file)
{
    size_t at = build_find(build, folder, name);
    build->names_count += at == build->names_count;
    disk_must(build->names_count <= SPOOL_COUNT_OF(build->names), "too many names");
    build->names[at].folder = folder;
    memcpy(build->names[at].name, name, DISK_NAME_BYTES);
    build->names[at].file = file;
}

static void build_names(struct build *build)
{
    const struct disk_model *model = build->model;
    disk_must(model->flushed.count <= SPOOL_COUNT_OF(build->names), "too many names");
    if (model->flushed.count > 0) {
        memcpy(build->names, model->flushed.names, model->flushed.count * sizeof(*build->names));
    }
    build->names_count = model->flushed.count;
    for (size_t i = 0; i < model->pending_count; i++) {
        const struct disk_step *step = &model->steps[model->pending[i]];
        const struct disk_event *event = step->event;
        if (!is_of_names(event) || build->fates[i] != DISK_KEPT) {
            continue;
        }
        if (event->kind == DISK_EVENT_CREATE || event->kind == DISK_EVENT_FOLDER) {
            build_put(build, event->folder, event->name, step->file);
            continue;
        }
        size_t at = build_find(build, event->folder, event->name);
        if (at < build->names_count) {
            size_t file = build->names[at].file;
            build->names[at] = build->names[--build->names_count];
            if (event->kind == DISK_EVENT_RENAME) {
                build_put(build, event->to_folder, event->to_name, file);
            }
        }
    }
}

/* --- Files ------------------------------------------------------------------------------------ */

static void write_at(int fd, const uint8_t *bytes, size_t size, uint64_t at)
{
    while (size > 0) {
        ssize_t written = pwrite(fd, bytes, size, (off_t)at);
        disk_must(written > 0, "no room for the disks");
        bytes += written;
        at += (uint64_t)written;
        size -= (size_t)written;
    }
}

/* Some of the sectors: up to one of them, or any, and not all. */
static void write_torn(int fd, const struct disk_step *step, uint64_t seed)
{
    const struct disk_event *event = step->event;
    uint64_t sectors = (event->size_bytes + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES;
    uint64_t left_out = disk_random(&seed) % sectors;
    bool is_cut = disk_random(&seed) % 2 == 0;
    for (uint64_t i = 0; i < sectors; i++) {
        uint64_t from = i * DISK_SECTOR_BYTES;
        uint64_t rest = event->size_bytes - from;
        bool is_lost = i == left_out || (is_cut ? i > left_out : disk_random(&seed) % 2 == 0);
        if (!is_lost) {
            write_at(fd, step->bytes + from, rest < DISK_SECTOR_BYTES ? rest : DISK_SECTOR_BYTES,
                     event->at + from);
        }
    }
}

/* The write's sectors are on disk, or in part, or only the size is. */
static void build_step(const struct build *build, int fd, size_t at)
{
    const struct disk_step *step = &build->model->steps[build->model->pending[at]];
    const struct disk_event *event = step->event;
    struct stat status;
    disk_must(fstat(fd, &status) == 0, "no file");
    bool is_resized = event->kind == DISK_EVENT_SIZE ||
                      (event->kind == DISK_EVENT_EXTEND && event->at > (uint64_t)status.st_size);
    if (is_resized) {
        disk_must(ftruncate(fd, (off_t)event->at) == 0, "no room for the disks");
    } else if (event->kind == DISK_EVENT_WRITE && build->fates[at] == DISK_TORN) {
        write_torn(fd, step, build->seed + at);
    } else if (event->kind == DISK_EVENT_WRITE) {
        write_at(fd, step->bytes, event->size_bytes, event->at);
    }
}

static void build_file(const struct build *build, size_t file, const char *path)
{
    const struct disk_model *model = build->model;
    const struct disk_file *known = &model->files[file];
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    disk_must(fd >= 0, "a file cannot be made");
    write_at(fd, known->flushed, known->flushed_bytes, 0);
    for (size_t i = 0; i < model->pending_count; i++) {
        const struct disk_step *step = &model->steps[model->pending[i]];
        if (step->file == file && !is_of_names(step->event) && build->fates[i] != DISK_LOST) {
            build_step(build, fd, i);
        }
    }
    close(fd);
}

static void build_folder(const struct build *build, uint64_t folder, const char *path)
{
    char child[PATH_MAX];
    for (size_t i = 0; i < build->names_count; i++) {
        const struct disk_name *name = &build->names[i];
        if (name->folder != folder) {
            continue;
        }
        disk_must(snprintf(child, sizeof(child), "%s/%s", path, name->name) < (int)sizeof(child),
                  "a path is too long");
        if (build->model->files[name->file].is_folder) {
            disk_must(mkdir(child, 0750) == 0, "a folder cannot be made");
            build_folder(build, build->model->files[name->file].inode, child);
        } else {
            build_file(build, name->file, child);
        }
    }
}

void disk_model_build(const struct disk_model *model, uint8_t *fates, uint64_t seed,
                      const char *folder)
{
    struct build build = {.model = model, .fates = fates, .seed = seed};
    make_possible(model, fates);
    build_names(&build);
    build_folder(&build, model->root, folder);
}

/* --- Whether the log has all ------------------------------------------------------------------ */

static bool is_same_file(const struct disk_file *known, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_same = fd >= 0 && fstat(fd, &status) == 0 && (size_t)status.st_size == known->now_bytes;
    uint8_t *bytes = is_same ? malloc(known->now_bytes + 1) : NULL;
    is_same = is_same && bytes != NULL &&
              read(fd, bytes, known->now_bytes) == (ssize_t)known->now_bytes &&
              memcmp(bytes, known->now, known->now_bytes) == 0;
    free(bytes);
    spool_close_fd(&fd);
    return is_same;
}

static bool is_same_folder(const struct disk_model *model, uint64_t folder, const char *path,
                           const char *but)
{
    char child[PATH_MAX];
    size_t known_count = 0;
    size_t found_count = 0;
    bool is_same = true;
    for (size_t i = 0; is_same && i < model->now.count; i++) {
        const struct disk_name *name = &model->now.names[i];
        if (name->folder != folder) {
            continue;
        }
        known_count++;
        disk_must(snprintf(child, sizeof(child), "%s/%s", path, name->name) < (int)sizeof(child),
                  "a path is too long");
        const struct disk_file *file = &model->files[name->file];
        is_same = file->is_folder ? is_same_folder(model, file->inode, child, but)
                                  : strcmp(name->name, but) == 0 || is_same_file(file, child);
        if (!is_same) {
            (void)fprintf(stderr, "power: %s is not what the log says\n", child);
        }
    }
    DIR *stream = opendir(path);
    if (stream == NULL) {
        return false;
    }
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        found_count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(stream);
    return is_same && known_count == found_count;
}

bool disk_model_is_same(const struct disk_model *model, const char *folder, const char *but)
{
    return is_same_folder(model, model->root, folder, but);
}
