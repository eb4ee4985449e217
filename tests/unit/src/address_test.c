/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/address.h"

#include "spool/limits.h"
#include "tests/unit/src/address_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Parses a copy of exactly the text's size, so that a read beyond its end is found. */
static int parse_bytes(const char *text, size_t size_bytes, struct address **ret_address,
                       struct message *message)
{
    char *copy = malloc(size_bytes + 1);
    assert_non_null(copy);
    memcpy(copy + 1, text, size_bytes);
    int result = address_parse(copy + 1, size_bytes, ret_address, message);
    free(copy);
    return result;
}

static struct address *parse(const char *text)
{
    struct address *address = NULL;
    struct message message = {.text = ""};
    if (parse_bytes(text, strlen(text), &address, &message) != 0) {
        fail_msg("%s: %s", text, message.text);
    }
    return address;
}

/* Checks that the text is refused with the message. */
static void assert_refused(const char *text, size_t size_bytes, int result, const char *expected)
{
    struct address *address = NULL;
    struct message message = {.text = ""};
    int found = parse_bytes(text, size_bytes, &address, &message);
    if (found != result || strcmp(message.text, expected) != 0) {
        fail_msg("'%s' gives %d: %s", text, found, message.text);
    }
    assert_null(address);
    assert_null(strstr(message.text, CANARY));
}

static void address_parse_refuses_each_malformed_address(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(malformed); i++) {
        assert_refused(malformed[i].text, strlen(malformed[i].text), ADDRESS_E_MALFORMED,
                       malformed[i].message);
    }
}

static void address_parse_knows_identity_and_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(good); i++) {
        struct address *address = parse(good[i].text);
        assert_string_equal(address->identity, good[i].identity);
        assert_string_equal(address->text, good[i].shown == NULL ? good[i].text : good[i].shown);
        assert_null(strstr(address->text, CANARY));
        address_free(&address);
        assert_null(address);
    }
}

/* What is shown of an address and parsed again is the same destination. */
static void address_parse_reads_its_own_text_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(good); i++) {
        struct address *first = parse(good[i].text);
        struct address *second = parse(first->text);
        assert_string_equal(second->identity, first->identity);
        assert_string_equal(second->text, first->text);
        assert_string_equal(second->brokers, first->brokers);
        address_free(&second);
        address_free(&first);
    }
}

static void assert_property(const struct address_property *property, enum address_scope scope,
                            const char *name, const char *value, size_t position)
{
    assert_int_equal(property->scope, scope);
    assert_string_equal(property->name, name);
    assert_string_equal(property->value, value);
    assert_int_equal(property->position, position);
}

static void address_parse_sets_each_field(void **state)
{
    (void)state;
    struct address *address =
        parse("[my id]B:1, [::1]:2,c/top.ic?g.x=%41=%2b+&key=callid&s.ttl.ms=5&t.x=&s.max.bytes=6&"
              "s.max.records=7&s.on.full=drop-oldest&s.on.expire=drop&g.sasl.password=a%26b");
    assert_string_equal(address->id, "my id");
    assert_string_equal(address->brokers, "B:1,[::1]:2,c");
    assert_string_equal(address->topic, "top.ic");
    assert_true(address->key_is_callid);
    assert_int_equal(address->ttl_ms, 5);
    assert_int_equal(address->max_bytes, 6);
    assert_int_equal(address->max_records, 7);
    assert_int_equal(address->on_full, ADDRESS_ON_FULL_DROP_OLDEST);
    assert_true(address->has_on_full && address->has_ttl);
    assert_int_equal(address->on_expire, ADDRESS_ON_EXPIRE_DROP);
    assert_int_equal(address->properties_count, 3);
    const struct address_property *properties = address->properties;
    assert_property(&properties[0], ADDRESS_SCOPE_GLOBAL, "x", "A=++", 30);
    assert_property(&properties[1], ADDRESS_SCOPE_TOPIC, "x", "", 65);
    assert_property(&properties[2], ADDRESS_SCOPE_GLOBAL, "sasl.password", "a&b", 139);
    assert_false(properties[0].is_secret);
    assert_true(properties[2].is_secret);
    assert_null(properties[2].secret_path);
    address_free(&address);
}

