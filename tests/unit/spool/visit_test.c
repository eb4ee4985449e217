/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/visit.h"

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
#include "spool/live.h"
#include "spool/pause.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* LMDB allows one opening of a folder in a process: so the owner is a child, told and asked by
 * pipe. */
struct owner {
    pid_t pid;
    int to;
    int from;
};

/* What the child does with each letter that it is told. */
static void owner_run(struct spool_fixture *fixture, int from_parent, int to_parent)
{
    char told;
    uint32_t destination;
    spool_fixture_open(fixture);
    do {
        if (write(to_parent, "d", 1) != 1 || read(from_parent, &told, 1) != 1) {
            _exit(1);
        }
        if (told == 'a') {
            spool_fixture_append(fixture, 1, 100);
        } else if (told == 'r') { /* read, and stay */
            static struct cursor cursor;
            assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 0), 0);
        } else if (told == 'n') {
            assert_int_equal(spool_destination_open(fixture->spool, "third", "third", &destination,
                                                    &fixture->message),
                             0);
        } else if (told == 'g') { /* grow: another limit, and beyond the old one */
            spool_fixture_close(fixture);
            fixture->config.max_bytes *= 4;
            spool_fixture_open(fixture);
            for (int i = 0; i < 80; i++) {
                spool_fixture_append(fixture, 1, 100000);
            }
        }
    } while (told != 'q');
    _exit(0);
}

static void owner_wait(struct owner *owner)
{
    char done;
    assert_int_equal(read(owner->from, &done, 1), 1);
}

static void owner_tell(struct owner *owner, char what)
{
    assert_int_equal(write(owner->to, &what, 1), 1);
    owner_wait(owner);
}

