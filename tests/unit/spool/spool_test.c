/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/cursor.h"
#include "spool/environment.h"
#include "spool/outcome.h"

#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOBODY 65534

static void assert_message_has(const struct spool_fixture *fixture, const char *text)
{
    if (strstr(fixture->message.text, text) == NULL) {
        fail_msg("'%s' is not in the message '%s'", text, fixture->message.text);
    }
}

static void assert_refused(struct spool_fixture *fixture, const char *text)
{
    assert_int_equal(spool_fixture_try_open(fixture), SPOOL_E_REFUSED);
    assert_null(fixture->spool);
    assert_message_has(fixture, text);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Makes an LMDB file with one named database, or one plain value. */
static void make_foreign(struct spool_fixture *fixture, const char *database, const char *value_key)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = {.mv_size = strlen(value_key), .mv_data = (void *)(uintptr_t)value_key};
    MDB_val data = {.mv_size = 3, .mv_data = (void *)(uintptr_t) "abc"};
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, fixture->dir, 0, 0644), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, database, database != NULL ? MDB_CREATE : 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &key, &data, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* --- Opening ---------------------------------------------------------------------------------- */

static void spool_open_makes_a_spool_and_keeps_its_uuid_and_sequence(void **state)
{
    struct spool_fixture *fixture = *state;
    char uuid[37];
    uint64_t next;
    spool_fixture_open(fixture);
    assert_int_equal(strlen(spool_uuid(fixture->spool)), 36);
    (void)snprintf(uuid, sizeof(uuid), "%s", spool_uuid(fixture->spool));
    assert_int_equal(spool_next_sequence(fixture->spool, &next), 0);
    assert_int_equal(next, 1);
    spool_fixture_append(fixture, 1, 100);
    spool_fixture_append(fixture, 2, 100);
    spool_fixture_close(fixture);
    spool_fixture_open(fixture);
    assert_string_equal(spool_uuid(fixture->spool), uuid);
    assert_null(spool_set_aside_path(fixture->spool));
    assert_int_equal(spool_next_sequence(fixture->spool, &next), 0);
    assert_int_equal(next, 3);
    assert_int_equal(cursor_appended(fixture->spool, 1), 1);
    assert_int_equal(cursor_appended(fixture->spool, 2), 2);
    spool_fixture_check(fixture);
}

static void spool_open_works_in_either_durability(void **state)
{
    struct spool_fixture *fixture = *state;
    fixture->config.durability = SPOOL_NOMETASYNC;
    spool_fixture_open(fixture);
    spool_fixture_append(fixture, 1, 100);
    spool_fixture_close(fixture);
    fixture->config.durability = SPOOL_SYNC;
    spool_fixture_open(fixture);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 1);
}

static void spool_open_claims_disk_ahead(void **state)
{
    struct spool_fixture *fixture = *state;
    struct stat status;
    spool_fixture_open(fixture);
    assert_int_equal(stat(spool_fixture_path(fixture, "data.mdb"), &status), 0);
    assert_true((uint64_t)status.st_blocks * 512 >= SPOOL_BYTES_MIN);
    assert_int_equal(stat(spool_fixture_path(fixture, "lock.mdb"), &status), 0);
    assert_true(status.st_blocks * 512 >= status.st_size);
}

static void spool_open_without_may_create_makes_nothing(void **state)
{
    struct spool_fixture *fixture = *state;
    struct stat status;
    fixture->config.may_create = false;
    assert_refused(fixture, "cannot open the spool's folder: No such file");
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    assert_refused(fixture, "there is no spool in this folder");
    assert_int_not_equal(stat(spool_fixture_path(fixture, "owner.lock"), &status), 0);
}

static void spool_open_refuses_limits_out_of_range(void **state)
{
    struct spool_fixture *fixture = *state;
    fixture->config.max_bytes = SPOOL_BYTES_MIN - 1;
    assert_refused(fixture, "it must be from 1048576");
    fixture->config.max_bytes = SPOOL_BYTES_MAX + 1;
    assert_refused(fixture, "it must be from 1048576");
}

