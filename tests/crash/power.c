/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power losses of a workload that was recorded (tests/crash/disk_hooks.c): for each step that makes
 * something certain, and each that writes a meta page, makes disks that a power loss just before
 * its end can leave, and checks them; see tests/crash/power_test.py.
 *
 *   power --log FILE --spool NAME --scratch DIR [--durability sync|nometasync] [--seed N]
 *         [--each N] [--job N --jobs N] [--inspect PROGRAM] [--kept NAME] [--root DIR]
 *
 * Prints a line for each disk that is not as it is to be, and one of JSON at the end.
 */
#include "tests/crash/power.h"

#include <argp.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* So many pending steps are tried in every combination. */
#define EXHAUSTIVE_MAX 5
#define TOLD_MAX 20
#define INSPECT_EVERY 199
#define HANG_S 60

enum kind {
    KIND_PREFIX,  /* what was done first is there, what was done later is not */
    KIND_DROPPED, /* one is missing */
    KIND_REORDERED,
    KIND_TORN, /* one or more are there in part */
    KIND_COUNT,
};

static const char *const kind_names[] = {"prefix", "dropped", "reordered", "torn"};

/* Shared by the processes that try. */
struct counts {
    uint64_t disks;
    uint64_t kinds[KIND_COUNT];
    uint64_t verdicts[POWER_VERDICT_COUNT];
    uint64_t told;
    uint64_t done; /* of the disks of a step */
};

struct arguments {
    const char *log;
    const char *root;
    const char *spool;
    const char *scratch;
    const char *inspect;
    const char *kept;
    bool is_sync;
    uint64_t seed;
    uint64_t each;
    uint64_t job;
    uint64_t jobs;
};

struct power {
    struct arguments arguments;
    struct disk_model model;
    struct power_history history;
    struct counts *counts;
    char disk[PATH_MAX];
    uint8_t *fates;
};

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* --- Which disks ------------------------------------------------------------------------------ */

static enum kind kind_of(const uint8_t *fates, size_t count)
{
    size_t lost = 0;
    size_t runs = 0;
    for (size_t i = 0; i < count; i++) {
        if (fates[i] == DISK_TORN) {
            return KIND_TORN;
        }
        lost += fates[i] == DISK_LOST;
        runs += fates[i] == DISK_KEPT && (i == 0 || fates[i - 1] == DISK_LOST);
    }
    bool is_prefix = runs == 0 || (runs == 1 && fates[0] == DISK_KEPT);
    return is_prefix ? KIND_PREFIX : lost == 1 ? KIND_DROPPED : KIND_REORDERED;
}

/* The disk with that number of a step's; the first are in order, the rest by chance. */
static void choose(uint8_t *fates, size_t count, uint64_t number, uint64_t *seed)
{
    uint64_t prefix = disk_random(seed) % (count + 1);
    if (count <= EXHAUSTIVE_MAX && number < (uint64_t)1 << count) {
        for (size_t i = 0; i < count; i++) {
            fates[i] = (number >> i & 1) != 0 ? DISK_KEPT : DISK_LOST;
        }
        return;
    }
    size_t one = disk_random(seed) % count;
    switch (disk_random(seed) % 5) {
    case 0:
        for (size_t i = 0; i < count; i++) {
            fates[i] = i < prefix ? DISK_KEPT : DISK_LOST;
        }
        break;
    case 1:
        memset(fates, DISK_KEPT, count);
        fates[one] = DISK_LOST;
        break;
    case 2:
        for (size_t i = 0; i < count; i++) {
            fates[i] = disk_random(seed) % 2 == 0 ? DISK_KEPT : DISK_LOST;
        }
        break;
    case 3: /* stopped in the midst of one */
        for (size_t i = 0; i < count; i++) {
            fates[i] = i < one ? DISK_KEPT : i == one ? DISK_TORN : DISK_LOST;
        }
        break;
    default:
        for (size_t i = 0; i < count; i++) {
            fates[i] = (uint8_t)(disk_random(seed) % 3);
        }
        break;
    }
}

