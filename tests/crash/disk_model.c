/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/disk_model.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

uint64_t disk_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ULL;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* --- The log ---------------------------------------------------------------------------------- */

static uint8_t *read_all(const char *path, size_t *ret_size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    disk_must(fd >= 0 && fstat(fd, &status) == 0, "the log cannot be opened");
    *ret_size = (size_t)status.st_size;
    uint8_t *bytes = malloc(*ret_size + 1);
    size_t done = 0;
    while (bytes != NULL && done < *ret_size) {
        ssize_t size = read(fd, bytes + done, *ret_size - done);
        disk_must(size > 0, "the log cannot be read");
        done += (size_t)size;
    }
    close(fd);
    return bytes;
}

void disk_model_read(struct disk_model *model, const char *path)
{
    size_t size = 0;
    size_t capacity = 0;
    *model = (struct disk_model){.log = read_all(path, &size)};
    disk_must(model->log != NULL, "out of memory");
    for (size_t at = 0; at < size;) {
        const struct disk_event *event = (const void *)(model->log + at);
        disk_must(size - at >= sizeof(*event) &&
                      size - at - sizeof(*event) >= disk_event_filled(event->size_bytes),
                  "the log is cut off");
        if (model->steps_count == capacity) {
            capacity = capacity == 0 ? 1024 : 2 * capacity;
            model->steps = realloc(model->steps, capacity * sizeof(*model->steps));
            disk_must(model->steps != NULL, "out of memory");
        }
        model->steps[model->steps_count++] =
            (struct disk_step){event, model->log + at + sizeof(*event), DISK_NONE};
        at += sizeof(*event) + disk_event_filled(event->size_bytes);
    }
    /* Each step is pending, makes a file or a name at most once. */
    model->pending = calloc(model->steps_count + 1, sizeof(*model->pending));
    model->files = calloc(model->steps_count + 1, sizeof(*model->files));
    model->now.names = calloc(model->steps_count + 1, sizeof(*model->now.names));
    model->flushed.names = calloc(model->steps_count + 1, sizeof(*model->flushed.names));
    disk_must(model->pending != NULL && model->files != NULL && model->now.names != NULL &&
                  model->flushed.names != NULL,
              "out of memory");
}

void disk_model_free(struct disk_model *model)
{
    for (size_t i = 0; i < model->files_count; i++) {
        free(model->files[i].now);
        free(model->files[i].flushed);
    }
    free(model->files);
    free(model->now.names);
    free(model->flushed.names);
    free(model->pending);
    free(model->steps);
    free(model->log);
}

/* --- Names ------------------------------------------------------------------------------------ */

static size_t names_at(const struct disk_names *names, uint64_t folder, const char *name)
{
    size_t at = 0;
    while (at < names->count && (names->names[at].folder != folder ||
                                 strncmp(names->names[at].name, name, DISK_NAME_BYTES) != 0)) {
        at++;
    }
    return at;
}

static void names_put(struct disk_names *names, uint64_t folder, const char *name, size_t file)
{
    size_t at = names_at(names, folder, name);
    names->count += at == names->count;
    names->names[at].folder = folder;
    memcpy(names->names[at].name, name, DISK_NAME_BYTES);
    names->names[at].file = file;
}

static size_t names_take(struct disk_names *names, uint64_t folder, const char *name)
{
    size_t at = names_at(names, folder, name);
    if (at == names->count) {
        return DISK_NONE;
    }
    size_t file = names->names[at].file;
    names->names[at] = names->names[--names->count];
    return file;
}

static bool is_of_names(const struct disk_event *event)
{
    return event->kind == DISK_EVENT_CREATE || event->kind == DISK_EVENT_FOLDER ||
           event->kind == DISK_EVENT_RENAME || event->kind == DISK_EVENT_REMOVE;
}

static void names_apply(struct disk_names *names, const struct disk_step *step)
{
    const struct disk_event *event = step->event;
    size_t moved = DISK_NONE;
    switch (event->kind) {
    case DISK_EVENT_CREATE:
    case DISK_EVENT_FOLDER:
        names_put(names, event->folder, event->name, step->file);
        break;
    case DISK_EVENT_RENAME:
        moved = names_take(names, event->folder, event->name);
        names_put(names, event->to_folder, event->to_name, moved != DISK_NONE ? moved : step->file);
        break;
    default:
        (void)names_take(names, event->folder, event->name);
        break;
    }
}

size_t disk_model_find(const struct disk_model *model, const char *path)
{
    char name[DISK_NAME_BYTES];
    uint64_t folder = model->root;
    size_t file = DISK_NONE;
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        disk_must(length < sizeof(name), "a name is too long");
        memset(name, 0, sizeof(name));
        memcpy(name, path, length);
        size_t at = names_at(&model->now, folder, name);
        if (at == model->now.count) {
            return DISK_NONE;
        }
        file = model->now.names[at].file;
        folder = model->files[file].inode;
        path += length + (path[length] == '/');
    }
    return file;
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static void resize(uint8_t **bytes, size_t *size, size_t wanted)
{
    if (wanted > *size) {
        uint8_t *grown = realloc(*bytes, wanted);
        disk_must(grown != NULL, "out of memory");
        memset(grown + *size, 0, wanted - *size);
        *bytes = grown;
    }
    *size = wanted;
}

