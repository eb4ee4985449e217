/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults from below: calls on watched files (disk_record.h) that fail, write less than they were
 * given, or take long. In the environment, or armed by the program that is linked with it:
 *
 *   DISK_FAULT=CALL:ERROR:NTH[:COUNT]  the NTH such call, and COUNT - 1 behind it, fail;
 *                                      "write:5:3". CALL "any" is each of them. ERROR 0 is a short
 *                                      write
 *   DISK_SLOW_MS=N                     each flush takes so much longer
 *   DISK_STOP_AT_BYTES=N               the process stops (SIGSTOP) at the first read of so many
 */
#ifndef TESTS_CRASH_DISK_FAULT_H
#define TESTS_CRASH_DISK_FAULT_H

#include "spool/base.h"

enum disk_call {
    DISK_CALL_OPEN,
    DISK_CALL_MKDIR,
    DISK_CALL_RENAME,
    DISK_CALL_UNLINK,
    DISK_CALL_READ,
    DISK_CALL_WRITE, /* write, pwrite, writev, pwritev */
    DISK_CALL_SIZE,  /* ftruncate */
    DISK_CALL_CLAIM, /* fallocate, posix_fallocate */
    DISK_CALL_FLUSH, /* fsync, fdatasync */
    DISK_CALL_MAP,
    DISK_CALL_ANY,
};

struct disk_fault {
    enum disk_call call;
    int error; /* 0: a short write */
    uint64_t nth;
    uint64_t count; /* 0: none */
};

/* Begins to count calls anew. NULL: none fails. */
void disk_fault_arm(const struct disk_fault *fault);

/* How many calls of that kind there were since, and whether one has failed. */
uint64_t disk_fault_calls(enum disk_call call);
bool disk_fault_has_hit(void);

/* Of a watched call. false: let it be. true: *ret_error is what it fails with, 0 a short write. */
bool disk_fault_hits(enum disk_call call, int *ret_error);

/* Before a flush. */
void disk_fault_wait(void);

/* Before a read. */
void disk_fault_stop(size_t size_bytes);

const char *disk_call_name(enum disk_call call);

#endif
