/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/secrets.h"

#include "src/address.h"

#include <string.h>
#include <strings.h>

#define HIDDEN "***"
#define FILE_SUFFIX ".file"
#define NAME_BYTES_MAX 256

/* A property: "g.name=value". */
static bool secrets_is_one(const char *property, size_t size_bytes)
{
    char name[NAME_BYTES_MAX];
    const char *equals = memchr(property, '=', size_bytes);
    if (equals == NULL || size_bytes < 3 || property[1] != '.' ||
        (property[0] != 'g' && property[0] != 't')) {
        return false;
    }
    size_t name_bytes = (size_t)(equals - property) - 2;
    size_t value_bytes = size_bytes - name_bytes - 3;
    if (name_bytes >= sizeof(name)) {
        return false;
    }
    memcpy(name, property + 2, name_bytes);
    name[name_bytes] = '\0';
    bool is_path = name_bytes > strlen(FILE_SUFFIX) &&
                   strcasecmp(name + name_bytes - strlen(FILE_SUFFIX), FILE_SUFFIX) == 0;
    bool is_hidden = value_bytes == strlen(HIDDEN) && memcmp(equals + 1, HIDDEN, value_bytes) == 0;
    return !is_path && !is_hidden && value_bytes > 0 && address_is_secret(name);
}

/* Where the properties begin: behind the first '?', but for one in the ID. */
static size_t secrets_begin(const char *bytes, size_t size_bytes)
{
    const char *id_end = size_bytes > 0 && bytes[0] == '[' ? memchr(bytes, ']', size_bytes) : NULL;
    size_t at = id_end == NULL ? 0 : (size_t)(id_end - bytes);
    const char *mark = memchr(bytes + at, '?', size_bytes - at);
    return mark == NULL ? size_bytes : (size_t)(mark - bytes) + 1;
}

bool secrets_are_in(struct span text)
{
    const char *bytes = text.data;
    size_t at = secrets_begin(bytes, text.size_bytes);
    for (size_t i = at; i <= text.size_bytes; i++) {
        if (i == text.size_bytes || bytes[i] == '&') {
            if (secrets_is_one(bytes + at, i - at)) {
                return true;
            }
            at = i + 1;
        }
    }
    return false;
}
