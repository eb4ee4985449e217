/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/line_form.h"

#include <string.h>

struct record line_form_record(const struct line_form *form, struct span line)
{
    struct record record = {
        .payload = line,
        .headers = form->headers,
        .headers_count = form->headers_count,
    };
    if (form->key_delimiter != NULL) {
        size_t delimiter_bytes = strlen(form->key_delimiter);
        const char *at = memmem(line.data, line.size_bytes, form->key_delimiter, delimiter_bytes);
        if (at != NULL) {
            record.key = (struct span){line.data, (size_t)(at - (const char *)line.data)};
            record.payload = (struct span){
                at + delimiter_bytes, line.size_bytes - record.key.size_bytes - delimiter_bytes};
        }
    }
    return record;
}
