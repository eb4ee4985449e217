/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The properties of an address: everything after the '?'. */
#include "spool/limits.h"
#include "src/address.h"
#include "src/address_reader.h"
#include "src/secret_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How much of a property's name a message shows. */
#define NAME_SHOWN_BYTES 60

#define FILE_SUFFIX ".file"
#define HIDDEN "***"

enum spool_property {
    SPOOL_PROPERTY_TTL_MS,
    SPOOL_PROPERTY_MAX_BYTES,
    SPOOL_PROPERTY_MAX_RECORDS,
    SPOOL_PROPERTY_ON_FULL,
    SPOOL_PROPERTY_ON_EXPIRE,
    SPOOL_PROPERTY_COUNT,
};

static const char *const spool_property_names[SPOOL_PROPERTY_COUNT] = {
    [SPOOL_PROPERTY_TTL_MS] = "s.ttl.ms",           [SPOOL_PROPERTY_MAX_BYTES] = "s.max.bytes",
    [SPOOL_PROPERTY_MAX_RECORDS] = "s.max.records", [SPOOL_PROPERTY_ON_FULL] = "s.on.full",
    [SPOOL_PROPERTY_ON_EXPIRE] = "s.on.expire",
};

/* librdkafka's own properties whose names end in ".file": their values are paths. */
static const char *const file_names[] = {
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
};

/* A property's place in the text: [start, equals) is its name, (equals, end) its value. */
struct place {
    size_t start;
    size_t equals;
    size_t end;
};

static void free_string(char **string)
{
    free(*string);
    *string = NULL;
}

