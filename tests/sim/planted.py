# SPDX-License-Identifier: GPL-2.0-or-later
"""
Bugs that are planted into a copy of one source file, and that the simulator must find: a simulator
that cannot fail proves nothing. Each breaks one invariant of spool/README.md (S1 to S10), or one
promise: P1 accepted means on disk, P2 at least once, P3 order, P4 reports, P5 outages, P6 full.

An edit whose text is not in its file exactly once fails the test: bring it up to date.

What a simulator cannot see is held elsewhere: who owns the folder across processes (S6) by
tests/unit/spool/owner_lock_test.c, secrets (S11) by tests/unit/src and tests/broker, publishers that
die (ring) by tests/unit/spool/ring_kill_test.c, flushes of folders by tests/crash.
"""

from typing import NamedTuple


class Planted(NamedTuple):
    name: str
    breaks: str
    found_as: str  # the rules by which the simulator may find it
    file: str
    old: str
    new: str


PLANTED = [
    Planted(
        "accepted without a commit",
        "S1",
        "P1",
        "spool/batch.c",
        '    SPOOL_POINT("batch.filled");\n    code = mdb_txn_commit(batch->txn);\n',
        "    if (batch->next_sequence % 16 == 0) {\n        mdb_txn_abort(batch->txn);\n"
        "    } else {\n        code = mdb_txn_commit(batch->txn);\n    }\n",
    ),
    Planted(
        "accepted before it is flushed",
        "S1",
        "P1 P2 S2 S3 S4 S8 pages",
        "spool/environment.c",
        "unsigned flags = MDB_NOTLS;",
        "unsigned flags = MDB_NOTLS | MDB_NOSYNC;",
    ),
    Planted(
        "unknown is said as accepted",
        "S1",
        "S3 P1",
        "spool/committer.c",
        "int outcome = try->is_unknown ? OUTCOME_UNKNOWN : OUTCOME_BROKEN;",
        "int outcome = try->is_unknown ? OUTCOME_ACCEPTED : OUTCOME_BROKEN;",
    ),
    Planted(
        "unknown is said as refused for certain",
        "P1",
        "P1",
        "spool/ring.c",
        "            return RING_E_UNKNOWN;\n        }\n        if (!is_late) {",
        "            return RING_E_TIMEOUT;\n        }\n        if (!is_late) {",
    ),
    Planted(
        "a dead letter stays in its queue",
        "S2",
        "S2",
        "spool/settle.c",
        "        code = mdb_cursor_del(part->queue, 0);\n",
        "        code = goes_dead ? 0 : mdb_cursor_del(part->queue, 0);\n",
    ),
    Planted(
        "a moved record stays in its queue",
        "S2",
        "S2",
        "spool/settle.c",
        "        code = mdb_cursor_del(part->queue, 0);\n",
        "        code = action == SETTLE_MOVE ? 0 : mdb_cursor_del(part->queue, 0);\n",
    ),
    Planted(
        "the next sequence is not stored",
        "S3",
        "S3",
        "spool/batch.c",
        '        code = batch_put_number(batch, "next_sequence", batch->next_sequence);\n',
        "        code = batch->applied_count > 0\n                   ? 0\n                   : "
        'batch_put_number(batch, "next_sequence", batch->next_sequence);\n',
    ),
    Planted(
        "a requeued record has a new sequence",
        "S3",
        "S3",
        "spool/settle.c",
        "    MDB_val key = environment_key(&settlement->sequence, sizeof(settlement->sequence));\n"
        "    MDB_val data = {.mv_size = encoded.size_bytes};\n",
        "    uint64_t sequence = batch->next_sequence++;\n"
        "    MDB_val key = environment_key(&sequence, sizeof(sequence));\n"
        "    MDB_val data = {.mv_size = encoded.size_bytes};\n",
    ),
    Planted(
        "what is dropped is not counted",
        "S4",
        "S4",
        "spool/settle.c",
        "    case SETTLE_DROP:\n        batch_count(batch, part, COUNTER_DROPPED, 1);\n",
        "    case SETTLE_DROP:\n",
    ),
    Planted(
        "bytes are counted wrongly",
        "S4",
        "S4",
        "spool/settle.c",
        "        batch_count(batch, part, COUNTER_QUEUE_BYTES, -(int64_t)size_bytes);\n",
        "        batch_count(batch, part, COUNTER_QUEUE_BYTES, -(int64_t)(size_bytes / 2 * 2));\n",
    ),
    Planted(
        "pages are counted wrongly",
        "S4",
        "S4",
        "spool/batch.c",
        "        uint64_t pages = environment_stat_pages(&queue) + environment_stat_pages(&dead);\n",
        "        uint64_t pages = environment_stat_pages(&queue);\n",
    ),
    Planted(
        "what expires leaves no report",
        "S5",
        "S5",
        "spool/settle.c",
        "    if (record_report_route_size(encoded) == 0 || record_decode(encoded, record) != 0) {\n",
        "    if (record_report_route_size(encoded) == 0 || record_decode(encoded, record) != 0 ||\n"
        "        settlement->action == SETTLE_EXPIRED_DROP) {\n",
    ),
    Planted(
        "a report is deleted before its route ran",
        "S5",
        "S5",
        "src/report.c",
        "        reports_unreserve(reports);\n        reports->is_unable = r == HOST_E_UNABLE;\n",
        "        reports_done(reports, number);\n        reports->is_unable = r == HOST_E_UNABLE;\n",
    ),
    Planted(
        "a second owner is let in",
        "S6",
        "S6",
        "spool/owner_lock.c",
        "    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {\n",
        "    if (fcntl(fd, F_OFD_SETLK, &lock) < 0 && errno == EINTR) {\n",
    ),
    Planted(
        "appends take the reserve",
        "S7",
        "S7 P5 P2",
        "spool/room.c",
        "    batch->room_pages = room > reserve ? room - reserve : 0;\n",
        "    batch->room_pages = room;\n",
    ),
    Planted(
        "a damaged record is deleted",
        "S8",
        "P2 S4",
        "spool/settle.c",
        "bool goes_dead = action == SETTLE_DEAD || action == SETTLE_CORRUPT || "
        "action == SETTLE_EXPIRED;",
        "bool goes_dead = action == SETTLE_DEAD || action == SETTLE_EXPIRED;",
    ),
    Planted(
        "a damaged spool is deleted",
        "S8",
        "S8",
        "spool/set_aside.c",
        '    static const char *const files[] = {"lock.mdb", "data.mdb"};\n',
        '    static const char *const files[] = {"lock.mdb", "data.mdb"};\n'
        "    (void)!unlinkat(dir_fd, files[1], 0);\n",
    ),
    Planted(
        "a failed write stops nothing",
        "S9",
        "S9 S1",
        "spool/transaction.c",
        "    atomic_store(&spool->is_latched, true);\n",
        "",
    ),
    Planted(
        "after a start what was there is passed",
        "S10",
        "P5 P2 S7",
        "src/forward.c",
        "            .position = FORWARD_POSITION_START,\n",
        "            .position = cursor_appended(forward->config.spool, id) + 1,\n",
    ),
    Planted(
        "deleted when it was produced",
        "P2",
        "P2",
        "src/forward_feed.c",
        "        producer->taken_count++;\n        return FEED_NEXT;\n",
        "        producer->taken_count++;\n"
        "        return feed_settle(destination, sequence, SETTLE_DELIVERED, 0);\n",
    ),
    Planted(
        "a failed report counts as delivered",
        "P2",
        "S4 P2",
        "src/forward_settle.c",
        "    if (verdict == VERDICT_DELIVERED) {\n        forward_note_judged(entry);\n",
        "    if (verdict == VERDICT_DELIVERED || verdict == VERDICT_HOLD) {\n"
        "        forward_note_judged(entry);\n",
    ),
    Planted(
        "an error that can be mended makes dead letters",
        "P2",
        "P2",
        "src/forward_settle.c",
        "    } else if (verdict == VERDICT_DEAD) {\n        forward_report_dead(entry, report);\n",
        "    } else if (verdict == VERDICT_HOLD) {\n"
        "        forward_stage(destination->forward, entry, SETTLE_DEAD, report);\n"
        "    } else if (verdict == VERDICT_DEAD) {\n        forward_report_dead(entry, report);\n",
    ),
    Planted(
        "dead though it was not alone",
        "P2",
        "P2",
        "src/forward_settle.c",
        "    if (!entry->is_alone) {\n",
        "    if (entry->attempts == 0) {\n",
    ),
    Planted(
        "settlements of a failed commit are forgotten",
        "P2",
        "P2 P4 P5",
        "spool/committer.c",
        "    for (size_t i = 0; r == 0 && i < try->applied_count; i++) {\n",
        "    for (size_t i = 0; i < try->applied_count; i++) {\n",
    ),
    Planted(
        "what is in-flight is dropped as the oldest",
        "P2",
        "P2",
        "spool/settle.c",
        "    uint64_t from = known->forward_position;\n",
        "    uint64_t from = 0;\n",
    ),
    Planted(
        "what is being dropped is produced",
        "P2",
        "P2",
        "spool/cursor.c",
        "    return !is_dropped;\n",
        "    return sequence > 0;\n",
    ),
    Planted(
        "produced after its time-to-live",
        "P2",
        "P2",
        "src/forward_feed.c",
        "        record.expires_wall_ms <= destination->forward->now_wall_ms) {\n",
        "        record.expires_wall_ms + 60000 <= destination->forward->now_wall_ms) {\n",
    ),
    Planted(
        "nothing expires while its broker hangs",
        "P2",
        "P2",
        "src/forward.c",
        "    if (!forward_is_stuck(destination)) {\n        return;\n",
        "    if (!forward_is_stuck(destination) || destination->id > 0) {\n        return;\n",
    ),
    Planted(
        "the id of an imported record is lost",
        "P2",
        "P2",
        "src/forward_feed.c",
        "record->has_origin ? record->origin_sequence : sequence, spool_id);",
        "sequence, spool_id);",
    ),
    Planted(
        "a requeued record still expires",
        "P2",
        "S8",
        "spool/settle.c",
        "    if (has_expired) {\n",
        "    if (has_expired && batch->next_sequence == 0) {\n",
    ),
    Planted(
        "goes back before what is in-flight was reported",
        "P3",
        "P3 P2",
        "src/forward.c",
        "    if (destination->state == FORWARD_DRAINING && destination->produced.count == 0 &&\n"
        "        destination->settling.count == 0) {\n",
        "    if (destination->state == FORWARD_DRAINING && destination->settling.count == 0) {\n",
    ),
    Planted(
        "goes back before what was delivered is settled",
        "P3",
        "P2",
        "src/forward.c",
        "    if (destination->state == FORWARD_DRAINING && destination->produced.count == 0 &&\n"
        "        destination->settling.count == 0) {\n",
        "    if (destination->state == FORWARD_DRAINING && destination->produced.count == 0) {\n",
    ),
    Planted(
        "goes on behind a failed record",
        "P3",
        "P3 P2 P5",
        "src/forward_settle.c",
        "    destination->state = FORWARD_DRAINING;\n    if (reason == VERDICT_RETRY",
        "    destination->state =\n        reason == VERDICT_RETRY ? FORWARD_FLOWING : "
        "FORWARD_DRAINING;\n    if (reason == VERDICT_RETRY",
    ),
    Planted(
        "the report says delivered of what was dropped",
        "P4",
        "P4",
        "spool/settle.c",
        "        .reason = settlement->action,\n        .is_payload_left_out",
        "        .reason = settlement->action == SETTLE_DROP ? SETTLE_DELIVERED\n"
        "                                                    : settlement->action,\n"
        "        .is_payload_left_out",
    ),
    Planted(
        "a route is run again and again",
        "P4",
        "P4",
        "src/report.c",
        "        reports->position = number + 1;\n",
        "        reports->position = number;\n",
    ),
    Planted(
        "one destination that hangs holds up the others",
        "P5",
        "P5",
        "src/forward.c",
        "        has_more = forward_step_destination(&forward->destinations[i]) || has_more;\n",
        "        has_more = forward_step_destination(&forward->destinations[i]) || has_more;\n"
        "        if (forward->destinations[i].produced.count > 0) {\n            break;\n        }\n",
    ),
    Planted(
        "one record above the limit",
        "P6",
        "P6",
        "spool/append.c",
        "        counters->values[COUNTER_QUEUE_RECORDS] >= limits->max_records) {\n",
        "        counters->values[COUNTER_QUEUE_RECORDS] > limits->max_records) {\n",
    ),
    Planted(
        "full for ever",
        "P6",
        "P6",
        "spool/room.c",
        "    room = usable < room ? usable : room;\n",
        "    room = usable < room ? usable : room;\n"
        "    room = file_pages * 2 > limit_pages ? 0 : room;\n",
    ),
    Planted(
        "a pause is not heeded",
        "pause",
        "pause",
        "src/forward_feed.c",
        "    if (forward->is_stopping || destination->is_paused || ",
        "    if (forward->is_stopping || ",
    ),
    Planted(
        "an act is not in the audit log",
        "audit",
        "audit",
        "spool/audit.c",
        "    int code = audit_put(batch->txn, entry, number);\n    batch->is_changed = true;\n",
        "    int code = entry->records_count > 2 ? audit_put(batch->txn, entry, number) : 0;\n"
        "    batch->is_changed = true;\n",
    ),
]
