/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fault planted for each thing that verify looks for; and none found where there is none. */
#include "spool/mend/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/environment.h"
#include "spool/little_endian.h"

#include <fcntl.h>

#define FOUND_MAX 32

/* --- What verify says ------------------------------------------------------------------------- */

struct found {
    struct verify_finding findings[FOUND_MAX];
    char databases[FOUND_MAX][32];
    size_t count;
    size_t left_out_count;
    bool is_owned;
    struct verify_result result;
    struct message message;
};

static void note_finding(void *context, const struct verify_finding *finding)
{
    struct found *found = context;
    if (found->count < FOUND_MAX) {
        found->findings[found->count] = *finding;
        (void)snprintf(found->databases[found->count], sizeof(found->databases[0]), "%s",
                       finding->database);
        found->findings[found->count].database = found->databases[found->count];
        found->count++;
    }
}

static void note_left_out(void *context, const char *what)
{
    struct found *found = context;
    assert_non_null(what);
    found->left_out_count++;
}

static bool tell_owned(void *context)
{
    return ((struct found *)context)->is_owned;
}

static const char *look_for_secret(void *context, uint32_t destination, struct span identity,
                                   struct span address)
{
    (void)context;
    (void)identity;
    assert_true(destination >= 1);
    return memmem(address.data, address.size_bytes, "canary", 6) != NULL ? "a secret" : NULL;
}

static int verify(const struct spool_fixture *fixture, struct found *found)
{
    struct verify_host host = {
        .context = found,
        .find = note_finding,
        .leave_out = note_left_out,
        .check_destination = look_for_secret,
        .is_owned = tell_owned,
    };
    int dir_fd = open(fixture->dir, O_RDONLY | O_DIRECTORY);
    assert_true(dir_fd >= 0);
    bool is_owned = found->is_owned;
    *found = (struct found){.is_owned = is_owned};
    int r = verify_spool(dir_fd, fixture->dir, &host, &found->result, &found->message);
    close(dir_fd);
    return r;
}

static void say(const struct found *found)
{
    for (size_t i = 0; i < found->count; i++) {
        const struct verify_finding *each = &found->findings[i];
        print_message("  %s: %s: sequence %ld, page %ld: %s\n", each->rule, each->database,
                      (long)each->sequence, (long)each->page, each->text);
    }
}

/* --- A spool with everything in it ------------------------------------------------------------ */

#define RECORDS 400U
#define TRIES 100

static void append_with_route(struct spool_fixture *fixture, uint32_t destination, size_t size)
{
    uint64_t sequence;
    int refusal;
    struct span record = spool_fixture_record(size, (uint32_t)size, "route");
    assert_int_equal(spool_fixture_try_append(fixture, destination, record, &sequence, &refusal),
                     0);
    spool_fixture_free_record(&record);
}

/* Sequences 1 to RECORDS, odd ones to destination 2; the first 50 dead, 51 to 100 delivered. */
static void fill(struct spool_fixture *fixture)
{
    static const size_t sizes[] = {100, 600, 2500, 333, 9000};
    for (uint32_t i = 1; i <= RECORDS; i++) {
        append_with_route(fixture, 1 + i % 2, sizes[i % 5]);
    }
    for (uint32_t i = 1; i <= 100; i++) {
        spool_fixture_settle(fixture, i <= 50 ? SETTLE_DEAD : SETTLE_DELIVERED, 1 + i % 2, i);
    }
    for (uint32_t i = 1; i <= 60; i++) {
        struct settlement run = {.action = SETTLE_REPORT_RUN, .sequence = i};
        assert_int_equal(batch_begin(fixture->batch, 0, 0), 0);
        assert_int_equal(batch_settle(fixture->batch, &run), 0);
        assert_int_equal(batch_commit(fixture->batch), 0);
    }
}

static int set_up(void **state)
{
    spool_fixture_set_up_closed(state);
    ((struct spool_fixture *)*state)->config.max_bytes = 16ULL << 20;
    spool_fixture_open(*state);
    fill(*state);
    spool_fixture_close(*state);
    return 0;
}