static uint64_t disks_of(const struct power *power)
{
    size_t count = power->model.pending_count;
    uint64_t all = count <= EXHAUSTIVE_MAX ? (uint64_t)1 << count : UINT64_MAX;
    /* Small ones can be torn too. */
    uint64_t wanted = count == 0 ? 1 : power->arguments.each;
    return count == 1 ? 3 : all <= wanted / 2 ? 2 * all : wanted;
}

/* --- One disk --------------------------------------------------------------------------------- */

static struct power_wanted wanted_at(const struct power *power, size_t step)
{
    const struct power_history *history = &power->history;
    struct power_wanted wanted = {
        .history = history,
        .lowest = power_history_before(history, step) - 1,
        .highest = power_history_before(history, step + 1) - 1,
    };
    wanted.may_lose_last = !power->arguments.is_sync && !history->points[wanted.lowest].is_synced;
    wanted.is_damaged =
        history->damaged != NULL && history->points[wanted.lowest].step >= history->damaged_step;
    return wanted;
}

static void tell(struct power *power, size_t step, uint64_t number, enum power_verdict verdict,
                 const char *text)
{
    static const char *const names[] = {"fine", "fine, older", "lost", "damaged", "died"};
    if (power->counts->told++ < TOLD_MAX) {
        printf("step %zu, disk %" PRIu64 ", %zu pending: %s: %s\n", step, number,
               power->model.pending_count, names[verdict], text);
        (void)fflush(stdout);
    }
}