static void owner_start(struct owner *owner, struct spool_fixture *fixture)
{
    int to[2];
    int from[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    owner->pid = fork();
    assert_true(owner->pid >= 0);
    if (owner->pid == 0) {
        owner_run(fixture, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    owner->to = to[1];
    owner->from = from[0];
    owner_wait(owner);
}

static void owner_stop(struct owner *owner)
{
    int status;
    assert_int_equal(write(owner->to, "q", 1), 1);
    assert_int_equal(waitpid(owner->pid, &status, 0), owner->pid);
    assert_int_equal(status, 0);
    close(owner->to);
    close(owner->from);
}

static int try_visit(struct spool_fixture *fixture)
{
    return spool_visit(fixture->dir, &fixture->clock, &fixture->spool, &fixture->message);
}

static void visit(struct spool_fixture *fixture)
{
    int r = try_visit(fixture);
    if (r != 0) {
        fail_msg("%d: %s", r, fixture->message.text);
    }
}

static void assert_says(const struct spool_fixture *fixture, const char *text)
{
    if (strstr(fixture->message.text, text) == NULL) {
        fail_msg("'%s' is not in the message '%s'", text, fixture->message.text);
    }
}

static void make_spool(struct spool_fixture *fixture)
{
    spool_fixture_open(fixture);
    spool_fixture_append(fixture, 1, 100);
    spool_fixture_append(fixture, 2, 100);
    spool_fixture_close(fixture);
}

static size_t count_files(const struct spool_fixture *fixture)
{
    size_t count = 0;
    static const char *const names[] = {"data.mdb", "lock.mdb", "owner.lock", "live"};
    for (size_t i = 0; i < SPOOL_COUNT_OF(names); i++) {
        count += access(spool_fixture_path(fixture, names[i]), F_OK) == 0;
    }
    return count;
}

/* --- Nobody owns it --------------------------------------------------------------------------- */

static void a_visitor_reads_what_an_owner_left(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t sequences[4];
    bool is_owned = true;
    char owner[SPOOL_OWNER_BYTES];
    struct spool_space space;
    make_spool(fixture);
    visit(fixture);
    assert_int_equal(spool_destinations_count(fixture->spool), 2);
    assert_int_equal(spool_fixture_counter(fixture, DESTINATION_ALL, COUNTER_QUEUE_RECORDS), 2);
    assert_int_equal(spool_fixture_sequences(fixture, 2, false, sequences, 4), 1);
    assert_int_equal(sequences[0], 2);
    assert_int_equal(spool_owner(fixture->spool, &is_owned, owner), 0);
    assert_false(is_owned);
    assert_string_equal(owner, "");
    assert_int_equal(spool_space(fixture->spool, &space), 0);
    assert_int_equal(space.limit_bytes, fixture->config.max_bytes);
    assert_true(space.used_bytes > 0 && space.used_bytes <= space.file_bytes);
    assert_int_equal(spool_dir(fixture->spool)[0], '/');
}

/* The file remembers the largest map that it ever had: a visitor that took that for its limit would
 * write beyond the owner's. */
static void a_visitor_keeps_to_the_last_owners_limits(void **state)
{
    struct spool_fixture *fixture = *state;
    struct live_writer *writer = NULL;
    struct live *live = calloc(1, sizeof(*live));
    struct spool_space space;
    assert_non_null(live);
    fixture->config.max_bytes = 32U << 20;
    make_spool(fixture);
    fixture->config.max_bytes = 2U << 20;
    fixture->config.max_records = 3;
    spool_fixture_open(fixture);
    live_describe(fixture->spool, live);
    assert_int_equal(live_open(fixture->spool, &writer), 0);
    assert_int_equal(live_write(writer, live), 0);
    live_close(&writer);
    free(live);
    spool_fixture_close(fixture);
    visit(fixture);
    assert_int_equal(spool_space(fixture->spool, &space), 0);
    assert_int_equal(space.limit_bytes, 2U << 20);
    assert_int_equal(batch_new(fixture->spool, &fixture->batch), 0);
    SPOOL_CLEANUP(spool_fixture_free_record)
    struct span record = spool_fixture_record(100, 1, NULL);
    uint64_t sequence;
    int refusal;
    assert_int_equal(spool_fixture_try_append(fixture, 1, record, &sequence, &refusal), 0);
    assert_int_equal(spool_fixture_try_append(fixture, 1, record, &sequence, &refusal),
                     BATCH_E_REFUSED);
}

static void a_visitor_makes_nothing_where_no_spool_is(void **state)
{
    struct spool_fixture *fixture = *state;
    assert_int_equal(try_visit(fixture), SPOOL_E_REFUSED);
    assert_int_not_equal(access(fixture->dir, F_OK), 0);
    assert_int_equal(mkdir(fixture->dir, 0700), 0);
    assert_int_equal(try_visit(fixture), SPOOL_E_REFUSED);
    assert_says(fixture, "there is no spool in this folder");
    assert_int_equal(count_files(fixture), 0);

    int fd = open(spool_fixture_path(fixture, "data.mdb"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(try_visit(fixture), SPOOL_E_REFUSED);
    assert_says(fixture, "empty");
    assert_int_equal(write(fd, "no LMDB file, but somebody's text", 33), 33);
    assert_int_equal(try_visit(fixture), SPOOL_E_DAMAGED);
    close(fd);
    assert_int_equal(count_files(fixture), 1);
    assert_null(fixture->spool);
}

static void a_visitor_leaves_damage_where_it_is(void **state)
{
    struct spool_fixture *fixture = *state;
    struct stat status;
    make_spool(fixture);
    int fd = open(spool_fixture_path(fixture, "data.mdb"), O_WRONLY | O_CLOEXEC);
    for (int page = 0; page < 2; page++) {
        /* The root of the main database. */
        assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\x0f", 8, page * 4096 + 128), 8);
    }
    close(fd);
    assert_int_equal(stat(spool_fixture_path(fixture, "data.mdb"), &status), 0);
    assert_int_equal(try_visit(fixture), SPOOL_E_DAMAGED);
    assert_says(fixture, "damaged");
    struct stat after;
    assert_int_equal(stat(spool_fixture_path(fixture, "data.mdb"), &after), 0);
    assert_int_equal(after.st_ino, status.st_ino);
    assert_int_equal(after.st_mtim.tv_nsec, status.st_mtim.tv_nsec);
}

/* In a process of its own: 0 sound, 1 damaged; SIGBUS's number when LMDB fell off the file's end.
 */
static int visit_apart(struct spool_fixture *fixture)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGBUS, _exit);
        int r = try_visit(fixture);
        spool_close(&fixture->spool);
        _exit(r == 0 ? 0 : r == SPOOL_E_DAMAGED ? 1 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_visitor_finds_that_pages_are_missing(void **state)
{
    struct spool_fixture *fixture = *state;
    struct stat status;
    unsigned damaged = 0;
    spool_fixture_open(fixture);
    for (int i = 0; i < 20; i++) {
        spool_fixture_append(fixture, 1, 30000);
    }
    for (uint64_t i = 1; i < 15; i++) {
        spool_fixture_settle(fixture, SETTLE_DELIVERED, 1, i);
    }
    spool_fixture_close(fixture);
    const char *path = spool_fixture_path(fixture, "data.mdb");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(visit_apart(fixture), 0);
    for (off_t size = status.st_size - 4096; size > 8192; size -= 4096) {
        assert_int_equal(truncate(path, size), 0);
        int code = visit_apart(fixture);
        assert_true(code == 0 || code == 1 || code == SIGBUS);
        /* Once a page is missing, no shorter file is sound. */
        assert_true(damaged == 0 || code != 0);
        damaged += code != 0;
        struct stat after;
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(after.st_size, size);
    }
    assert_true(damaged > 50);
}

/* --- Beside an owner -------------------------------------------------------------------------- */

static void a_visitor_sees_who_owns_it_and_what_comes(void **state)
{
    struct spool_fixture *fixture = *state;
    struct owner owner;
    bool is_owned;
    char name[SPOOL_OWNER_BYTES];
    char expected[32];
    owner_start(&owner, fixture);
    visit(fixture);
    assert_int_equal(spool_owner(fixture->spool, &is_owned, name), 0);
    assert_true(is_owned);
    (void)snprintf(expected, sizeof(expected), "pid %d", (int)owner.pid);
    assert_non_null(strstr(name, expected));
    owner_tell(&owner, 'a');
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 1);

    owner_tell(&owner, 'n');
    assert_int_equal(spool_destinations_count(fixture->spool), 2);
    assert_int_equal(spool_refresh(fixture->spool), 0);
    assert_int_equal(spool_destinations_count(fixture->spool), 3);
    assert_string_equal(spool_destination_identity(fixture->spool, 3), "third");
    assert_int_equal(spool_fixture_counter(fixture, 3, COUNTER_QUEUE_RECORDS), 0);
    uint64_t sequences[1];
    assert_int_equal(spool_fixture_sequences(fixture, 3, false, sequences, 1), 0);
    owner_stop(&owner);
    assert_int_equal(spool_owner(fixture->spool, &is_owned, name), 0);
    assert_false(is_owned);
}

static void a_visitor_writes_beside_the_owner(void **state)
{
    struct spool_fixture *fixture = *state;
    struct owner owner;
    owner_start(&owner, fixture);
    owner_tell(&owner, 'a');
    owner_tell(&owner, 'a');
    visit(fixture);
    assert_int_equal(batch_new(fixture->spool, &fixture->batch), 0);
    spool_fixture_settle(fixture, SETTLE_DROP, 1, 1);
    assert_int_equal(spool_pause(fixture->spool, 2, true, &fixture->message), 0);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 1);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_DROPPED), 1);
    owner_tell(&owner, 'a');
    assert_int_equal(spool_fixture_append(fixture, 1, 100), 4);
    owner_stop(&owner);
    spool_fixture_check(fixture);
}

static void a_visitor_follows_the_owner_to_a_larger_map(void **state)
{
    struct spool_fixture *fixture = *state;
    struct owner owner;
    uint64_t sequence;
    struct span stored;
    owner_start(&owner, fixture);
    owner_tell(&owner, 'a');
    visit(fixture);
    owner_tell(&owner, 'g');
    struct cursor cursor;
    assert_int_equal(cursor_begin_queue(&cursor, fixture->spool, 1, 81), 0);
    assert_int_equal(cursor_next(&cursor, &sequence, &stored), 0);
    assert_int_equal(sequence, 81);
    cursor_end(&cursor);
    assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_QUEUE_RECORDS), 81);
    struct spool_space space;
    assert_int_equal(spool_space(fixture->spool, &space), 0);
    assert_int_equal(space.limit_bytes, 4 * fixture->config.max_bytes);
    owner_stop(&owner);
}

