/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small file system for tests, in a mount namespace of the test's own process: it is gone when
 * the process ends, however that happens. Needs root. Include it behind cmocka.h.
 */
#ifndef TESTS_HARNESS_SMALL_DISK_H
#define TESTS_HARNESS_SMALL_DISK_H

#include "spool/base.h"

#define SMALL_DISK_BYTES (16ULL << 20)

enum small_disk_kind {
    SMALL_DISK_TMPFS,
    SMALL_DISK_EXT4, /* on a loop device */
};

struct small_disk {
    char folder[64]; /* where it is mounted */
    char image[80];
};

/* Mounts an empty one. False, and says why: it cannot be done here. */
bool small_disk_mount(struct small_disk *disk, enum small_disk_kind kind);
void small_disk_unmount(struct small_disk *disk);

/* Writes a file until not one byte more fits. */
void small_disk_fill(const struct small_disk *disk);

/* Makes that file so much smaller; all of it when it has less. */
void small_disk_free(const struct small_disk *disk, uint64_t bytes);

#endif
