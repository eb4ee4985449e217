/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a target once with each file of the folders that it is given, where it is not linked with
 * libFuzzer: so any compiler's sanitizers can look at the corpus, and coverage can be measured.
 *
 *   TARGET FOLDER...
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#pragma weak LLVMFuzzerInitialize

static void replay_file(const char *path)
{
    struct stat status;
    SPOOL_CLEANUP(spool_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        return;
    }
    size_t size_bytes = (size_t)status.st_size;
    SPOOL_CLEANUP(spool_free) uint8_t *bytes = malloc(size_bytes + 1);
    fuzz_must(bytes != NULL && read(fd, bytes, size_bytes) == (ssize_t)size_bytes,
              "a file cannot be read");
    /* Exactly as large as the input, so that one byte too many is seen. */
    SPOOL_CLEANUP(spool_free) uint8_t *exact = malloc(size_bytes);
    fuzz_must(exact != NULL || size_bytes == 0, "out of memory");
    if (size_bytes > 0) {
        memcpy(exact, bytes, size_bytes);
    }
    (void)LLVMFuzzerTestOneInput(exact, size_bytes);
}

static size_t replay_folder(const char *path)
{
    struct dirent *entry;
    size_t files_count = 0;
    DIR *folder = opendir(path);
    fuzz_must(folder != NULL, "a folder cannot be read");
    while ((entry = readdir(folder)) != NULL) {
        char file[4096];
        (void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        /* Named first: a finding ends the program. */
        (void)fprintf(stderr, "%s\n", file);
        replay_file(file);
        files_count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return files_count;
}

int main(int argc, char **argv)
{
    size_t files_count = 0;
    if (LLVMFuzzerInitialize != NULL) {
        (void)LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        files_count += replay_folder(argv[i]);
    }
    (void)fprintf(stderr, "%zu files replayed\n", files_count);
    return files_count > 0 ? 0 : 1;
}
