/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The recorder's memory: which folder is watched, and the log. In the environment:
 *
 *   DISK_HOOKS_ROOT=FOLDER   what happens below it is recorded, and can fail (disk_fault.h)
 *   DISK_HOOKS_LOG=FILE      where to; several programs may share it, one after the other or at
 * once DISK_HOOKS_WITHOUT=...   a defect to be found: "flush" (files are not flushed), "dsync" (no
 * file is opened with O_DSYNC), or both DISK_HOOKS_SAID=1        lines on standard output are
 * recorded: see enum disk_event_kind
 */
#ifndef TESTS_CRASH_DISK_RECORD_H
#define TESTS_CRASH_DISK_RECORD_H

#include "tests/crash/disk_log.h"

#include <sys/uio.h>

/* A name in a folder below the watched one. */
struct disk_place {
    uint64_t folder;
    char name[DISK_NAME_BYTES];
};

/* Whether the file is below the watched folder. */
bool disk_watches(int fd);

/* The same for a name, which need not be there. */
bool disk_watches_name(int dir_fd, const char *path, struct disk_place *ret_place);

bool disk_is_without(const char *what);

/* Nobody else changes a watched file, or records, in between; so the log has the true order. */
void disk_lock(void);
void disk_unlock(void);

/* Records an event, with disk_lock() held. */
void disk_record(struct disk_event event, const void *bytes);

/* Watches a folder in this program, and records nothing. NULL: none. */
void disk_watch(const char *root);

/* The inode number; 0: none. */
uint64_t disk_inode(int fd);
uint64_t disk_inode_at(int dir_fd, const char *path);

#endif
