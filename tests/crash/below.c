/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults from below: each call of a spool's life, and of each command of spool-inspect, fails in
 * each way that it can fail in; see tests/crash/below_test.py.
 *
 *   below WHAT --scratch DIR [--job N --jobs N] [--step N] [--only NUMBER] [--verbose]
 *
 * WHAT: new (a spool that is made), old (one that is there), commands; and of each with "-memory".
 * Each case runs in a process of its own. Prints a line for each failure, and one of JSON at the
 * end.
 */
#include "tests/crash/below.h"

#include "tests/crash/below_alloc.h"
#include "tests/crash/disk_record.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CHILD_FAILED 71
#define TOLD_MAX 25
#define HANG_S 120
/* A fault that stays: all calls from the nth on. */
#define STAYS UINT64_MAX

/* With a sanitizer: what was allocated and is lost. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier): the sanitizer's name. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

enum what {
    WHAT_NEW,
    WHAT_OLD,
    WHAT_COMMANDS,
};

/* Shared with the processes of the cases. */
struct shared {
    uint64_t calls[DISK_CALL_ANY + 1];
    uint64_t memory_calls;
    uint64_t hits;
};

struct below {
    enum what what;
    bool is_memory;
    bool is_verbose;
    const char *scratch;
    uint64_t job;
    uint64_t jobs;
    uint64_t step;
    uint64_t only; /* 0: all */
    char root[PATH_MAX];
    char base[PATH_MAX];
    char said[PATH_MAX];
    struct shared *shared;
    uint64_t cases;
    uint64_t tried;
    uint64_t failures;
    uint64_t of_call[DISK_CALL_ANY + 1];
};

/* --- Faults ----------------------------------------------------------------------------------- */

static bool is_memory_armed;
static bool has_hit;
static struct shared *shared;

void below_arm(const struct below_fault *fault)
{
    is_memory_armed = fault->is_memory;
    if (fault->is_memory) {
        below_alloc_arm(fault->disk.nth, fault->disk.count);
    } else {
        disk_fault_arm(&fault->disk);
    }
}

void below_disarm(void)
{
    if (is_memory_armed) {
        shared->memory_calls = below_alloc_disarm();
        has_hit = below_alloc_has_hit();
        return;
    }
    for (int call = 0; call <= DISK_CALL_ANY; call++) {
        shared->calls[call] = disk_fault_calls((enum disk_call)call);
    }
    has_hit = disk_fault_has_hit();
    disk_fault_arm(NULL);
}

bool below_has_hit(void)
{
    return has_hit;
}

void below_fail(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "FAILED: %s\n", text);
    _exit(CHILD_FAILED);
}

/* --- Folders ---------------------------------------------------------------------------------- */

static void must(bool is_so, const char *what)
{
    if (!is_so) {
        (void)fprintf(stderr, "below: %s\n", what);
        exit(70);
    }
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    SPOOL_CLEANUP(spool_close_fd) int in = open(from, O_RDONLY | O_CLOEXEC);
    SPOOL_CLEANUP(spool_close_fd) int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    ssize_t size = in < 0 || out < 0 ? -1 : 0;
    must(size == 0, "the base cannot be copied");
    while ((size = read(in, bytes, sizeof(bytes))) > 0) {
        must(write(out, bytes, (size_t)size) == size, "the base cannot be copied");
    }
}

