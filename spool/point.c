/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/point.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES 64

/* Written before there are threads, but for hits_count. */
static struct {
    char name[NAME_BYTES]; /* empty: dies nowhere */
    unsigned long kill_at;
    atomic_ulong hits_count;
    int hits_fd;
} point = {.hits_fd = -1};

void point_arm(const char *text)
{
    const char *colon = text != NULL ? strrchr(text, ':') : NULL;
    point.name[0] = '\0';
    atomic_store(&point.hits_count, 0);
    if (colon != NULL && (size_t)(colon - text) < NAME_BYTES) {
        memcpy(point.name, text, (size_t)(colon - text));
        point.name[colon - text] = '\0';
        point.kill_at = strtoul(colon + 1, NULL, 10);
    }
}

__attribute__((constructor)) static void point_init(void)
{
    const char *path = getenv("SPOOL_HITS_TO");
    point_arm(getenv("SPOOL_KILL_AT"));
    if (path != NULL) {
        point.hits_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    }
}

void point_hit(const char *name)
{
    if (point.hits_fd >= 0) {
        char line[NAME_BYTES + 1];
        int size = snprintf(line, sizeof(line), "%.*s\n", NAME_BYTES - 1, name);
        (void)!write(point.hits_fd, line, (size_t)size);
    }
    if (point.name[0] != '\0' && strcmp(point.name, name) == 0 &&
        atomic_fetch_add(&point.hits_count, 1) + 1 == point.kill_at) {
        (void)kill(getpid(), SIGKILL);
    }
}