static void verify_finds_nothing_where_nothing_is_wrong(void **state)
{
    struct spool_fixture *fixture = *state;
    for (int owned = 0; owned < 2; owned++) {
        struct found found = {.is_owned = owned == 1};
        /* It fits into one slice, but for a machine so busy that 10 ms are over before. */
        for (int tries = 0; tries == 0 || (!found.result.is_whole && tries < TRIES); tries++) {
            assert_int_equal(verify(fixture, &found), 0);
        }
        say(&found);
        assert_int_equal(found.result.findings_count, 0);
        assert_int_equal(found.result.waiting_count, RECORDS - 100);
        assert_int_equal(found.result.dead_count, 50);
        assert_int_equal(found.result.reports_count, 40);
        assert_true(found.result.is_whole);
        assert_int_equal(found.left_out_count, 0);
    }
}

static void verify_finds_nothing_in_a_new_spool(void **state)
{
    struct spool_fixture *fixture = *state;
    struct found found = {0};
    spool_fixture_open(fixture);
    assert_int_equal(verify(fixture, &found), 0);
    say(&found);
    assert_int_equal(found.result.findings_count, 0);
    spool_fixture_close(fixture);
}

/* --- Faults that LMDB lets us write ----------------------------------------------------------- */

static void put(MDB_txn *txn, const char *database, const void *key, size_t key_bytes,
                const void *value, size_t value_bytes)
{
    MDB_dbi db;
    MDB_val db_key = environment_key(key, key_bytes);
    MDB_val data = environment_key(value, value_bytes);
    assert_int_equal(mdb_dbi_open(txn, database, 0, &db), 0);
    assert_int_equal(mdb_put(txn, db, &db_key, &data, 0), 0);
}

static void get(MDB_txn *txn, const char *database, const void *key, size_t key_bytes,
                uint8_t *value, size_t *value_bytes)
{
    MDB_dbi db;
    MDB_val db_key = environment_key(key, key_bytes);
    MDB_val data;
    assert_int_equal(mdb_dbi_open(txn, database, 0, &db), 0);
    assert_int_equal(mdb_get(txn, db, &db_key, &data), 0);
    assert_true(data.mv_size <= *value_bytes);
    memcpy(value, data.mv_data, data.mv_size);
    *value_bytes = data.mv_size;
}

static void erase(MDB_txn *txn, const char *database, const void *key, size_t key_bytes)
{
    MDB_dbi db;
    MDB_val db_key = environment_key(key, key_bytes);
    assert_int_equal(mdb_dbi_open(txn, database, 0, &db), 0);
    assert_int_equal(mdb_del(txn, db, &db_key, NULL), 0);
}

static uint8_t scratch[16384];

/* Changes a byte of an entry with an integer key. */
static void change(MDB_txn *txn, const char *database, uint64_t sequence, size_t at, uint8_t value)
{
    size_t size = sizeof(scratch);
    get(txn, database, &sequence, 8, scratch, &size);
    assert_int_not_equal(scratch[at], value);
    scratch[at] = value;
    put(txn, database, &sequence, 8, scratch, size);
}

static void copy(MDB_txn *txn, const char *from, uint64_t sequence, const char *to,
                 uint64_t to_sequence)
{
    size_t size = sizeof(scratch);
    get(txn, from, &sequence, 8, scratch, &size);
    put(txn, to, &to_sequence, 8, scratch, size);
}

static void change_counter(MDB_txn *txn, uint32_t row, enum counter counter, int64_t delta)
{
    struct counters stored;
    size_t size = sizeof(stored);
    get(txn, "counters", &row, 4, (uint8_t *)&stored, &size);
    stored.values[counter] = htole64(le64toh(stored.values[counter]) + (uint64_t)delta);
    put(txn, "counters", &row, 4, &stored, size);
}

static void plant_two_queues(MDB_txn *txn)
{
    copy(txn, "queue.1", 200, "queue.2", 200);
}

static void plant_queue_and_dead(MDB_txn *txn)
{
    copy(txn, "dead.1", 2, "queue.1", 2);
}

