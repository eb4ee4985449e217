/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* RFC 4648, section 10. */
static void base64_writes_and_reads_the_standards_examples(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(pairs); i++) {
        char text[16] = "";
        uint8_t bytes[16];
        size_t size = 99;
        struct span plain = {pairs[i][0], strlen(pairs[i][0])};
        assert_int_equal(base64_size(plain.size_bytes), strlen(pairs[i][1]));
        base64_encode(plain, text);
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(base64_decode(text, strlen(text), bytes, &size), 0);
        assert_int_equal(size, plain.size_bytes);
        assert_memory_equal(bytes, plain.data, size);
    }
}

static void base64_keeps_every_byte(void **state)
{
    uint8_t bytes[256];
    uint8_t back[258];
    char text[344];
    size_t size;
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(255 - i);
    }
    base64_encode((struct span){bytes, sizeof(bytes)}, text);
    assert_int_equal(base64_decode(text, sizeof(text), back, &size), 0);
    assert_int_equal(size, sizeof(bytes));
    assert_memory_equal(back, bytes, size);
}

static void base64_refuses_what_it_did_not_write(void **state)
{
    static const char *const texts[] = {
        "Z", "Zg", "Zg=", "Zg=a", "Z===", "====", "Zm9 ", "Zm\n9", "Zg==Zg=="};
    uint8_t bytes[16];
    size_t size;
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(texts); i++) {
        if (base64_decode(texts[i], strlen(texts[i]), bytes, &size) != BASE64_E_MALFORMED) {
            fail_msg("'%s' was read", texts[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_writes_and_reads_the_standards_examples),
        cmocka_unit_test(base64_keeps_every_byte),
        cmocka_unit_test(base64_refuses_what_it_did_not_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
