/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/redact.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/address.h"

struct redact {
    size_t secrets_count;
    char *secrets[];
};

int redact_new(const struct address *address, struct redact **ret_redact)
{
    SPOOL_CLEANUP(redact_free) struct redact *redact = NULL;

    redact = calloc(1, sizeof(*redact) + address->properties_count * sizeof(redact->secrets[0]));
    if (redact == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < address->properties_count; i++) {
        const struct address_property *property = &address->properties[i];

        if (!property->is_secret || property->value[0] == '\0') {
            continue;
        }
        redact->secrets[redact->secrets_count] = strdup(property->value);
        if (redact->secrets[redact->secrets_count] == NULL) {
            return -ENOMEM;
        }
        redact->secrets_count++;
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

/* The length of the longest secret that text starts with; 0: none. */
static size_t secret_length(const struct redact *redact, const char *text)
{
    size_t longest = 0;

    for (size_t i = 0; i < redact->secrets_count; i++) {
        size_t length = strlen(redact->secrets[i]);

        if (length > longest && strncmp(text, redact->secrets[i], length) == 0) {
            longest = length;
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