static void plant_sequence_not_given(MDB_txn *txn)
{
    copy(txn, "queue.1", 200, "queue.1", RECORDS + 1);
}

static void plant_next_sequence(MDB_txn *txn)
{
    uint64_t next = htole64(300);
    put(txn, "meta", "next_sequence", 13, &next, 8);
}

static void plant_lost_record(MDB_txn *txn)
{
    uint64_t sequence = 200;
    erase(txn, "queue.1", &sequence, 8);
}

static void plant_total(MDB_txn *txn)
{
    change_counter(txn, DESTINATION_ALL, COUNTER_DELIVERED, 1);
}

static void plant_queue_bytes(MDB_txn *txn)
{
    change_counter(txn, DESTINATION_ALL, COUNTER_QUEUE_BYTES, -1);
    change_counter(txn, 1, COUNTER_QUEUE_BYTES, -1);
}

static void plant_dead_bytes(MDB_txn *txn)
{
    change_counter(txn, DESTINATION_ALL, COUNTER_DEAD_BYTES, 8);
    change_counter(txn, 2, COUNTER_DEAD_BYTES, 8);
}

static void plant_pages(MDB_txn *txn)
{
    change_counter(txn, DESTINATION_ALL, COUNTER_PAGES, 1);
    change_counter(txn, 2, COUNTER_PAGES, 1);
}

static void plant_report_count(MDB_txn *txn)
{
    change_counter(txn, 1, COUNTER_REPORT_RECORDS, 1);
}

static void plant_report_bytes(MDB_txn *txn)
{
    change_counter(txn, DESTINATION_ALL, COUNTER_REPORT_BYTES, 1);
}

static void plant_report_number(MDB_txn *txn)
{
    uint64_t next = htole64(70);
    put(txn, "meta", "next_report", 11, &next, 8);
}

static void plant_report_destination(MDB_txn *txn)
{
    change(txn, "reports", 80, 32, 77);
}

static void plant_report_without_route(MDB_txn *txn)
{
    uint64_t number = 80;
    struct span record = spool_fixture_record(500, 1, NULL);
    size_t size = sizeof(scratch);
    get(txn, "reports", &number, 8, scratch, &size);
    memcpy(scratch + 48, record.data, record.size_bytes);
    put(txn, "reports", &number, 8, scratch, 48 + record.size_bytes);
    spool_fixture_free_record(&record);
}

static void plant_largest(MDB_txn *txn)
{
    change_counter(txn, DESTINATION_ALL, COUNTER_LARGEST_BYTES, -1);
}

static void plant_waiting_record(MDB_txn *txn)
{
    change(txn, "queue.1", 200, 90, 0x5a);
}

static void plant_dead_record(MDB_txn *txn)
{
    change(txn, "dead.1", 2, 100, 0x5a);
}

static void plant_dead_reason(MDB_txn *txn)
{
    change(txn, "dead.1", 2, 1, SETTLE_DELIVERED);
}

static void plant_dead_head(MDB_txn *txn)
{
    change(txn, "dead.1", 2, 0, 9);
}

static void plant_report_head(MDB_txn *txn)
{
    change(txn, "reports", 80, 0, 9);
}

static void plant_secret(MDB_txn *txn)
{
    static const char row[] = "\x03\0\0\0\x06\0\0\0onecanary";
    uint32_t id = 1;
    put(txn, "destinations", &id, 4, row, sizeof(row) - 1);
}

static void plant_destination_row(MDB_txn *txn)
{
    uint32_t id = 2;
    put(txn, "destinations", &id, 4, "\x03\0\0\0\x06\0\0\0one", 11);
}

static void plant_destination_gap(MDB_txn *txn)
{
    uint32_t id = 4;
    put(txn, "destinations", &id, 4, "\x03\0\0\0\x03\0\0\0oneone", 14);
}

static void plant_missing_queue(MDB_txn *txn)
{
    MDB_dbi db;
    assert_int_equal(mdb_dbi_open(txn, "queue.2", 0, &db), 0);
    assert_int_equal(mdb_drop(txn, db, 1), 0);
}

