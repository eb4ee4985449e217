/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/harness/damage.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The place in the spool's file of a byte that a cursor shows, -1: none. A line of maps is
 * "begin-end rights offset device inode path", in hexadecimal. */
static off_t damage_place(const char *dir, const void *byte)
{
    char line[512];
    off_t place = -1;
    uint64_t wanted = (uintptr_t)byte;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && place < 0 && fgets(line, sizeof(line), maps) != NULL) {
        char *rest = line;
        uint64_t begin = strtoull(rest, &rest, 16);
        uint64_t end = strtoull(rest + strlen("-"), &rest, 16);
        uint64_t offset = strtoull(rest + strlen(" r--s "), NULL, 16);
        if (strstr(line, dir) != NULL && wanted >= begin && wanted < end) {
            place = (off_t)(wanted - begin + offset);
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return place;
}

bool damage_byte(const char *dir, const void *byte)
{
    char path[160];
    uint8_t damaged = *(const uint8_t *)byte ^ 0x55;
    off_t place = damage_place(dir, byte);
    (void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
    SPOOL_CLEANUP(spool_close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && place >= 0 && lseek(fd, place, SEEK_SET) == place &&
           write(fd, &damaged, 1) == 1;
}
