/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/pause.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/cursor.h"
#include "spool/environment.h"

static uint64_t paused_since(struct spool_fixture *fixture, uint32_t destination)
{
    uint64_t since_wall_ms = 1;
    assert_int_equal(spool_paused_since(fixture->spool, destination, &since_wall_ms), 0);
    return since_wall_ms;
}

static void set_paused(struct spool_fixture *fixture, uint32_t destination, bool pauses)
{
    assert_int_equal(spool_pause(fixture->spool, destination, pauses, &fixture->message), 0);
}

static void spool_pause_is_per_destination_and_keeps_the_first_time(void **state)
{
    struct spool_fixture *fixture = *state;
    assert_int_equal(paused_since(fixture, 1), 0);
    uint64_t begin_ms = fixture->now_ms;
    set_paused(fixture, 1, true);
    fixture->now_ms += 5000;
    set_paused(fixture, 1, true);
    assert_int_equal(paused_since(fixture, 1), begin_ms);
    assert_int_equal(paused_since(fixture, 2), 0);
    set_paused(fixture, 1, false);
    set_paused(fixture, 1, false);
    assert_int_equal(paused_since(fixture, 1), 0);
    set_paused(fixture, 1, true);
    assert_int_equal(paused_since(fixture, 1), begin_ms + 5000);
}

static void spool_pause_outlives_the_program(void **state)
{
    struct spool_fixture *fixture = *state;
    set_paused(fixture, 2, true);
    spool_fixture_close(fixture);
    spool_fixture_open(fixture);
    assert_int_equal(paused_since(fixture, 1), 0);
    assert_int_equal(paused_since(fixture, 2), fixture->now_ms);
    (void)spool_fixture_append(fixture, 2, 100);
    spool_fixture_check(fixture);
}

/* What a newer program may have stored behind the time. */
static void put_meta(struct spool_fixture *fixture, const char *name, const void *value,
                     size_t size_bytes)
{
    MDB_txn *txn;
    MDB_val key = environment_key(name, strlen(name));
    MDB_val data = environment_key(value, size_bytes);
    assert_int_equal(mdb_txn_begin(fixture->spool->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, fixture->spool->meta, &key, &data, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static void spool_paused_since_takes_any_value_for_paused(void **state)
{
    struct spool_fixture *fixture = *state;
    put_meta(fixture, "paused.1", "\x05\0\0\0\0\0\0\0and more", 16);
    assert_int_equal(paused_since(fixture, 1), 5);
    put_meta(fixture, "paused.1", "short", 5);
    assert_int_equal(paused_since(fixture, 1), 1);
    set_paused(fixture, 1, false);
    assert_int_equal(paused_since(fixture, 1), 0);
}

static void spool_pause_of_a_latched_spool_is_refused(void **state)
{
    struct spool_fixture *fixture = *state;
    atomic_store(&fixture->spool->is_latched, true);
    assert_int_equal(spool_pause(fixture->spool, 1, true, &fixture->message), SPOOL_E_LATCHED);
    assert_non_null(strstr(fixture->message.text, "cannot pause the destination"));
    /* What was committed can still be read. */
    assert_int_equal(paused_since(fixture, 1), 0);
    assert_int_equal(spool_reopen(fixture->spool, &fixture->message), 0);
    set_paused(fixture, 1, true);
    assert_int_equal(paused_since(fixture, 1), fixture->now_ms);
}

static uint64_t audit_count(struct spool_fixture *fixture)
{
    struct cursor cursor;
    uint64_t number = 0;
    struct span stored;
    uint64_t count = 0;
    if (cursor_begin_audit(&cursor, fixture->spool, 1) != 0) {
        return 0;
    }
    while (cursor_next(&cursor, &number, &stored) == 0) {
        count++;
    }
    cursor_end(&cursor);
    return count;
}

static void spool_pause_audited_notes_a_change_with_the_change(void **state)
{
    struct spool_fixture *fixture = *state;
    struct audit_entry entry = {.act = AUDIT_PAUSE, .destination = 1, .who = {"somebody", 8}};
    assert_int_equal(spool_pause_audited(fixture->spool, 1, true, &entry, &fixture->message), 0);
    assert_int_equal(audit_count(fixture), 1);
    /* It is paused already. */
    assert_int_equal(spool_pause_audited(fixture->spool, 1, true, &entry, &fixture->message), 0);
    assert_int_equal(audit_count(fixture), 1);
    atomic_store(&fixture->spool->is_latched, true);
    assert_int_equal(spool_pause_audited(fixture->spool, 1, false, &entry, &fixture->message),
                     SPOOL_E_LATCHED);
    assert_int_equal(audit_count(fixture), 1);
    assert_int_not_equal(paused_since(fixture, 1), 0);
}

#define PAUSE_TEST(function)                                                                       \
    cmocka_unit_test_setup_teardown(function, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAUSE_TEST(spool_pause_is_per_destination_and_keeps_the_first_time),
        PAUSE_TEST(spool_pause_outlives_the_program),
        PAUSE_TEST(spool_paused_since_takes_any_value_for_paused),
        PAUSE_TEST(spool_pause_audited_notes_a_change_with_the_change),
        PAUSE_TEST(spool_pause_of_a_latched_spool_is_refused),
    };
    return cmocka_run_group_tests_name("pause", tests, NULL, NULL);
}