static void spool_open_is_refused_while_another_process_owns_it(void **state)
{
    struct spool_fixture *fixture = *state;
    int ready[2];
    int done[2];
    char byte = 0;
    char owner[64];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(done[1]);
        if (spool_fixture_try_open(fixture) != 0 || write(ready[1], &byte, 1) != 1 ||
            read(done[0], &byte, 1) != 0) {
            _exit(1);
        }
        spool_close(&fixture->spool);
        _exit(0);
    }
    close(done[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(spool_fixture_try_open(fixture), SPOOL_E_OWNED);
    (void)snprintf(owner, sizeof(owner), "in use by spool-test, pid %ld", (long)child);
    assert_message_has(fixture, owner);

    int status;
    close(done[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(spool_fixture_try_open(fixture), 0);
    close(ready[0]);
    close(ready[1]);
}

static void spool_open_works_after_its_owner_was_killed(void **state)
{
    struct spool_fixture *fixture = *state;
    int ready[2];
    char byte = 0;
    int status;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (spool_fixture_try_open(fixture) == 0 && write(ready[1], &byte, 1) == 1) {
            pause();
        }
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(spool_fixture_try_open(fixture), 0);
    close(ready[0]);
    close(ready[1]);
}

static void spool_open_refuses_a_newer_format(void **state)
{
    struct spool_fixture *fixture = *state;
    MDB_txn *txn;
    uint32_t format = htole32(SPOOL_FORMAT + 1);
    MDB_val key = environment_key("format", strlen("format"));
    MDB_val data = environment_key(&format, sizeof(format));
    spool_fixture_open(fixture);
    assert_int_equal(mdb_txn_begin(fixture->spool->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, fixture->spool->meta, &key, &data, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    spool_fixture_close(fixture);
    assert_refused(fixture, "has format 2, this version knows 1");
}

static void spool_open_refuses_an_lmdb_file_of_another_program(void **state)
{
    struct spool_fixture *fixture = *state;
    make_foreign(fixture, "people", "anna");
    assert_refused(fixture, "another program, not a spool");
}

static void spool_open_refuses_another_programs_meta_database(void **state)
{
    struct spool_fixture *fixture = *state;
    make_foreign(fixture, "meta", "anna");
    assert_refused(fixture, "another program, not a spool");
}

static void spool_open_refuses_another_programs_value_called_meta(void **state)
{
    struct spool_fixture *fixture = *state;
    make_foreign(fixture, NULL, "meta");
    assert_refused(fixture, "another program, not a spool");
}

static void spool_open_refuses_a_file_in_the_folders_place(void **state)
{
    struct spool_fixture *fixture = *state;
    write_file(fixture->dir, "text");
    assert_refused(fixture, "Not a directory");
}

static void spool_open_refuses_links_and_folders_in_its_files_places(void **state)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "owner.lock"};
    struct spool_fixture *fixture = *state;
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    for (size_t i = 0; i < SPOOL_COUNT_OF(files); i++) {
        const char *path = spool_fixture_path(fixture, files[i]);
        assert_int_equal(symlink("/etc/passwd", path), 0);
        assert_refused(fixture, "not a regular file");
        assert_message_has(fixture, files[i]);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        assert_refused(fixture, "not a regular file");
        assert_int_equal(rmdir(path), 0);
    }
}

/* Opens as another user, in a child. Its message comes back through a pipe. */
static void open_as_nobody(struct spool_fixture *fixture)
{
    int pipe_fds[2];
    int status;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool is_nobody =
            setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
        int r = is_nobody ? spool_fixture_try_open(fixture) : 99;
        if (write(pipe_fds[1], &fixture->message, sizeof(fixture->message)) < 0) {
            r = 98;
        }
        _exit(r < 0 ? 97 : r);
    }
    assert_int_equal(read(pipe_fds[0], &fixture->message, sizeof(fixture->message)),
                     (int)sizeof(fixture->message));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), SPOOL_E_REFUSED);
}