static void address_parse_has_defaults_for_what_is_not_said(void **state)
{
    (void)state;
    struct address *address = parse("h/t");
    assert_null(address->id);
    assert_int_equal(address->properties_count, 0);
    assert_false(address->key_is_callid);
    assert_int_equal(address->ttl_ms, 0);
    assert_int_equal(address->max_bytes, 0);
    assert_int_equal(address->max_records, 0);
    assert_int_equal(address->on_full, ADDRESS_ON_FULL_REJECT);
    assert_false(address->has_on_full || address->has_ttl);
    assert_int_equal(address->on_expire, ADDRESS_ON_EXPIRE_DEAD);
    address_free(&address);
}

/* A text with count zeros between two strings. Static. */
static const char *with_run(const char *before, size_t count, const char *after)
{
    static char text[2 * ADDRESS_BYTES_MAX];
    int length = snprintf(text, sizeof(text), "%s%0*d%s", before, (int)count, 0, after);
    assert_true(length > 0 && (size_t)length < sizeof(text));
    return text;
}

static void assert_limit(const char *before, size_t count_max, const char *after,
                         const char *expected)
{
    struct address *address = parse(with_run(before, count_max, after));
    address_free(&address);
    const char *text = with_run(before, count_max + 1, after);
    assert_refused(text, strlen(text), ADDRESS_E_MALFORMED, expected);
}

static void address_parse_holds_its_limits(void **state)
{
    (void)state;
    assert_limit("[", 64, "]h/t", "byte 1: an ID in brackets has 1 to 64 characters");
    assert_limit("i,", 253, "/t", "byte 3: a host name has at most 253 characters");
    assert_limit("h/", 249, "", "byte 3: a topic has at most 249 characters");
    assert_limit("h/t?g.a=", ADDRESS_BYTES_MAX - 8, "",
                 "an address has at most 8192 bytes, this one has 8193");
}

static void address_parse_holds_its_limit_of_properties(void **state)
{
    (void)state;
    char text[2048] = "h/t";
    size_t length = strlen(text);
    for (size_t i = 0; i < ADDRESS_PROPERTIES_MAX; i++) {
        /* The shortest secrets there are, which grow most when they are hidden. */
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%c%c.pass%zu=x",
                                   i == 0 ? '?' : '&', i % 2 == 0 ? 'g' : 't', i);
    }
    struct address *address = parse(text);
    assert_int_equal(address->properties_count, ADDRESS_PROPERTIES_MAX);
    assert_int_equal(strlen(address->text), length + (size_t)2 * ADDRESS_PROPERTIES_MAX);
    assert_string_equal(address->identity, "h/t");
    address_free(&address);

    char expected[128];
    (void)snprintf(expected, sizeof(expected),
                   "byte %zu: an address has at most 64 g. and t. properties", length + 2);
    (void)snprintf(text + length, sizeof(text) - length, "&g.a=1");
    assert_refused(text, strlen(text), ADDRESS_E_MALFORMED, expected);
}

static void address_parse_refuses_nul_bytes_anywhere(void **state)
{
    (void)state;

    static const struct {
        const char *text; /* its '_' stands for NUL */
        const char *message;
    } cases[] = {
        {"[k_1]h/t", "byte 3: an ID is made of printable ASCII characters"},
        {"[::1_]:9092/t", "byte 5: an ID is made of printable ASCII characters"},
        {"_", "byte 1: " HOST_MISSING},
        {"h_/t", "byte 2: " BROKER_FORM},
        {"h:1_/t", "byte 4: " BROKER_FORM},
        {"h:1,[::1_]/t", "byte 5: " BRACKETS},
        {"h/t_", "byte 4: " TOPIC_CHARACTERS},
        {"h/t?_.a=1", "byte 5: " PREFIX},
        {"h/t?g.a_=1", "byte 8: " NAME_CHARACTERS},
        {"h/t?g.a=1_", "byte 10: a NUL byte cannot stand in a value"},
        {"h/t?g.sasl.password=1_" CANARY, "byte 22: a NUL byte cannot stand in a value"},
        {"h/t?key=callid_", "byte 15: a NUL byte cannot stand in a value"},
    };

    for (size_t i = 0; i < SPOOL_COUNT_OF(cases); i++) {
        char text[64] = "";
        size_t size_bytes = strlen(cases[i].text);
        memcpy(text, cases[i].text, size_bytes);
        *strchr(text, '_') = '\0';
        assert_refused(text, size_bytes, ADDRESS_E_MALFORMED, cases[i].message);
    }
}

struct folder {
    char path[64];
    char secret[96];
};

