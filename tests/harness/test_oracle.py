# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle must see each way in which records can be lost, changed or moved."""

import sys
import unittest
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import oracle, topic  # noqa: E402

UUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


def line(sequence):
    return sequence, b"key-%d" % (sequence % 3), b"payload %d" % sequence


def record(sequence, offset, **changes):
    _, key, payload = line(sequence)
    fields = {
        "topic": "t",
        "partition": 0,
        "offset": offset,
        "timestamp_ms": 1,
        "key": key,
        "spool_id": f"{UUID}:{sequence}",
        "headers": [],
        "payload": payload,
    }
    fields.update(changes)
    return topic.Record(**fields)


def records(sequences):
    return [record(sequence, offset) for offset, sequence in enumerate(sequences)]


class OracleTest(unittest.TestCase):
    def judge(self, consumed, count=9, **options):
        return oracle.judge([line(each) for each in range(1, count + 1)], consumed, **options)

    def assert_only(self, summary, **expected):
        """Nothing but the expected counts is found; ok unless one of them is a problem."""
        found = {name: summary[name] for name in summary if name not in ("ok", "examples")}
        clean = dict.fromkeys(found, 0) | {"accepted": 9, "delivered": 9}
        self.assertEqual(found, clean | expected)
        problems = set(expected) & {"lost", "corrupt", "reordered", "split", "foreign"}
        self.assertEqual(summary["ok"], not problems)
        self.assertEqual(set(summary["examples"]), problems)

    def test_all_in_order_is_ok(self):
        self.assert_only(self.judge(records(range(1, 10))))

    def test_lost_record_is_found(self):
        summary = self.judge(records([1, 2, 3, 4, 6, 7, 8, 9]))
        self.assert_only(summary, lost=1, delivered=8)
        self.assertEqual(summary["examples"]["lost"], [5])

    def test_empty_topic_is_all_lost(self):
        self.assert_only(self.judge([]), lost=9, delivered=0)

    def test_changed_payload_is_found(self):
        consumed = records(range(1, 10))
        consumed[4] = record(5, 4, payload=b"payload 50")
        summary = self.judge(consumed)
        self.assert_only(summary, corrupt=1)
        self.assertEqual(summary["examples"]["corrupt"], [5])

    def test_changed_key_is_found(self):
        consumed = records(range(1, 10))
        consumed[4] = record(5, 4, key=b"another")
        self.assert_only(self.judge(consumed), corrupt=1)

    def test_missing_payload_differs_from_empty_one(self):
        published = [(1, b"k", b"")]
        summary = oracle.judge(published, [record(1, 0, key=b"k", payload=None)])
        self.assertEqual(summary["corrupt"], 1)
        summary = oracle.judge(published, [record(1, 0, key=b"k", payload=b"")])
        self.assertTrue(summary["ok"])

    def test_duplicate_is_counted_and_allowed(self):
        self.assert_only(self.judge(records([1, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9])), duplicates=3)

    def test_changed_duplicate_is_found(self):
        consumed = records([*range(1, 10), 5])
        consumed[9] = record(5, 9, payload=b"other")
        self.assert_only(self.judge(consumed), duplicates=1, corrupt=1)

    def test_reordered_records_of_one_key_are_found(self):
        summary = self.judge(records([4, 1, 2, 3, 5, 6, 7, 8, 9]))
        self.assert_only(summary, reordered=1)
        self.assertEqual(summary["examples"]["reordered"], [(b"key-1", 1, 4)])

    def test_order_of_different_keys_is_free(self):
        self.assert_only(self.judge(records([3, 2, 1, 6, 5, 4, 9, 8, 7])))

    def test_order_across_partitions_is_free(self):
        consumed = [
            record(each, each // 3, partition=each % 3) for each in (9, 3, 1, 6, 2, 4, 5, 8, 7)
        ]
        consumed.sort(key=lambda each: (-each.partition, each.offset))
        self.assert_only(self.judge(consumed))

    def test_key_in_two_partitions_is_found(self):
        consumed = records(range(1, 10))
        consumed[8] = record(9, 0, partition=1)
        self.assert_only(self.judge(consumed), split=1)

    def test_record_without_key_has_no_order(self):
        published = [(each, None, b"x") for each in (1, 2)]
        consumed = [record(2, 0, key=None, payload=b"x"), record(1, 1, key=None, payload=b"x")]
        self.assertTrue(oracle.judge(published, consumed)["ok"])

    def test_record_of_another_spool_is_found(self):
        consumed = records(range(1, 10)) + [record(1, 9, spool_id="other:1")]
        self.assert_only(self.judge(consumed), foreign=1)

    def test_record_without_spool_id_is_found(self):
        consumed = records(range(1, 10)) + [record(1, 9, spool_id=None)]
        self.assert_only(self.judge(consumed), foreign=1)

    def test_unacknowledged_record_may_be_there(self):
        _, key, payload = line(10)
        summary = self.judge(records(range(1, 11)), offered=[(key, payload)])
        self.assert_only(summary, unacknowledged=1)

    def test_unacknowledged_record_may_be_missing(self):
        _, key, payload = line(10)
        self.assert_only(self.judge(records(range(1, 10)), offered=[(key, payload)]))

    def test_record_that_nobody_offered_is_found(self):
        self.assert_only(self.judge(records(range(1, 11))), unacknowledged=1, corrupt=1)

    def test_crc_form_finds_a_changed_payload(self):
        def crc(payload):
            return f"{len(payload)}:{zlib.crc32(payload):08x}"

        consumed = [each._replace(payload=crc(each.payload)) for each in records(range(1, 10))]
        self.assert_only(self.judge(consumed, payload_form="crc32"))
        consumed[2] = consumed[2]._replace(payload=crc(b"payload 4"))
        self.assert_only(self.judge(consumed, payload_form="crc32"), corrupt=1)

    def judged(self, consumed, **options):
        judged = oracle.Oracle(**options)
        for number in range(1, 10):
            judged.accepted(*line(number))
        for each in consumed:
            judged.consumed(each)
        return judged.summary()

    def test_other_headers_are_found(self):
        headers = [("origin", b"x"), ("spool-id", b"..."), ("empty", None)]
        consumed = [each._replace(headers=headers) for each in records(range(1, 10))]
        wanted = [("origin", b"x"), ("empty", None)]
        self.assert_only(self.judged(consumed, headers=wanted))
        for wrong in ([], headers[:2], [("origin", b"y"), ("empty", None)], [*headers, headers[0]]):
            consumed[3] = consumed[3]._replace(headers=wrong)
            self.assert_only(self.judged(consumed, headers=wanted), corrupt=1)

    def test_keys_that_move_have_an_order_in_each_partition(self):
        consumed = records(range(1, 10))
        consumed[6:] = [record(each, at, partition=1) for at, each in enumerate((7, 8, 9))]
        self.assert_only(self.judged(consumed, keys_may_move=True))
        consumed[0], consumed[3] = record(4, 0), record(1, 3)
        self.assert_only(self.judged(consumed, keys_may_move=True), reordered=1)

    def test_offsets_of_a_topic_that_was_made_anew_begin_again(self):
        judged = oracle.Oracle()
        for number in range(1, 10):
            judged.accepted(*line(number))
        for numbers in (range(1, 5), range(4, 10)):
            judged.begin_log()
            for each in records(numbers):
                judged.consumed(each)
        self.assert_only(judged.summary(), duplicates=1)

    def test_offsets_out_of_order_are_refused(self):
        with self.assertRaises(ValueError):
            self.judge([record(1, 1), record(2, 0)])

    def test_sequence_acknowledged_twice_is_refused(self):
        with self.assertRaises(ValueError):
            oracle.judge([line(1), line(1)], [])


class ParseLineTest(unittest.TestCase):
    def test_columns_are_decoded(self):
        parsed = topic.parse_line(b"t%2Fx\t3\t7\t99\tazE=\tu:1\ta%20b=eA==,c=-\t\n")
        self.assertEqual(
            parsed,
            topic.Record("t/x", 3, 7, 99, b"k1", "u:1", [("a b", b"x"), ("c", None)], b""),
        )

    def test_absent_parts_are_none(self):
        parsed = topic.parse_line(b"t\t0\t0\t-1\t-\t-\t-\t-\n")
        self.assertEqual(parsed, topic.Record("t", 0, 0, -1, None, None, [], None))

    def test_wrong_number_of_columns_is_refused(self):
        with self.assertRaises(ValueError):
            topic.parse_line(b"t\t0\t0\n")


if __name__ == "__main__":
    unittest.main()