static void spool_open_says_who_may_not_write(void **state)
{
    struct spool_fixture *fixture = *state;
    if (geteuid() != 0) {
        print_message("skipped: only root can become another user\n");
        skip();
    }
    spool_fixture_open(fixture);
    spool_fixture_close(fixture);
    assert_int_equal(chmod(fixture->root, 0755), 0);
    assert_int_equal(chmod(fixture->dir, 0755), 0);
    open_as_nobody(fixture);
    assert_message_has(fixture, "cannot write into the spool's folder");
    assert_message_has(fixture, "65534");
    assert_int_equal(chmod(fixture->dir, 0777), 0);
    open_as_nobody(fixture);
    assert_message_has(fixture, "data.mdb: belongs to user id 0");
    assert_int_equal(chmod(fixture->dir, 0), 0);
    open_as_nobody(fixture);
    assert_message_has(fixture, "Permission denied");
    assert_int_equal(chmod(fixture->dir, 0755), 0);
}

static void spool_open_takes_the_processs_limit_for_files(void **state)
{
    struct spool_fixture *fixture = *state;
    struct rlimit before;
    struct rlimit limit;
    int refusal = 0;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = SPOOL_BYTES_MIN / 2, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_refused(fixture, "RLIMIT_FSIZE");
    limit.rlim_cur = SPOOL_BYTES_MIN + 5000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    spool_fixture_open(fixture);
    struct span record = spool_fixture_record(3000, 1, NULL);
    uint64_t sequence;
    int r = 0;
    while (r == 0) { /* a write beyond the limit would end the test by a signal */
        r = spool_fixture_try_append(fixture, 1, record, &sequence, &refusal);
    }
    spool_fixture_free_record(&record);
    assert_int_equal(r, BATCH_E_REFUSED);
    assert_int_equal(refusal, OUTCOME_FULL_BYTES);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

/* --- Destinations ----------------------------------------------------------------------------- */

static void spool_destination_open_finds_what_it_made(void **state)
{
    struct spool_fixture *fixture = *state;
    struct message message;
    uint32_t id;
    uint32_t again;
    spool_fixture_open(fixture);
    assert_int_equal(spool_destination_open(fixture->spool, "c", "address 1", &id, &message), 0);
    assert_int_equal(id, 3);
    assert_int_equal(spool_destination_open(fixture->spool, "c", "address 1", &again, &message), 0);
    assert_int_equal(again, 3);
    assert_int_equal(spool_destinations_count(fixture->spool), 3);
    assert_string_equal(spool_destination_identity(fixture->spool, 3), "c");
    assert_int_equal(spool_destination_open(fixture->spool, "c", "address 2", &again, &message), 0);
    assert_int_equal(again, 3);
    spool_fixture_close(fixture);
    spool_fixture_open(fixture);
    assert_int_equal(spool_destinations_count(fixture->spool), 3);
    assert_string_equal(spool_destination_address(fixture->spool, 3), "address 2");
}

static void spool_destination_open_refuses_one_too_many(void **state)
{
    struct spool_fixture *fixture = *state;
    struct message message;
    char identity[32];
    uint32_t id;
    spool_fixture_open(fixture);
    for (uint32_t i = 3; i <= DESTINATIONS_MAX; i++) {
        (void)snprintf(identity, sizeof(identity), "destination %u", i);
        assert_int_equal(spool_destination_open(fixture->spool, identity, "x", &id, &message), 0);
        assert_int_equal(id, i);
    }
    assert_int_equal(spool_destination_open(fixture->spool, "more", "x", &id, &message),
                     SPOOL_E_REFUSED);
    assert_non_null(strstr(message.text, "256 destinations"));
    assert_int_equal(spool_fixture_append(fixture, DESTINATIONS_MAX, 100), 1);
    spool_fixture_close(fixture);
    spool_fixture_open(fixture);
    assert_int_equal(spool_destinations_count(fixture->spool), DESTINATIONS_MAX);
    spool_fixture_check(fixture);
}

/* --- The latch -------------------------------------------------------------------------------- */

/* Finds LMDB's fd of the data file: the one for data, or the one that writes meta pages (O_DSYNC).
 */
static int find_data_fd(struct spool_fixture *fixture, bool is_meta)
{
    char wanted[PATH_MAX];
    char found[PATH_MAX];
    char link[64];
    assert_non_null(realpath(spool_fixture_path(fixture, "data.mdb"), wanted));
    for (int fd = 0; fd < 256; fd++) {
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, found, sizeof(found) - 1);
        if (size < 0 || fd == fixture->spool->claim.fd) {
            continue;
        }
        found[size] = '\0';
        if (strcmp(found, wanted) == 0 && ((fcntl(fd, F_GETFL) & O_DSYNC) != 0) == is_meta) {
            return fd;
        }
    }
    fail_msg("LMDB has no such fd");
    return -1;
}

