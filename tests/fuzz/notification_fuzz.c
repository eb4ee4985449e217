/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The JSON of events. Whatever bytes an event's name and parameters are, the result is one line of
 * JSON that says them: numbers as numbers, texts as the Unicode characters that they are, and each
 * byte that is no UTF-8 as the character of its code. The other reader of UTF-8 here is written by
 * the definition of it, and not by the table of src/json_text.c.
 *
 * An input: u8 size of the event's name, the name, then parameters. A parameter: u8 kind, of which
 * 1 no name, 2 a number, 4 a null; u8 name size, name; u64, or u8 text size and text.
 */
#include "src/notification.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>

#define PARAMETERS_MAX 16
#define TEXT_BYTES_MAX 256

/* The character at the start of the bytes, or the first byte where there is none. */
static uint32_t text_character(const uint8_t *at, size_t left_bytes, size_t *ret_size_bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size_bytes = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    uint32_t character = at[0] & (0x7FU >> size_bytes);
    *ret_size_bytes = 1;
    if (at[0] < 0xC0 || at[0] >= 0xF8 || size_bytes > left_bytes) {
        return at[0];
    }
    for (size_t i = 1; i < size_bytes; i++) {
        if (at[i] >> 6 != 2) {
            return at[0];
        }
        character = character << 6 | (at[i] & 0x3FU);
    }
    if (character < least[size_bytes] || character > 0x10FFFF ||
        (character >= 0xD800 && character < 0xE000)) {
        return at[0];
    }
    *ret_size_bytes = size_bytes;
    return character;
}

static size_t text_put(uint8_t *at, uint32_t character)
{
    size_t size_bytes = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = size_bytes; i-- > 1;) {
        at[i] = (uint8_t)(0x80 | (character & 0x3F));
        character >>= 6;
    }
    static const uint8_t first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    at[0] = (uint8_t)(first[size_bytes] | character);
    return size_bytes;
}

/* What the bytes are to be in JSON. Ends in NUL. */
static struct span text_expected(struct span bytes, uint8_t buffer[2 * TEXT_BYTES_MAX + 1])
{
    struct span expected = {buffer, 0};
    const uint8_t *at = bytes.data;
    for (size_t i = 0; i < bytes.size_bytes;) {
        size_t size_bytes;
        uint32_t character = text_character(at + i, bytes.size_bytes - i, &size_bytes);
        expected.size_bytes += text_put(buffer + expected.size_bytes, character);
        i += size_bytes;
    }
    buffer[expected.size_bytes] = '\0';
    return expected;
}

static void check_text(const json_t *json, struct span bytes)
{
    uint8_t buffer[2 * TEXT_BYTES_MAX + 1];
    struct span expected = text_expected(bytes, buffer);
    fuzz_must(json_is_string(json), "no text");
    struct span found = {json_string_value(json), json_string_length(json)};
    fuzz_must(fuzz_is_same(found, expected), "another text");
}

static void check_value(const json_t *json, const struct notification_parameter *parameter)
{
    if (parameter->is_number) {
        fuzz_must(json_is_integer(json) && json_integer_value(json) == parameter->number,
                  "another number");
    } else if (parameter->text.data == NULL) {
        fuzz_must(json_is_null(json), "no null");
    } else {
        check_text(json, parameter->text);
    }
}

/* Of the parameters with this one's name, whether it is the last. */
static bool is_last_of_name(const struct notification_parameter *parameters, size_t count, size_t i)
{
    uint8_t mine[2 * TEXT_BYTES_MAX + 1];
    uint8_t other[2 * TEXT_BYTES_MAX + 1];
    (void)text_expected(parameters[i].name, mine);
    for (size_t j = i + 1; j < count; j++) {
        (void)text_expected(parameters[j].name, other);
        /* A NUL ends a name. */
        if (strcmp((const char *)mine, (const char *)other) == 0) {
            return false;
        }
    }
    return true;
}

static void check_parameters(const json_t *params, const struct notification_parameter *parameters,
                             size_t count)
{
    size_t names_count = 0;
    bool is_object = count > 0 && parameters[0].name.data != NULL;
    fuzz_must((params != NULL) == (count > 0), "params are there, or not");
    fuzz_must(count == 0 || is_object == json_is_object(params), "no object, or one");
    for (size_t i = 0; i < count; i++) {
        uint8_t name[2 * TEXT_BYTES_MAX + 1];
        if (!is_object) {
            check_value(json_array_get(params, i), &parameters[i]);
            continue;
        }
        (void)text_expected(parameters[i].name, name);
        if (is_last_of_name(parameters, count, i)) {
            check_value(json_object_get(params, (const char *)name), &parameters[i]);
            names_count++;
        }
    }
    fuzz_must(!is_object || json_object_size(params) == names_count, "another number of names");
    fuzz_must(is_object || json_array_size(params) == count, "another number of values");
}

static struct notification_parameter take_parameter(struct fuzz_input *input)
{
    struct notification_parameter parameter = {.name = {NULL, 0}};
    uint64_t kind = fuzz_take_number(input, 1);
    struct span name = fuzz_take(input, fuzz_take_number(input, 1));
    if ((kind & 1) == 0) {
        parameter.name = name;
    }
    if ((kind & 2) != 0) {
        parameter.is_number = true;
        parameter.number = (int64_t)fuzz_take_number(input, 8);
    } else if ((kind & 4) == 0) {
        parameter.text = fuzz_take(input, fuzz_take_number(input, 1));
    }
    return parameter;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct notification_parameter parameters[PARAMETERS_MAX];
    struct fuzz_input input = {data, size_bytes};
    struct span event = fuzz_take(&input, fuzz_take_number(&input, 1));
    size_t count = 0;
    char *text = NULL;
    json_error_t error;
    while (count < PARAMETERS_MAX && input.left_bytes > 0) {
        parameters[count++] = take_parameter(&input);
    }
    fuzz_must(notification_build(event, parameters, count, &text) == 0, "no JSON was made");
    fuzz_must(strchr(text, '\n') == NULL, "more than a line");
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    fuzz_must(json_is_object(root), "what was made is not JSON");
    const char *version = json_string_value(json_object_get(root, "jsonrpc"));
    fuzz_must(version != NULL && strcmp(version, "2.0") == 0, "no JSON-RPC");
    check_text(json_object_get(root, "method"), event);
    check_parameters(json_object_get(root, "params"), parameters, count);
    fuzz_must(json_object_size(root) == (count > 0 ? 3 : 2), "something else is in it");
    json_decref(root);
    free(text);
    return 0;
}
