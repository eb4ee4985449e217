/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a power loss can leave of the files that a log (disk_log.h) tells of.
 *
 * Assumed of the disk and the file system: a sector of 512 bytes is written whole or not at all.
 * What was written to a file and not flushed since may be there or not, each write, and each sector
 * of it, by itself. A flush of a file, or a write of an fd that is O_DSYNC, keeps its word; it says
 * nothing of other files, nor of the file's name. Changes of names (create, rename, remove) that
 * are not flushed are there or not, in their order within a folder, as journals keep it; those of
 * different folders do not wait for each other; a rename from one folder into another happens in
 * both or in none.
 */
#ifndef TESTS_CRASH_DISK_MODEL_H
#define TESTS_CRASH_DISK_MODEL_H

#include "tests/crash/disk_log.h"

#include <stdio.h>

#define DISK_SECTOR_BYTES 512U
#define DISK_NONE SIZE_MAX

struct disk_file {
    uint64_t inode;
    bool is_folder;
    uint8_t *now; /* as programs see it */
    size_t now_bytes;
    uint8_t *flushed; /* what is on disk for certain */
    size_t flushed_bytes;
};

struct disk_name {
    uint64_t folder;
    char name[DISK_NAME_BYTES];
    size_t file; /* of struct disk_model.files */
};

struct disk_names {
    struct disk_name *names;
    size_t count;
};

struct disk_step {
    const struct disk_event *event;
    const uint8_t *bytes;
    size_t file; /* of files; DISK_NONE: of none that is known */
};

struct disk_model {
    uint8_t *log;
    struct disk_step *steps;
    size_t steps_count;
    struct disk_file *files;
    size_t files_count;
    uint64_t root;
    struct disk_names now;
    struct disk_names flushed;
    size_t *pending; /* steps that are not on disk for certain, in their order */
    size_t pending_count;
};

/* What becomes of each pending step. */
enum disk_fate {
    DISK_LOST,
    DISK_KEPT,
    DISK_TORN, /* some of its sectors */
};

/* Reads a log; ends the program when it cannot. */
void disk_model_read(struct disk_model *model, const char *path);
void disk_model_free(struct disk_model *model);

/* The next step happens: programs see it; it is pending. */
void disk_model_begin(struct disk_model *model, size_t at);
/* It is over: what it has flushed is on disk. */
void disk_model_end(struct disk_model *model, size_t at);

/* Whether disk_model_end() will make anything certain. */
bool disk_model_is_barrier(const struct disk_model *model, size_t step);

/* The file of that path below the root, as programs see it; DISK_NONE: there is none. */
size_t disk_model_find(const struct disk_model *model, const char *path);

/* Writes what is on the disk with these fates (pending_count of them) into an empty folder; the
 * sectors of what is torn are chosen by seed. Fates that cannot be (of names, in a folder) are made
 * possible. */
void disk_model_build(const struct disk_model *model, uint8_t *fates, uint64_t seed,
                      const char *folder);

/* Whether the folder has the same files as programs saw in the end, but for those of that name. */
bool disk_model_is_same(const struct disk_model *model, const char *folder, const char *but);

/* A generator with a seed of its own. */
uint64_t disk_random(uint64_t *state);

/* Ends the program when it is not so. */
static inline void disk_must(bool is_so, const char *what)
{
    if (!is_so) {
        (void)fprintf(stderr, "power: %s\n", what);
        _exit(70);
    }
}

#endif
