/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/live.h"

#include "spool/environment.h"
#include "spool/little_endian.h"
#include "spool/point.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIVE_VERSION 1U

/* The layout: spool/README.md. Checksum and version keep their places for ever. */
#define AT_CHECKSUM 0
#define AT_VERSION 4
#define AT_COUNT 8
#define AT_FLAGS 12
#define AT_NUMBERS 16
#define AT_OWNER 128
#define AT_TROUBLE 192
#define HEAD_BYTES 416

#define FLAG_STOPPED 1U
#define FLAG_LATCHED 2U
#define FLAG_DISK_FULL 4U
#define FLAG_NOMETASYNC 8U

#define AT_ROW_STATE 0
#define AT_ROW_FLAGS 4
#define AT_ROW_ERROR 8
#define AT_ROW_NUMBERS 16
#define AT_ROW_TEXT 128
#define ROW_BYTES 352

#define FLAG_HELD 1U
#define FLAG_PAUSED 2U
#define FLAG_STALLED 4U
#define FLAG_DROPS_OLDEST 8U

#define LIVE_BYTES_MAX (HEAD_BYTES + DESTINATIONS_MAX * ROW_BYTES)

/* A reader that meets a writer looks again. */
#define LIVE_READ_TRIES 20
#define LIVE_READ_PAUSE_NS 1000000L

static_assert(AT_OWNER + LIVE_NAME_BYTES == AT_TROUBLE, "no gap");
static_assert(AT_TROUBLE + LIVE_TEXT_BYTES == HEAD_BYTES, "no gap");
static_assert(AT_ROW_TEXT + LIVE_TEXT_BYTES == ROW_BYTES, "no gap");

struct live_writer {
    int fd;
    size_t claimed_bytes;
    uint8_t bytes[LIVE_BYTES_MAX];
};

const char *live_state_name(enum live_state state)
{
    static const char *const names[] = {
        [LIVE_NOT_CONFIGURED] = "not configured",
        [LIVE_FLOWING] = "flowing",
        [LIVE_DRAINING] = "draining",
        [LIVE_WAITING] = "waiting",
    };
    static_assert(SPOOL_COUNT_OF(names) == LIVE_STATE_COUNT, "each state has a name");
    return names[state];
}

void live_describe(struct spool *spool, struct live *live)
{
    (void)snprintf(live->owner, sizeof(live->owner), "%s", spool->config.owner_name);
    live->pid = (uint64_t)getpid();
    live->durability = spool->config.durability;
    live->max_bytes = spool->config.max_bytes;
    live->map_bytes = spool->claim.limit_bytes;
    live->max_records = spool->config.max_records;
    live->is_latched = spool_is_latched(spool);
    live->is_disk_full = atomic_load(&spool->claim.is_disk_full);
    live->destinations_count = spool_destinations_count(spool);
    pthread_rwlock_rdlock(&spool->env_lock);
    for (uint32_t i = 1; i <= live->destinations_count; i++) {
        live->destinations[i].limits = spool->destinations[i].limits;
    }
    pthread_rwlock_unlock(&spool->env_lock);
}

/* --- Bytes ------------------------------------------------------------------------------------ */

/* The numbers of the head, and of a row, in their order. */
#define HEAD_NUMBERS(live)                                                                         \
    {                                                                                              \
        &(live)->pid, &(live)->started_wall_ms, &(live)->written_wall_ms, &(live)->max_bytes,      \
            &(live)->map_bytes, &(live)->max_records, &(live)->commits_count,                      \
            &(live)->commit_us_p50, &(live)->commit_us_p99,                                        \
    }
#define ROW_NUMBERS(row)                                                                           \
    {                                                                                              \
        &(row)->limits.max_records, &(row)->limits.max_bytes, &(row)->inflight_records,            \
            &(row)->inflight_bytes, &(row)->retry_at_wall_ms, &(row)->retries_count,               \
            &(row)->possible_duplicates_count, &(row)->producers_lost_count,                       \
            &(row)->last_delivered_wall_ms, &(row)->in_per_ks, &(row)->out_per_ks,                 \
    }

