/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/broker/record_line.h"

#include <isa-l/crc.h>

#include <string.h>

#define SPOOL_ID_HEADER "spool-id"

bool payload_form_parse(const char *text, enum payload_form *ret_form)
{
    static const char *const names[] = {
        [PAYLOAD_BASE64] = "base64", [PAYLOAD_CRC32] = "crc32", [PAYLOAD_LENGTH] = "length"};

    for (size_t i = 0; i < SPOOL_COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_form = (enum payload_form)i;
            return true;
        }
    }
    return false;
}

static void write_base64(FILE *out, const void *data, size_t size_bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = data;
    char chunk[4096];
    size_t used = 0;

    while (size_bytes > 0) {
        size_t taken = size_bytes < 3 ? size_bytes : 3;
        uint32_t bits = (uint32_t)at[0] << 16;
        bits |= taken > 1 ? (uint32_t)at[1] << 8 : 0;
        bits |= taken > 2 ? (uint32_t)at[2] : 0;
        chunk[used++] = digits[bits >> 18];
        chunk[used++] = digits[bits >> 12 & 63];
        chunk[used++] = '=';
        chunk[used++] = '=';
        if (taken > 1) {
            chunk[used - 2] = digits[bits >> 6 & 63];
        }
        if (taken > 2) {
            chunk[used - 1] = digits[bits & 63];
        }
        at += taken;
        size_bytes -= taken;
        if (used == sizeof(chunk)) {
            fwrite_unlocked(chunk, 1, used, out);
            used = 0;
        }
    }
    fwrite_unlocked(chunk, 1, used, out);
}

static bool is_plain(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr(".:_-", byte) != NULL);
}

static void write_text(FILE *out, const void *data, size_t size_bytes)
{
    const unsigned char *text = data;

    for (size_t i = 0; i < size_bytes; i++) {
        if (is_plain(text[i])) {
            putc_unlocked(text[i], out);
        } else {
            fprintf(out, "%%%02X", text[i]);
        }
    }
}

static void write_headers(FILE *out, const rd_kafka_message_t *record)
{
    rd_kafka_headers_t *headers;

    if (rd_kafka_message_headers(record, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_cnt(headers) == 0) {
        fputs("-\t-", out);
        return;
    }
    const char *name;
    const void *value;
    size_t size_bytes;
    bool has_id = false;
    for (size_t i = 0;
         !has_id && rd_kafka_header_get_all(headers, i, &name, &value, &size_bytes) == 0; i++) {
        if (strcmp(name, SPOOL_ID_HEADER) == 0 && value != NULL) {
            write_text(out, value, size_bytes);
            has_id = true;
        }
    }
    if (!has_id) {
        putc_unlocked('-', out);
    }
    putc_unlocked('\t', out);
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size_bytes) == 0; i++) {
        if (i > 0) {
            putc_unlocked(',', out);
        }
        write_text(out, name, strlen(name));
        putc_unlocked('=', out);
        if (value == NULL) {
            putc_unlocked('-', out);
        } else {
            write_base64(out, value, size_bytes);
        }
    }
}

static void write_payload(FILE *out, const rd_kafka_message_t *record, enum payload_form form)
{
    if (record->payload == NULL) {
        putc_unlocked('-', out);
    } else if (form == PAYLOAD_BASE64) {
        write_base64(out, record->payload, record->len);
    } else if (form == PAYLOAD_CRC32) {
        fprintf(out, "%zu:%08x", record->len, crc32_gzip_refl(0, record->payload, record->len));
    } else {
        fprintf(out, "%zu", record->len);
    }
}

void record_line_write(FILE *out, const rd_kafka_message_t *record, enum payload_form form)
{
    const char *topic = rd_kafka_topic_name(record->rkt);
    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(record, &type);

    write_text(out, topic, strlen(topic));
    fprintf(out, "\t%d\t%lld\t%lld\t", record->partition, (long long)record->offset,
            (long long)timestamp_ms);
    if (record->key == NULL) {
        putc_unlocked('-', out);
    } else {
        write_base64(out, record->key, record->key_len);
    }
    putc_unlocked('\t', out);
    write_headers(out, record);
    putc_unlocked('\t', out);
    write_payload(out, record, form);
    putc_unlocked('\n', out);
}
