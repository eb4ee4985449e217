/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/secret_file.h"

#include "spool/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CANARY "c4n4ry-0f-th3-m1ne"
#define NOBODY 65534

/* A folder of its own for each test, and the file that most tests use. */
struct fixture {
    char folder[64];
    char path[96];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    (void)snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/secret_file_test.XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/secret", fixture->folder);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    if (unlink(fixture->path) != 0) {
        (void)rmdir(fixture->path);
    }
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

static void write_file(const char *path, const void *bytes, size_t size_bytes, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size_bytes, file), size_bytes);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* Checks that a path is refused with the message, in which '@' stands for the path. */
static void assert_refused(const char *path, const char *expected)
{
    char wanted[MESSAGE_BYTES_MAX] = "";
    const char *at = strchr(expected, '@');
    if (at == NULL) {
        (void)snprintf(wanted, sizeof(wanted), "%s", expected);
    } else {
        (void)snprintf(wanted, sizeof(wanted), "%.*s%s%s", (int)(at - expected), expected, path,
                       at + 1);
    }
    char untouched[] = "untouched";
    char *value = untouched;
    struct message message = {.text = ""};
    assert_int_equal(secret_file_read(path, &value, &message), SECRET_FILE_E_UNUSABLE);
    assert_string_equal(message.text, wanted);
    assert_null(strstr(message.text, CANARY));
    assert_ptr_equal(value, untouched);
}

static void assert_value(const char *path, const char *expected)
{
    char *value = NULL;
    struct message message = {.text = ""};
    if (secret_file_read(path, &value, &message) != 0) {
        fail_msg("%s", message.text);
    }
    assert_string_equal(value, expected);
    secret_file_wipe(&value);
    assert_null(value);
}

static void secret_file_read_takes_one_line_end_off(void **state)
{
    struct fixture *fixture = *state;

    static const struct {
        const char *content;
        const char *value;
    } cases[] = {
        {"abc", "abc"},
        {"abc\n", "abc"},
        {"abc\r\n", "abc"},
        {"abc\n\n", "abc\n"},
        {"abc\r\n\r\n", "abc\r\n"},
        {"abc\r", "abc\r"},
        {" a b ", " a b "},
        {"line 1\nline 2\n", "line 1\nline 2"},
        {"%41&=+\xc3\xa4\x01\n", "%41&=+\xc3\xa4\x01"},
    };

    for (size_t i = 0; i < SPOOL_COUNT_OF(cases); i++) {
        write_file(fixture->path, cases[i].content, strlen(cases[i].content), 0600);
        assert_value(fixture->path, cases[i].value);
    }
}

static void secret_file_read_accepts_what_only_owner_and_group_can_read(void **state)
{
    struct fixture *fixture = *state;
    static const mode_t modes[] = {0400, 0440, 0600, 0640, 0700, 0750};
    for (size_t i = 0; i < SPOOL_COUNT_OF(modes); i++) {
        (void)unlink(fixture->path);
        write_file(fixture->path, "abc", 3, modes[i]);
        assert_value(fixture->path, "abc");
    }
}

static void secret_file_read_refuses_open_modes_and_says_what_mends_it(void **state)
{
    struct fixture *fixture = *state;

    static const struct {
        mode_t mode;
        const char *message;
    } cases[] = {
        {0644, "the file's mode 0644 lets everybody in; run: chmod 0640 '@'"},
        {0604, "the file's mode 0604 lets everybody in; run: chmod 0600 '@'"},
        {0602, "the file's mode 0602 lets everybody in; run: chmod 0600 '@'"},
        {0601, "the file's mode 0601 lets everybody in; run: chmod 0600 '@'"},
        {0777, "the file's mode 0777 lets everybody in; run: chmod 0750 '@'"},
        {0660, "the file's mode 0660 lets its group write; run: chmod 0640 '@'"},
        {0620, "the file's mode 0620 lets its group write; run: chmod 0600 '@'"},
    };

    for (size_t i = 0; i < SPOOL_COUNT_OF(cases); i++) {
        write_file(fixture->path, CANARY, strlen(CANARY), cases[i].mode);
        assert_refused(fixture->path, cases[i].message);
    }
}

static void secret_file_read_refuses_another_user_as_owner(void **state)
{
    struct fixture *fixture = *state;
    if (geteuid() != 0) {
        skip(); /* Only root can give a file away. */
    }
    write_file(fixture->path, CANARY, strlen(CANARY), 0600);
    assert_int_equal(chown(fixture->path, NOBODY, (gid_t)-1), 0);
    assert_refused(fixture->path,
                   "the file belongs to user 65534, who could change it; run: chown 0 '@'");
}

