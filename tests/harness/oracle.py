# SPDX-License-Identifier: GPL-2.0-or-later
"""
Judges what came out of a topic against what was accepted.

The promise: every accepted record is there at least once, unchanged, and the first occurrences of
each key's records are in the order of their sequences (the commit order). A record that was
offered but never acknowledged may be there or not, since its publisher was killed in between.
"""

import hashlib
import zlib

EXAMPLES_MAX = 10


def digest(payload, payload_form):
    """What is compared in place of a payload, so that a million of them fit into memory."""
    if payload is None:
        return None
    if payload_form == "crc32":
        return f"{len(payload)}:{zlib.crc32(payload):08x}"
    return hashlib.blake2b(payload, digest_size=16).digest()


class Oracle:
    """
    accepted(...) for each acknowledged publish, offered(...) for each line whose acknowledgement
    never came, then consumed(...) for each record in the order of the topic; then summary().
    """

    def __init__(self, payload_form="base64", *, headers=None, keys_may_move=False):
        """
        headers: what each record has beside the spool-id, as (name, value); None: not looked at.
        keys_may_move: partitions were added, so a key has an order in each partition by itself.
        """
        if payload_form not in ("base64", "crc32"):
            raise ValueError("the oracle compares payloads: base64 or crc32")
        self.payload_form = payload_form
        self.headers = headers
        self.keys_may_move = keys_may_move
        self.expected = {}  # sequence -> (key, digest)
        self.offers = {}  # (key, digest) -> how many
        self.occurrences = {}  # sequence -> how often it was consumed
        self.uuid = None
        self.last_offsets = {}  # (topic, partition) -> offset
        # Of each key, or of each key in each partition if keys may move:
        self.last_firsts = {}  # -> sequence of the latest first occurrence
        self.partitions = {}  # -> (topic, partition)
        self.unacknowledged_count = 0
        self.problems = {"corrupt": [], "reordered": [], "split": [], "foreign": []}

    def accepted(self, sequence, key, payload):
        if sequence in self.expected:
            raise ValueError(f"sequence {sequence} was acknowledged twice")
        self.expected[sequence] = (key, digest(payload, self.payload_form))

    def offered(self, key, payload):
        line = (key, digest(payload, self.payload_form))
        self.offers[line] = self.offers.get(line, 0) + 1

    def begin_log(self):
        """What is consumed from here on is of a topic that was made anew: its offsets begin again."""
        self.last_offsets.clear()

    def consumed(self, record):
        place = (record.topic, record.partition)
        if record.offset <= self.last_offsets.get(place, -1):
            raise ValueError(f"{place}: offset {record.offset} is not in the topic's order")
        self.last_offsets[place] = record.offset

        sequence = self._sequence_of(record)
        if sequence is None:
            self.problems["foreign"].append((*place, record.offset, record.spool_id))
            return
        self._check_content(record, sequence)
        count = self.occurrences.get(sequence, 0)
        self.occurrences[sequence] = count + 1
        if count == 0 and record.key is not None:
            self._check_order(record, sequence, place)

    def _sequence_of(self, record):
        uuid, colon, number = (record.spool_id or "").rpartition(":")
        if not colon or not number.isascii() or not number.isdigit():
            return None
        if self.uuid is None:
            self.uuid = uuid
        return int(number) if uuid == self.uuid else None

    def _check_content(self, record, sequence):
        payload = record.payload
        if isinstance(payload, bytes):
            payload = digest(payload, self.payload_form)
        line = (record.key, payload)
        expected = self.expected.get(sequence)
        if expected is None:
            # Offered, not acknowledged: it must at least be a line that was offered.
            if sequence not in self.occurrences:
                self.unacknowledged_count += 1
            if line not in self.offers:
                self.problems["corrupt"].append(sequence)
        elif line != expected:
            self.problems["corrupt"].append(sequence)
        headers = [each for each in record.headers if each[0] != "spool-id"]
        if self.headers is not None and headers != self.headers:
            self.problems["corrupt"].append(sequence)

    def _check_order(self, record, sequence, place):
        ordered = (record.key, place) if self.keys_may_move else record.key
        if self.partitions.setdefault(ordered, place) != place:
            self.problems["split"].append((record.key, sequence, *place))
            return
        last = self.last_firsts.get(ordered, -1)
        if sequence < last:
            self.problems["reordered"].append((record.key, sequence, last))
        else:
            self.last_firsts[ordered] = sequence

    def summary(self):
        """
        Counts, ok, and up to ten examples of each kind of problem:
        lost        accepted, not in the topic
        corrupt     key, payload or headers differ from what was published
        reordered   a key's first occurrence after that of a later sequence
        split       a key in two partitions, so that it has no order
        foreign     without this spool's spool-id
        duplicates  occurrences after the first (allowed; the test says how many)
        """
        lost = [each for each in self.expected if each not in self.occurrences]
        problems = {"lost": lost, **self.problems}
        result = {
            "accepted": len(self.expected),
            "delivered": len(self.expected) - len(lost),
            "unacknowledged": self.unacknowledged_count,
            "duplicates": sum(self.occurrences.values()) - len(self.occurrences),
        }
        result.update({name: len(found) for name, found in problems.items()})
        result["ok"] = not any(problems.values())
        result["examples"] = {
            name: found[:EXAMPLES_MAX] for name, found in problems.items() if found
        }
        return result


def judge(published, consumed, *, offered=(), payload_form="base64"):
    """
    published: (sequence, key, payload) of each acknowledged record; offered: (key, payload) of
    each line without acknowledgement; consumed: topic.Record in the topic's order.
    """
    oracle = Oracle(payload_form)
    for sequence, key, payload in published:
        oracle.accepted(sequence, key, payload)
    for key, payload in offered:
        oracle.offered(key, payload)
    for record in consumed:
        oracle.consumed(record)
    return oracle.summary()