static int make_folder(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    assert_non_null(folder);
    (void)snprintf(folder->path, sizeof(folder->path), "/tmp/address_test.XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    (void)snprintf(folder->secret, sizeof(folder->secret), "%s/secret", folder->path);
    FILE *file = fopen(folder->secret, "w");
    assert_non_null(file);
    assert_true(fputs(CANARY "\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(folder->secret, 0600), 0);
    *state = folder;
    return 0;
}

static int remove_folder(void **state)
{
    struct folder *folder = *state;
    assert_int_equal(unlink(folder->secret), 0);
    assert_int_equal(rmdir(folder->path), 0);
    free(folder);
    return 0;
}

static void address_parse_reads_secrets_from_files(void **state)
{
    const struct folder *folder = *state;
    char text[512];
    (void)snprintf(text, sizeof(text), "h/t?g.sasl.password.file=%s&g.ssl.key.pem.file=%s&g.a=1",
                   folder->secret, folder->secret);
    struct address *address = parse(text);
    assert_string_equal(address->text, text);
    assert_string_equal(address->identity, "h/t?g.a=1");
    assert_int_equal(address->properties_count, 3);
    assert_property(&address->properties[0], ADDRESS_SCOPE_GLOBAL, "sasl.password", CANARY, 5);
    assert_true(address->properties[0].is_secret);
    assert_string_equal(address->properties[0].secret_path, folder->secret);
    assert_string_equal(address->properties[1].name, "ssl.key.pem");
    assert_null(address->properties[2].secret_path);
    address_free(&address);

    (void)snprintf(text, sizeof(text), "h/t?g.sasl.password.file=%%2F%s", folder->secret + 1);
    address = parse(text);
    assert_string_equal(address->properties[0].secret_path, folder->secret);
    address_free(&address);
}

static void address_parse_says_why_a_secret_file_is_refused(void **state)
{
    const struct folder *folder = *state;
    char text[256];
    char expected[512];
    assert_int_equal(chmod(folder->secret, 0644), 0);
    (void)snprintf(text, sizeof(text), "h/t?g.a=1&g.sasl.password.file=%s", folder->secret);
    (void)snprintf(expected, sizeof(expected),
                   "byte 11: g.sasl.password.file: the file's mode 0644 lets everybody in; run: "
                   "chmod 0640 '%s'",
                   folder->secret);
    assert_refused(text, strlen(text), ADDRESS_E_SECRET, expected);

    (void)snprintf(text, sizeof(text), "h/t?g.sasl.password.file=%s.gone", folder->secret);
    (void)snprintf(expected, sizeof(expected),
                   "byte 5: g.sasl.password.file: '%s.gone' cannot be opened: No such file or "
                   "directory",
                   folder->secret);
    assert_refused(text, strlen(text), ADDRESS_E_SECRET, expected);
}

/* Who writes the secret where its path belongs must not find it in the log. */
static void address_parse_shows_no_path_that_is_none(void **state)
{
    (void)state;
    static const char text[] = "h/t?g.sasl.password.file=" CANARY;
    assert_refused(text, strlen(text), ADDRESS_E_SECRET,
                   "byte 5: g.sasl.password.file: " MUST_START);
}

static void address_parse_hides_a_url_with_a_user_or_a_query(void **state)
{
    (void)state;
    struct address *address = parse("h/t?g.a.url=https://me:" CANARY "@h/token&g.b=1");
    assert_true(address->properties[0].is_secret);
    assert_string_equal(address->text, "h/t?g.a.url=***&g.b=1");
    assert_string_equal(address->identity, "h/t?g.b=1");
    address_free(&address);

    address = parse("h/t?g.a.url=https://me:" CANARY "%40h/token");
    assert_string_equal(address->text, "h/t?g.a.url=***");
    address_free(&address);

    address = parse("h/t?g.a.url=https://h/token?client=me");
    assert_string_equal(address->text, "h/t?g.a.url=***");
    address_free(&address);

    address = parse("h/t?g.a.url=https://h/token&g.b=me@h?");
    assert_string_equal(address->identity, "h/t?g.a.url=https://h/token&g.b=me@h?");
    address_free(&address);
}

/* Checks what must hold for whatever was parsed. */
static void assert_sane(const char *text, size_t size_bytes)
{
    struct address *address = NULL;
    struct message message = {.text = ""};
    int result = parse_bytes(text, size_bytes, &address, &message);
    if (result != 0) {
        assert_true(result == ADDRESS_E_MALFORMED || result == ADDRESS_E_SECRET);
        assert_true(message.text[0] != '\0');
        assert_null(strstr(message.text, CANARY));
        assert_null(address);
        return;
    }
    assert_true(address->brokers[0] != '\0' && address->topic[0] != '\0');
    for (const char *at = address->text; *at != '\0'; at++) {
        assert_true(*at >= 0x20 && *at < 0x7f);
    }
    for (const char *at = address->identity; *at != '\0'; at++) {
        assert_true(*at >= 0x20 && *at < 0x7f);
    }
    for (size_t i = 0; i < address->properties_count; i++) {
        const struct address_property *property = &address->properties[i];
        assert_non_null(property->value);
        assert_true(property->is_secret || !address_is_secret(property->name));
        if (property->is_secret) {
            assert_true(property->value[0] != '\0');
        }
    }
    address_free(&address);
}

/* Parses the text with its byte at a position changed in many ways. */
static void change_byte(char *text, size_t size_bytes, size_t at)
{
    static const char others[] = {'\0', '[', ']', ':', ',', '/', '?', '&', '=', '%', ' '};
    unsigned char original = (unsigned char)text[at];
    for (unsigned int bit = 0; bit < 8; bit++) {
        text[at] = (char)(original ^ (1U << bit));
        assert_sane(text, size_bytes);
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(others); i++) {
        text[at] = others[i];
        assert_sane(text, size_bytes);
    }
    text[at] = (char)original;
}

static void address_parse_survives_each_changed_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(good); i++) {
        char text[256] = "";
        size_t size_bytes = strlen(good[i].text);
        assert_true(size_bytes < sizeof(text));
        memcpy(text, good[i].text, size_bytes);
        for (size_t at = 0; at < size_bytes; at++) {
            change_byte(text, size_bytes, at);
        }
    }
}

static void address_parse_survives_each_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(good); i++) {
        size_t size_bytes = strlen(good[i].text);
        for (size_t at = 0; at <= size_bytes; at++) {
            assert_sane(good[i].text, at);
            assert_sane(good[i].text + at, size_bytes - at);
        }
    }
}

