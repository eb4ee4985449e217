/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/indent.h"

#include <string.h>

#define INDENT_WIDTH 2

static bool indent_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t indent_skip(const char *at, size_t size, size_t i)
{
    while (i < size && indent_is_space(at[i])) {
        i++;
    }
    return i;
}

static void indent_break(FILE *stream, int depth)
{
    (void)fprintf(stream, "\n%*s", depth * INDENT_WIDTH, "");
}

/* Copies a string from its opening quote on; returns where the closing one is. */
static size_t indent_string(FILE *stream, const char *at, size_t size, size_t i)
{
    size_t end = i + 1;
    while (end < size && at[end] != '"') {
        end += at[end] == '\\' ? 2 : 1;
    }
    end = end < size ? end : size - 1;
    (void)fwrite(at + i, 1, end - i + 1, stream);
    return end;
}

void indent_json(FILE *stream, struct span text)
{
    const char *at = text.data;
    size_t size = text.size_bytes;
    int depth = 0;
    for (size_t i = indent_skip(at, size, 0); i < size; i = indent_skip(at, size, i + 1)) {
        char c = at[i];
        if (c == '"') {
            i = indent_string(stream, at, size, i);
            continue;
        }
        if (c == '}' || c == ']') {
            indent_break(stream, --depth);
        }
        (void)fputc(c, stream);
        size_t next = indent_skip(at, size, i + 1);
        if (c == '{' || c == '[') {
            if (next < size && (at[next] == '}' || at[next] == ']')) {
                (void)fputc(at[next], stream); /* an empty one stays on its line */
                i = next;
            } else {
                indent_break(stream, ++depth);
            }
        } else if (c == ',') {
            indent_break(stream, depth);
        } else if (c == ':') {
            (void)fputc(' ', stream);
        }
    }
}
