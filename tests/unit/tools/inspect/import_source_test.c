/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/import_source.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "spool/audit.h"
#include "tests/harness/spool_fixture.h"

static void open_text(struct spool_fixture *fixture, const char *text,
                      struct import_source *ret_source)
{
    const char *path = spool_fixture_path(fixture, "lines");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(import_source_open(ret_source, path, &fixture->message), 0);
    assert_true(ret_source->is_file);
}

static void assert_line(struct import_source *source, const char *line)
{
    assert_int_equal(import_source_next(source), 0);
    assert_int_equal(source->line_bytes, strlen(line));
    assert_memory_equal(source->line, line, strlen(line));
}

static void import_source_next_reads_lines_with_and_without_an_end(void **state)
{
    struct spool_fixture *fixture = *state;
    struct import_source source;
    open_text(fixture, "one\n\nthree", &source);
    for (int i = 0; i < 2; i++) {
        assert_line(&source, "one");
        assert_line(&source, "");
        assert_line(&source, "three");
        assert_int_equal(source.lines_count, 3);
        assert_int_equal(import_source_next(&source), IMPORT_SOURCE_E_END);
        import_source_rewind(&source);
        assert_int_equal(source.lines_count, 0);
    }
    import_source_close(&source);
}

static void import_source_open_says_what_is_wrong(void **state)
{
    struct spool_fixture *fixture = *state;
    struct import_source source;
    assert_int_equal(import_source_open(&source, "/nowhere/at/all", &fixture->message), -ENOENT);
    assert_non_null(strstr(fixture->message.text, "/nowhere/at/all: No such file"));
    assert_int_equal(import_source_open(&source, fixture->dir, &fixture->message), -EISDIR);
    assert_non_null(strstr(fixture->message.text, "a folder"));
    import_source_close(&source);
}

/* As import notes how far it came. */
static void note_import(struct spool_fixture *fixture, const struct import_source *source)
{
    char what[IMPORT_MARK_BYTES];
    import_mark_print(source, source->lines_count, source->checksum, what);
    struct audit_entry entry = {
        .act = AUDIT_IMPORT,
        .who = {"a test", 6},
        .what = {what, strlen(what)},
    };
    assert_int_equal(spool_audit_append(fixture->spool, &entry, &fixture->message), 0);
}

/* After how many lines an earlier import is known again; 0: it never is. */
static uint64_t match(struct spool_fixture *fixture, const char *text)
{
    struct import_source source;
    struct import_marks marks;
    uint64_t matched = 0;
    open_text(fixture, text, &source);
    assert_int_equal(import_marks_read(&marks, fixture->spool), 0);
    while (import_source_next(&source) == 0) {
        if (import_marks_match(&marks, &source)) {
            matched = source.lines_count;
        }
    }
    import_marks_free(&marks);
    import_source_close(&source);
    return matched;
}

static void import_marks_match_only_the_same_lines(void **state)
{
    struct spool_fixture *fixture = *state;
    struct import_source source;
    assert_int_equal(match(fixture, "one\ntwo\n"), 0);
    open_text(fixture, "one\ntwo\nthree\n", &source);
    assert_line(&source, "one");
    assert_line(&source, "two");
    note_import(fixture, &source);
    assert_int_equal(match(fixture, "one\ntwo\nthree\n"), 2);
    assert_int_equal(match(fixture, "one\ntwo\n"), 2);
    assert_int_equal(match(fixture, "one\n"), 0);
    assert_int_equal(match(fixture, "one\ntwx\nthree\n"), 0);
    assert_int_equal(match(fixture, "two\none\n"), 0);
    /* It came further later. */
    import_source_close(&source);
    open_text(fixture, "one\ntwo\nthree\n", &source);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(import_source_next(&source), 0);
    }
    note_import(fixture, &source);
    assert_int_equal(match(fixture, "one\ntwo\nthree\nfour\n"), 3);
    import_source_close(&source);
}

static void import_marks_read_passes_by_what_is_no_import(void **state)
{
    struct spool_fixture *fixture = *state;
    static const char *const texts[] = {"", "lines 1 to", "lines 1 to x (checksum 0) of f",
                                        "lines 1 to 3 (checksum  of f"};
    for (size_t i = 0; i < SPOOL_COUNT_OF(texts); i++) {
        struct audit_entry entry = {
            .act = i == 0 ? AUDIT_DROP : AUDIT_IMPORT,
            .who = {"a test", 6},
            .what = {texts[i], strlen(texts[i])},
        };
        assert_int_equal(spool_audit_append(fixture->spool, &entry, &fixture->message), 0);
    }
    struct import_marks marks;
    assert_int_equal(import_marks_read(&marks, fixture->spool), 0);
    assert_int_equal(marks.count, 0);
    import_marks_free(&marks);
}

#define IMPORT_TEST(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IMPORT_TEST(import_source_next_reads_lines_with_and_without_an_end),
        IMPORT_TEST(import_source_open_says_what_is_wrong),
        IMPORT_TEST(import_marks_match_only_the_same_lines),
        IMPORT_TEST(import_marks_read_passes_by_what_is_no_import),
    };
    return cmocka_run_group_tests_name("import_source", tests, NULL, NULL);
}
