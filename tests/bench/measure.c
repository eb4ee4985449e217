/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/measure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CALL_ID_AT 12 /* in the payload */

uint64_t measure_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void measure_sleep_us(uint64_t us)
{
    struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

    while (nanosleep(&left, &left) < 0) {
    }
}

void measure_payload(char payload[PAYLOAD_BYTES])
{
    static const char head[] =
        "{\"call_id\":\"0000000000000000@192.0.2.17\",\"from\":\"sip:+49305550123@example.net\","
        "\"to\":\"sip:+49895550456@example.org\",\"start\":1700000000000,\"duration_ms\":183420,"
        "\"cause\":16,\"media\":\"";
    static const char filler[] = " a3f9c2e1d4b7 68025 gateway-07 trunk-3 PCMA G722 opus 20ms";
    size_t at = sizeof(head) - 1;

    memcpy(payload, head, at);
    for (size_t i = 0; at < PAYLOAD_BYTES - 2; i = (i + 1) % (sizeof(filler) - 1)) {
        payload[at++] = filler[i];
    }
    memcpy(payload + at, "\"}", 2);
}

void measure_stamp(char payload[PAYLOAD_BYTES], uint64_t number)
{
    static const char digits[] = "0123456789abcdef";

    number *= 0x9e3779b97f4a7c15U; /* odd, so that no two numbers become one */
    for (size_t i = 0; i < 16; i++) {
        payload[CALL_ID_AT + i] = digits[number & 15];
        number >>= 4;
    }
}

uint64_t measure_self(const char *file, const char *name)
{
    char path[64];
    char line[256];
    uint64_t value = 0;

    (void)snprintf(path, sizeof(path), "/proc/self/%s", file);
    FILE *stream = fopen(path, "re");
    while (stream != NULL && fgets(line, sizeof(line), stream) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
            value = strtoull(line + strlen(name) + 1, NULL, 10);
            break;
        }
    }
    if (stream != NULL) {
        fclose(stream);
    }
    return value;
}

void measure_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}