static void live_put_numbers(uint8_t *at, const uint64_t *const *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_u64(at + i * sizeof(uint64_t), *numbers[i]);
    }
}

static void live_get_numbers(const uint8_t *at, uint64_t *const *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *numbers[i] = get_u64(at + i * sizeof(uint64_t));
    }
}

static void live_get_text(const uint8_t *at, char *text, size_t size)
{
    memcpy(text, at, size);
    text[size - 1] = '\0';
}

static void live_put_row(uint8_t *at, const struct live_destination *row)
{
    const uint64_t *const numbers[] = ROW_NUMBERS(row);
    put_u32(at + AT_ROW_STATE, (uint32_t)row->state);
    put_u32(at + AT_ROW_FLAGS, (row->is_held ? FLAG_HELD : 0) | (row->is_paused ? FLAG_PAUSED : 0) |
                                   (row->is_stalled ? FLAG_STALLED : 0) |
                                   (row->limits.drops_oldest ? FLAG_DROPS_OLDEST : 0));
    put_u32(at + AT_ROW_ERROR, (uint32_t)row->last_error);
    live_put_numbers(at + AT_ROW_NUMBERS, numbers, SPOOL_COUNT_OF(numbers));
    memcpy(at + AT_ROW_TEXT, row->last_error_text, LIVE_TEXT_BYTES);
}

static void live_get_row(const uint8_t *at, struct live_destination *row)
{
    uint64_t *const numbers[] = ROW_NUMBERS(row);
    uint32_t state = get_u32(at + AT_ROW_STATE);
    uint32_t flags = get_u32(at + AT_ROW_FLAGS);
    row->state = state < LIVE_STATE_COUNT ? (enum live_state)state : LIVE_NOT_CONFIGURED;
    row->is_held = (flags & FLAG_HELD) != 0;
    row->is_paused = (flags & FLAG_PAUSED) != 0;
    row->is_stalled = (flags & FLAG_STALLED) != 0;
    row->limits.drops_oldest = (flags & FLAG_DROPS_OLDEST) != 0;
    row->last_error = (int32_t)get_u32(at + AT_ROW_ERROR);
    live_get_numbers(at + AT_ROW_NUMBERS, numbers, SPOOL_COUNT_OF(numbers));
    live_get_text(at + AT_ROW_TEXT, row->last_error_text, LIVE_TEXT_BYTES);
}

static uint32_t live_checksum(const uint8_t *bytes, size_t size_bytes)
{
    /* The library reads only. */
    unsigned char *covered = (unsigned char *)(uintptr_t)bytes + AT_VERSION;
    return ~crc32_iscsi(covered, (int)(size_bytes - AT_VERSION), UINT32_MAX);
}

static size_t live_size(uint32_t destinations_count)
{
    return HEAD_BYTES + (size_t)destinations_count * ROW_BYTES;
}

static void live_encode(const struct live *live, uint8_t *bytes)
{
    const uint64_t *const numbers[] = HEAD_NUMBERS(live);
    size_t size_bytes = live_size(live->destinations_count);
    memset(bytes, 0, size_bytes);
    put_u32(bytes + AT_VERSION, LIVE_VERSION);
    put_u32(bytes + AT_COUNT, live->destinations_count);
    put_u32(bytes + AT_FLAGS, (live->is_stopped ? FLAG_STOPPED : 0) |
                                  (live->is_latched ? FLAG_LATCHED : 0) |
                                  (live->is_disk_full ? FLAG_DISK_FULL : 0) |
                                  (live->durability == SPOOL_NOMETASYNC ? FLAG_NOMETASYNC : 0));
    live_put_numbers(bytes + AT_NUMBERS, numbers, SPOOL_COUNT_OF(numbers));
    memcpy(bytes + AT_OWNER, live->owner, LIVE_NAME_BYTES);
    memcpy(bytes + AT_TROUBLE, live->trouble, LIVE_TEXT_BYTES);
    for (uint32_t i = 1; i <= live->destinations_count; i++) {
        live_put_row(bytes + HEAD_BYTES + (size_t)(i - 1) * ROW_BYTES, &live->destinations[i]);
    }
    put_u32(bytes + AT_CHECKSUM, live_checksum(bytes, size_bytes));
}

