/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/tally.h"

#include "tests/sim/plan.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#define TALLIES_MAX 256
#define TALLY_TEXT_BYTES 48

struct tally_row {
    char kind[TALLY_TEXT_BYTES];
    char name[TALLY_TEXT_BYTES];
    uint64_t count;
};

static struct tally_row *rows; /* shared; a row without a kind is free, and so are those behind */

/* What must have happened, beside every kind of step. */
static const char *const wanted[][2] = {
    {"answer", "accepted"},
    {"answer", "full_bytes"},
    {"answer", "full_records"},
    {"answer", "full_destination_bytes"},
    {"answer", "full_destination_records"},
    {"answer", "full_disk"},
    {"answer", "oversized"},
    {"answer", "no_destination"},
    {"answer", "broken"},
    {"answer", "closed"},
    {"answer", "timeout"},
    {"answer", "unknown"},
    {"verdict", "delivered"},
    {"verdict", "duplicate"},
    {"verdict", "persisted"},
    {"verdict", "retry"},
    {"verdict", "hold"},
    {"verdict", "dead"},
    {"verdict", "fatal"},
    {"verdict", "returned"},
    {"verdict", "never reported"},
    {"refused", "busy"},
    {"refused", "dead"},
    {"refused", "retry"},
    {"left", "delivered"},
    {"left", "dead"},
    {"left", "corrupt"},
    {"left", "expired"},
    {"left", "expired, and dropped"},
    {"left", "dropped by an operator"},
    {"left", "dropped as the oldest"},
    {"left", "moved"},
    {"left", "requeued"},
    {"left", "dead letter dropped"},
    {"report", "run"},
    {"report", "run again"},
    {"report", "host was busy"},
    {"report", "without payload"},
    {"crash", "data pages"},
    {"crash", "flush"},
    {"crash", "meta page"},
    {"crash", "between steps"},
    {"crash", "power loss"},
    {"crash", "at the start"},
    {"crash", "in an operator's act"},
    {"during a flush", "forward"},
    {"during a flush", "publish"},
    {"during a flush", "give up"},
    {"write failure", "input/output error"},
    {"write failure", "no space"},
    {"write failure", "short"},
    {"spool", "latched"},
    {"spool", "reopened"},
    {"spool", "set aside"},
    {"spool", "verified"},
    {"spool", "visited"},
    {"spool", "owned by another"},
    {"produced", "again"},
    {"written", "twice"},
    {"import", "waiting"},
    {"import", "dead letter"},
    {"import", "report"},
};

static struct tally_row *tally_row(const char *kind, const char *name)
{
    for (size_t i = 0; i < TALLIES_MAX; i++) {
        struct tally_row *row = &rows[i];
        if (row->kind[0] == '\0') {
            (void)snprintf(row->kind, sizeof(row->kind), "%s", kind);
            (void)snprintf(row->name, sizeof(row->name), "%s", name);
        }
        if (strcmp(row->kind, kind) == 0 && strcmp(row->name, name) == 0) {
            return row;
        }
    }
    abort();
}

void tally_init(void)
{
    rows = mmap(NULL, TALLIES_MAX * sizeof(*rows), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(rows != MAP_FAILED);
    for (size_t i = 0; i < SPOOL_COUNT_OF(wanted); i++) {
        (void)tally_row(wanted[i][0], wanted[i][1]);
    }
    for (size_t i = 0; i < STEP_KIND_COUNT; i++) {
        (void)tally_row("step", step_kind_name((enum step_kind)i));
    }
}

void tally(const char *kind, const char *name)
{
    tally_row(kind, name)->count++;
}

static int tally_compare(const void *one_at, const void *other_at)
{
    const struct tally_row *one = one_at;
    const struct tally_row *other = other_at;
    int r = strcmp(one->kind, other->kind);
    return r != 0 ? r : strcmp(one->name, other->name);
}

void tally_print(FILE *file)
{
    size_t count = 0;
    while (count < TALLIES_MAX && rows[count].kind[0] != '\0') {
        count++;
    }
    qsort(rows, count, sizeof(*rows), tally_compare);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "%s\t%s\t%llu\n", rows[i].kind, rows[i].name,
                      (unsigned long long)rows[i].count);
    }
}