static void secret_file_read_accepts_its_own_user_and_root_as_owner(void **state)
{
    struct fixture *fixture = *state;
    if (geteuid() != 0) {
        skip(); /* Only root can become somebody else. */
    }
    assert_int_equal(chmod(fixture->folder, 0711), 0);
    write_file(fixture->path, "abc", 3, 0640);
    assert_int_equal(chown(fixture->path, 0, NOBODY), 0);
    gid_t group = getegid();
    assert_int_equal(setegid(NOBODY), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    assert_value(fixture->path, "abc");
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(chown(fixture->path, NOBODY, NOBODY), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    assert_value(fixture->path, "abc");
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(setegid(group), 0);
}

static void secret_file_read_refuses_what_is_no_regular_file(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    assert_refused(fixture->path, "'@' is not a regular file");
    assert_int_equal(rmdir(fixture->path), 0);

    /* Nobody writes to the fifo: waiting for a writer would never end. */
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_refused(fixture->path, "'@' is not a regular file");
    assert_refused("/dev/null", "'@' is not a regular file");
}

static void secret_file_read_refuses_paths_that_lead_nowhere(void **state)
{
    struct fixture *fixture = *state;
    assert_refused(fixture->path, "'@' cannot be opened: No such file or directory");
    assert_refused("", "the path of a secret's file must start with '/'");
    assert_refused(CANARY, "the path of a secret's file must start with '/'");
    assert_refused("./secret", "the path of a secret's file must start with '/'");
    assert_int_equal(symlink(fixture->path, fixture->path), 0);
    assert_refused(fixture->path, "'@' cannot be opened: Too many levels of symbolic links");
}

static void secret_file_read_cuts_long_paths_in_messages(void **state)
{
    (void)state;
    char path[2048] = "/";
    memset(path + 1, 'x', sizeof(path) - 2);
    char *value = NULL;
    struct message message;
    assert_int_equal(secret_file_read(path, &value, &message), SECRET_FILE_E_UNUSABLE);
    assert_non_null(strstr(message.text, "cannot be opened: File name too long"));
    assert_true(strlen(message.text) < 320);
}

static void secret_file_read_follows_symbolic_links(void **state)
{
    struct fixture *fixture = *state;
    char target[128];
    (void)snprintf(target, sizeof(target), "%s/target", fixture->folder);
    write_file(target, "abc\n", 4, 0600);
    assert_int_equal(symlink(target, fixture->path), 0);
    assert_value(fixture->path, "abc");

    /* What counts is the file, not the link. */
    assert_int_equal(chmod(target, 0666), 0);
    assert_refused(fixture->path, "the file's mode 0666 lets everybody in; run: chmod 0640 '@'");
    assert_int_equal(unlink(target), 0);
}

static void secret_file_read_refuses_empty_files(void **state)
{
    struct fixture *fixture = *state;
    static const char *const contents[] = {"", "\n", "\r\n"};
    for (size_t i = 0; i < SPOOL_COUNT_OF(contents); i++) {
        write_file(fixture->path, contents[i], strlen(contents[i]), 0600);
        assert_refused(fixture->path, "'@' is empty: write the secret into it");
    }
}

static void secret_file_read_refuses_nul_bytes(void **state)
{
    struct fixture *fixture = *state;
    static const char content[] = CANARY "\0more";
    write_file(fixture->path, content, sizeof(content) - 1, 0600);
    assert_refused(fixture->path, "'@' has a NUL byte in it: it must be text");
    write_file(fixture->path, "", 1, 0600);
    assert_refused(fixture->path, "'@' has a NUL byte in it: it must be text");
}

static void secret_file_read_holds_its_size_limit(void **state)
{
    struct fixture *fixture = *state;
    char *content = calloc(1, SECRET_FILE_BYTES_MAX + 2);
    assert_non_null(content);
    memset(content, 'x', SECRET_FILE_BYTES_MAX + 1);
    write_file(fixture->path, content, SECRET_FILE_BYTES_MAX + 1, 0600);
    assert_refused(fixture->path, "'@' has more than 65536 bytes: it is no secret");

    content[SECRET_FILE_BYTES_MAX] = '\0';
    write_file(fixture->path, content, SECRET_FILE_BYTES_MAX, 0600);
    assert_value(fixture->path, content);
    free(content);
}

static void secret_file_wipe_accepts_null(void **state)
{
    (void)state;
    char *value = NULL;
    secret_file_wipe(&value);
    assert_null(value);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(secret_file_read_takes_one_line_end_off),
        TEST(secret_file_read_accepts_what_only_owner_and_group_can_read),
        TEST(secret_file_read_refuses_open_modes_and_says_what_mends_it),
        TEST(secret_file_read_refuses_another_user_as_owner),
        TEST(secret_file_read_accepts_its_own_user_and_root_as_owner),
        TEST(secret_file_read_refuses_what_is_no_regular_file),
        TEST(secret_file_read_refuses_paths_that_lead_nowhere),
        TEST(secret_file_read_cuts_long_paths_in_messages),
        TEST(secret_file_read_follows_symbolic_links),
        TEST(secret_file_read_refuses_empty_files),
        TEST(secret_file_read_refuses_nul_bytes),
        TEST(secret_file_read_holds_its_size_limit),
        TEST(secret_file_wipe_accepts_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