static void try_disk(struct power *power, size_t step, uint64_t number)
{
    struct counts *counts = power->counts;
    uint64_t seed = power->arguments.seed * 1000003 + step * 4099 + number;
    struct power_wanted wanted = wanted_at(power, step);
    struct message text = {.text = ""};
    size_t count = power->model.pending_count;
    if (count > 0) {
        choose(power->fates, count, number, &seed);
    }
    (void)nftw(power->disk, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    disk_must(mkdir(power->disk, 0755) == 0, "a folder cannot be made");
    disk_model_build(&power->model, power->fates, seed, power->disk);
    wanted.seed = disk_random(&seed);
    counts->disks++;
    counts->kinds[kind_of(power->fates, count)]++;
    wanted.inspect = counts->disks % INSPECT_EVERY == 0 ? power->arguments.inspect : NULL;
    enum power_verdict verdict = power_check(power->disk, power->arguments.spool, &wanted, &text);
    counts->verdicts[verdict]++;
    if (verdict != POWER_FINE && verdict != POWER_FINE_OLDER) {
        tell(power, step, number, verdict, text.text);
    }
}

/* In a process of its own: LMDB can be ended by a file that is damaged. */
static void try_step(struct power *power, size_t step)
{
    struct counts *counts = power->counts;
    uint64_t all = disks_of(power);
    counts->done = 0;
    while (counts->done < all) {
        (void)fflush(stdout);
        pid_t pid = fork();
        disk_must(pid >= 0, "cannot fork");
        if (pid == 0) {
            for (; counts->done < all; counts->done++) {
                alarm(HANG_S);
                try_disk(power, step, counts->done);
            }
            _exit(0);
        }
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        if (status != 0) {
            disk_must(!WIFEXITED(status) || WEXITSTATUS(status) != 70, "a disk cannot be made");
            counts->verdicts[POWER_DIED]++;
            tell(power, step, counts->done, POWER_DIED,
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a sanitizer's report");
            counts->done++;
        }
    }
}

/* --- All -------------------------------------------------------------------------------------- */

static uint64_t try_all(struct power *power)
{
    uint64_t points = 0;
    for (size_t i = 0; i < power->model.steps_count; i++) {
        disk_model_begin(&power->model, i);
        if (disk_model_is_barrier(&power->model, i) ||
            power_is_commit(&power->model, power->arguments.spool, i)) {
            if (points++ % power->arguments.jobs == power->arguments.job) {
                try_step(power, i);
            }
        }
        disk_model_end(&power->model, i);
    }
    /* The power fails long after the end. */
    if (power->arguments.job == 0) {
        try_step(power, power->model.steps_count);
    }
    return points;
}

static const struct argp_option options[] = {
    {"log", 'l', "FILE", 0, "What was recorded", 0},
    {"root", 'r', "DIR", 0, "The folder that was recorded: it must be as the log says", 0},
    {"spool", 'n', "NAME", 0, "The spool's folder in it", 0},
    {"scratch", 't', "DIR", 0, "An empty folder for disks", 0},
    {"durability", 'd', "WORD", 0, "sync or nometasync", 0},
    {"seed", 's', "N", 0, "Where the disks come from", 0},
    {"each", 'e', "N", 0, "So many disks for a step, at most", 0},
    {"job", 'j', "N", 0, "Of --jobs, this part, from 0", 0},
    {"jobs", 'J', "N", 0, "How many share the work", 0},
    {"inspect", 'i', "PROGRAM", 0, "spool-inspect, to be asked now and then", 0},
    {"kept", 'k', "NAME", 0, "A file that must be whole when records are gone", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'l':
        arguments->log = argument;
        return 0;
    case 'r':
        arguments->root = argument;
        return 0;
    case 'n':
        arguments->spool = argument;
        return 0;
    case 't':
        arguments->scratch = argument;
        return 0;
    case 'd':
        arguments->is_sync = strcmp(argument, "sync") == 0;
        return 0;
    case 's':
        arguments->seed = strtoull(argument, NULL, 10);
        return 0;
    case 'e':
        arguments->each = strtoull(argument, NULL, 10);
        return 0;
    case 'j':
        arguments->job = strtoull(argument, NULL, 10);
        return 0;
    case 'J':
        arguments->jobs = strtoull(argument, NULL, 10);
        return 0;
    case 'i':
        arguments->inspect = argument;
        return 0;
    case 'k':
        arguments->kept = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print(const struct power *power, uint64_t points)
{
    const struct counts *counts = power->counts;
    uint64_t barriers = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < power->model.steps_count; i++) {
        barriers += disk_model_is_barrier(&power->model, i);
        bytes += power->model.steps[i].event->size_bytes;
    }
    printf("{\"operations\": %zu, \"barriers\": %" PRIu64 ", \"written_bytes\": %" PRIu64
           ", \"points\": %" PRIu64 ", \"commits\": %zu, \"acked\": %" PRIu64
           ", \"disks\": %" PRIu64,
           power->model.steps_count, barriers, bytes, points, power->history.points_count - 1,
           power->history.acked_count, counts->disks);
    for (int i = 0; i < KIND_COUNT; i++) {
        printf(", \"%s\": %" PRIu64, kind_names[i], counts->kinds[i]);
    }
    printf(", \"older\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"damaged\": %" PRIu64
           ", \"died\": %" PRIu64 "}\n",
           counts->verdicts[POWER_FINE_OLDER], counts->verdicts[POWER_LOST],
           counts->verdicts[POWER_DAMAGED], counts->verdicts[POWER_DIED]);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = options, .parser = parse};
    struct power *power = calloc(1, sizeof(*power));
    disk_must(power != NULL, "out of memory");
    power->arguments = (struct arguments){.is_sync = true, .each = 8, .jobs = 1, .spool = "spool"};
    argp_parse(&argp, argc, argv, 0, NULL, &power->arguments);
    const struct arguments *arguments = &power->arguments;
    disk_must(arguments->log != NULL && arguments->scratch != NULL && arguments->jobs > 0,
              "--log and --scratch are needed");
    power->counts = mmap(NULL, sizeof(*power->counts), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    disk_must(power->counts != MAP_FAILED, "out of memory");
    (void)snprintf(power->disk, sizeof(power->disk), "%s/disk", arguments->scratch);
    disk_model_read(&power->model, arguments->log);
    power_history_read(&power->history, &power->model, arguments->spool, arguments->kept,
                       arguments->scratch);
    if (arguments->root != NULL) {
        disk_must(disk_model_is_same(&power->model, arguments->root, "lock.mdb"),
                  "the log does not have all that was written");
    }
    disk_model_free(&power->model);
    disk_model_read(&power->model, arguments->log);
    power->fates = calloc(power->model.steps_count + 1, 1);
    disk_must(power->fates != NULL, "out of memory");
    uint64_t points = try_all(power);
    print(power, points);
    (void)nftw(power->disk, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(power->fates);
    power_history_free(&power->history);
    disk_model_free(&power->model);
    free(power);
    return 0;
}