static void a_visitor_sees_who_reads_and_how_far_behind(void **state)
{
    struct spool_fixture *fixture = *state;
    struct owner owner;
    struct spool_readers readers;
    owner_start(&owner, fixture);
    owner_tell(&owner, 'a');
    visit(fixture);
    assert_int_equal(spool_readers(fixture->spool, &readers), 0);
    assert_int_equal(readers.count, 0);
    assert_int_equal(readers.oldest_pid, 0);
    owner_tell(&owner, 'r');
    assert_int_equal(spool_readers(fixture->spool, &readers), 0);
    assert_int_equal(readers.count, 1);
    assert_int_equal(readers.oldest_pid, owner.pid);
    assert_int_equal(readers.behind_count, 0);
    owner_tell(&owner, 'a');
    owner_tell(&owner, 'a');
    assert_int_equal(spool_readers(fixture->spool, &readers), 0);
    assert_int_equal(readers.behind_count, 2);
    owner_stop(&owner);
}

static void a_visitor_is_told_when_the_file_is_another_one(void **state)
{
    struct spool_fixture *fixture = *state;
    char moved[128];
    make_spool(fixture);
    visit(fixture);
    assert_int_equal(spool_refresh(fixture->spool), 0);
    (void)snprintf(moved, sizeof(moved), "%s/moved", fixture->root);
    assert_int_equal(rename(spool_fixture_path(fixture, "data.mdb"), moved), 0);
    assert_int_equal(spool_refresh(fixture->spool), VISIT_E_REPLACED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up_closed, spool_fixture_tear_down)
        TEST(a_visitor_reads_what_an_owner_left),
        TEST(a_visitor_keeps_to_the_last_owners_limits),
        TEST(a_visitor_makes_nothing_where_no_spool_is),
        TEST(a_visitor_leaves_damage_where_it_is),
        TEST(a_visitor_finds_that_pages_are_missing),
        TEST(a_visitor_sees_who_owns_it_and_what_comes),
        TEST(a_visitor_writes_beside_the_owner),
        TEST(a_visitor_follows_the_owner_to_a_larger_map),
        TEST(a_visitor_sees_who_reads_and_how_far_behind),
        TEST(a_visitor_is_told_when_the_file_is_another_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
