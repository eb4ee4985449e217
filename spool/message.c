/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void message_set(struct message *message, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message->text, sizeof(message->text), format, arguments);
    va_end(arguments);

    if (length < 0) {
        message->text[0] = '\0';
    } else if ((size_t)length >= sizeof(message->text)) {
        memcpy(message->text + sizeof(message->text) - 4, "...", 4);
    }
    for (char *at = message->text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '?';
        }
    }
}