/* Makes the fd's writes fail. Returns what undo_break() needs. */
static int break_writes(struct spool_fixture *fixture, int fd)
{
    int saved = dup(fd);
    int read_only = open(spool_fixture_path(fixture, "data.mdb"), O_RDONLY);
    assert_true(saved >= 0 && read_only >= 0);
    assert_int_equal(dup2(read_only, fd), fd);
    close(read_only);
    return saved;
}

static void undo_break(int fd, int saved)
{
    assert_int_equal(dup2(saved, fd), fd);
    close(saved);
}

static void fail_one_commit(struct spool_fixture *fixture, bool is_meta)
{
    struct span record = spool_fixture_record(200, 1, NULL);
    uint64_t sequence;
    int refusal;
    int fd = find_data_fd(fixture, is_meta);
    int saved = break_writes(fixture, fd);
    assert_int_equal(spool_fixture_try_append(fixture, 1, record, &sequence, &refusal),
                     BATCH_E_LATCHED);
    undo_break(fd, saved);
    spool_fixture_free_record(&record);
}

/* S9 */
static void check_latch(struct spool_fixture *fixture, bool is_meta)
{
    struct message message;
    uint32_t id;
    spool_fixture_open(fixture);
    spool_fixture_append(fixture, 1, 100);
    fail_one_commit(fixture, is_meta);
    assert_true(spool_is_latched(fixture->spool));
    assert_int_equal(batch_begin(fixture->batch, 0, 0), BATCH_E_LATCHED);
    assert_int_equal(spool_destination_open(fixture->spool, "new", "x", &id, &message),
                     SPOOL_E_LATCHED);
    struct cursor cursor;
    int r = cursor_begin_queue(&cursor, fixture->spool, 1, 0);
    assert_int_equal(r, is_meta ? CURSOR_E_LATCHED : 0);
    if (r == 0) {
        cursor_end(&cursor);
    }
    assert_int_equal(spool_reopen(fixture->spool, &message), 0);
    assert_false(spool_is_latched(fixture->spool));
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 1);
    assert_int_equal(spool_fixture_append(fixture, 1, 100), 2);
    assert_int_equal(spool_destination_open(fixture->spool, "new", "x", &id, &message), 0);
    assert_int_equal(id, 3);
    spool_fixture_check(fixture);
}

static void spool_is_latched_after_a_failed_data_write(void **state)
{
    check_latch(*state, false);
}

static void spool_is_latched_after_a_failed_meta_write(void **state)
{
    check_latch(*state, true);
}

static void spool_reopen_stays_latched_while_the_files_are_gone(void **state)
{
    struct spool_fixture *fixture = *state;
    struct message message;
    struct counters counters;
    struct cursor cursor;
    char moved[128];
    spool_fixture_open(fixture);
    spool_fixture_append(fixture, 1, 100);
    fail_one_commit(fixture, true);
    (void)snprintf(moved, sizeof(moved), "%s/moved", fixture->root);
    assert_int_equal(rename(fixture->dir, moved), 0);
    assert_int_not_equal(spool_reopen(fixture->spool, &message), 0);
    assert_true(message.text[0] != '\0');
    assert_true(spool_is_latched(fixture->spool));
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 0), CURSOR_E_LATCHED);
    assert_true(spool_counters(fixture->spool, 1, &counters) < 0);
    assert_int_equal(rename(moved, fixture->dir), 0);
    assert_int_equal(spool_reopen(fixture->spool, &message), 0);
    assert_int_equal(spool_fixture_append(fixture, 1, 100), 2);
}

struct reading {
    struct spool_fixture *fixture;
    atomic_bool stops;
    uint64_t records;
};

