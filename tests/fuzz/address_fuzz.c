/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses. What is accepted has a text to show and an identity that read as addresses again, and
 * then come out as they are; neither has a secret, by the rule by which spool-inspect looks for
 * them.
 */
#include "spool/limits.h"
#include "src/address.h"
#include "tests/fuzz/fuzz.h"
#include "tools/inspect/secrets.h"

/* A message may quote a path, of any letters. */
static bool has_control_characters(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return true;
        }
    }
    return false;
}

static bool is_printable(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f) {
            return false;
        }
    }
    return true;
}

static void check_fields(const struct address *address, size_t size_bytes)
{
    fuzz_must(address->brokers[0] != '\0' && address->topic[0] != '\0', "a part is empty");
    fuzz_must(address->id == NULL ||
                  (address->id[0] != '\0' && strlen(address->id) <= ADDRESS_ID_BYTES_MAX &&
                   strchr(address->id, ']') == NULL),
              "an ID that cannot be one");
    fuzz_must(address->ttl_ms <= ADDRESS_TTL_MS_MAX && address->max_bytes <= SPOOL_BYTES_MAX,
              "a number above its limit");
    fuzz_must(address->properties_count <= ADDRESS_PROPERTIES_MAX, "too many properties");
    for (size_t i = 0; i < address->properties_count; i++) {
        const struct address_property *property = &address->properties[i];
        fuzz_must(property->is_secret || !address_is_secret(property->name), "a secret or not");
        fuzz_must(property->value != NULL && property->name[0] != '\0', "a property has no value");
        fuzz_must(property->position > 0 && property->position <= size_bytes,
                  "a property stands outside of the text");
        fuzz_must(property->is_secret || property->secret_path == NULL, "a file, but no secret");
    }
}

/* Whether a value is a secret by what it is (a URL with a user): "***" in its place is none. */
static bool has_secret_url(const struct address *address)
{
    for (size_t i = 0; i < address->properties_count; i++) {
        const struct address_property *property = &address->properties[i];
        if (property->is_secret && !address_is_secret(property->name)) {
            return true;
        }
    }
    return false;
}

/* Reads what was made of an address, and gives what is made of that. */
static void check_again(const struct address *address, const char *text, bool is_identity)
{
    struct address *again = NULL;
    struct message message;
    size_t size_bytes = strlen(text);
    /* With "***" in the place of a shorter secret the text can be longer than an address may be. */
    if (size_bytes > ADDRESS_BYTES_MAX) {
        return;
    }
    fuzz_must(address_parse(text, size_bytes, &again, &message) == 0, "it cannot be read again");
    fuzz_must(strcmp(again->identity, address->identity) == 0, "another identity");
    fuzz_must(is_identity || strcmp(again->text, address->text) == 0, "another text to show");
    fuzz_must(is_identity || again->properties_count == address->properties_count,
              "other properties");
    fuzz_must(again->ttl_ms == address->ttl_ms && again->max_bytes == address->max_bytes &&
                  again->max_records == address->max_records &&
                  again->on_full == address->on_full && again->on_expire == address->on_expire &&
                  again->key_is_callid == address->key_is_callid,
              "other properties of the spool");
    address_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct address *address = NULL;
    struct message message = {""};
    int r = address_parse((const char *)data, size_bytes, &address, &message);
    if (r != 0) {
        fuzz_must(r == ADDRESS_E_MALFORMED || r == ADDRESS_E_SECRET, "no documented result");
        fuzz_must(address == NULL, "refused, and something was returned");
        fuzz_must(message.text[0] != '\0' && !has_control_characters(message.text),
                  "refused without a message");
        return 0;
    }
    check_fields(address, size_bytes);
    fuzz_must(is_printable(address->text) && is_printable(address->identity), "not printable");
    struct span text = {address->text, strlen(address->text)};
    struct span identity = {address->identity, strlen(address->identity)};
    fuzz_must(!secrets_are_in(text) && !secrets_are_in(identity), "a secret is shown");
    if (!has_secret_url(address)) {
        check_again(address, address->text, false);
    }
    if (address->id == NULL) {
        check_again(address, address->identity, true);
    }
    address_free(&address);
    return 0;
}
