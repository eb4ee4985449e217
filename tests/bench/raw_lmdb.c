/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-lmdb: what LMDB alone can do on this disk, flushed at each commit. Appends payloads of 512
 * bytes under growing keys, so many a commit; with a backlog it also deletes as many at the other
 * end, which is what a spool does that is drained as fast as it is filled.
 */
#include "tests/bench/measure.h"

#include <getopt.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>

#define MAP_BYTES (8ULL << 30)
/* As far behind the last append as deletes are: the records that a forwarder has in flight. */
#define BACKLOG_COMMITS 10

struct options {
    const char *dir;
    unsigned long per_commit;
    double seconds;
    bool deletes;
};

static struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"dir", required_argument, NULL, 'd'},
        {"per-commit", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'},
        {"delete", no_argument, NULL, 'x'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.per_commit = 1, .seconds = 1};
    int letter;

    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (letter) {
        case 'd':
            options.dir = optarg;
            break;
        case 'n':
            options.per_commit = strtoul(optarg, NULL, 10);
            break;
        case 's':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'x':
            options.deletes = true;
            break;
        default:
            measure_fail("--dir DIR [--per-commit N] [--seconds S] [--delete]");
        }
    }
    if (options.dir == NULL || options.per_commit == 0) {
        measure_fail("--dir and a --per-commit above 0 are needed");
    }
    return options;
}

static void must(int code, const char *what)
{
    if (code != 0) {
        measure_fail("%s: %s", what, mdb_strerror(code));
    }
}

static MDB_env *open_env(const char *dir, MDB_dbi *ret_db)
{
    MDB_env *env;
    MDB_txn *txn;

    must(mdb_env_create(&env), "mdb_env_create");
    must(mdb_env_set_mapsize(env, MAP_BYTES), "mdb_env_set_mapsize");
    must(mdb_env_set_maxdbs(env, 4), "mdb_env_set_maxdbs");
    must(mdb_env_open(env, dir, 0, 0600), "mdb_env_open");
    must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    must(mdb_dbi_open(txn, "queue", MDB_CREATE | MDB_INTEGERKEY, ret_db), "mdb_dbi_open");
    must(mdb_txn_commit(txn), "mdb_txn_commit");
    return env;
}

static void delete_first(MDB_txn *txn, MDB_dbi db, unsigned long count)
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val data;

    must(mdb_cursor_open(txn, db, &cursor), "mdb_cursor_open");
    for (unsigned long i = 0; i < count; i++) {
        must(mdb_cursor_get(cursor, &key, &data, i == 0 ? MDB_FIRST : MDB_NEXT), "mdb_cursor_get");
        must(mdb_cursor_del(cursor, 0), "mdb_cursor_del");
    }
    mdb_cursor_close(cursor);
}

static void commit_once(MDB_env *env, MDB_dbi db, const struct options *options, uint64_t *next)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    char payload[PAYLOAD_BYTES];

    measure_payload(payload);
    must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    must(mdb_cursor_open(txn, db, &cursor), "mdb_cursor_open");
    for (unsigned long i = 0; i < options->per_commit; i++) {
        uint64_t sequence = (*next)++;
        measure_stamp(payload, sequence);
        MDB_val key = {sizeof(sequence), &sequence};
        MDB_val data = {sizeof(payload), payload};
        must(mdb_cursor_put(cursor, &key, &data, MDB_APPEND), "mdb_cursor_put");
    }
    mdb_cursor_close(cursor);
    if (options->deletes && *next > BACKLOG_COMMITS * options->per_commit) {
        delete_first(txn, db, options->per_commit);
    }
    must(mdb_txn_commit(txn), "mdb_txn_commit");
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    MDB_dbi db;
    MDB_env *env = open_env(options.dir, &db);
    uint64_t next = 1;

    for (int i = 0; i < 2 * BACKLOG_COMMITS; i++) {
        commit_once(env, db, &options, &next);
    }
    uint64_t first = next;
    uint64_t begin_us = measure_now_us();
    uint64_t end_us = begin_us + (uint64_t)(options.seconds * 1e6);
    uint64_t now_us;
    do {
        commit_once(env, db, &options, &next);
        now_us = measure_now_us();
    } while (now_us < end_us);
    printf("{\"rate\": %.1f, \"records\": %llu}\n",
           (double)(next - first) * 1e6 / (double)(now_us - begin_us),
           (unsigned long long)(next - first));
    mdb_env_close(env);
    return 0;
}
