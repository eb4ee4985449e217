/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Damaged data files: never a crash, never a deletion, never a start that fails for them. */
#include "spool/data_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define META_BYTES 152

/* A file's bytes. */
struct bytes {
    uint8_t *data;
    size_t size;
};

static struct bytes read_bytes(const char *path)
{
    struct stat status;
    struct bytes bytes;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    bytes.size = (size_t)status.st_size;
    bytes.data = malloc(bytes.size + 1);
    assert_non_null(bytes.data);
    assert_int_equal(read(fd, bytes.data, bytes.size), bytes.size);
    close(fd);
    return bytes;
}

static void write_bytes(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

/* A spool with records, reports and dead letters, closed. */
static struct bytes make_spool(struct spool_fixture *fixture)
{
    spool_fixture_open(fixture);
    for (uint64_t i = 1; i <= 300; i++) {
        spool_fixture_append(fixture, 1 + (uint32_t)(i % 2), i % 50 == 0 ? 9000 : 300);
    }
    for (uint64_t i = 1; i <= 100; i++) {
        spool_fixture_settle(fixture, i % 3 == 0 ? SETTLE_DEAD : SETTLE_DELIVERED,
                             1 + (uint32_t)(i % 2), i);
    }
    spool_fixture_close(fixture);
    return read_bytes(spool_fixture_path(fixture, "data.mdb"));
}

/* The folder has exactly one set-aside folder; its data file has exactly these bytes. */
static void check_set_aside(struct spool_fixture *fixture, const uint8_t *data, size_t size)
{
    char path[512];
    const char *aside = spool_set_aside_path(fixture->spool);
    assert_non_null(aside);
    assert_non_null(strstr(aside, "/damaged-20231114T"));
    (void)snprintf(path, sizeof(path), "%s/data.mdb", aside);
    struct bytes kept = read_bytes(path);
    assert_int_equal(kept.size, size);
    assert_memory_equal(kept.data, data, size);
    free(kept.data);
}

static void remove_damaged(const char *aside)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/data.mdb", aside);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/lock.mdb", aside);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(aside), 0);
}

/* Opens the file, reads a little, and closes it: 0 sound, 1 set aside, 2 refused, -1 anything else.
 * A crash fails the test by itself. */
static int open_once(struct spool_fixture *fixture)
{
    struct counters counters;
    int r = spool_fixture_try_open(fixture);
    if (r != 0) {
        return r == SPOOL_E_REFUSED && fixture->message.text[0] != '\0' ? 2 : -1;
    }
    bool is_read = spool_counters(fixture->spool, DESTINATION_ALL, &counters) == 0;
    bool is_aside = spool_set_aside_path(fixture->spool) != NULL;
    spool_close(&fixture->spool);
    return !is_read ? -1 : is_aside ? 1 : 0;
}

static void remove_spool(struct spool_fixture *fixture)
{
    DIR *dir = opendir(fixture->dir);
    assert_non_null(dir);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "damaged-", 8) == 0) {
            char aside[512];
            (void)snprintf(aside, sizeof(aside), "%s/%s", fixture->dir, entry->d_name);
            remove_damaged(aside);
        }
    }
    closedir(dir);
}

/* --- Damage ----------------------------------------------------------------------------------- */

static void spool_open_sets_garbage_aside(void **state)
{
    static const size_t garbage_sizes[] = {1, 100, 4096, 8192, 100000};
    struct spool_fixture *fixture = *state;
    static uint8_t garbage[100000];
    for (size_t i = 0; i < sizeof(garbage); i++) {
        garbage[i] = (uint8_t)(i * 31 + i / 7);
    }
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    for (size_t i = 0; i < SPOOL_COUNT_OF(garbage_sizes); i++) {
        write_bytes(spool_fixture_path(fixture, "data.mdb"), garbage, garbage_sizes[i]);
        spool_fixture_open(fixture);
        check_set_aside(fixture, garbage, garbage_sizes[i]);
        assert_int_equal(spool_fixture_append(fixture, 1, 100), 1);
        spool_fixture_check(fixture);
        spool_fixture_close(fixture);
    }
}

static void spool_open_takes_an_empty_file_for_a_new_spool(void **state)
{
    struct spool_fixture *fixture = *state;
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    write_bytes(spool_fixture_path(fixture, "data.mdb"), "", 0);
    spool_fixture_open(fixture);
    assert_null(spool_set_aside_path(fixture->spool));
    assert_int_equal(spool_fixture_append(fixture, 1, 100), 1);
}

