/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/address_reader.h"

#include "src/address.h"

#include <string.h>

bool address_is_printable(char byte)
{
    return byte >= 0x20 && byte < 0x7f;
}

bool address_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

bool address_is_word(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || address_is_digit(byte) ||
           byte == '.' || byte == '_' || byte == '-';
}

char address_reader_at(const struct address_reader *reader, size_t position)
{
    if (position >= reader->size_bytes) {
        return '\0';
    }
    return reader->text[position];
}

size_t address_reader_end_of(const struct address_reader *reader, size_t start,
                             bool (*is_member)(char))
{
    size_t end = start;
    while (end < reader->size_bytes && is_member(reader->text[end])) {
        end++;
    }
    return end;
}

size_t address_reader_find(const struct address_reader *reader, size_t start, size_t end, char byte)
{
    const char *found = memchr(reader->text + start, byte, end - start);
    return found == NULL ? end : (size_t)(found - reader->text);
}

void address_reader_show(struct address_reader *reader, size_t start, size_t end)
{
    memcpy(reader->address->text + reader->text_bytes, reader->text + start, end - start);
    reader->text_bytes += end - start;
}
