/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/audit.h"

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

static const struct audit_entry an_entry = {
    .act = AUDIT_MOVE,
    .destination = 1,
    .to_destination = 2,
    .begun_wall_ms = 1000,
    .ended_wall_ms = 2000,
    .records_count = 3,
    .bytes = 4000,
    .who = {"alice (uid 1000)", 16},
    .what = {"key=call-1", 10},
};

static void append(struct spool_fixture *fixture, const struct audit_entry *entry)
{
    assert_int_equal(spool_audit_append(fixture->spool, entry, &fixture->message), 0);
}

/* Asserts that the log has so many entries, from that number on; the last is in *ret_last. */
static void read_log(struct spool_fixture *fixture, uint64_t first, uint64_t count,
                     struct audit_entry *ret_last, char last_what[AUDIT_TEXT_BYTES_MAX + 1])
{
    struct cursor cursor;
    struct span stored;
    uint64_t number;
    assert_int_equal(cursor_begin_audit(&cursor, fixture->spool, 0), 0);
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(cursor_next(&cursor, &number, &stored), 0);
        assert_int_equal(number, first + i);
        assert_int_equal(audit_decode(stored, ret_last), 0);
    }
    assert_int_equal(cursor_next(&cursor, &number, &stored), CURSOR_E_END);
    memcpy(last_what, ret_last->what.data, ret_last->what.size_bytes);
    last_what[ret_last->what.size_bytes] = '\0';
    cursor_end(&cursor);
}

static void spool_audit_append_makes_the_log_when_it_is_needed(void **state)
{
    struct spool_fixture *fixture = *state;
    struct cursor cursor;
    struct audit_entry entry;
    char what[AUDIT_TEXT_BYTES_MAX + 1];
    assert_int_equal(cursor_begin_audit(&cursor, fixture->spool, 0), CURSOR_E_END);
    append(fixture, &an_entry);
    read_log(fixture, 1, 1, &entry, what);
    assert_int_equal(entry.act, AUDIT_MOVE);
    assert_int_equal(entry.destination, 1);
    assert_int_equal(entry.to_destination, 2);
    assert_int_equal(entry.begun_wall_ms, 1000);
    assert_int_equal(entry.ended_wall_ms, 2000);
    assert_int_equal(entry.records_count, 3);
    assert_int_equal(entry.bytes, 4000);
    assert_int_equal(entry.who.size_bytes, 16);
    assert_string_equal(what, "key=call-1");
    spool_fixture_close(fixture);
    spool_fixture_open(fixture);
    read_log(fixture, 1, 1, &entry, what);
    (void)spool_fixture_append(fixture, 1, 100);
    spool_fixture_check(fixture);
}

static void spool_audit_append_keeps_the_last_entries_and_their_numbers(void **state)
{
    struct spool_fixture *fixture = *state;
    struct audit_entry entry = an_entry;
    char what[AUDIT_TEXT_BYTES_MAX + 1];
    for (uint64_t i = 1; i <= AUDIT_ENTRIES_MAX + 5; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "act %llu", (unsigned long long)i);
        entry.what = (struct span){text, strlen(text)};
        append(fixture, &entry);
    }
    read_log(fixture, 6, AUDIT_ENTRIES_MAX, &entry, what);
    assert_string_equal(what, "act 1005");
}

static void batch_audit_brings_its_entry_up_to_date(void **state)
{
    struct spool_fixture *fixture = *state;
    struct audit_entry entry = an_entry;
    uint64_t number = 0;
    char what[AUDIT_TEXT_BYTES_MAX + 1];
    append(fixture, &an_entry);
    for (uint64_t i = 0; i < 3; i++) {
        entry.records_count = i;
        assert_int_equal(batch_begin(fixture->batch, 0, 0), 0);
        assert_int_equal(batch_audit(fixture->batch, &entry, &number), 0);
        assert_int_equal(batch_commit(fixture->batch), 0);
        assert_int_equal(number, 2);
    }
    /* What was aborted was not done. */
    entry.records_count = 77;
    assert_int_equal(batch_begin(fixture->batch, 0, 0), 0);
    assert_int_equal(batch_audit(fixture->batch, &entry, &number), 0);
    batch_abort(fixture->batch);
    read_log(fixture, 1, 2, &entry, what);
    assert_int_equal(entry.records_count, 2);
}