static void spool_open_gives_each_set_aside_spool_a_name(void **state)
{
    struct spool_fixture *fixture = *state;
    char first[512];
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    write_bytes(spool_fixture_path(fixture, "data.mdb"), "one", 3);
    spool_fixture_open(fixture);
    (void)snprintf(first, sizeof(first), "%s", spool_set_aside_path(fixture->spool));
    spool_fixture_close(fixture);
    write_bytes(spool_fixture_path(fixture, "data.mdb"), "two", 3);
    spool_fixture_open(fixture);
    assert_string_not_equal(spool_set_aside_path(fixture->spool), first);
    check_set_aside(fixture, (const uint8_t *)"two", 3);
}

/* At every length but the whole, what is left is set aside as it is, or is sound because only free
 * pages are missing. */
static void spool_open_of_a_file_cut_off_anywhere(void **state)
{
    struct spool_fixture *fixture = *state;
    struct bytes bytes = make_spool(fixture);
    size_t aside_count = 0;
    size_t sound_count = 0;
    for (size_t size = bytes.size - 1; size > 0; size -= size < 5000 ? 500 : 3000) {
        write_bytes(spool_fixture_path(fixture, "data.mdb"), bytes.data, size);
        spool_fixture_open(fixture);
        if (spool_set_aside_path(fixture->spool) != NULL) {
            check_set_aside(fixture, bytes.data, size);
            aside_count++;
            remove_damaged(spool_set_aside_path(fixture->spool));
        } else {
            assert_int_equal(spool_fixture_counter(fixture, 1, COUNTER_APPENDED), 150);
            sound_count++;
        }
        spool_fixture_check(fixture);
        spool_fixture_close(fixture);
        if (size < 500) {
            break;
        }
    }
    print_message("%zu lengths set aside, %zu sound\n", aside_count, sound_count);
    assert_true(aside_count > 10);
    free(bytes.data);
}

/* Opens the bytes as they are now: sound, set aside or refused, but never a failure or a crash. */
static void check_survives(struct spool_fixture *fixture, const struct bytes *bytes,
                           const char *what, size_t at, size_t counts[3])
{
    write_bytes(spool_fixture_path(fixture, "data.mdb"), bytes->data, bytes->size);
    int r = open_once(fixture);
    if (r < 0) {
        fail_msg("%s %zu: %d", what, at, r);
    }
    counts[r]++;
    remove_spool(fixture);
}

static void print_counts(const size_t counts[3])
{
    print_message("%zu sound, %zu set aside, %zu refused\n", counts[0], counts[1], counts[2]);
    assert_true(counts[1] > 0);
}

static void spool_open_survives_any_flipped_bit_of_a_meta_page(void **state)
{
    struct spool_fixture *fixture = *state;
    struct bytes bytes = make_spool(fixture);
    size_t counts[3] = {0};
    for (size_t bit = 0; bit < (size_t)2 * META_BYTES * 8; bit++) {
        size_t page = bit / ((size_t)META_BYTES * 8);
        uint8_t *byte = bytes.data + page * 4096 + bit / 8 % META_BYTES;
        *byte ^= (uint8_t)(1U << bit % 8);
        check_survives(fixture, &bytes, "bit of the meta pages", bit, counts);
        *byte ^= (uint8_t)(1U << bit % 8);
    }
    print_counts(counts);
    free(bytes.data);
}

static void spool_open_survives_a_page_of_zeros_anywhere(void **state)
{
    struct spool_fixture *fixture = *state;
    struct bytes bytes = make_spool(fixture);
    size_t counts[3] = {0};
    for (size_t page = 0; page < bytes.size / 4096; page++) {
        uint8_t kept[4096];
        memcpy(kept, bytes.data + page * 4096, sizeof(kept));
        memset(bytes.data + page * 4096, 0, sizeof(kept));
        check_survives(fixture, &bytes, "zeros in page", page, counts);
        memcpy(bytes.data + page * 4096, kept, sizeof(kept));
    }
    print_counts(counts);
    free(bytes.data);
}

#define A_TEST(name)                                                                               \
    cmocka_unit_test_setup_teardown(name, spool_fixture_set_up_closed, spool_fixture_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(spool_open_sets_garbage_aside),
        A_TEST(spool_open_takes_an_empty_file_for_a_new_spool),
        A_TEST(spool_open_gives_each_set_aside_spool_a_name),
        A_TEST(spool_open_of_a_file_cut_off_anywhere),
        A_TEST(spool_open_survives_any_flipped_bit_of_a_meta_page),
        A_TEST(spool_open_survives_a_page_of_zeros_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