static void address_is_secret_knows_what_must_be_hidden(void **state)
{
    (void)state;
    static const char *const secrets[] = {
        "sasl.password", "sasl.username", "ssl.key.password", "ssl.keystore.password",
        "ssl.key.pem", "ssl.ca.pem", "ssl.certificate.pem", "sasl.jaas.config",
        "sasl.oauthbearer.config", "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem", "ssl_key", "sasl.kerberos.kinit.cmd",
        /* not librdkafka's, but somebody's mistake */
        "SASL.PASSWORD", "sasl.passwd", "my-secret-name", "Ssl.Key.Pem", "SASL.Username"};
    static const char *const others[] = {"",
                                         "linger.ms",
                                         "ssl.key.location",
                                         "ssl.ca.location",
                                         "ssl.keystore.location",
                                         "ssl.certificate.location",
                                         "sasl.mechanisms",
                                         "sasl.kerberos.keytab",
                                         "sasl.oauthbearer.client.id",
                                         "sasl.oauthbearer.assertion.private.key.file",
                                         "client.id",
                                         "acks",
                                         ".pem",
                                         "sasl.usernames"};
    for (size_t i = 0; i < SPOOL_COUNT_OF(secrets); i++) {
        assert_true(address_is_secret(secrets[i]));
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(others); i++) {
        assert_false(address_is_secret(others[i]));
    }
}

static void address_free_accepts_null(void **state)
{
    (void)state;
    struct address *address = NULL;
    address_free(&address);
    assert_null(address);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_parse_refuses_each_malformed_address),
        cmocka_unit_test(address_parse_knows_identity_and_text),
        cmocka_unit_test(address_parse_reads_its_own_text_again),
        cmocka_unit_test(address_parse_sets_each_field),
        cmocka_unit_test(address_parse_has_defaults_for_what_is_not_said),
        cmocka_unit_test(address_parse_holds_its_limits),
        cmocka_unit_test(address_parse_holds_its_limit_of_properties),
        cmocka_unit_test(address_parse_refuses_nul_bytes_anywhere),
        cmocka_unit_test_setup_teardown(address_parse_reads_secrets_from_files, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(address_parse_says_why_a_secret_file_is_refused,
                                        make_folder, remove_folder),
        cmocka_unit_test(address_parse_shows_no_path_that_is_none),
        cmocka_unit_test(address_parse_survives_each_changed_byte),
        cmocka_unit_test(address_parse_survives_each_cut),
        cmocka_unit_test(address_parse_hides_a_url_with_a_user_or_a_query),
        cmocka_unit_test(address_is_secret_knows_what_must_be_hidden),
        cmocka_unit_test(address_free_accepts_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
