/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/power.h"

#include "spool/batch.h"
#include "spool/limits.h"
#include "spool/mend/verify.h"
#include "spool/record.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Room for what is tried. More of it is more disk that is claimed, each time. */
#define MORE_BYTES (512ULL << 10)
#define LOCK_FILE_BYTES 12288

struct check {
    const struct power_wanted *wanted;
    const char *root;
    char dir[PATH_MAX]; /* the spool's */
    struct message *text;
    struct power_state before;
    bool is_readable; /* before it was opened */
    size_t point;     /* that it shows */
};

/* --- Before it is opened ---------------------------------------------------------------------- */

static void put_file(const struct check *check, const char *name, const void *bytes, size_t size)
{
    char path[PATH_MAX + 32];
    (void)snprintf(path, sizeof(path), "%s/%s", check->dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    disk_must(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, "a file cannot be made");
    close(fd);
}

/* lock.mdb means nothing after a restart: it is missing, empty, cut off, or anything. owner.lock is
 * what was written, or says that owners crashed: then each page is looked at. */
static void put_lock_files(const struct check *check)
{
    static const char crashed[] = "x, pid 1\nowners before it that did not end in order: 9\n";
    static uint8_t bytes[LOCK_FILE_BYTES];
    uint64_t seed = check->wanted->seed;
    uint64_t kind = disk_random(&seed) % 4;
    struct stat status;
    if (stat(check->dir, &status) < 0) {
        return;
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = kind == 1 ? 0 : (uint8_t)disk_random(&seed);
    }
    if (kind != 0) {
        put_file(check, "lock.mdb", bytes,
                 kind == 3 ? disk_random(&seed) % sizeof(bytes) : sizeof(bytes));
    }
    if (disk_random(&seed) % 2 == 0) {
        put_file(check, "owner.lock", crashed, sizeof(crashed) - 1);
    }
}

static void check_find(void *context, const struct verify_finding *finding)
{
    const struct check *check = context;
    message_set(check->text, "verify: %s: %s: %s", finding->rule, finding->database, finding->text);
}

/* What "spool-inspect verify" does. */
static bool check_verify(struct check *check)
{
    struct verify_host host = {.context = check, .find = check_find};
    struct verify_result result = {0};
    struct message message;
    SPOOL_CLEANUP(spool_close_fd) int fd = open(check->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = verify_spool(fd, check->dir, &host, &result, &message);
    if (r != 0) {
        message_set(check->text, "verify: %d: %s", r, message.text);
        return false;
    }
    return result.findings_count == 0;
}

static bool is_nothing(const struct power_state *state)
{
    static const struct power_state nothing;
    return memcmp(state, &nothing, sizeof(nothing)) == 0;
}

static bool is_same(const struct power_state *a, const struct power_state *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* Which point the disk shows. */
static enum power_verdict check_state(struct check *check)
{
    const struct power_wanted *wanted = check->wanted;
    const struct power_point *points = wanted->history->points;
    for (size_t i = wanted->highest + 1; i > wanted->lowest; i--) {
        if (is_same(&points[i - 1].state, &check->before)) {
            check->point = i - 1;
            return POWER_FINE;
        }
    }
    for (size_t i = wanted->lowest; i > 0; i--) {
        if (is_same(&points[i - 1].state, &check->before)) {
            check->point = i - 1;
            bool is_last = wanted->may_lose_last && i == wanted->lowest;
            message_set(check->text, "the state of %zu commits before", wanted->lowest - (i - 1));
            return is_last ? POWER_FINE_OLDER : POWER_LOST;
        }
    }
    message_set(check->text, "a state that the spool never had");
    return POWER_DAMAGED;
}

static bool has_file(const char *path, const uint8_t *bytes, size_t size_bytes)
{
    struct stat status;
    SPOOL_CLEANUP(spool_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || (size_t)status.st_size < size_bytes) {
        return false;
    }
    uint8_t *found = malloc(size_bytes + 1);
    bool is_there = found != NULL && read(fd, found, size_bytes) == (ssize_t)size_bytes &&
                    memcmp(found, bytes, size_bytes) == 0;
    free(found);
    return is_there;
}

/* What was written out before it was deleted. */
static bool check_kept(struct check *check)
{
    const struct power_history *history = check->wanted->history;
    char path[PATH_MAX + DISK_NAME_BYTES];
    if (history->kept == NULL || history->points[check->point].step < history->kept_step) {
        return true;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", check->root, history->kept_name);
    message_set(check->text, "%s is not whole", history->kept_name);
    return has_file(path, history->kept, history->kept_bytes);
}

/* --- Open ------------------------------------------------------------------------------------- */

static int work_append(struct spool *spool, struct batch *batch, uint32_t destination,
                       uint64_t *ret_sequence)
{
    struct record record = {.published_wall_ms = 1, .payload = {"after", 5}};
    uint8_t encoded[256];
    size_t size_bytes = 0;
    int refusal = 0;
    (void)spool;
    int r = record_size(&record, &size_bytes);
    if (r != 0 || size_bytes > sizeof(encoded)) {
        return -EINVAL;
    }
    record_encode(&record, encoded);
    r = batch_begin(batch, size_bytes, 1);
    if (r == 0) {
        r = batch_append(batch, destination, (struct span){encoded, size_bytes}, ret_sequence,
                         &refusal);
    }
    return r == 0 ? batch_commit(batch) : r;
}

static int work_settle(struct batch *batch, uint32_t destination, uint64_t sequence)
{
    struct settlement settlement = {
        .action = SETTLE_DELIVERED, .destination = destination, .sequence = sequence};
    int r = batch_begin(batch, 0, 0);
    if (r == 0) {
        r = batch_settle(batch, &settlement);
    }
    return r == 0 ? batch_commit(batch) : r;
}

/* A spool that opens must work: a record comes and goes. */
static bool check_work(struct check *check, struct spool *spool)
{
    struct batch *batch = NULL;
    struct message message = {.text = ""};
    uint32_t destination = 1;
    uint64_t sequence = 0;
    uint64_t wanted = check->before.next_sequence == 0 ? 1 : check->before.next_sequence;
    int r = batch_new(spool, &batch);
    if (r == 0 && check->before.destinations_count == 0) {
        r = spool_destination_open(spool, "new", "new", &destination, &message);
    }
    if (r == 0) {
        r = work_append(spool, batch, destination, &sequence);
    }
    if (r == 0) {
        r = work_settle(batch, destination, sequence);
    }
    batch_free(&batch);
    if (r != 0 || sequence != wanted) {
        message_set(check->text, "it opens and does not work: %d, sequence %llu: %s", r,
                    (unsigned long long)sequence, message.text);
        return false;
    }
    return true;
}

static bool check_counters(struct check *check, struct spool *spool)
{
    struct counters counters;
    if (spool_counters(spool, DESTINATION_ALL, &counters) != 0 ||
        counters.values[COUNTER_QUEUE_RECORDS] != check->before.waiting_count ||
        counters.values[COUNTER_DEAD_RECORDS] != check->before.dead_count ||
        counters.values[COUNTER_REPORT_RECORDS] != check->before.reports_count) {
        message_set(check->text, "it counts other records than it has");
        return false;
    }
    return true;
}

/* Somewhere among what was set aside. */
static bool check_damaged(struct check *check)
{
    const struct power_history *history = check->wanted->history;
    char pattern[PATH_MAX + 32];
    glob_t found;
    bool is_there = false;
    (void)snprintf(pattern, sizeof(pattern), "%s/damaged-*/data.mdb", check->dir);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            is_there |= has_file(found.gl_pathv[i], history->damaged, history->damaged_bytes);
        }
    }
    globfree(&found);
    message_set(check->text, "the damaged file is gone");
    return is_there;
}

static uint64_t max_bytes(const struct check *check)
{
    char path[PATH_MAX + 16];
    struct stat status = {.st_size = 0};
    (void)snprintf(path, sizeof(path), "%s/data.mdb", check->dir);
    (void)!stat(path, &status);
    uint64_t wanted = (uint64_t)status.st_size + MORE_BYTES;
    return wanted < SPOOL_BYTES_MIN ? SPOOL_BYTES_MIN : wanted;
}

static bool check_open(struct check *check)
{
    struct spool *spool = NULL;
    struct message message;
    struct spool_config config = {
        .dir = check->dir,
        .owner_name = "power",
        .max_bytes = max_bytes(check),
        .may_create = true,
        .clock = clock_system(),
    };
    int r = spool_open(&config, &spool, &message);
    if (r != 0) {
        message_set(check->text, "it cannot be opened: %s", message.text);
        return false;
    }
    const char *aside = spool_set_aside_path(spool);
    bool is_fine = true;
    if (aside != NULL && check->is_readable && !is_nothing(&check->before)) {
        message_set(check->text, "it was set aside");
        is_fine = false;
    }
    is_fine = is_fine && check_counters(check, spool) && check_work(check, spool);
    spool_close(&spool);
    return is_fine && (!check->wanted->is_damaged || check_damaged(check));
}

/* --- After ------------------------------------------------------------------------------------ */

static bool check_after(struct check *check)
{
    struct power_state after;
    if (!power_state_read(check->dir, NULL, &after, check->text)) {
        return false;
    }
    if (memcmp(after.records, check->before.records, sizeof(after.records)) != 0) {
        message_set(check->text, "its records changed when it was opened");
        return false;
    }
    return check_verify(check);
}

static bool check_inspect(struct check *check)
{
    const char *words[] = {check->wanted->inspect, "--spool", check->dir, "verify", NULL};
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    /* posix_spawn() does not write to its arguments. */
    int r = posix_spawn(&pid, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ);
    posix_spawn_file_actions_destroy(&actions);
    message_set(check->text, "spool-inspect verify is not content");
    return r == 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

enum power_verdict power_check(const char *root, const char *spool,
                               const struct power_wanted *wanted, struct message *ret_text)
{
    struct check check = {.wanted = wanted, .root = root, .text = ret_text};
    disk_must(snprintf(check.dir, sizeof(check.dir), "%s/%s", root, spool) < (int)sizeof(check.dir),
              "a path is too long");
    put_lock_files(&check);
    check.is_readable = power_state_read(check.dir, NULL, &check.before, ret_text);
    /* What cannot be read is set aside, and nothing is the state then. */
    bool is_expected = wanted->is_damaged || wanted->lowest == 0 ||
                       is_nothing(&wanted->history->points[wanted->highest].state);
    if (!check.is_readable && !is_expected) {
        return POWER_DAMAGED;
    }
    if (!check.is_readable) {
        check.before = (struct power_state){0};
    }
    enum power_verdict verdict = check_state(&check);
    if (verdict != POWER_FINE && verdict != POWER_FINE_OLDER) {
        return verdict;
    }
    bool is_fine = check_kept(&check);
    bool has_spool = check.is_readable && !is_nothing(&check.before);
    if (is_fine && has_spool) {
        is_fine = check_verify(&check) && (wanted->inspect == NULL || check_inspect(&check));
    }
    is_fine = is_fine && check_open(&check) && check_after(&check);
    return is_fine ? verdict : POWER_DAMAGED;
}
