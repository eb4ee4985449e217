/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes mutated spools and runs every looking command of spool-inspect, and salvage, on each; see
 * tests/inspect/mutate_test.py. The commands run in this program, a process for each mutation, so
 * that thousands can be tried: a signal, a sanitizer's report, a hang, an exit code that is not
 * documented, or one without a word why, is a failure.
 *
 *   mutate --first N --count N --seed N [--keep] --scratch DIR BASE...
 */
#include "tests/inspect/mutate.h"

#include "tools/inspect/command.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASES_MAX 16
#define NOBODY 65534
/* So long nothing takes that does not hang, sanitizers and a busy machine included. */
#define HANG_S 60

/* A child's end when all was as it is to be; anything else is a failure. */
#define CHILD_FINE 42

struct counts {
    uint64_t runs;
    uint64_t exits[4];
    uint64_t expected;
    uint64_t found;
    uint64_t salvaged_spools;
};

struct arguments {
    uint64_t first;
    uint64_t count;
    uint64_t seed;
    bool keeps;
    const char *scratch;
    const char *bases[BASES_MAX];
    size_t bases_count;
};

/* --- The commands ----------------------------------------------------------------------------- */

static const char *const commands[][8] = {
    {"status", NULL},
    {"status", "--json", NULL},
    {"ls", NULL},
    {"ls", "--json", NULL},
    {"show", "1", "7", "20", "150", NULL},
    {"dead", "ls", NULL},
    {"dead", "show", "2", "4", NULL},
    {"metrics", NULL},
    {"export", NULL},
    {"audit", NULL},
    {"verify", NULL},
    {"verify", "--json", NULL},
};

/* What was said on standard error since the last look. */
static bool has_said_something(int said_fd)
{
    off_t size = lseek(said_fd, 0, SEEK_END);
    (void)!ftruncate(said_fd, 0);
    return size > 0;
}

static int run_command(const char *dir, const char *const *words, const char *into)
{
    char *argv[10] = {0};
    int argc = 0;
    int used = 0;
    struct inspect inspect = {.spool_dir = dir};
    for (; words[argc] != NULL; argc++) {
        argv[argc] = (char *)(uintptr_t)words[argc];
    }
    const struct command *command = command_find(argc, argv, &used);
    must(command != NULL, "no such command");
    if (into != NULL) {
        argv[argc++] = (char *)(uintptr_t) "--into";
        argv[argc++] = (char *)(uintptr_t)into;
    }
    enum inspect_exit code = command->run(&inspect, argc - used + 1, argv + used - 1);
    spool_close(&inspect.spool);
    return (int)inspect_finish_output(code);
}