static int live_decode(const uint8_t *bytes, size_t size_bytes, struct live *live)
{
    if (size_bytes < HEAD_BYTES) {
        return LIVE_E_TORN;
    }
    if (get_u32(bytes + AT_VERSION) != LIVE_VERSION) {
        return LIVE_E_NEWER;
    }
    uint32_t count = get_u32(bytes + AT_COUNT);
    if (count > DESTINATIONS_MAX || live_size(count) > size_bytes ||
        live_checksum(bytes, live_size(count)) != get_u32(bytes + AT_CHECKSUM)) {
        return LIVE_E_TORN;
    }
    uint32_t flags = get_u32(bytes + AT_FLAGS);
    uint64_t *const numbers[] = HEAD_NUMBERS(live);
    live->is_stopped = (flags & FLAG_STOPPED) != 0;
    live->is_latched = (flags & FLAG_LATCHED) != 0;
    live->is_disk_full = (flags & FLAG_DISK_FULL) != 0;
    live->durability = (flags & FLAG_NOMETASYNC) != 0 ? SPOOL_NOMETASYNC : SPOOL_SYNC;
    live->destinations_count = count;
    live_get_numbers(bytes + AT_NUMBERS, numbers, SPOOL_COUNT_OF(numbers));
    live_get_text(bytes + AT_OWNER, live->owner, LIVE_NAME_BYTES);
    live_get_text(bytes + AT_TROUBLE, live->trouble, LIVE_TEXT_BYTES);
    for (uint32_t i = 1; i <= count; i++) {
        live_get_row(bytes + HEAD_BYTES + (size_t)(i - 1) * ROW_BYTES, &live->destinations[i]);
    }
    return 0;
}

/* --- Writing ---------------------------------------------------------------------------------- */

int live_open(const struct spool *spool, struct live_writer **ret_writer)
{
    struct live_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return -ENOMEM;
    }
    writer->fd =
        openat(spool->dir_fd, LIVE_FILE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (writer->fd < 0) {
        int r = -errno;
        free(writer);
        return r;
    }
    *ret_writer = writer;
    return 0;
}

void live_close(struct live_writer **writer_at)
{
    struct live_writer *writer = SPOOL_TAKE(*writer_at);
    if (writer != NULL) {
        close(writer->fd);
        free(writer);
    }
}

int live_write(struct live_writer *writer, const struct live *live)
{
    size_t size_bytes = live_size(live->destinations_count);
    live_encode(live, writer->bytes);
    if (size_bytes > writer->claimed_bytes &&
        posix_fallocate(writer->fd, 0, (off_t)size_bytes) == 0) {
        writer->claimed_bytes = size_bytes;
    }
    SPOOL_POINT("live.writing");
    ssize_t written = pwrite(writer->fd, writer->bytes, size_bytes, 0);
    SPOOL_POINT("live.written");
    if (written < 0) {
        return -errno;
    }
    return (size_t)written == size_bytes ? 0 : -ENOSPC;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static int live_read_once(int fd, uint8_t *bytes, struct live *ret_live)
{
    ssize_t size = pread(fd, bytes, LIVE_BYTES_MAX, 0);
    return size < 0 ? -errno : live_decode(bytes, (size_t)size, ret_live);
}

int live_read(const char *dir, struct live *ret_live)
{
    SPOOL_CLEANUP(spool_close_fd)
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* Not blocked by a FIFO of that name. */
    SPOOL_CLEANUP(spool_close_fd)
    int fd = openat(dir_fd, LIVE_FILE, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? LIVE_E_NONE : -errno;
    }
    SPOOL_CLEANUP(spool_free) uint8_t *bytes = malloc(LIVE_BYTES_MAX);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    int r = live_read_once(fd, bytes, ret_live);
    for (int i = 1; r == LIVE_E_TORN && i < LIVE_READ_TRIES; i++) {
        struct timespec pause = {.tv_nsec = LIVE_READ_PAUSE_NS};
        nanosleep(&pause, NULL);
        r = live_read_once(fd, bytes, ret_live);
    }
    return r;
}
