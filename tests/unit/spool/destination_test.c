/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Destinations that another program made in the meantime. The rest is in spool_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/spool_fixture.h"

#include "spool/environment.h"

/* A row and two databases, which this process's memory knows nothing of. */
static void make_behind(struct spool_fixture *fixture, uint32_t id, const char *identity)
{
    MDB_txn *txn;
    MDB_dbi queue;
    MDB_dbi dead;
    uint8_t row[64] = {(uint8_t)strlen(identity), 0, 0, 0, 1, 0, 0, 0};
    uint64_t sequence = 40 + id;
    memcpy(row + 8, identity, strlen(identity));
    row[8 + strlen(identity)] = 'x';
    MDB_val key = environment_key(&id, sizeof(id));
    MDB_val data = environment_key(row, 9 + strlen(identity));
    assert_int_equal(mdb_txn_begin(fixture->spool->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, fixture->spool->destinations_db, &key, &data, 0), 0);
    assert_int_equal(environment_open_queues(txn, id, MDB_CREATE, &queue, &dead), 0);
    key = environment_key(&sequence, sizeof(sequence));
    data = environment_key("bytes", 5);
    assert_int_equal(mdb_put(txn, queue, &key, &data, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static uint32_t open_destination(struct spool_fixture *fixture, const char *identity)
{
    uint32_t id = 0;
    assert_int_equal(spool_destination_open(fixture->spool, identity, "x", &id, &fixture->message),
                     0);
    return id;
}

static void spool_destination_open_takes_no_number_of_another_programs(void **state)
{
    struct spool_fixture *fixture = *state;
    uint64_t sequences[2];
    make_behind(fixture, 3, "third");
    make_behind(fixture, 4, "fourth");
    assert_int_equal(spool_destinations_count(fixture->spool), 2);
    assert_int_equal(open_destination(fixture, "mine"), 5);
    assert_int_equal(spool_destinations_count(fixture->spool), 5);
    assert_string_equal(spool_destination_identity(fixture->spool, 3), "third");
    assert_string_equal(spool_destination_identity(fixture->spool, 4), "fourth");
    assert_int_equal(spool_fixture_sequences(fixture, 4, false, sequences, 2), 1);
    assert_int_equal(sequences[0], 44);
    assert_int_equal(spool_fixture_sequences(fixture, 5, false, sequences, 2), 0);
}

static void spool_destination_open_finds_another_programs(void **state)
{
    struct spool_fixture *fixture = *state;
    make_behind(fixture, 3, "third");
    assert_int_equal(open_destination(fixture, "third"), 3);
    assert_int_equal(spool_destinations_count(fixture->spool), 3);
    make_behind(fixture, 4, "fourth");
    assert_int_equal(open_destination(fixture, "fourth"), 4);
    spool_fixture_close(fixture);
    spool_fixture_open(fixture);
    assert_int_equal(spool_destinations_count(fixture->spool), 4);
}

#define DESTINATION_TEST(function)                                                                 \
    cmocka_unit_test_setup_teardown(function, spool_fixture_set_up, spool_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DESTINATION_TEST(spool_destination_open_takes_no_number_of_another_programs),
        DESTINATION_TEST(spool_destination_open_finds_another_programs),
    };
    return cmocka_run_group_tests_name("destination", tests, NULL, NULL);
}
