/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/redact.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/address.h"

/* What stands between the parts of a secret that is more than one word. */
#define SEPARATORS " \t\r\n=,;\"'"
/* A shorter part, or beginning, says nothing, and would hide half of each text. */
#define PART_BYTES_MIN 4

struct redact {
    size_t secrets_count;
    char *secrets[];
};

/* A key in PEM has parts that are in many messages ("PRIVATE"), and is quoted by none. */
static bool has_parts(const struct address_property *property)
{
    size_t length = strlen(property->name);

    return length < strlen(".pem") ||
           strcasecmp(property->name + length - strlen(".pem"), ".pem") != 0;
}

static int remember(struct redact *redact, const char *secret, size_t length)
{
    redact->secrets[redact->secrets_count] = strndup(secret, length);
    if (redact->secrets[redact->secrets_count] == NULL) {
        return -ENOMEM;
    }
    redact->secrets_count++;
    return 0;
}

/* Remembers what a library may quote of a value: all of it, or a part ("name=SECRET other=..."). */
static int remember_property(struct redact *redact, const struct address_property *property)
{
    const char *value = property->value;
    int r = remember(redact, value, strlen(value));

    if (!has_parts(property)) {
        return r;
    }
    for (const char *at = value + strspn(value, SEPARATORS); r == 0 && *at != '\0';) {
        size_t length = strcspn(at, SEPARATORS);

        if (length >= PART_BYTES_MIN && length < strlen(value)) {
            r = remember(redact, at, length);
        }
        at += length;
        at += strspn(at, SEPARATORS);
    }
    return r;
}

int redact_new(const struct address *address, struct redact **ret_redact)
{
    SPOOL_CLEANUP(redact_free) struct redact *redact = NULL;
    size_t secrets_max = 0;

    for (size_t i = 0; i < address->properties_count; i++) {
        if (address->properties[i].is_secret) {
            secrets_max += 1 + strlen(address->properties[i].value) / PART_BYTES_MIN;
        }
    }
    redact = calloc(1, sizeof(*redact) + secrets_max * sizeof(redact->secrets[0]));
    if (redact == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < address->properties_count; i++) {
        const struct address_property *property = &address->properties[i];
        int r;

        if (!property->is_secret || property->value[0] == '\0') {
            continue;
        }
        r = remember_property(redact, property);
        if (r != 0) {
            return r;
        }
    }
    *ret_redact = SPOOL_TAKE(redact);
    return 0;
}

void redact_free(struct redact **redact)
{
    if (*redact == NULL) {
        return;
    }
    for (size_t i = 0; i < (*redact)->secrets_count; i++) {
        explicit_bzero((*redact)->secrets[i], strlen((*redact)->secrets[i]));
        free((*redact)->secrets[i]);
    }
    free(*redact);
    *redact = NULL;
}

/* The length of the longest secret that text starts with, or of text itself where a secret was cut
 * off at its end; 0: none. */
static size_t secret_length(const struct redact *redact, const char *text)
{
    size_t text_length = strnlen(text, PART_BYTES_MIN);
    size_t longest = 0;

    for (size_t i = 0; i < redact->secrets_count; i++) {
        const char *secret = redact->secrets[i];
        size_t same = 0;

        while (secret[same] != '\0' && secret[same] == text[same]) {
            same++;
        }
        bool is_whole = secret[same] == '\0';
        bool is_cut = text[same] == '\0' && text_length == PART_BYTES_MIN;
        if ((is_whole || is_cut) && same > longest) {
            longest = same;
        }
    }
    return longest;
}

void redact_text(const struct redact *redact, const char *text, char *buffer,
                 size_t buffer_size_bytes)
{
    static const char stars[] = "***";
    const char *hidden_end = text;
    size_t used = 0;

    assert(buffer_size_bytes > 0);
    /* Every position is looked at, hidden or not: secrets may overlap. */
    for (const char *at = text; *at != '\0'; at++) {
        size_t length = secret_length(redact, at);
        bool is_start = at >= hidden_end && length > 0;

        if (at + length > hidden_end) {
            hidden_end = at + length;
        }
        for (const char *star = stars; is_start && *star != '\0'; star++) {
            if (used < buffer_size_bytes - 1) {
                buffer[used++] = *star;
            }
        }
        if (at >= hidden_end && used < buffer_size_bytes - 1) {
            buffer[used++] = *at;
        }
    }
    buffer[used] = '\0';
}