/* The watched folder, with a spool in it or without. */
static void prepare(const struct below *below)
{
    char path[PATH_MAX + 32];
    char from[PATH_MAX + 32];
    (void)nftw(below->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    must(mkdir(below->root, 0755) == 0, "no folder");
    (void)snprintf(path, sizeof(path), "%s/work", below->root);
    must(mkdir(path, 0755) == 0, "no folder");
    if (below->what == WHAT_NEW) {
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/spool", below->root);
    must(mkdir(path, 0755) == 0, "no folder");
    (void)snprintf(path, sizeof(path), "%s/spool/data.mdb", below->root);
    (void)snprintf(from, sizeof(from), "%s/data.mdb", below->base);
    copy_file(from, path);
}

/* --- One case --------------------------------------------------------------------------------- */

static void child(const struct below *below, size_t command, const struct below_fault *fault)
{
    char dir[PATH_MAX + 16];
    char work[PATH_MAX + 16];
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int said_fd = open(below->said, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    must(null_fd >= 0 && said_fd >= 0, "no files");
    (void)dup2(null_fd, STDOUT_FILENO);
    (void)dup2(said_fd, STDERR_FILENO);
    (void)snprintf(dir, sizeof(dir), "%s/spool", below->root);
    (void)snprintf(work, sizeof(work), "%s/work", below->root);
    alarm(HANG_S);
    disk_watch(below->root);
    if (below->what == WHAT_COMMANDS) {
        below_command(command, dir, work, fault);
    } else {
        below_engine(dir, fault);
    }
    disk_watch(NULL);
    below->shared->hits += below_has_hit();
    if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0) {
        _exit(CHILD_FAILED);
    }
    _exit(0);
}

static void tell(const struct below *below, size_t command, const struct below_fault *fault,
                 int status)
{
    char line[512];
    const char *call = fault->is_memory ? "memory" : disk_call_name(fault->disk.call);
    printf("case %" PRIu64 ": %s: %s number %" PRIu64 "%s: %s: ", below->cases,
           below->what == WHAT_COMMANDS ? below_command_name(command)
           : below->what == WHAT_NEW    ? "new"
                                        : "old",
           call, fault->disk.nth, fault->disk.count == STAYS ? " and on" : "",
           fault->disk.error == 0 ? "short" : strerror(fault->disk.error));
    if (WIFSIGNALED(status)) {
        printf("%s\n", WTERMSIG(status) == SIGALRM ? "a hang" : strsignal(WTERMSIG(status)));
    } else {
        printf("ended with %d\n", WEXITSTATUS(status));
    }
    FILE *said = fopen(below->said, "re");
    for (int i = 0; said != NULL && i < 30 && fgets(line, sizeof(line), said) != NULL; i++) {
        printf("    %s", line);
    }
    if (said != NULL) {
        (void)fclose(said);
    }
}

/* Whether all was as it is to be. */
static bool run_child(struct below *below, size_t command, const struct below_fault *fault)
{
    prepare(below);
    (void)fflush(stdout);
    pid_t pid = fork();
    must(pid >= 0, "cannot fork");
    if (pid == 0) {
        child(below, command, fault);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if ((status != 0 && below->failures < TOLD_MAX) || below->is_verbose) {
        tell(below, command, fault, status);
    }
    return status == 0;
}

static void try_case(struct below *below, size_t command, const struct below_fault *fault)
{
    below->cases++;
    bool is_mine =
        below->cases / below->step % below->jobs == below->job && below->cases % below->step == 0;
    if (below->only != 0 ? below->cases != below->only : !is_mine) {
        return;
    }
    below->tried++;
    below->of_call[fault->is_memory ? DISK_CALL_ANY : fault->disk.call]++;
    below->failures += !run_child(below, command, fault);
}

/* --- All cases -------------------------------------------------------------------------------- */

/* How each call can fail. 0 ends the list; -1 stands for a short write. */
static const int errors[DISK_CALL_ANY][8] = {
    [DISK_CALL_OPEN] = {EIO, ENOSPC, EDQUOT, EMFILE, EINTR},
    [DISK_CALL_MKDIR] = {EIO, ENOSPC, EDQUOT},
    [DISK_CALL_RENAME] = {EIO, ENOSPC},
    [DISK_CALL_UNLINK] = {EIO},
    [DISK_CALL_READ] = {EIO, EINTR},
    [DISK_CALL_WRITE] = {EIO, ENOSPC, EDQUOT, EINTR, -1},
    [DISK_CALL_SIZE] = {EIO, ENOSPC, EINTR},
    [DISK_CALL_CLAIM] = {EIO, ENOSPC, EDQUOT, EINTR, EOPNOTSUPP},
    [DISK_CALL_FLUSH] = {EIO, ENOSPC, EDQUOT, EINTR},
    [DISK_CALL_MAP] = {ENOMEM, EAGAIN},
};

static void try_disk_faults(struct below *below, size_t command, const uint64_t *calls)
{
    for (int call = 0; call < DISK_CALL_ANY; call++) {
        for (const int *error = errors[call]; *error != 0; error++) {
            for (uint64_t nth = 1; nth <= calls[call]; nth++) {
                struct below_fault fault = {.disk = {.call = (enum disk_call)call,
                                                     .error = *error < 0 ? 0 : *error,
                                                     .nth = nth,
                                                     .count = 1}};
                try_case(below, command, &fault);
                /* What interrupts does not go on for ever. */
                fault.disk.count = *error == EINTR ? 3 : STAYS;
                try_case(below, command, &fault);
            }
        }
    }
}

static void try_memory_faults(struct below *below, size_t command, uint64_t calls)
{
    for (uint64_t nth = 1; nth <= calls; nth++) {
        struct below_fault fault = {.is_memory = true,
                                    .disk = {.error = ENOMEM, .nth = nth, .count = 1}};
        try_case(below, command, &fault);
        fault.disk.count = STAYS;
        try_case(below, command, &fault);
    }
}

static void try_all(struct below *below)
{
    size_t commands = below->what == WHAT_COMMANDS ? below_commands_count() : 1;
    for (size_t i = 0; i < commands; i++) {
        struct below_fault none = {.is_memory = below->is_memory};
        uint64_t calls[DISK_CALL_ANY + 1];
        if (!run_child(below, i, &none)) {
            below->failures++;
            tell(below, i, &none, 0);
            continue;
        }
        memcpy(calls, below->shared->calls, sizeof(calls));
        if (below->is_memory) {
            try_memory_faults(below, i, below->shared->memory_calls);
        } else {
            try_disk_faults(below, i, calls);
        }
    }
}

/* --- Begin ------------------------------------------------------------------------------------ */

static const struct argp_option options[] = {
    {"scratch", 'd', "DIR", 0, "An empty folder", 0},
    {"job", 'j', "N", 0, "Of --jobs, this part, from 0", 0},
    {"jobs", 'J', "N", 0, "How many share the work", 0},
    {"step", 's', "N", 0, "Every Nth case", 0},
    {"only", 'o', "NUMBER", 0, "That case", 0},
    {"verbose", 'v', NULL, 0, "Say what each case said", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct below *below = state->input;
    switch (key) {
    case 'd':
        below->scratch = argument;
        return 0;
    case 'j':
        below->job = strtoull(argument, NULL, 10);
        return 0;
    case 'J':
        below->jobs = strtoull(argument, NULL, 10);
        return 0;
    case 's':
        below->step = strtoull(argument, NULL, 10);
        return 0;
    case 'o':
        below->only = strtoull(argument, NULL, 10);
        return 0;
    case 'v':
        below->is_verbose = true;
        return 0;
    case ARGP_KEY_ARG:
        below->is_memory = strstr(argument, "-memory") != NULL;
        below->what = strncmp(argument, "new", 3) == 0   ? WHAT_NEW
                      : strncmp(argument, "old", 3) == 0 ? WHAT_OLD
                                                         : WHAT_COMMANDS;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void make_base(struct below *below)
{
    pid_t pid = fork();
    must(pid >= 0, "cannot fork");
    if (pid == 0) {
        below_make(below->base);
        _exit(0);
    }
    int status = 0;
    must(waitpid(pid, &status, 0) == pid && status == 0, "no spool to begin with");
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = options, .parser = parse, .args_doc = "WHAT"};
    static struct below below = {.jobs = 1, .step = 1};
    (void)setlocale(LC_ALL, "");
    argp_parse(&argp, argc, argv, 0, NULL, &below);
    must(below.scratch != NULL && below.jobs > 0 && below.step > 0, "--scratch is needed");
    below.shared = mmap(NULL, sizeof(*below.shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(below.shared != MAP_FAILED, "out of memory");
    shared = below.shared;
    (void)snprintf(below.root, sizeof(below.root), "%s/root", below.scratch);
    (void)snprintf(below.base, sizeof(below.base), "%s/base", below.scratch);
    (void)snprintf(below.said, sizeof(below.said), "%s/said", below.scratch);
    make_base(&below);
    try_all(&below);
    printf("{\"cases\": %" PRIu64 ", \"tried\": %" PRIu64 ", \"hits\": %" PRIu64
           ", \"failures\": %" PRIu64,
           below.cases, below.tried, below.shared->hits, below.failures);
    for (int call = 0; call <= DISK_CALL_ANY; call++) {
        printf(", \"%s\": %" PRIu64,
               call == DISK_CALL_ANY ? "memory" : disk_call_name((enum disk_call)call),
               below.of_call[call]);
    }
    printf("}\n");
    (void)nftw(below.root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    (void)nftw(below.base, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return below.failures == 0 ? 0 : 1;
}
