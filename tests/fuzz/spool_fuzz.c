/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a spool, as spool-inspect looks at them. An input says which sound spool to take and
 * what to change in it, so that small inputs reach deep: the rest of the pages stays as LMDB wrote
 * it. Every looking command, and salvage, must end with a documented exit code and say why; salvage
 * must save each record whose own pages nothing happened to.
 *
 * An input: u8 base, of which 0x80 commands print JSON, 0x40 salvage, else the looking commands (it
 * costs as much as all of them); then edits to its end, see enum edit. SPOOL_FUZZ_BASES names the
 * folder with the sound spools; tests/fuzz/fuzz_test.py makes it.
 */
#include "tests/fuzz/spool_edit.h"
#include "tools/inspect/command.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <locale.h>
#include <sys/stat.h>

#define BASES_MAX 8
#define PATH_BYTES 512

static struct base bases[BASES_MAX];
static size_t bases_count;
static char scratch[PATH_BYTES];

static const char *const looking[][8] = {
    {"status", NULL},
    {"ls", NULL},
    {"show", "1", "7", "20", NULL},
    {"dead", "ls", NULL},
    {"dead", "show", "2", "4", NULL},
    {"metrics", NULL},
    {"export", NULL},
    {"audit", NULL},
    {"verify", NULL},
};

/* --- Folders ---------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_folder(const char *path)
{
    (void)nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *dir, const char *name, const uint8_t *bytes, size_t size_bytes)
{
    char path[PATH_BYTES + 32];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    fuzz_must(fd >= 0 && write(fd, bytes, size_bytes) == (ssize_t)size_bytes, "no room for a file");
    close(fd);
}

static void remove_scratch(void)
{
    remove_folder(scratch);
}

/* In memory, where a flush costs nothing. */
static void make_scratch(void)
{
    (void)snprintf(scratch, sizeof(scratch), "/dev/shm/spool-fuzz-XXXXXX");
    if (mkdtemp(scratch) == NULL) {
        (void)snprintf(scratch, sizeof(scratch), "/tmp/spool-fuzz-XXXXXX");
        fuzz_must(mkdtemp(scratch) != NULL, "no folder to work in");
    }
    (void)atexit(remove_scratch);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the parameters are libFuzzer's. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct dirent **names;
    const char *folder = getenv("SPOOL_FUZZ_BASES");
    fuzz_must(folder != NULL, "SPOOL_FUZZ_BASES must name the folder of the sound spools");
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.' && bases_count < BASES_MAX) {
            char path[PATH_BYTES];
            (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
            base_read(&bases[bases_count++], path);
        }
        free(names[i]);
    }
    free(names);
    fuzz_must(bases_count > 0, "SPOOL_FUZZ_BASES has no spool");
    (void)setlocale(LC_ALL, "C.UTF-8");
    make_scratch();
    return 0;
}

/* --- Commands --------------------------------------------------------------------------------- */

/* Words of a command line; argp writes into none of them. */
struct words {
    char *argv[12];
    int argc;
};

static void words_add(struct words *words, const char *word)
{
    words->argv[words->argc++] = (char *)(uintptr_t)word;
}

static int run_command(const char *dir, struct words *words)
{
    int used = 0;
    struct inspect inspect = {.spool_dir = dir};
    const struct command *command = command_find(words->argc, words->argv, &used);
    fuzz_must(command != NULL, "no such command");
    enum inspect_exit code = command->run(&inspect, words->argc - used + 1, words->argv + used - 1);
    spool_close(&inspect.spool);
    return (int)inspect_finish_output(code);
}

/* Runs a command; its words go nowhere, but for whether there were any. The streams are replaced,
 * not the descriptors: those are the sanitizers'. */
static int run_quietly(const char *dir, struct words *words)
{
    FILE *output = stdout;
    FILE *errors = stderr;
    char *said = NULL;
    size_t said_bytes = 0;
    stdout = fopen("/dev/null", "we");
    stderr = open_memstream(&said, &said_bytes);
    fuzz_must(stdout != NULL && stderr != NULL, "no streams");
    int code = run_command(dir, words);
    (void)fclose(stdout);
    (void)fclose(stderr);
    stdout = output;
    stderr = errors;
    free(said);
    fuzz_must(code == INSPECT_EXIT_DONE || code == INSPECT_EXIT_ATTENTION ||
                  code == INSPECT_EXIT_SPOOL,
              "an exit code that is not documented");
    fuzz_must(code != INSPECT_EXIT_SPOOL || said_bytes > 0, "it could not be read, and not a word");
    return code;
}

static void check_looking(const char *dir, bool is_json)
{
    for (size_t i = 0; i < SPOOL_COUNT_OF(looking); i++) {
        struct words words = {.argc = 0};
        for (size_t j = 0; looking[i][j] != NULL; j++) {
            words_add(&words, looking[i][j]);
        }
        if (is_json) {
            words_add(&words, "--json");
        }
        (void)run_quietly(dir, &words);
    }
}

static void check_salvage(const struct base *base, const struct edited *edited, const char *dir,
                          bool is_json)
{
    char saved[PATH_BYTES + 8];
    uint64_t expected = 0;
    uint64_t found = 0;
    struct words words = {.argc = 0};
    (void)snprintf(saved, sizeof(saved), "%s/s", scratch);
    words_add(&words, "salvage");
    words_add(&words, "--into");
    words_add(&words, saved);
    if (is_json) {
        words_add(&words, "--json");
    }
    int code = run_quietly(dir, &words);
    if (!edited->mutation.is_unreadable) {
        fuzz_must(code != INSPECT_EXIT_SPOOL, "salvage refused a file that can be read");
        fuzz_must(mutation_is_salvaged(base, &edited->mutation, saved, &expected, &found),
                  "a record was not salvaged");
    }
    remove_folder(saved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    char dir[PATH_BYTES + 8];
    struct fuzz_input input = {data, size_bytes};
    uint64_t head = fuzz_take_number(&input, 1);
    const struct base *base = &bases[(head & 0x3F) % bases_count];
    struct edited edited;
    (void)snprintf(dir, sizeof(dir), "%s/m", scratch);
    spool_edit(base, &input, &edited);
    fuzz_must(mkdir(dir, 0750) == 0, "no folder for the spool");
    write_file(dir, "data.mdb", edited.mutation.bytes, edited.mutation.size_bytes);
    if (edited.has_live) {
        write_file(dir, "live", edited.live, sizeof(edited.live));
    }
    bool is_json = (head & 0x80) != 0;
    if ((head & 0x40) != 0) {
        check_salvage(base, &edited, dir, is_json);
    } else {
        check_looking(dir, is_json);
    }
    spool_edit_free(&edited);
    remove_folder(dir);
    return 0;
}