static void audit_of_a_batch_that_was_aborted_can_be_made_again(void **state)
{
    struct spool_fixture *fixture = *state;
    struct audit_entry entry = an_entry;
    uint64_t number = 0;
    char what[AUDIT_TEXT_BYTES_MAX + 1];
    assert_int_equal(batch_begin(fixture->batch, 0, 0), 0);
    assert_int_equal(batch_audit(fixture->batch, &entry, &number), 0);
    batch_abort(fixture->batch);
    append(fixture, &an_entry);
    read_log(fixture, 1, 1, &entry, what);
}

static void audit_cuts_long_texts_and_takes_empty_ones(void **state)
{
    struct spool_fixture *fixture = *state;
    static char long_text[AUDIT_TEXT_BYTES_MAX + 100];
    struct audit_entry entry = an_entry;
    char what[AUDIT_TEXT_BYTES_MAX + 1];
    memset(long_text, 'x', sizeof(long_text));
    entry.what = (struct span){long_text, sizeof(long_text)};
    append(fixture, &entry);
    read_log(fixture, 1, 1, &entry, what);
    assert_int_equal(strlen(what), AUDIT_TEXT_BYTES_MAX);
    entry.who = (struct span){"a", 1};
    entry.what = (struct span){NULL, 0};
    append(fixture, &entry);
    read_log(fixture, 1, 2, &entry, what);
    assert_int_equal(entry.who.size_bytes, 1);
    assert_string_equal(what, "");
}

/* Bytes as they would be stored by a program that is damaged or newer. */
static void audit_decode_takes_no_other_bytes(void **state)
{
    (void)state;
    uint8_t stored[64] = {1, AUDIT_DROP, 4, 0, 12, 0};
    struct audit_entry entry = {.records_count = 7};
    assert_int_equal(audit_decode((struct span){stored, 64}, &entry), 0);
    assert_int_equal(audit_decode((struct span){stored, 63}, &entry), AUDIT_E_MALFORMED);
    assert_int_equal(audit_decode((struct span){stored, 47}, &entry), AUDIT_E_MALFORMED);
    assert_int_equal(audit_decode((struct span){NULL, 0}, &entry), AUDIT_E_MALFORMED);
    stored[0] = 2;
    assert_int_equal(audit_decode((struct span){stored, 64}, &entry), AUDIT_E_MALFORMED);
    stored[0] = 1;
    stored[1] = 200; /* a newer program's act: everything else can be shown */
    assert_int_equal(audit_decode((struct span){stored, 64}, &entry), 0);
    assert_string_equal(audit_act_name(entry.act), "unknown");
    for (int act = 0; act < AUDIT_ACT_COUNT; act++) {
        assert_non_null(audit_act_name((enum audit_act)act));
    }
}

static void spool_audit_append_of_a_latched_spool_is_refused(void **state)
{
    struct spool_fixture *fixture = *state;
    atomic_store(&fixture->spool->is_latched, true);
    assert_int_equal(spool_audit_append(fixture->spool, &an_entry, &fixture->message),
                     SPOOL_E_LATCHED);
    assert_non_null(strstr(fixture->message.text, "cannot write into the audit log"));
}

#define AUDIT_TEST(function)                                                                       \
    cmocka_unit_test_setup_teardown(function, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AUDIT_TEST(spool_audit_append_makes_the_log_when_it_is_needed),
        AUDIT_TEST(spool_audit_append_keeps_the_last_entries_and_their_numbers),
        AUDIT_TEST(batch_audit_brings_its_entry_up_to_date),
        AUDIT_TEST(audit_of_a_batch_that_was_aborted_can_be_made_again),
        AUDIT_TEST(audit_cuts_long_texts_and_takes_empty_ones),
        cmocka_unit_test(audit_decode_takes_no_other_bytes),
        AUDIT_TEST(spool_audit_append_of_a_latched_spool_is_refused),
    };
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