static void bytes_apply(const struct disk_step *step, uint8_t **bytes, size_t *size)
{
    const struct disk_event *event = step->event;
    size_t end = event->at + event->size_bytes;
    if (event->kind == DISK_EVENT_SIZE || (event->kind == DISK_EVENT_EXTEND && event->at > *size)) {
        resize(bytes, size, event->at);
    } else if (event->kind == DISK_EVENT_WRITE) {
        if (end > *size) {
            resize(bytes, size, end);
        }
        memcpy(*bytes + event->at, step->bytes, event->size_bytes);
    }
}

/* --- Steps ------------------------------------------------------------------------------------ */

static size_t file_of(const struct disk_model *model, uint64_t inode)
{
    /* The latest: an inode number is used again. */
    for (size_t i = model->files_count; i > 0; i--) {
        if (model->files[i - 1].inode == inode) {
            return i - 1;
        }
    }
    return DISK_NONE;
}

void disk_model_begin(struct disk_model *model, size_t at)
{
    struct disk_step *step = &model->steps[at];
    const struct disk_event *event = step->event;
    if (event->kind == DISK_EVENT_ROOT) {
        model->root = event->file;
        return;
    }
    if (event->kind == DISK_EVENT_CREATE || event->kind == DISK_EVENT_FOLDER) {
        step->file = model->files_count;
        model->files[model->files_count++] =
            (struct disk_file){.inode = event->file, .is_folder = event->kind == DISK_EVENT_FOLDER};
    } else {
        step->file = file_of(model, event->file);
    }
    if (is_of_names(event)) {
        names_apply(&model->now, step);
        model->pending[model->pending_count++] = at;
    } else if (step->file != DISK_NONE &&
               (event->kind == DISK_EVENT_WRITE || event->kind == DISK_EVENT_SIZE ||
                event->kind == DISK_EVENT_EXTEND)) {
        struct disk_file *file = &model->files[step->file];
        bytes_apply(step, &file->now, &file->now_bytes);
        model->pending[model->pending_count++] = at;
    }
}

bool disk_model_is_barrier(const struct disk_model *model, size_t step)
{
    const struct disk_event *event = model->steps[step].event;
    return event->kind == DISK_EVENT_FLUSH || (event->kind == DISK_EVENT_WRITE && event->is_synced);
}

/* A write that is on disk when it returns takes with it what was written to its pages before. */
static bool is_within(const struct disk_step *step, const struct disk_event *synced)
{
    const uint64_t page = 4096;
    const struct disk_event *event = step->event;
    return event->kind == DISK_EVENT_WRITE &&
           event->at / page <= (synced->at + synced->size_bytes - 1) / page &&
           synced->at / page <= (event->at + event->size_bytes - 1) / page;
}

static bool is_flushed_by(const struct disk_step *step, const struct disk_step *barrier)
{
    if (is_of_names(step->event) || step->file != barrier->file) {
        return false;
    }
    return barrier->event->kind == DISK_EVENT_FLUSH || is_within(step, barrier->event);
}

static bool is_in(const uint64_t *folders, size_t count, uint64_t folder)
{
    for (size_t i = 0; i < count; i++) {
        if (folders[i] == folder) {
            return true;
        }
    }
    return false;
}

/* Which pending changes of names a folder's flush takes with it: its own, and what must have been
 * before them in the other folder of a rename. */
static void mark_names(const struct disk_model *model, uint64_t folder, uint8_t *marks)
{
    uint64_t folders[64];
    size_t count = 0;
    folders[count++] = folder;
    for (size_t i = model->pending_count; i > 0; i--) {
        const struct disk_event *event = model->steps[model->pending[i - 1]].event;
        if (!is_of_names(event)) {
            continue;
        }
        bool is_rename = event->kind == DISK_EVENT_RENAME;
        if (is_in(folders, count, event->folder) ||
            (is_rename && is_in(folders, count, event->to_folder))) {
            marks[i - 1] = 1;
            disk_must(count + 2 <= SPOOL_COUNT_OF(folders), "too many folders");
            folders[count++] = event->folder;
            folders[count++] = is_rename ? event->to_folder : event->folder;
        }
    }
}

void disk_model_end(struct disk_model *model, size_t at)
{
    const struct disk_step *barrier = &model->steps[at];
    if (!disk_model_is_barrier(model, at)) {
        return;
    }
    uint8_t *marks = calloc(model->pending_count + 1, 1);
    disk_must(marks != NULL, "out of memory");
    bool is_root = barrier->event->file == model->root;
    if (barrier->event->kind == DISK_EVENT_FLUSH &&
        (is_root || (barrier->file != DISK_NONE && model->files[barrier->file].is_folder))) {
        mark_names(model, barrier->event->file, marks);
    }
    size_t left = 0;
    for (size_t i = 0; i < model->pending_count; i++) {
        const struct disk_step *step = &model->steps[model->pending[i]];
        if (marks[i] != 0) {
            names_apply(&model->flushed, step);
        } else if (barrier->file != DISK_NONE && is_flushed_by(step, barrier)) {
            struct disk_file *file = &model->files[step->file];
            bytes_apply(step, &file->flushed, &file->flushed_bytes);
        } else {
            model->pending[left++] = model->pending[i];
        }
    }
    model->pending_count = left;
    free(marks);
}
