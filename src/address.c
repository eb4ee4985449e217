/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One pass over the text, a function for each part; the properties are in address_property.c. */
#include "src/address.h"

#include "spool/limits.h"
#include "src/address_identity.h"
#include "src/address_reader.h"
#include "src/secret_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define HOST_BYTES_MAX 253  /* DNS's limit */
#define TOPIC_BYTES_MAX 249 /* Kafka's limit */
#define PORT_MAX 65535

static bool is_white_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

bool address_is_secret(const char *name)
{
    static const char *const names[] = {
        "sasl.username",           "sasl.jaas.config", "sasl.kerberos.kinit.cmd",
        "sasl.oauthbearer.config", "ssl_key",
    };
    for (size_t i = 0; i < SPOOL_COUNT_OF(names); i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    size_t length = strlen(name);
    return strcasestr(name, "pass") != NULL || strcasestr(name, "secret") != NULL ||
           (length > 4 && strcasecmp(name + length - 4, ".pem") == 0);
}

/* Whether [start, end) is an IPv6 address, perhaps with a zone ("fe80::1%eth0"). */
static bool is_ipv6(const struct address_reader *reader, size_t start, size_t end)
{
    size_t percent = address_reader_find(reader, start, end, '%');
    char literal[INET6_ADDRSTRLEN] = "";
    if (percent - start >= sizeof(literal)) {
        return false;
    }
    memcpy(literal, reader->text + start, percent - start);
    struct in6_addr ignored;
    if (strlen(literal) != percent - start || inet_pton(AF_INET6, literal, &ignored) != 1) {
        return false;
    }
    return percent == end || (end - percent - 1 >= 1 && end - percent - 1 < IF_NAMESIZE &&
                              address_reader_end_of(reader, percent + 1, address_is_word) == end);
}

/* Whether what comes next must belong to a broker that ended here. */
static bool is_after_broker(char byte)
{
    return byte == ':' || byte == ',' || byte == '/';
}

static int read_id(struct address_reader *reader)
{
    reader->at = address_reader_end_of(reader, 0, is_white_space);
    size_t open = reader->at;
    if (address_reader_at(reader, open) != '[') {
        return 0;
    }
    size_t close = address_reader_find(reader, open, reader->size_bytes, ']');
    if (close == reader->size_bytes) {
        return ADDRESS_MALFORMED(reader, open, "'[' has no ']': write [ID] or [IPv6 address]");
    }
    bool is_followed = is_after_broker(address_reader_at(reader, close + 1));
    if (is_followed && is_ipv6(reader, open + 1, close)) {
        return 0;
    }
    if (close - open - 1 < 1 || close - open - 1 > ADDRESS_ID_BYTES_MAX) {
        return ADDRESS_MALFORMED(reader, open, "an ID in brackets has 1 to %d characters",
                                 ADDRESS_ID_BYTES_MAX);
    }
    size_t printable_end = address_reader_end_of(reader, open, address_is_printable);
    if (printable_end < close) {
        return ADDRESS_MALFORMED(reader, printable_end,
                                 "an ID is made of printable ASCII characters");
    }
    if (is_followed) {
        return ADDRESS_MALFORMED(
            reader, close + 1,
            "a host must follow the ID, or an IPv6 address stand in the brackets");
    }
    reader->address->id = strndup(reader->text + open + 1, close - open - 1);
    if (reader->address->id == NULL) {
        return -ENOMEM;
    }
    address_reader_show(reader, open, close + 1);
    reader->at = address_reader_end_of(reader, close + 1, is_white_space);
    return 0;
}

/* Reads a broker's host. */
static int read_host(struct address_reader *reader)
{
    size_t start = reader->at;
    if (address_reader_at(reader, start) == '[') {
        size_t close = address_reader_find(reader, start, reader->size_bytes, ']');
        if (close == reader->size_bytes || !is_ipv6(reader, start + 1, close)) {
            return ADDRESS_MALFORMED(reader, start,
                                     "only an IPv6 address can stand in brackets here");
        }
        reader->at = close + 1;
        return 0;
    }
    size_t end = address_reader_end_of(reader, start, address_is_word);
    if (end == start) {
        return ADDRESS_MALFORMED(reader, start, "a broker's host is missing: write host:port");
    }
    if (end - start > HOST_BYTES_MAX) {
        return ADDRESS_MALFORMED(reader, start, "a host name has at most %d characters",
                                 HOST_BYTES_MAX);
    }
    reader->at = end;
    return 0;
}

/* Reads a broker's ":port", if there is one. */
static int read_port(struct address_reader *reader)
{
    size_t colon = reader->at;
    if (address_reader_at(reader, colon) != ':') {
        return 0;
    }
    if (address_reader_at(reader, colon + 1) == '/' &&
        address_reader_at(reader, colon + 2) == '/') {
        return ADDRESS_MALFORMED(
            reader, colon, "a broker has no protocol in front: use g.security.protocol instead");
    }
    size_t end = address_reader_end_of(reader, colon + 1, address_is_digit);
    size_t digits = end - colon - 1;
    uint32_t port = 0;
    for (size_t i = colon + 1; i < end && digits <= 5; i++) {
        port = port * 10 + (uint32_t)(reader->text[i] - '0');
    }
    /* A port that starts with 0 would be a second spelling of the same broker. */
    if (port < 1 || port > PORT_MAX || reader->text[colon + 1] == '0' ||
        address_reader_at(reader, end) == ':') {
        return ADDRESS_MALFORMED(
            reader, colon + 1,
            "a port is a number from 1 to %d, and an IPv6 host stands in brackets", PORT_MAX);
    }
    reader->at = end;
    return 0;
}

static int read_broker(struct address_reader *reader)
{
    size_t start = reader->at;
    int result = read_host(reader);
    if (result == 0) {
        result = read_port(reader);
    }
    if (result != 0) {
        return result;
    }
    char next = address_reader_at(reader, reader->at);
    if (reader->at == reader->size_bytes || next == '?') {
        return ADDRESS_MALFORMED(reader, reader->at, "the topic is missing: write brokers/topic");
    }
    if (next != ',' && next != '/') {
        return ADDRESS_MALFORMED(
            reader, reader->at,
            "a broker is host:port, the host made of letters, digits, '.', '-', '_'");
    }
    /* The room is zeroed, so that this leaves a string. */
    char *brokers = reader->address->brokers;
    memcpy(brokers + strlen(brokers), reader->text + start, reader->at - start);
    return 0;
}

/* Reads the brokers and the '/' after them. */
static int read_brokers(struct address_reader *reader)
{
    size_t start = reader->at;
    int result = read_broker(reader);
    while (result == 0 && address_reader_at(reader, reader->at) == ',') {
        reader->address->brokers[strlen(reader->address->brokers)] = ',';
        do {
            reader->at++;
        } while (address_reader_at(reader, reader->at) == ' ');
        result = read_broker(reader);
    }
    if (result != 0) {
        return result;
    }
    reader->at++;
    address_reader_show(reader, start, reader->at);
    return 0;
}

/* Reads the topic, by Kafka's rules. */
static int read_topic(struct address_reader *reader)
{
    size_t start = reader->at;
    size_t end = address_reader_end_of(reader, start, address_is_word);
    if (end < reader->size_bytes && reader->text[end] != '?') {
        return ADDRESS_MALFORMED(
            reader, end,
            "a topic is made of letters, digits, '.', '_' and '-'; '?' comes before "
            "properties");
    }
    if (end == start) {
        return ADDRESS_MALFORMED(reader, start, "the topic is missing: write brokers/topic");
    }
    if (end - start > TOPIC_BYTES_MAX) {
        return ADDRESS_MALFORMED(reader, start, "a topic has at most %d characters",
                                 TOPIC_BYTES_MAX);
    }
    char *topic = strndup(reader->text + start, end - start);
    if (topic == NULL) {
        return -ENOMEM;
    }
    reader->address->topic = topic;
    if (strcmp(topic, ".") == 0 || strcmp(topic, "..") == 0) {
        return ADDRESS_MALFORMED(reader, start, "a topic cannot be '.' or '..'");
    }
    address_reader_show(reader, start, end);
    reader->at = end;
    return 0;
}

static int read_address(struct address_reader *reader)
{
    struct address *address = reader->address;
    /* "***" is at most two bytes longer than what it hides. */
    address->text = calloc(1, reader->size_bytes + (size_t)2 * ADDRESS_PROPERTIES_MAX + 1);
    address->brokers = calloc(1, reader->size_bytes + 1);
    address->properties = calloc(ADDRESS_PROPERTIES_MAX, sizeof(*address->properties));
    if (address->text == NULL || address->brokers == NULL || address->properties == NULL) {
        return -ENOMEM;
    }
    int (*const steps[])(struct address_reader *) = {read_id, read_brokers, read_topic,
                                                     address_read_properties};
    for (size_t i = 0; i < SPOOL_COUNT_OF(steps); i++) {
        int result = steps[i](reader);
        if (result != 0) {
            return result;
        }
    }
    return address_identity_new(address, &address->identity);
}

int address_parse(const char *text, size_t size_bytes, struct address **ret_address,
                  struct message *message)
{
    if (size_bytes > ADDRESS_BYTES_MAX) {
        message_set(message, "an address has at most %d bytes, this one has %zu", ADDRESS_BYTES_MAX,
                    size_bytes);
        return ADDRESS_E_MALFORMED;
    }
    SPOOL_CLEANUP(address_free) struct address *address = calloc(1, sizeof(*address));
    int result = -ENOMEM;
    if (address != NULL) {
        struct address_reader reader = {
            .text = text, .size_bytes = size_bytes, .address = address, .message = message};
        result = read_address(&reader);
    }
    if (result < 0) {
        message_set(message, "out of memory");
    }
    if (result == 0) {
        *ret_address = SPOOL_TAKE(address);
    }
    return result;
}

void address_free(struct address **address)
{
    struct address *freed = SPOOL_TAKE(*address);
    if (freed == NULL) {
        return;
    }
    for (size_t i = 0; i < freed->properties_count; i++) {
        free(freed->properties[i].name);
        secret_file_wipe(&freed->properties[i].value);
        free(freed->properties[i].secret_path);
    }
    free(freed->properties);
    free(freed->id);
    free(freed->brokers);
    free(freed->topic);
    free(freed->identity);
    free(freed->text);
    free(freed);
}
