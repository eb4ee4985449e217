/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lines that spool-inspect import reads: an input is a whole file. A line that is accepted
 * holds what its JSON says, and what export would write for it is read as the same again.
 */
#include "tests/fuzz/fuzz.h"
#include "tools/inspect/import_source.h"
#include "tools/inspect/item.h"

#include <sys/mman.h>

static bool is_same_dead(const struct dead_letter *a, const struct dead_letter *b)
{
    return a->reason == b->reason && a->error == b->error && a->attempts == b->attempts &&
           a->first_attempt_wall_ms == b->first_attempt_wall_ms &&
           a->settled_wall_ms == b->settled_wall_ms;
}

static bool is_same_report(const struct report *a, const struct report *b)
{
    return a->reason == b->reason && a->error == b->error && a->attempts == b->attempts &&
           a->partition == b->partition && a->offset == b->offset && a->sequence == b->sequence &&
           a->is_payload_left_out == b->is_payload_left_out &&
           a->settled_wall_ms == b->settled_wall_ms;
}

static int64_t number_of(const json_t *root, const char *name)
{
    return json_integer_value(json_object_get(root, name));
}

static const char *text_of(const json_t *root, const char *name)
{
    return json_string_value(json_object_get(root, name));
}

/* What the line says is what was read. */
static void check_fields(const struct item_line *line)
{
    const struct item *item = &line->item;
    fuzz_must(strcmp(text_of(line->root, "spool_id"), item->spool_id) == 0, "another spool-id");
    fuzz_must(number_of(line->root, "sequence") == (int64_t)item->sequence, "another sequence");
    if (item->place != ITEM_QUEUE) {
        bool is_dead = item->place == ITEM_DEAD;
        fuzz_must(number_of(line->root, "error") ==
                      (is_dead ? item->dead.error : item->report.error),
                  "another error");
        fuzz_must(number_of(line->root, "attempts") ==
                      (is_dead ? item->dead.attempts : item->report.attempts),
                  "another number of attempts");
    }
}

/* Whether the line has bytes that no program could read, as export writes them. */
static bool is_exported_form(const struct item *item)
{
    struct record record;
    return record_decode(item->encoded, &record) != 0 || record.has_origin;
}

static void check_again(const struct item *item)
{
    struct item_line again;
    struct message message;
    json_t *json = item_json(item);
    fuzz_must(json != NULL, "it cannot be exported");
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    fuzz_must(text != NULL && strchr(text, '\n') == NULL, "an export is no line");
    fuzz_must(item_parse((struct span){text, strlen(text)}, &again, &message) == 0,
              "an export cannot be read");
    fuzz_must(again.item.place == item->place && again.item.sequence == item->sequence &&
                  strcmp(again.item.identity, item->identity) == 0 &&
                  strcmp(again.item.address, item->address) == 0 &&
                  strcmp(again.item.spool_id, item->spool_id) == 0,
              "another item");
    fuzz_must(item->place != ITEM_DEAD || is_same_dead(&again.item.dead, &item->dead),
              "another dead letter");
    fuzz_must(item->place != ITEM_REPORTS || is_same_report(&again.item.report, &item->report),
              "another report");
    fuzz_must(fuzz_is_same(again.item.encoded, item->encoded), "another record");
    item_line_free(&again);
    free(text);
}

static void check_line(struct span text)
{
    struct item_line line;
    struct message message = {""};
    int r = item_parse(text, &line, &message);
    if (r != 0) {
        fuzz_must(r == ITEM_E_MALFORMED && message.text[0] != '\0', "refused without a message");
        return;
    }
    fuzz_must(line.item.identity[0] != '\0' && item_place_name(line.item.place) != NULL,
              "no destination, or no place");
    fuzz_must(line.item.encoded.size_bytes > 0 && line.item.encoded.size_bytes <= RECORD_BYTES_MAX,
              "an impossible size");
    check_fields(&line);
    if (is_exported_form(&line.item)) {
        check_again(&line.item);
    }
    item_line_free(&line);
}

static void check_file(const char *path)
{
    struct import_source source;
    struct message message;
    uint64_t checksum = 0;
    fuzz_must(import_source_open(&source, path, &message) == 0, "it cannot be opened");
    while (import_source_next(&source) == 0) {
        check_line((struct span){source.line, source.line_bytes});
    }
    uint64_t lines_count = source.lines_count;
    checksum = source.checksum;
    import_source_rewind(&source);
    while (import_source_next(&source) == 0) {
    }
    fuzz_must(source.lines_count == lines_count && source.checksum == checksum,
              "other lines when read again");
    import_source_close(&source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    char path[64];
    int fd = memfd_create("import", MFD_CLOEXEC);
    fuzz_must(fd >= 0 && write(fd, data, size_bytes) == (ssize_t)size_bytes, "no file");
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    check_file(path);
    close(fd);
    return 0;
}