static int hex_digit(char byte)
{
    if (address_is_digit(byte)) {
        return byte - '0';
    }
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Decodes the %XX at a position of a property's value. */
static int decode_escape(const struct address_reader *reader, const struct place *place, size_t at,
                         char *ret_byte)
{
    int high = at + 2 < place->end ? hex_digit(reader->text[at + 1]) : -1;
    int low = at + 2 < place->end ? hex_digit(reader->text[at + 2]) : -1;
    if (high < 0 || low < 0) {
        return ADDRESS_MALFORMED(reader, at,
                                 "'%%' needs two hexadecimal digits; '%%' itself is written %%25");
    }
    if (high == 0 && low == 0) {
        return ADDRESS_MALFORMED(reader, at, "%%00 cannot stand in a value");
    }
    *ret_byte = (char)(high * 16 + low);
    return 0;
}

/* Takes a byte of a property's value that stands for itself. */
static int decode_plain(const struct address_reader *reader, size_t at, bool is_secret,
                        char *ret_byte)
{
    if (reader->text[at] == '\0') {
        return ADDRESS_MALFORMED(reader, at, "a NUL byte cannot stand in a value");
    }
    if (!is_secret && !address_is_printable(reader->text[at])) {
        return ADDRESS_MALFORMED(reader, at, "a byte that is not printable ASCII is written %%XX");
    }
    *ret_byte = reader->text[at];
    return 0;
}

/* Decodes a property's value. */
static int decode(const struct address_reader *reader, const struct place *place, bool is_secret,
                  char **ret_value)
{
    /* Zeroed, so that it is a string at any moment and can be wiped as one. */
    SPOOL_CLEANUP(secret_file_wipe) char *value = calloc(1, place->end - place->equals);
    if (value == NULL) {
        return -ENOMEM;
    }
    size_t size_bytes = 0;
    size_t at = place->equals + 1;
    while (at < place->end) {
        bool is_escape = reader->text[at] == '%';
        int result = is_escape ? decode_escape(reader, place, at, &value[size_bytes])
                               : decode_plain(reader, at, is_secret, &value[size_bytes]);
        if (result != 0) {
            return result;
        }
        size_bytes++;
        at += is_escape ? strlen("%XX") : 1;
    }
    *ret_value = SPOOL_TAKE(value);
    return 0;
}

/* Reads an s. property's number, from 0 (none) on. */
static int read_number(const struct address_reader *reader, const struct place *place,
                       const char *name, uint64_t number_max, uint64_t *ret_number)
{
    SPOOL_CLEANUP(free_string) char *value = NULL;
    int result = decode(reader, place, false, &value);
    if (result != 0) {
        return result;
    }
    uint64_t number = 0;
    const char *at = value;
    /* number_max is far below 2^64 / 10, so that one digit more cannot overflow. */
    for (; address_is_digit(*at) && number <= number_max; at++) {
        number = number * 10 + (uint64_t)(*at - '0');
    }
    if (at == value || *at != '\0' || number > number_max) {
        return ADDRESS_MALFORMED(
            reader, place->equals + 1,
            "%s takes a whole number from 0 (none) to %llu, without sign or unit", name,
            (unsigned long long)number_max);
    }
    *ret_number = number;
    return 0;
}

/* Reads an s. property that has two words to choose from. */
static int read_choice(const struct address_reader *reader, const struct place *place,
                       const char *name, const char *const words[2], bool *ret_is_second)
{
    SPOOL_CLEANUP(free_string) char *value = NULL;
    int result = decode(reader, place, false, &value);
    if (result != 0) {
        return result;
    }
    bool is_second = strcmp(value, words[1]) == 0;
    if (!is_second && strcmp(value, words[0]) != 0) {
        return ADDRESS_MALFORMED(reader, place->equals + 1, "%s is either %s or %s", name, words[0],
                                 words[1]);
    }
    *ret_is_second = is_second;
    return 0;
}

static int read_spool_value(struct address_reader *reader, const struct place *place,
                            enum spool_property which)
{
    static const char *const on_full[] = {"reject", "drop-oldest"};
    static const char *const on_expire[] = {"dead", "drop"};
    struct address *address = reader->address;
    const char *name = spool_property_names[which];
    bool is_second = false;
    int result = 0;
    switch (which) {
    case SPOOL_PROPERTY_TTL_MS:
        address->has_ttl = true;
        return read_number(reader, place, name, ADDRESS_TTL_MS_MAX, &address->ttl_ms);
    case SPOOL_PROPERTY_MAX_BYTES:
        return read_number(reader, place, name, SPOOL_BYTES_MAX, &address->max_bytes);
    case SPOOL_PROPERTY_MAX_RECORDS:
        /* A record takes at least a byte. */
        return read_number(reader, place, name, SPOOL_BYTES_MAX, &address->max_records);
    case SPOOL_PROPERTY_ON_FULL:
        result = read_choice(reader, place, name, on_full, &is_second);
        address->has_on_full = true;
        address->on_full = is_second ? ADDRESS_ON_FULL_DROP_OLDEST : ADDRESS_ON_FULL_REJECT;
        return result;
    case SPOOL_PROPERTY_ON_EXPIRE:
    default:
        result = read_choice(reader, place, name, on_expire, &is_second);
        address->on_expire = is_second ? ADDRESS_ON_EXPIRE_DROP : ADDRESS_ON_EXPIRE_DEAD;
        return result;
    }
}

static bool is_name(const struct address_reader *reader, const struct place *place,
                    const char *name)
{
    size_t size_bytes = place->equals - place->start;
    return strlen(name) == size_bytes && memcmp(reader->text + place->start, name, size_bytes) == 0;
}

static int shown_bytes(const struct place *place)
{
    size_t size_bytes = place->equals - place->start;
    return size_bytes < NAME_SHOWN_BYTES ? (int)size_bytes : NAME_SHOWN_BYTES;
}

static int read_spool_property(struct address_reader *reader, const struct place *place)
{
    size_t which = 0;
    while (which < SPOOL_PROPERTY_COUNT && !is_name(reader, place, spool_property_names[which])) {
        which++;
    }
    if (which == SPOOL_PROPERTY_COUNT) {
        return ADDRESS_MALFORMED(
            reader, place->start,
            "%.*s is unknown; there are s.ttl.ms, s.max.bytes, s.max.records, s.on.full and "
            "s.on.expire",
            shown_bytes(place), reader->text + place->start);
    }
    if ((reader->spool_seen & (1U << which)) != 0) {
        return ADDRESS_MALFORMED(reader, place->start, "%s is given twice",
                                 spool_property_names[which]);
    }
    reader->spool_seen |= 1U << which;
    return read_spool_value(reader, place, (enum spool_property)which);
}

static int read_key(struct address_reader *reader, const struct place *place)
{
    SPOOL_CLEANUP(free_string) char *value = NULL;
    int result = decode(reader, place, false, &value);
    if (result != 0) {
        return result;
    }
    if (strcmp(value, "callid") != 0) {
        return ADDRESS_MALFORMED(reader, place->equals + 1, "key can only be callid");
    }
    if (reader->address->key_is_callid) {
        return ADDRESS_MALFORMED(reader, place->start, "key is given twice");
    }
    reader->address->key_is_callid = true;
    return 0;
}

/* Whether a g. or t. property's name asks for a secret's file. Then its ".file" is cut off. */
static int cut_file_suffix(const struct address_reader *reader, const struct place *place,
                           char *name, bool *ret_is_from_file)
{
    size_t length = strlen(name);
    size_t suffix_length = strlen(FILE_SUFFIX);
    if (length <= suffix_length || strcmp(name + length - suffix_length, FILE_SUFFIX) != 0) {
        *ret_is_from_file = false;
        return 0;
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(file_names); i++) {
        if (strcmp(name, file_names[i]) == 0) {
            *ret_is_from_file = false;
            return 0;
        }
    }
    name[length - suffix_length] = '\0';
    if (!address_is_secret(name)) {
        return ADDRESS_MALFORMED(reader, place->start,
                                 "%c.%.*s is no secret: give its value here, without .file",
                                 reader->text[place->start], NAME_SHOWN_BYTES, name);
    }
    *ret_is_from_file = true;
    return 0;
}

/* Whether a property may stand in an address, and only once. It is the last one so far. */
static int check_property(const struct address_reader *reader, const struct place *place,
                          const struct address_property *property)
{
    char scope = reader->text[place->start];
    if (property->scope == ADDRESS_SCOPE_GLOBAL &&
        (strcmp(property->name, "bootstrap.servers") == 0 ||
         strcmp(property->name, "metadata.broker.list") == 0)) {
        return ADDRESS_MALFORMED(
            reader, place->start,
            "g.%s conflicts with the brokers in front of the topic: add its brokers there",
            property->name);
    }
    for (const struct address_property *other = reader->address->properties; other < property;
         other++) {
        if (other->scope == property->scope && strcmp(other->name, property->name) == 0) {
            return ADDRESS_MALFORMED(reader, place->start,
                                     "%c.%.*s is given twice, first at byte %zu", scope,
                                     NAME_SHOWN_BYTES, property->name, other->position);
        }
    }
    if (property->is_secret && place->end - place->equals == 1) {
        return ADDRESS_MALFORMED(reader, place->equals, "%c.%.*s needs a value", scope,
                                 NAME_SHOWN_BYTES, property->name);
    }
    return 0;
}

/* Reads a secret's value from the file that the address names in its place. */
static int read_secret(const struct address_reader *reader, const struct place *place,
                       struct address_property *property)
{
    int result = decode(reader, place, false, &property->secret_path);
    if (result != 0) {
        return result;
    }
    struct message reason;
    result = secret_file_read(property->secret_path, &property->value, &reason);
    if (result == SECRET_FILE_E_UNUSABLE) {
        message_set(reader->message, "byte %zu: %c.%.*s.file: %s", place->start + 1,
                    reader->text[place->start], NAME_SHOWN_BYTES, property->name, reason.text);
        return ADDRESS_E_SECRET;
    }
    return result;
}

/* Whether a value is a URL with a user, or a query: "https://USER:PASSWORD@host/token". */
static bool is_secret_url(const char *value)
{
    const char *scheme_end = strstr(value, "://");
    return scheme_end != NULL && strpbrk(scheme_end, "@?") != NULL;
}

/* Reads a property for librdkafka. */
static int read_kafka_property(struct address_reader *reader, const struct place *place)
{
    struct address *address = reader->address;
    if (address->properties_count == ADDRESS_PROPERTIES_MAX) {
        return ADDRESS_MALFORMED(reader, place->start,
                                 "an address has at most %d g. and t. properties",
                                 ADDRESS_PROPERTIES_MAX);
    }
    /* Counted at once: whatever it comes to own is freed with the address. */
    struct address_property *property = &address->properties[address->properties_count++];
    property->scope =
        reader->text[place->start] == 'g' ? ADDRESS_SCOPE_GLOBAL : ADDRESS_SCOPE_TOPIC;
    property->position = place->start + 1;
    property->name = strndup(reader->text + place->start + 2, place->equals - place->start - 2);
    if (property->name == NULL) {
        return -ENOMEM;
    }
    bool is_from_file = false;
    int result = cut_file_suffix(reader, place, property->name, &is_from_file);
    if (result != 0) {
        return result;
    }
    property->is_secret = address_is_secret(property->name);
    result = check_property(reader, place, property);
    if (result != 0) {
        return result;
    }
    if (is_from_file) {
        return read_secret(reader, place, property);
    }
    result = decode(reader, place, property->is_secret, &property->value);
    if (result == 0 && is_secret_url(property->value)) {
        property->is_secret = true;
    }
    return result;
}

/* Reads a property, whatever its kind. */
static int read_property(struct address_reader *reader, const struct place *place)
{
    if (place->start == place->end) {
        return ADDRESS_MALFORMED(
            reader, place->start,
            "a property is missing: write name=value, or take out the '%c' before",
            reader->text[place->start - 1]);
    }
    if (place->equals == place->end) {
        return ADDRESS_MALFORMED(reader, place->start,
                                 "a property has no '='; a '&' in a value is written %%26");
    }
    char prefix = reader->text[place->start];
    bool is_prefixed = place->equals - place->start >= 2 &&
                       (prefix == 'g' || prefix == 's' || prefix == 't') &&
                       reader->text[place->start + 1] == '.';
    bool is_key = is_name(reader, place, "key");
    if (!is_prefixed && !is_key) {
        return ADDRESS_MALFORMED(
            reader, place->start,
            "a property's name starts with g., t. or s., or is key; a '&' in a value "
            "is written %%26");
    }
    size_t name_end = address_reader_end_of(reader, place->start, address_is_word);
    if (name_end != place->equals || place->equals - place->start == 2) {
        return ADDRESS_MALFORMED(reader, name_end,
                                 "a property's name is made of letters, digits, '.', '_' and '-'");
    }
    if (is_key) {
        return read_key(reader, place);
    }
    return prefix == 's' ? read_spool_property(reader, place) : read_kafka_property(reader, place);
}

/* Adds the property that was just read to the text to show. */
static void show_property(struct address_reader *reader, const struct place *place)
{
    /* An s. property or key=callid added nothing to the list: the last one is another then. */
    const struct address *address = reader->address;
    const struct address_property *last =
        address->properties_count > 0 ? &address->properties[address->properties_count - 1] : NULL;
    bool is_hidden = last != NULL && last->position == place->start + 1 && last->is_secret &&
                     last->secret_path == NULL;
    address_reader_show(reader, place->start - 1, is_hidden ? place->equals + 1 : place->end);
    if (is_hidden) {
        memcpy(reader->address->text + reader->text_bytes, HIDDEN, strlen(HIDDEN));
        reader->text_bytes += strlen(HIDDEN);
    }
}

int address_read_properties(struct address_reader *reader)
{
    /* reader->at is at the '?' or '&' before a property. */
    while (reader->at < reader->size_bytes) {
        struct place place = {.start = reader->at + 1};
        place.end = address_reader_find(reader, place.start, reader->size_bytes, '&');
        place.equals = address_reader_find(reader, place.start, place.end, '=');
        int result = read_property(reader, &place);
        if (result != 0) {
            return result;
        }
        show_property(reader, &place);
        reader->at = place.end;
    }
    return 0;
}