static void plant_foreign_queue(MDB_txn *txn)
{
    MDB_dbi db;
    assert_int_equal(mdb_dbi_open(txn, "queue.9", MDB_CREATE | MDB_INTEGERKEY, &db), 0);
}

static void plant_missing_uuid(MDB_txn *txn)
{
    erase(txn, "meta", "uuid", 4);
}

static void plant_short_number(MDB_txn *txn)
{
    put(txn, "meta", "next_sequence", 13, "1234", 4);
}

struct plant {
    const char *rule;
    const char *database;
    void (*plant)(MDB_txn *txn);
};

static const struct plant plants[] = {
    {"S2", "queue.2", plant_two_queues},
    {"S2", "dead.1", plant_queue_and_dead},
    {"S3", "queue.1", plant_sequence_not_given},
    {"S3", "queue.2", plant_next_sequence},
    {"S4", "counters", plant_lost_record},
    {"S4", "counters", plant_total},
    {"S4", "counters", plant_queue_bytes},
    {"S4", "counters", plant_dead_bytes},
    {"S4", "counters", plant_pages},
    {"S4", "counters", plant_report_count},
    {"S4", "counters", plant_report_bytes},
    {"S5", "reports", plant_report_number},
    {"S5", "reports", plant_report_destination},
    {"S5", "reports", plant_report_without_route},
    {"S7", "counters", plant_largest},
    {"record", "queue.1", plant_waiting_record},
    {"record", "dead.1", plant_dead_record},
    {"record", "dead.1", plant_dead_reason},
    {"record", "dead.1", plant_dead_head},
    {"record", "reports", plant_report_head},
    {"S11", "destinations", plant_secret},
    {"format", "destinations", plant_destination_row},
    {"format", "destinations", plant_destination_gap},
    {"format", "queue.2", plant_missing_queue},
    {"format", "queue.9", plant_foreign_queue},
    {"format", "meta", plant_missing_uuid},
    {"format", "meta", plant_short_number},
};

static bool has_finding(const struct found *found, const char *rule, const char *database)
{
    for (size_t i = 0; i < found->count; i++) {
        if (strcmp(found->findings[i].rule, rule) == 0 &&
            strcmp(found->findings[i].database, database) == 0) {
            return true;
        }
    }
    return false;
}

/* A file's bytes, and back. */
static uint8_t *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, file), size);
    (void)fclose(file);
    *ret_size = size;
    return bytes;
}

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void plant_one(const struct spool_fixture *fixture, const struct plant *plant)
{
    MDB_env *env;
    MDB_txn *txn;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 32), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 16U << 20), 0);
    assert_int_equal(mdb_env_open(env, fixture->dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    plant->plant(txn);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void verify_finds_each_planted_fault(void **state)
{
    struct spool_fixture *fixture = *state;
    size_t size;
    uint8_t *sound = read_file(spool_fixture_path(fixture, "data.mdb"), &size);
    for (size_t i = 0; i < SPOOL_COUNT_OF(plants); i++) {
        struct found found = {.is_owned = i % 2 == 1};
        bool is_found = false;
        write_file(spool_fixture_path(fixture, "data.mdb"), sound, size);
        plant_one(fixture, &plants[i]);
        /* What takes a look at the whole is left out when one slice does not see it. */
        for (int tries = 0; tries == 0 || (!is_found && found.is_owned && tries < TRIES); tries++) {
            assert_int_equal(verify(fixture, &found), 0);
            is_found = has_finding(&found, plants[i].rule, plants[i].database);
        }
        if (!is_found) {
            say(&found);
            fail_msg("plant %zu: no %s in %s", i, plants[i].rule, plants[i].database);
        }
        assert_true(found.result.findings_count >= found.count);
    }
    free(sound);
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, spool_fixture_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        A_TEST(verify_finds_nothing_where_nothing_is_wrong),
        A_TEST(verify_finds_each_planted_fault),
        cmocka_unit_test_setup_teardown(verify_finds_nothing_in_a_new_spool,
                                        spool_fixture_set_up_closed, spool_fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
