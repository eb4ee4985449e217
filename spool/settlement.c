/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/settlement.h"

#include "spool/little_endian.h"

#include <assert.h>
#include <string.h>

#define SETTLEMENT_VERSION 1
#define REPORT_PAYLOAD_LEFT_OUT 1

const char *settle_action_name(enum settle_action action)
{
    static const char *const names[SETTLE_ACTION_COUNT] = {
        [SETTLE_DELIVERED] = "delivered",   [SETTLE_DEAD] = "dead",
        [SETTLE_CORRUPT] = "corrupt",       [SETTLE_EXPIRED] = "expired",
        [SETTLE_EXPIRED_DROP] = "expired",  [SETTLE_DROP] = "dropped",
        [SETTLE_REQUEUE] = "requeued",      [SETTLE_DEAD_DROP] = "dead letter dropped",
        [SETTLE_REPORT_RUN] = "report run", [SETTLE_MOVE] = "moved",
    };
    assert(action < SETTLE_ACTION_COUNT);
    return names[action];
}

void dead_letter_encode(const struct dead_letter *dead, void *buffer)
{
    uint8_t *at = buffer;
    memset(at, 0, DEAD_LETTER_BYTES);
    at[0] = SETTLEMENT_VERSION;
    at[1] = (uint8_t)dead->reason;
    put_u32(at + 4, (uint32_t)dead->error);
    put_u32(at + 8, dead->attempts);
    put_u64(at + 16, dead->first_attempt_wall_ms);
    put_u64(at + 24, dead->settled_wall_ms);
}

int dead_letter_decode(struct span stored, struct dead_letter *ret_dead, struct span *ret_record)
{
    const uint8_t *at = stored.data;
    if (stored.size_bytes < DEAD_LETTER_BYTES || at[0] != SETTLEMENT_VERSION ||
        at[1] >= SETTLE_ACTION_COUNT) {
        return SETTLEMENT_E_MALFORMED;
    }
    *ret_dead = (struct dead_letter){
        .reason = (enum settle_action)at[1],
        .error = (int32_t)get_u32(at + 4),
        .attempts = get_u32(at + 8),
        .first_attempt_wall_ms = get_u64(at + 16),
        .settled_wall_ms = get_u64(at + 24),
    };
    *ret_record = (struct span){at + DEAD_LETTER_BYTES, stored.size_bytes - DEAD_LETTER_BYTES};
    return 0;
}

void report_encode(const struct report *report, void *buffer)
{
    uint8_t *at = buffer;
    memset(at, 0, REPORT_BYTES);
    at[0] = SETTLEMENT_VERSION;
    at[1] = (uint8_t)report->reason;
    at[2] = report->is_payload_left_out ? REPORT_PAYLOAD_LEFT_OUT : 0;
    put_u32(at + 4, (uint32_t)report->error);
    put_u32(at + 8, (uint32_t)report->partition);
    put_u32(at + 12, report->attempts);
    put_u64(at + 16, (uint64_t)report->offset);
    put_u64(at + 24, report->settled_wall_ms);
    put_u32(at + 32, report->destination);
    put_u64(at + 40, report->sequence);
}

int report_decode(struct span stored, struct report *ret_report, struct span *ret_record)
{
    const uint8_t *at = stored.data;
    if (stored.size_bytes < REPORT_BYTES || at[0] != SETTLEMENT_VERSION ||
        at[1] >= SETTLE_ACTION_COUNT) {
        return SETTLEMENT_E_MALFORMED;
    }
    *ret_report = (struct report){
        .reason = (enum settle_action)at[1],
        .is_payload_left_out = (at[2] & REPORT_PAYLOAD_LEFT_OUT) != 0,
        .error = (int32_t)get_u32(at + 4),
        .partition = (int32_t)get_u32(at + 8),
        .attempts = get_u32(at + 12),
        .offset = (int64_t)get_u64(at + 16),
        .settled_wall_ms = get_u64(at + 24),
        .destination = get_u32(at + 32),
        .sequence = get_u64(at + 40),
    };
    *ret_record = (struct span){at + REPORT_BYTES, stored.size_bytes - REPORT_BYTES};
    return 0;
}
