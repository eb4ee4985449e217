/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/power.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A sequence is below that: the workloads are small. */
#define SEQUENCES_MAX 65536

/* What is known of each sequence. */
struct follow {
    struct power_history *history;
    struct disk_model *model;
    const char *spool;
    char path[PATH_MAX]; /* of a copy of the spool's file as programs see it */
    char dir[PATH_MAX];
    uint8_t was[SEQUENCES_MAX];     /* it was in a state that was committed */
    uint8_t is_now[SEQUENCES_MAX];  /* it is in this one */
    uint8_t is_next[SEQUENCES_MAX]; /* while the next one is read */
    uint8_t is_gone[SEQUENCES_MAX]; /* it may leave */
    bool all_may_leave;             /* somebody's command */
};

static void follow_see(void *context, uint64_t sequence)
{
    struct follow *follow = context;
    disk_must(sequence < SEQUENCES_MAX, "too many sequences");
    follow->is_next[sequence] = 1;
}

/* No record leaves the spool without a word. */
static void follow_compare(struct follow *follow)
{
    for (size_t i = 0; i < SEQUENCES_MAX; i++) {
        if (follow->is_now[i] && !follow->is_next[i] && !follow->is_gone[i] &&
            !follow->all_may_leave) {
            (void)fprintf(stderr, "power: sequence %zu left the spool without a word\n", i);
            _exit(70);
        }
        follow->was[i] |= follow->is_next[i];
    }
    memcpy(follow->is_now, follow->is_next, sizeof(follow->is_now));
    memset(follow->is_next, 0, sizeof(follow->is_next));
}

static void follow_note(struct follow *follow, size_t step, bool is_synced)
{
    struct power_history *history = follow->history;
    struct power_point point = {.step = step, .is_synced = is_synced};
    struct power_visitor visitor = {follow, follow_see};
    struct message message;
    if (!power_state_read(follow->dir, &visitor, &point.state, &message)) {
        point.state = (struct power_state){0}; /* damaged by the test: it will be set aside */
    }
    follow_compare(follow);
    history->points[history->points_count++] = point;
}

static void follow_copy(const struct follow *follow, const struct disk_file *file)
{
    int fd = open(follow->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    disk_must(fd >= 0 && write(fd, file->now, file->now_bytes) == (ssize_t)file->now_bytes,
              "no room for a copy");
    close(fd);
}

static size_t spool_file(const struct disk_model *model, const char *spool)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/data.mdb", spool);
    return disk_model_find(model, path);
}

/* LMDB writes the part of a meta page that changes, at the head of page 0 or 1. */
bool power_is_commit(const struct disk_model *model, const char *spool, size_t step)
{
    const struct disk_step *each = &model->steps[step];
    return each->event->kind == DISK_EVENT_WRITE && each->event->at < (uint64_t)2 * 4096 &&
           each->file != DISK_NONE && each->file == spool_file(model, spool);
}

/* A compacted file takes the spool's place. */
static bool is_replaced(const struct disk_model *model, const char *spool, size_t step)
{
    const struct disk_event *event = model->steps[step].event;
    return event->kind == DISK_EVENT_RENAME && strcmp(event->to_name, "data.mdb") == 0 &&
           model->steps[step].file != DISK_NONE &&
           model->steps[step].file == spool_file(model, spool);
}

static void follow_damage(struct follow *follow, size_t step, const struct disk_file *file)
{
    struct power_history *history = follow->history;
    struct message message;
    struct power_state state;
    if (history->damaged == NULL && history->points_count > 1 &&
        !power_state_read(follow->dir, NULL, &state, &message)) {
        history->damaged = malloc(file->now_bytes);
        disk_must(history->damaged != NULL, "out of memory");
        memcpy(history->damaged, file->now, file->now_bytes);
        history->damaged_bytes = file->now_bytes;
        history->damaged_step = step;
        follow->all_may_leave = true;
    }
}

static void follow_kept(struct follow *follow, size_t step)
{
    struct power_history *history = follow->history;
    const struct disk_step *each = &follow->model->steps[step];
    if (history->kept_name == NULL || history->kept != NULL ||
        each->event->kind != DISK_EVENT_FLUSH || each->file == DISK_NONE ||
        each->file != disk_model_find(follow->model, history->kept_name)) {
        return;
    }
    const struct disk_file *file = &follow->model->files[each->file];
    history->kept = malloc(file->now_bytes + 1);
    disk_must(history->kept != NULL, "out of memory");
    memcpy(history->kept, file->now, file->now_bytes);
    history->kept_bytes = file->now_bytes;
    history->kept_step = step;
}

static void follow_step(struct follow *follow, size_t step)
{
    struct disk_model *model = follow->model;
    const struct disk_event *event = model->steps[step].event;
    disk_model_begin(model, step);
    follow_kept(follow, step);
    if (event->kind == DISK_EVENT_SAID) {
        disk_must(event->at < SEQUENCES_MAX, "too many sequences");
        follow->history->acked_count++;
        if (follow->was[event->at] == 0) {
            (void)fprintf(stderr, "power: %llu was acked and never committed\n",
                          (unsigned long long)event->at);
            _exit(70);
        }
    } else if (event->kind == DISK_EVENT_GONE) {
        disk_must(event->at < SEQUENCES_MAX, "too many sequences");
        follow->history->gone_count++;
        follow->is_gone[event->at] = 1;
    } else if (event->kind == DISK_EVENT_PROGRAM) {
        /* A command of an operator, or a program that says nothing of deliveries. */
        follow->all_may_leave |= strcmp(event->name, "power-work") != 0;
    } else if (power_is_commit(model, follow->spool, step) ||
               is_replaced(model, follow->spool, step)) {
        const struct disk_file *file = &model->files[spool_file(model, follow->spool)];
        follow_copy(follow, file);
        follow_damage(follow, step, file);
        follow_note(follow, step, event->is_synced != 0);
    }
}

void power_history_read(struct power_history *history, struct disk_model *model, const char *spool,
                        const char *kept_name, const char *scratch)
{
    struct follow *follow = calloc(1, sizeof(*follow));
    *history = (struct power_history){.kept_name = kept_name};
    history->points = calloc(model->steps_count + 1, sizeof(*history->points));
    disk_must(follow != NULL && history->points != NULL, "out of memory");
    history->points_count = 1;
    history->points[0].is_synced = true;
    follow->history = history;
    follow->model = model;
    follow->spool = spool;
    (void)snprintf(follow->dir, sizeof(follow->dir), "%s", scratch);
    disk_must(snprintf(follow->path, sizeof(follow->path), "%s/data.mdb", scratch) <
                  (int)sizeof(follow->path),
              "a path is too long");
    for (size_t i = 0; i < model->steps_count; i++) {
        follow_step(follow, i);
    }
    (void)unlink(follow->path);
    free(follow);
}

void power_history_free(struct power_history *history)
{
    free(history->points);
    free(history->damaged);
    free(history->kept);
}

size_t power_history_before(const struct power_history *history, size_t step)
{
    size_t count = history->points_count;
    while (count > 1 && history->points[count - 1].step >= step) {
        count--;
    }
    return count;
}