static void *read_on(void *context)
{
    struct reading *reading = context;
    while (!atomic_load(&reading->stops)) {
        struct cursor cursor;
        uint64_t sequence;
        struct span stored;
        if (cursor_begin_queue(&cursor, reading->fixture->spool, 1, 0) != 0) {
            continue;
        }
        while (cursor_next(&cursor, &sequence, &stored) == 0) {
            reading->records++;
        }
        cursor_end(&cursor);
    }
    return NULL;
}

static void spool_reopen_waits_for_readers(void **state)
{
    struct spool_fixture *fixture = *state;
    struct reading reading = {.fixture = fixture};
    struct message message;
    pthread_t thread;
    spool_fixture_open(fixture);
    for (int i = 0; i < 20; i++) {
        spool_fixture_append(fixture, 1, 100);
    }
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reading), 0);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(spool_reopen(fixture->spool, &message), 0);
    }
    atomic_store(&reading.stops, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(reading.records % 20, 0);
}

/* --- Small things ----------------------------------------------------------------------------- */

static void spool_id_print_names_the_first_spool(void **state)
{
    struct spool_fixture *fixture = *state;
    char text[SPOOL_ID_BYTES];
    char expected[SPOOL_ID_BYTES];
    static const uint8_t origin[16] = {0xab, [15] = 1};
    spool_fixture_open(fixture);
    spool_id_print(fixture->spool, NULL, UINT64_MAX, text);
    (void)snprintf(expected, sizeof(expected), "%s:18446744073709551615",
                   spool_uuid(fixture->spool));
    assert_string_equal(text, expected);
    spool_id_print(fixture->spool, origin, 7, text);
    assert_string_equal(text, "ab000000-0000-0000-0000-000000000001:7");
}

static void spool_space_tells_what_is_used(void **state)
{
    struct spool_fixture *fixture = *state;
    struct spool_space before;
    struct spool_space after;
    spool_fixture_open(fixture);
    assert_int_equal(spool_space(fixture->spool, &before), 0);
    assert_int_equal(before.limit_bytes, fixture->config.max_bytes);
    assert_false(before.is_disk_full);
    spool_fixture_append(fixture, 1, 100000);
    assert_int_equal(spool_space(fixture->spool, &after), 0);
    assert_true(after.used_bytes >= before.used_bytes + 100000);
    assert_true(after.file_bytes >= after.used_bytes);
    assert_true(after.claimed_bytes >= after.file_bytes);
}

#define A_TEST(name)                                                                               \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up_closed, spool_fixture_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(spool_open_makes_a_spool_and_keeps_its_uuid_and_sequence),
        A_TEST(spool_open_works_in_either_durability),
        A_TEST(spool_open_claims_disk_ahead),
        A_TEST(spool_open_without_may_create_makes_nothing),
        A_TEST(spool_open_refuses_limits_out_of_range),
        A_TEST(spool_open_is_refused_while_another_process_owns_it),
        A_TEST(spool_open_works_after_its_owner_was_killed),
        A_TEST(spool_open_refuses_a_newer_format),
        A_TEST(spool_open_refuses_an_lmdb_file_of_another_program),
        A_TEST(spool_open_refuses_another_programs_meta_database),
        A_TEST(spool_open_refuses_another_programs_value_called_meta),
        A_TEST(spool_open_refuses_a_file_in_the_folders_place),
        A_TEST(spool_open_refuses_links_and_folders_in_its_files_places),
        A_TEST(spool_open_says_who_may_not_write),
        A_TEST(spool_open_takes_the_processs_limit_for_files),
        A_TEST(spool_destination_open_finds_what_it_made),
        A_TEST(spool_destination_open_refuses_one_too_many),
        A_TEST(spool_is_latched_after_a_failed_data_write),
        A_TEST(spool_is_latched_after_a_failed_meta_write),
        A_TEST(spool_reopen_stays_latched_while_the_files_are_gone),
        A_TEST(spool_reopen_waits_for_readers),
        A_TEST(spool_id_print_names_the_first_spool),
        A_TEST(spool_space_tells_what_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
