/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/import_source.h"

#include "spool/audit.h"
#include "spool/cursor.h"
#include "tools/inspect/item.h"

#include <errno.h>
#include <inttypes.h>
#include <isa-l/crc64.h>
#include <string.h>
#include <sys/stat.h>

#define IMPORT_LINE_ROOM_BYTES (64UL << 10)

int import_source_open(struct import_source *source, const char *path, struct message *message)
{
    struct stat status;
    bool is_standard = strcmp(path, "-") == 0;
    *source = (struct import_source){.name = is_standard ? "standard input" : path};
    source->stream = is_standard ? stdin : fopen(path, "re");
    if (source->stream == NULL || fstat(fileno(source->stream), &status) < 0) {
        int r = -errno;
        message_set(message, "%s: %s", path, strerror(errno));
        return r;
    }
    if (S_ISDIR(status.st_mode)) {
        message_set(message, "%s: a folder, not a file of an export", path);
        return -EISDIR;
    }
    source->is_file = S_ISREG(status.st_mode) && ftello(source->stream) == 0;
    return 0;
}

void import_source_close(struct import_source *source)
{
    if (source->stream != NULL && source->stream != stdin) {
        (void)fclose(source->stream);
    }
    free(source->line);
    *source = (struct import_source){0};
}

static int import_source_make_room(struct import_source *source)
{
    size_t room =
        source->line_room_bytes == 0 ? IMPORT_LINE_ROOM_BYTES : 2 * source->line_room_bytes;
    char *larger = realloc(source->line, room);
    if (larger == NULL) {
        return -ENOMEM;
    }
    source->line = larger;
    source->line_room_bytes = room;
    return 0;
}

int import_source_next(struct import_source *source)
{
    size_t size = 0;
    int character;
    while ((character = getc_unlocked(source->stream)) != EOF) {
        if (size == source->line_room_bytes) {
            int r = size >= ITEM_LINE_BYTES_MAX ? IMPORT_SOURCE_E_TOO_LONG
                                                : import_source_make_room(source);
            if (r != 0) {
                return r;
            }
        }
        source->line[size++] = (char)character;
        if (character == '\n') {
            break;
        }
    }
    if (size == 0) {
        return ferror(source->stream) ? -EIO : IMPORT_SOURCE_E_END;
    }
    source->checksum = crc64_ecma_refl(source->checksum, (const uint8_t *)source->line, size);
    source->lines_count++;
    source->line_bytes = size - (source->line[size - 1] == '\n' ? 1 : 0);
    return 0;
}

void import_source_rewind(struct import_source *source)
{
    rewind(source->stream);
    source->lines_count = 0;
    source->checksum = 0;
}

/* --- Marks ------------------------------------------------------------------------------------ */

void import_mark_print(const struct import_source *source, uint64_t lines_count, uint64_t checksum,
                       char ret_text[IMPORT_MARK_BYTES])
{
    (void)snprintf(ret_text, IMPORT_MARK_BYTES,
                   "lines 1 to %" PRIu64 " (checksum %016" PRIx64 ") of %s", lines_count, checksum,
                   source->name);
}

/* Reads a number that stands behind a text; *at goes behind it. */
static bool import_mark_read_number(const char **at, const char *text, int base, uint64_t *ret)
{
    char *end;
    size_t size = strlen(text);
    if (strncmp(*at, text, size) != 0) {
        return false;
    }
    errno = 0;
    *ret = strtoull(*at + size, &end, base);
    bool is_number = end != *at + size && errno == 0;
    *at = end;
    return is_number;
}

static int import_mark_compare(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return *a < *b ? -1 : *a > *b ? 1 : 0;
}

static void import_marks_add(struct import_marks *marks, struct span stored)
{
    struct audit_entry entry;
    char text[IMPORT_MARK_BYTES];
    const char *at = text;
    uint64_t lines_count;
    uint64_t checksum;
    if (audit_decode(stored, &entry) != 0 || entry.act != AUDIT_IMPORT) {
        return;
    }
    (void)snprintf(text, sizeof(text), "%.*s", (int)entry.what.size_bytes,
                   (const char *)entry.what.data);
    if (import_mark_read_number(&at, "lines 1 to ", 10, &lines_count) &&
        import_mark_read_number(&at, " (checksum ", 16, &checksum)) {
        marks->marks[marks->count].lines_count = lines_count;
        marks->marks[marks->count].checksum = checksum;
        marks->count++;
    }
}

int import_marks_read(struct import_marks *marks, struct spool *spool)
{
    struct cursor cursor;
    struct span stored;
    uint64_t number;
    *marks = (struct import_marks){.marks = calloc(AUDIT_ENTRIES_MAX, sizeof(*marks->marks))};
    if (marks->marks == NULL) {
        return -ENOMEM;
    }
    int r = cursor_begin_audit(&cursor, spool, 0);
    if (r == CURSOR_E_END) {
        return 0;
    }
    if (r == 0) {
        while (marks->count < AUDIT_ENTRIES_MAX &&
               (r = cursor_next(&cursor, &number, &stored)) == 0) {
            import_marks_add(marks, stored);
        }
        cursor_end(&cursor);
    }
    if (marks->count > 1) {
        qsort(marks->marks, marks->count, sizeof(*marks->marks), import_mark_compare);
    }
    return r == 0 || r == CURSOR_E_END ? 0 : r < 0 ? r : -EIO;
}

void import_marks_free(struct import_marks *marks)
{
    free(marks->marks);
    *marks = (struct import_marks){0};
}

bool import_marks_match(struct import_marks *marks, const struct import_source *source)
{
    bool is_match = false;
    while (marks->next < marks->count &&
           marks->marks[marks->next].lines_count <= source->lines_count) {
        is_match = is_match || (marks->marks[marks->next].lines_count == source->lines_count &&
                                marks->marks[marks->next].checksum == source->checksum);
        marks->next++;
    }
    return is_match;
}