/* Runs all commands; ends the process. */
static void child(const struct base *base, const struct mutation *mutation, const char *dir,
                  const char *saved, struct counts *counts)
{
    static const char *const salvage[] = {"salvage", NULL};
    char said_path[512];
    (void)snprintf(said_path, sizeof(said_path), "%s.said", dir);
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int said_fd = open(said_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    must(null_fd >= 0 && said_fd >= 0, "no files");
    (void)dup2(null_fd, STDOUT_FILENO);
    (void)dup2(said_fd, STDERR_FILENO);
    alarm(HANG_S);
    if (mutation->is_not_permitted && geteuid() == 0) {
        must(setgid(NOBODY) == 0 && setuid(NOBODY) == 0, "cannot become nobody");
    }
    for (size_t i = 0; i <= SPOOL_COUNT_OF(commands); i++) {
        bool is_salvage = i == SPOOL_COUNT_OF(commands);
        int code = run_command(dir, is_salvage ? salvage : commands[i], is_salvage ? saved : NULL);
        counts->runs++;
        if (code != 0 && code != 1 && code != 3) {
            dprintf(STDERR_FILENO, "exit code %d of %s\n", code,
                    is_salvage ? "salvage" : commands[i][0]);
            _exit(1);
        }
        counts->exits[code]++;
        if (!has_said_something(said_fd) && code == 3) {
            dprintf(STDERR_FILENO, "exit code 3 of %s, and not a word\n",
                    is_salvage ? "salvage" : commands[i][0]);
            _exit(1);
        }
        if (is_salvage && code != 3 && !mutation->is_unreadable) {
            counts->salvaged_spools++;
            bool is_all =
                mutation_is_salvaged(base, mutation, saved, &counts->expected, &counts->found);
            if (!is_all) {
                _exit(1);
            }
        } else if (is_salvage && code == 3 && !mutation->is_unreadable &&
                   !mutation->is_not_permitted) {
            dprintf(STDERR_FILENO, "salvage refused a file that can be read\n");
            _exit(1);
        }
    }
    (void)fflush(stdout);
    _exit(CHILD_FINE);
}

/* --- One mutation ----------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void tell_failure(uint64_t number, const struct mutation *mutation, int status,
                         const char *dir)
{
    char path[512];
    char line[512];
    (void)snprintf(path, sizeof(path), "%s.said", dir);
    if (WIFSIGNALED(status)) {
        printf("mutation %" PRIu64 ": %s%s\n", number, mutation->text,
               WTERMSIG(status) == SIGALRM ? "a hang" : strsignal(WTERMSIG(status)));
    } else {
        printf("mutation %" PRIu64 ": %sended with %d\n", number, mutation->text,
               WEXITSTATUS(status));
    }
    FILE *said = fopen(path, "r");
    for (int i = 0; said != NULL && i < 40 && fgets(line, sizeof(line), said) != NULL; i++) {
        printf("    %s", line);
    }
    if (said != NULL) {
        (void)fclose(said);
    }
    (void)fflush(stdout);
}

/* Whether all was as it is to be. */
static bool try_one(const struct base *bases, const struct arguments *arguments, uint64_t number,
                    struct counts *counts)
{
    char dir[256];
    char saved[256];
    char said[300];
    struct mutation mutation;
    struct dice dice = {arguments->seed * 1000003 + number};
    (void)snprintf(dir, sizeof(dir), "%s/m%" PRIu64, arguments->scratch, number);
    (void)snprintf(saved, sizeof(saved), "%s/s%" PRIu64, arguments->scratch, number);
    (void)snprintf(said, sizeof(said), "%s.said", dir);
    must(mkdir(dir, 0755) == 0, "cannot make a folder");
    const struct base *base = &bases[dice_below(&dice, arguments->bases_count)];
    mutation_make(base, &dice, dir, &mutation);
    (void)fflush(stdout);
    pid_t pid = fork();
    must(pid >= 0, "cannot fork");
    if (pid == 0) {
        child(base, &mutation, dir, saved, counts);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    bool is_fine = WIFEXITED(status) && WEXITSTATUS(status) == CHILD_FINE;
    if (!is_fine) {
        tell_failure(number, &mutation, status, dir);
    }
    if (!arguments->keeps) {
        (void)nftw(saved, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        (void)nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        (void)unlink(said);
    }
    mutation_free(&mutation);
    return is_fine;
}

/* --- All -------------------------------------------------------------------------------------- */

static const struct argp_option options[] = {
    {"first", 'f', "N", 0, "The first mutation's number", 0},
    {"count", 'c', "N", 0, "How many", 0},
    {"seed", 's', "N", 0, "Where they come from", 0},
    {"keep", 'k', NULL, 0, "Leave the spools in the scratch folder: m<number>, salvaged s<number>",
     0},
    {"scratch", 'd', "DIR", 0, "A folder that is there", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'f':
        arguments->first = strtoull(argument, NULL, 10);
        return 0;
    case 'c':
        arguments->count = strtoull(argument, NULL, 10);
        return 0;
    case 's':
        arguments->seed = strtoull(argument, NULL, 10);
        return 0;
    case 'k':
        arguments->keeps = true;
        return 0;
    case 'd':
        arguments->scratch = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->bases_count == BASES_MAX) {
            argp_error(state, "too many bases");
        }
        arguments->bases[arguments->bases_count++] = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->bases_count == 0 || arguments->scratch == NULL) {
            argp_error(state, "--scratch and at least one BASE");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = options, .parser = parse, .args_doc = "BASE..."};
    static struct base bases[BASES_MAX];
    struct arguments arguments = {.count = 1};
    uint64_t failures = 0;
    (void)setlocale(LC_ALL, "");
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    struct counts *counts =
        mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(counts != MAP_FAILED, "out of memory");
    for (size_t i = 0; i < arguments.bases_count; i++) {
        base_read(&bases[i], arguments.bases[i]);
    }
    for (uint64_t i = 0; i < arguments.count; i++) {
        failures += !try_one(bases, &arguments, arguments.first + i, counts);
    }
    printf("{\"mutations\": %" PRIu64 ", \"failures\": %" PRIu64 ", \"runs\": %" PRIu64
           ", \"exit_0\": %" PRIu64 ", \"exit_1\": %" PRIu64 ", \"exit_3\": %" PRIu64
           ", \"salvaged_spools\": %" PRIu64 ", \"whole_records\": %" PRIu64
           ", \"whole_records_saved\": %" PRIu64 "}\n",
           arguments.count, failures, counts->runs, counts->exits[0], counts->exits[1],
           counts->exits[3], counts->salvaged_spools, counts->expected, counts->found);
    return failures == 0 ? 0 : 1;
}
