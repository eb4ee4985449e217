/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/base64.h"

#include <string.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct span bytes, char *ret_text)
{
    const uint8_t *at = bytes.data;
    for (size_t i = 0; i < bytes.size_bytes; i += 3) {
        size_t left = bytes.size_bytes - i;
        uint32_t three = (uint32_t)at[i] << 16;
        three |= left > 1 ? (uint32_t)at[i + 1] << 8 : 0;
        three |= left > 2 ? at[i + 2] : 0U;
        *ret_text++ = base64_digits[three >> 18];
        *ret_text++ = base64_digits[(three >> 12) & 63];
        *ret_text++ = '=';
        *ret_text++ = '=';
        if (left > 1) {
            ret_text[-2] = base64_digits[(three >> 6) & 63];
        }
        if (left > 2) {
            ret_text[-1] = base64_digits[three & 63];
        }
    }
}

/* A digit's value; -1: it is none. */
static int base64_value(char digit)
{
    const char *at = digit == '\0' ? NULL : strchr(base64_digits, digit);
    return at == NULL ? -1 : (int)(at - base64_digits);
}

int base64_decode(const char *text, size_t text_size, void *buffer, size_t *ret_size_bytes)
{
    uint8_t *out = buffer;
    size_t padding = 0;
    if (text_size % 4 != 0) {
        return BASE64_E_MALFORMED;
    }
    while (padding < 2 && padding < text_size && text[text_size - 1 - padding] == '=') {
        padding++;
    }
    uint32_t bits = 0;
    for (size_t i = 0; i < text_size; i++) {
        int value = i < text_size - padding ? base64_value(text[i]) : 0;
        if (value < 0) {
            return BASE64_E_MALFORMED;
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            size_t size = i == text_size - 1 ? 3 - padding : 3;
            const uint8_t three[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
            memcpy(out, three, size);
            out += size;
            bits = 0;
        }
    }
    *ret_size_bytes = text_size / 4 * 3 - padding;
    return 0;
}
