/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/set_aside.h"

#include "spool/point.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SET_ASIDE_TRIES 100

/* Makes a folder with a name that is free; two damages in one second get a number. */
static int set_aside_make_folder(int dir_fd, uint64_t now_wall_ms, char *name, size_t name_size)
{
    time_t now = (time_t)(now_wall_ms / 1000);
    struct tm utc;
    char stamp[32];
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);

    for (int i = 0; i < SET_ASIDE_TRIES; i++) {
        if (i == 0) {
            snprintf(name, name_size, "damaged-%s", stamp);
        } else {
            snprintf(name, name_size, "damaged-%s-%d", stamp, i);
        }
        if (mkdirat(dir_fd, name, 0750) == 0) {
            return 0;
        }
        if (errno != EEXIST) {
            return -errno;
        }
    }
    return -EEXIST;
}

int set_aside(int dir_fd, uint64_t now_wall_ms, char **ret_name)
{
    char name[64];
    int r = set_aside_make_folder(dir_fd, now_wall_ms, name, sizeof(name));
    if (r < 0) {
        return r;
    }
    SPOOL_POINT("set_aside.folder_made");
    SPOOL_CLEANUP(spool_free) char *copy = strdup(name);
    if (copy == NULL) {
        return -ENOMEM;
    }
    /* The data file last: as long as it is in place, a crash here leaves a spool that is found
     * damaged again. */
    static const char *const files[] = {"lock.mdb", "data.mdb"};
    for (size_t i = 0; i < SPOOL_COUNT_OF(files); i++) {
        char target[128];
        snprintf(target, sizeof(target), "%s/%s", name, files[i]);
        if (renameat(dir_fd, files[i], dir_fd, target) < 0 && errno != ENOENT) {
            return -errno;
        }
        SPOOL_POINT("set_aside.moved");
    }
    SPOOL_CLEANUP(spool_close_fd)
    int target_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target_fd < 0 || fsync(target_fd) < 0 || fsync(dir_fd) < 0) {
        return -errno;
    }
    SPOOL_POINT("set_aside.flushed");
    *ret_name = SPOOL_TAKE(copy);
    return 0;
}
