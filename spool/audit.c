/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/audit.h"

#include "spool/audit_private.h"
#include "spool/batch_private.h"
#include "spool/little_endian.h"
#include "spool/point.h"
#include "spool/transaction.h"

#include <assert.h>
#include <string.h>

#define AUDIT_VERSION 1

/* As stored: u8 version, u8 act, u16 who size, u16 what size, u16 0, u32 destination, u32 to
 * destination, u64 each: begun, ended, records, bytes; who, what. */
#define AT_WHO_SIZE 2
#define AT_WHAT_SIZE 4
#define AT_DESTINATION 8
#define AT_TO_DESTINATION 12
#define AT_BEGUN 16
#define AT_ENDED 24
#define AT_RECORDS 32
#define AT_BYTES 40
#define AUDIT_FIXED_BYTES 48

static_assert(AUDIT_TEXT_BYTES_MAX <= UINT16_MAX, "sizes of texts are u16");

const char *audit_act_name(enum audit_act act)
{
    static const char *const names[AUDIT_ACT_COUNT] = {
        [AUDIT_DROP] = "drop",           [AUDIT_EXPIRE] = "expire",
        [AUDIT_MOVE] = "move",           [AUDIT_DEAD_REQUEUE] = "dead requeue",
        [AUDIT_DEAD_DROP] = "dead drop", [AUDIT_IMPORT] = "import",
        [AUDIT_PAUSE] = "pause",         [AUDIT_RESUME] = "resume",
    };
    return act < AUDIT_ACT_COUNT ? names[act] : "unknown";
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static uint16_t audit_text_size(struct span text)
{
    return (uint16_t)(text.size_bytes < AUDIT_TEXT_BYTES_MAX ? text.size_bytes
                                                             : AUDIT_TEXT_BYTES_MAX);
}

static void audit_encode(const struct audit_entry *entry, uint8_t *at)
{
    uint16_t who_size = audit_text_size(entry->who);
    uint16_t what_size = audit_text_size(entry->what);
    memset(at, 0, AUDIT_FIXED_BYTES);
    at[0] = AUDIT_VERSION;
    at[1] = (uint8_t)entry->act;
    put_u16(at + AT_WHO_SIZE, who_size);
    put_u16(at + AT_WHAT_SIZE, what_size);
    put_u32(at + AT_DESTINATION, entry->destination);
    put_u32(at + AT_TO_DESTINATION, entry->to_destination);
    put_u64(at + AT_BEGUN, entry->begun_wall_ms);
    put_u64(at + AT_ENDED, entry->ended_wall_ms);
    put_u64(at + AT_RECORDS, entry->records_count);
    put_u64(at + AT_BYTES, entry->bytes);
    if (who_size > 0) {
        memcpy(at + AUDIT_FIXED_BYTES, entry->who.data, who_size);
    }
    if (what_size > 0) {
        memcpy(at + AUDIT_FIXED_BYTES + who_size, entry->what.data, what_size);
    }
}

int audit_decode(struct span stored, struct audit_entry *ret_entry)
{
    const uint8_t *at = stored.data;
    if (stored.size_bytes < AUDIT_FIXED_BYTES || at[0] != AUDIT_VERSION) {
        return AUDIT_E_MALFORMED;
    }
    uint16_t who_size = get_u16(at + AT_WHO_SIZE);
    uint16_t what_size = get_u16(at + AT_WHAT_SIZE);
    if (stored.size_bytes != (size_t)AUDIT_FIXED_BYTES + who_size + what_size) {
        return AUDIT_E_MALFORMED;
    }
    *ret_entry = (struct audit_entry){
        .act = (enum audit_act)at[1],
        .destination = get_u32(at + AT_DESTINATION),
        .to_destination = get_u32(at + AT_TO_DESTINATION),
        .begun_wall_ms = get_u64(at + AT_BEGUN),
        .ended_wall_ms = get_u64(at + AT_ENDED),
        .records_count = get_u64(at + AT_RECORDS),
        .bytes = get_u64(at + AT_BYTES),
        .who = {at + AUDIT_FIXED_BYTES, who_size},
        .what = {at + AUDIT_FIXED_BYTES + who_size, what_size},
    };
    return 0;
}

/* --- Writing ---------------------------------------------------------------------------------- */

/* The number behind the last; the oldest entries are deleted if there are too many. LMDB's code. */
static int audit_make_room(MDB_txn *txn, MDB_dbi db, uint64_t *ret_number)
{
    MDB_cursor *cursor;
    MDB_stat stat;
    MDB_val key;
    MDB_val data;
    uint64_t last = 0;
    int code = mdb_stat(txn, db, &stat);
    if (code == 0) {
        code = mdb_cursor_open(txn, db, &cursor);
    }
    if (code != 0) {
        return code;
    }
    code = mdb_cursor_get(cursor, &key, &data, MDB_LAST);
    if (code == 0) {
        memcpy(&last, key.mv_data, sizeof(last));
    } else if (code == MDB_NOTFOUND) {
        code = 0;
    }
    for (size_t count = stat.ms_entries; code == 0 && count >= AUDIT_ENTRIES_MAX; count--) {
        code = mdb_cursor_get(cursor, &key, &data, MDB_FIRST);
        if (code == 0) {
            code = mdb_cursor_del(cursor, 0);
        }
    }
    mdb_cursor_close(cursor);
    *ret_number = last + 1;
    return code;
}

int audit_put(MDB_txn *txn, const struct audit_entry *entry, uint64_t *number)
{
    MDB_dbi db;
    uint64_t new_number = *number;
    int code = environment_open_audit(txn, MDB_CREATE, &db);
    if (code == 0 && new_number == 0) {
        code = audit_make_room(txn, db, &new_number);
    }
    if (code != 0) {
        return code;
    }
    MDB_val key = environment_key(&new_number, sizeof(new_number));
    MDB_val data = {
        .mv_size =
            (size_t)AUDIT_FIXED_BYTES + audit_text_size(entry->who) + audit_text_size(entry->what),
    };
    code = mdb_put(txn, db, &key, &data, MDB_RESERVE);
    if (code == 0) {
        audit_encode(entry, data.mv_data);
        SPOOL_POINT("audit.put");
        *number = new_number;
    }
    return code;
}

int batch_audit(struct batch *batch, const struct audit_entry *entry, uint64_t *number)
{
    assert(batch->txn != NULL);
    int code = audit_put(batch->txn, entry, number);
    batch->is_changed = true;
    return code == 0 ? 0 : batch_fail(batch, code);
}

int spool_audit_append(struct spool *spool, const struct audit_entry *entry,
                       struct message *message)
{
    MDB_txn *txn = NULL;
    uint64_t number = 0;
    int code = transaction_begin(spool, 0, &txn);
    if (code == 0) {
        code = audit_put(txn, entry, &number);
    }
    return transaction_end_write(spool, txn, code, "write into the audit log", message);
}
