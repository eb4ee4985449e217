/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/json_text.h"

#include <jansson.h>
#include <string.h>

/* The length of the UTF-8 character at the start of bytes; 0: there is none. Overlong forms,
 * surrogates and codes above U+10FFFF are none: jansson takes none of them either. */
static size_t json_text_utf8_size(const uint8_t *bytes, size_t size_bytes)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max;
        size_t size_bytes;
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };

    if (bytes[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(forms); i++) {
        if (bytes[0] < forms[i].first_min || bytes[0] > forms[i].first_max ||
            size_bytes < forms[i].size_bytes || bytes[1] < forms[i].second_min ||
            bytes[1] > forms[i].second_max) {
            continue;
        }
        for (size_t j = 2; j < forms[i].size_bytes; j++) {
            if ((bytes[j] & 0xC0) != 0x80) {
                return 0;
            }
        }
        return forms[i].size_bytes;
    }
    return 0;
}

/* A JSON string of bytes of which some are no UTF-8. */
static json_t *json_text_mend(struct span text)
{
    SPOOL_CLEANUP(spool_free) uint8_t *mended = malloc(2 * text.size_bytes + 1);
    const uint8_t *bytes = text.data;
    size_t size_bytes = 0;
    if (mended == NULL) {
        return NULL;
    }
    for (size_t at = 0; at < text.size_bytes;) {
        size_t character_bytes = json_text_utf8_size(bytes + at, text.size_bytes - at);
        if (character_bytes == 0) {
            mended[size_bytes++] = (uint8_t)(0xC0 | bytes[at] >> 6);
            mended[size_bytes++] = (uint8_t)(0x80 | (bytes[at] & 0x3F));
            at++;
            continue;
        }
        memcpy(mended + size_bytes, bytes + at, character_bytes);
        size_bytes += character_bytes;
        at += character_bytes;
    }
    return json_stringn((const char *)mended, size_bytes);
}

json_t *json_text_new(struct span text)
{
    json_t *string = json_stringn(text.data != NULL ? text.data : "", text.size_bytes);
    return string != NULL ? string : json_text_mend(text);
}
