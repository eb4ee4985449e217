# SPDX-License-Identifier: GPL-2.0-or-later
"""
Mistakes that somebody could make in the ring, as edits of its sources: (name, scenario that shows
it, file, old text, new text). Each must be found, or what finds nothing says nothing.
"""

BELL = """    ring_bell(ring);
    SPOOL_POINT("ring.submitted");
"""
SLEEPER = "        atomic_store(&slot->sleeper, 1); /* before the look that decides to sleep */\n"
ROOM_DOWN = """        atomic_store(&control->room_wanted, 0);
        SPOOL_POINT("ring.room_given");
        atomic_fetch_add(&control->room, 1);
"""
WAKE = """        futex_wake(&control->bell);
        SPOOL_POINT("ring.bell_woken");
        (void)atomic_compare_exchange_strong(&control->owner_sleeps, &sleep, 0);
"""

PLANTED = [
    (
        "a record is handed over before it is written",
        "two",
        "ring.c",
        """    record_encode(record, ring_entry_at(ring, request.position) + 1);
    result = hand_over(ring, &request);
""",
        """    result = hand_over(ring, &request);
    record_encode(record, ring_entry_at(ring, request.position) + 1);
""",
    ),
    (
        "an entry may be seen before what it holds",
        "weak",
        "ring_bytes.c",
        "    atomic_store(&control->head, head_after);\n",
        "    atomic_store_explicit(&control->head, head_after, memory_order_relaxed);\n",
    ),
    ("the bell is not rung", "two", "ring.c", BELL, BELL.replace("    ring_bell(ring);\n", "")),
    (
        "a slow ringer takes a later sleep for the one that it ended",
        "two",
        "ring.c",
        "sleep != 0 && (int32_t)(bell - (uint32_t)(sleep - 1)) > 0",
        "sleep != 0",
    ),
    (
        "the owner is called awake before it was woken",
        "two-die",
        "ring.c",
        WAKE,
        "".join(reversed(WAKE.splitlines(keepends=True))),
    ),
    (
        "a publisher looks before it says that it sleeps",
        "two",
        "ring.c",
        SLEEPER + "        result = look(ring, ticket, ret_outcome);\n",
        "        result = look(ring, ticket, ret_outcome);\n" + SLEEPER,
    ),
    (
        "the wish for room is taken down after the count went up",
        "slot",
        "ring.c",
        ROOM_DOWN,
        "".join(reversed(ROOM_DOWN.splitlines(keepends=True))),
    ),
    (
        "nobody gives room when a slot becomes free",
        "slot",
        "ring_slot.c",
        """    if (to == RING_SLOT_FREE) {
        ring_room_give(ring);
    }
""",
        "",
    ),
    (
        "a lock whose holder died is not taken",
        "two-die",
        "ring_bytes.c",
        "error = pthread_mutex_consistent(&control->reserve_lock);",
        "(void)pthread_mutex_unlock(&control->reserve_lock);",
    ),
    (
        "an entry is shown before it is whole",
        "two",
        "ring_bytes.c",
        """    struct ring_entry_head *entry = ring_entry_at(ring, position);
    entry->length_bytes = model->length_bytes;
""",
        """    struct ring_entry_head *entry = ring_entry_at(ring, position);
    atomic_store(&control->head, head_after);
    entry->length_bytes = model->length_bytes;
""",
    ),
    (
        "the slot of a dead publisher's entry is not freed",
        "two-die",
        "ring_bytes.c",
        """        (void)(ring_slot_move(ring, entry->ticket, RING_SLOT_CLAIMED, RING_SLOT_FREE) ||
               ring_slot_move(ring, entry->ticket, RING_SLOT_WAITING, RING_SLOT_FREE));
""",
        "",
    ),
    (
        "the slot of a dead publisher who had claimed it is not freed",
        "slot-die",
        "ring_slot.c",
        "state == RING_SLOT_CLAIMED || state == RING_SLOT_ANSWERED ||",
        "state == RING_SLOT_ANSWERED ||",
    ),
    (
        "the entry of a dead publisher is not swept",
        "two-die",
        "ring.c",
        "    freed_count += ring_bytes_sweep(ring);\n",
        "",
    ),
    (
        "the living are swept",
        "bytes-die",
        "ring_slot.c",
        "is_stuck && !process_is_alive(claimer(slot, word)) &&",
        "is_stuck &&",
    ),
    (
        "a record is taken that was taken back",
        "timeout",
        "ring_bytes.c",
        "    if (!ring_slot_move(ring, entry->ticket, RING_SLOT_WAITING, RING_SLOT_TAKEN)) {",
        "    (void)ring_slot_move(ring, entry->ticket, RING_SLOT_WAITING, RING_SLOT_TAKEN);\n"
        "    if (false) {",
    ),
    (
        "who gave up during a commit hears that nobody has the record",
        "timeout",
        "ring.c",
        "            return RING_E_UNKNOWN;\n",
        "            return RING_E_TIMEOUT;\n",
    ),
    (
        "a taken record's slot is left when its publisher gave up",
        "timeout",
        "ring.c",
        """        bool was_orphaned = ring_slot_move(ring, entry->ticket, RING_SLOT_ORPHANED, RING_SLOT_FREE);
""",
        "        bool was_orphaned = true;\n",
    ),
    (
        "who sleeps is not woken when the ring is closed",
        "close",
        "ring.c",
        """        if (ring_slot_is_used(&ring->slots[i])) {
            ring_slot_wake(&ring->slots[i]);
        }
""",
        "",
    ),
    (
        "an fd is drained after the look",
        "fd",
        "ring.c",
        """        ring_slot_drain(slot);
    }
    return look(ring, ticket, ret_outcome);
""",
        """        int r = look(ring, ticket, ret_outcome);
        ring_slot_drain(slot);
        return r;
    }
    return look(ring, ticket, ret_outcome);
""",
    ),
]
