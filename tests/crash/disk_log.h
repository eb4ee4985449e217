/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was done to the files below one folder, in the order in which it happened: written by
 * tests/crash/disk_record.c, read by tests/crash/disk_model.c. An event is a struct disk_event,
 * followed by its size_bytes bytes, filled up to a multiple of 8.
 */
#ifndef TESTS_CRASH_DISK_LOG_H
#define TESTS_CRASH_DISK_LOG_H

#include "spool/base.h"

#define DISK_NAME_BYTES 64

enum disk_event_kind {
    DISK_EVENT_ROOT,    /* file is the folder that is watched; once for each program */
    DISK_EVENT_CREATE,  /* an empty file in folder under name */
    DISK_EVENT_FOLDER,  /* a folder, the same */
    DISK_EVENT_RENAME,  /* folder/name to to_folder/to_name */
    DISK_EVENT_REMOVE,  /* folder/name */
    DISK_EVENT_WRITE,   /* size_bytes bytes at at; is_synced: on disk when the call returned */
    DISK_EVENT_SIZE,    /* the file's size is at */
    DISK_EVENT_EXTEND,  /* the file's size is at, if it was less */
    DISK_EVENT_CLAIM,   /* disk was claimed; nothing that can be read has changed */
    DISK_EVENT_FLUSH,   /* of a file, or of a folder: is over */
    DISK_EVENT_SAID,    /* a line on standard output: a sequence was acked */
    DISK_EVENT_GONE,    /* a line "gone SEQUENCE": the record may leave the spool */
    DISK_EVENT_PROGRAM, /* a program begins: name */
};

struct disk_event {
    uint32_t kind;
    uint32_t is_synced;
    uint64_t file; /* inode numbers */
    uint64_t folder;
    uint64_t to_folder;
    uint64_t at;
    uint64_t size_bytes;
    char name[DISK_NAME_BYTES];
    char to_name[DISK_NAME_BYTES];
};

static inline size_t disk_event_filled(size_t size_bytes)
{
    return (size_bytes + 7) & ~(size_t)7;
}

#endif
