/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/address_identity.h"

#include "src/address.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_pointer(void *pointer)
{
    void **owned = pointer;
    free(*owned);
    *owned = NULL;
}

static int compare_strings(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static int compare_properties(const void *left, const void *right)
{
    const struct address_property *a = left;
    const struct address_property *b = right;
    if (a->scope != b->scope) {
        return a->scope < b->scope ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static void to_small_letters(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        *at = (char)(tolower)((unsigned char)*at); /* the function: the macro is five levels deep */
    }
}

static void write_each_once(FILE *out, char *const *sorted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(sorted[i], sorted[i - 1]) != 0) {
            fprintf(out, "%s%s", i == 0 ? "" : ",", sorted[i]);
        }
    }
}

/* Writes the brokers sorted, each once, in small letters: their order and the case of their
 * letters mean nothing to the client. */
static int write_brokers(FILE *out, const char *brokers)
{
    SPOOL_CLEANUP(free_pointer) char *copy = strdup(brokers);
    size_t count_max = 1;
    for (const char *at = brokers; *at != '\0'; at++) {
        count_max += *at == ',';
    }
    SPOOL_CLEANUP(free_pointer) char **items = calloc(count_max, sizeof(*items));
    if (copy == NULL || items == NULL) {
        return -ENOMEM;
    }
    to_small_letters(copy);
    size_t count = 0;
    char *rest = copy;
    for (char *item = strsep(&rest, ","); item != NULL; item = strsep(&rest, ",")) {
        items[count++] = item;
    }
    qsort(items, count, sizeof(*items), compare_strings);
    write_each_once(out, items, count);
    return 0;
}

/* Writes a value with exactly those bytes escaped that must be: one spelling for each value. */
static void write_value(FILE *out, const char *value)
{
    for (const char *at = value; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte < 0x20 || byte >= 0x7f || byte == '%' || byte == '&') {
            fprintf(out, "%%%02X", byte);
        } else {
            fputc(byte, out);
        }
    }
}

/* Writes '?' before the first property and '&' before each further one. */
static void write_separator(FILE *out, bool *is_first)
{
    fputc(*is_first ? '?' : '&', out);
    *is_first = false;
}

/* Writes what librdkafka gets, sorted, without the secrets. */
static int write_kafka_properties(FILE *out, const struct address *address, bool *is_first)
{
    size_t count = 0;
    /* Copies only to be sorted: the strings stay the address's. */
    SPOOL_CLEANUP(free_pointer)
    struct address_property *items = calloc(address->properties_count + 1, sizeof(*items));
    if (items == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < address->properties_count; i++) {
        if (!address->properties[i].is_secret) {
            items[count++] = address->properties[i];
        }
    }
    qsort(items, count, sizeof(*items), compare_properties);
    for (size_t i = 0; i < count; i++) {
        write_separator(out, is_first);
        fprintf(out, "%c.%s=", items[i].scope == ADDRESS_SCOPE_GLOBAL ? 'g' : 't', items[i].name);
        write_value(out, items[i].value);
    }
    return 0;
}

static void write_number(FILE *out, const char *name, uint64_t number, bool *is_first)
{
    if (number != 0) {
        write_separator(out, is_first);
        fprintf(out, "%s=%" PRIu64, name, number);
    }
}

static void write_word(FILE *out, const char *word, bool is_set, bool *is_first)
{
    if (is_set) {
        write_separator(out, is_first);
        fputs(word, out);
    }
}

/* Writes what differs from its default, so that a default that is spelt out changes nothing. */
static void write_own_properties(FILE *out, const struct address *address, bool *is_first)
{
    write_word(out, "key=callid", address->key_is_callid, is_first);
    write_number(out, "s.max.bytes", address->max_bytes, is_first);
    write_number(out, "s.max.records", address->max_records, is_first);
    write_word(out, "s.on.expire=drop", address->on_expire == ADDRESS_ON_EXPIRE_DROP, is_first);
    write_word(out, "s.on.full=drop-oldest", address->on_full == ADDRESS_ON_FULL_DROP_OLDEST,
               is_first);
    write_number(out, "s.ttl.ms", address->ttl_ms, is_first);
}

static int write_identity(FILE *out, const struct address *address)
{
    if (address->id != NULL) {
        fprintf(out, "[%s]%s", address->id, address->topic);
        return 0;
    }
    int result = write_brokers(out, address->brokers);
    if (result != 0) {
        return result;
    }
    fprintf(out, "/%s", address->topic);
    bool is_first = true;
    result = write_kafka_properties(out, address, &is_first);
    if (result != 0) {
        return result;
    }
    write_own_properties(out, address, &is_first);
    return 0;
}

int address_identity_new(const struct address *address, char **ret_identity)
{
    SPOOL_CLEANUP(free_pointer) char *identity = NULL;
    size_t size_bytes = 0;
    FILE *out = open_memstream(&identity, &size_bytes);
    if (out == NULL) {
        return -ENOMEM;
    }
    int result = write_identity(out, address);
    bool is_incomplete = ferror(out) != 0;
    /* identity belongs to the stream until it is closed, and is set then. */
    is_incomplete = fclose(out) != 0 || is_incomplete;
    if (result == 0 && is_incomplete) {
        result = -ENOMEM;
    }
    if (result == 0) {
        *ret_identity = SPOOL_TAKE(identity);
    }
    return result;
}
