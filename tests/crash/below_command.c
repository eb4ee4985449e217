/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of spool-inspect, each with a fault. */
#include "tests/crash/below.h"

#include "spool/mend/verify.h"
#include "tools/inspect/command.h"
#include "tools/inspect/inspect.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 10

/* "@NAME" stands for a path in the work folder. */
struct tried {
    const char *words[WORDS_MAX];
    bool takes_out; /* records may be gone afterwards */
    bool puts_in;   /* there may be more */
};

static const struct tried tried[] = {
    {.words = {"status"}},
    {.words = {"status", "--json"}},
    {.words = {"ls"}},
    {.words = {"ls", "--json"}},
    {.words = {"show", "5", "6"}},
    {.words = {"dead", "ls"}},
    {.words = {"export"}},
    {.words = {"metrics", "--output", "@metrics"}},
    {.words = {"audit"}},
    {.words = {"verify"}},
    {.words = {"pause", "2"}},
    {.words = {"resume", "2"}},
    {.words = {"dead", "requeue", "--all", "--yes"}},
    {.words = {"dead", "drop", "--all", "--export", "@dead", "--yes"}, .takes_out = true},
    {.words = {"drop", "--destination", "1", "--export", "@waiting", "--yes"}, .takes_out = true},
    {.words = {"expire", "--all", "--yes"}},
    {.words = {"move", "--destination", "1", "--into", "2", "--yes"}},
    {.words = {"import", "--again", "@import"}, .puts_in = true},
    {.words = {"compact"}},
    {.words = {"salvage", "--into", "@saved"}},
};

size_t below_commands_count(void)
{
    return SPOOL_COUNT_OF(tried);
}

const char *below_command_name(size_t command)
{
    static char name[128];
    (void)snprintf(name, sizeof(name), "%s %s", tried[command].words[0],
                   tried[command].words[1] != NULL ? tried[command].words[1] : "");
    return name;
}

/* --- What must hold --------------------------------------------------------------------------- */

static void say_finding(void *context, const struct verify_finding *finding)
{
    (void)context;
    below_fail("verify: %s: %s: %s", finding->rule, finding->database, finding->text);
}

/* How many records there are, waiting or dead; the spool is sound. */
static uint64_t count(const char *dir)
{
    struct verify_host host = {.find = say_finding};
    struct verify_result result = {0};
    struct message message;
    SPOOL_CLEANUP(spool_close_fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (verify_spool(fd, dir, &host, &result, &message) != 0) {
        below_fail("verify: %s", message.text);
    }
    return result.waiting_count + result.dead_count;
}

static bool exists(const char *work, const char *name)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", work, name);
    return access(path, F_OK) == 0;
}

/* --- Running ---------------------------------------------------------------------------------- */

static int run(const struct tried *each, const char *dir, const char *work)
{
    static char paths[WORDS_MAX][PATH_MAX];
    char *argv[WORDS_MAX + 1] = {0};
    int argc = 0;
    int used = 0;
    struct inspect inspect = {.spool_dir = dir};
    for (; argc < WORDS_MAX && each->words[argc] != NULL; argc++) {
        argv[argc] = (char *)(uintptr_t)each->words[argc];
        if (argv[argc][0] == '@') {
            (void)snprintf(paths[argc], sizeof(paths[argc]), "%s/%s", work, argv[argc] + 1);
            argv[argc] = paths[argc];
        }
    }
    const struct command *command = command_find(argc, argv, &used);
    if (command == NULL) {
        below_fail("no such command");
    }
    enum inspect_exit code = command->run(&inspect, argc - used + 1, argv + used - 1);
    spool_close(&inspect.spool);
    return (int)inspect_finish_output(code);
}

/* What import reads: an export of the spool itself. */
static void make_import(const char *dir, const char *work)
{
    char path[PATH_MAX];
    static const struct tried export = {.words = {"export"}};
    (void)snprintf(path, sizeof(path), "%s/import", work);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int before = dup(STDOUT_FILENO);
    if (fd < 0 || before < 0 || dup2(fd, STDOUT_FILENO) < 0) {
        below_fail("no file to import");
    }
    if (run(&export, dir, work) != 0) {
        below_fail("nothing to import");
    }
    (void)dup2(before, STDOUT_FILENO);
    close(before);
    close(fd);
}

static void check_said(int code)
{
    /* below.c has standard error in a file. */
    off_t said_bytes = lseek(STDERR_FILENO, 0, SEEK_END);
    if (code != 0 && code != 1 && code != 3) {
        below_fail("exit code %d", code);
    }
    if (code == 3 && said_bytes <= 0) {
        below_fail("exit code %d, and not a word", code);
    }
}

void below_command(size_t command, const char *dir, const char *work,
                   const struct below_fault *fault)
{
    const struct tried *each = &tried[command];
    uint64_t before = count(dir);
    if (strcmp(each->words[0], "import") == 0) {
        make_import(dir, work);
    }
    below_arm(fault);
    int code = run(each, dir, work);
    below_disarm();
    check_said(code);
    uint64_t after = count(dir);
    if ((after < before && !each->takes_out) || (after > before && !each->puts_in)) {
        below_fail("%llu records became %llu", (unsigned long long)before,
                   (unsigned long long)after);
    }
    if (after < before && strcmp(each->words[0], "drop") == 0 && !exists(work, "waiting")) {
        below_fail("records are gone, and were not written out before");
    }
    /* Without the fault it does what it did not do before. */
    if (code != 0 && each->takes_out) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/%s", work,
                       strcmp(each->words[0], "drop") == 0 ? "waiting" : "dead");
        (void)unlink(path);
    }
}
