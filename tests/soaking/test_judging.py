# SPDX-License-Identifier: GPL-2.0-or-later
"""The soak's judge finds what is wrong, each kind of it, and nothing where all is well."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import topic  # noqa: E402
from soaking import judging, traffic  # noqa: E402

UUID = "6c0f7e3a-9d3b-4a43-8a0e-2f1f4b0f6a11"
PLAIN, _, BRIEF, EVENT = traffic.KINDS


def record(kind, number, sequence, offset, **changed):
    body = changed.pop("body", traffic.body_of(kind, number))
    if kind is EVENT:
        notification = {
            "jsonrpc": "2.0",
            "method": traffic.EVENT,
            "params": {"body": body.decode()},
        }
        body = json.dumps(notification).encode()
    key = changed.pop("key", traffic.key_of(kind, number))
    return topic.Record(kind.topic, 0, offset, 0, key, f"{UUID}:{sequence}", [], body)


class Broker:
    def __init__(self, records):
        self.records = records

    def read(self, name):
        return (each for each in self.records if each.topic == name)


class Load:
    """accepted, offered: kind -> the requests' numbers."""

    def __init__(self, accepted, offered):
        self.accepted = accepted
        self.offered = offered

    def numbers(self, kind):
        return self.accepted.get(kind, set()), self.offered.get(kind, set())


class JudgementTest(unittest.TestCase):
    def setUp(self):
        self.records = [
            record(PLAIN, 10, 1, 0),
            record(PLAIN, 110, 3, 1),  # the same key
            record(PLAIN, 110, 3, 2),  # a duplicate
            record(PLAIN, 11, 4, 3),  # was never answered
            record(BRIEF, 20, 2, 0),
            record(EVENT, 30, 5, 0),
        ]
        self.accepted = {PLAIN: {10, 110}, BRIEF: {20}, EVENT: {30}}
        self.reports = [(0, 1), (0, 3), (-1, 2), (0, 2)]

    def judge(self):
        load = Load(self.accepted, {PLAIN: {11, 12}})
        judgement = judging.Judgement(Broker(self.records), load).read()
        with tempfile.NamedTemporaryFile() as log:
            for status, sequence in self.reports:
                log.write(b"NOTICE:REPORT %d %s:%d\n" % (status, UUID.encode(), sequence))
            log.flush()
            judgement.judge_reports(log.name)
        return judgement

    def assert_found(self, name, count=1):
        problems = self.judge().problems()
        self.assertEqual({each: number for each, (number, _) in problems.items()}, {name: count})

    def test_all_is_well(self):
        judgement = self.judge()
        self.assertEqual(judgement.problems(), {})
        expected = {"accepted": 4, "delivered": 4, "unacknowledged": 1, "duplicates": 1}
        expected |= {"reports": 3, "reports_again": 1}
        self.assertEqual({name: judgement.summary[name] for name in expected}, expected)

    def test_lost(self):
        for gone in (0, 4, 5):
            with self.subTest(gone):
                kept = list(self.records)
                del self.records[gone]
                self.assert_found("lost")
                self.records = kept

    def test_changed(self):
        self.records[0] = record(PLAIN, 10, 1, 0, body=traffic.body_of(PLAIN, 10)[:-1] + b"y")
        self.assertIn("corrupt", self.judge().problems())
        self.records[0] = record(PLAIN, 10, 1, 0, key=b"key-11")
        self.assertIn("corrupt", self.judge().problems())

    def test_out_of_order(self):
        self.records[:2] = [record(PLAIN, 110, 3, 0), record(PLAIN, 10, 1, 1)]
        self.assert_found("reordered")

    def test_stored_twice(self):
        self.records.append(record(PLAIN, 10, 6, 4))
        self.assertIn("stored twice", self.judge().problems())

    def test_a_sequence_that_was_given_twice(self):
        self.records.append(record(EVENT, 31, 2, 1))
        self.accepted[EVENT].add(31)
        self.assertIn("with the sequence of another", self.judge().problems())

    def test_not_from_the_spool(self):
        self.records.append(record(PLAIN, 10, 6, 4)._replace(spool_id="else"))
        self.assertIn("foreign", self.judge().problems())

    def test_not_reported(self):
        self.reports.remove((0, 3))
        self.assert_found("unreported")

    def test_strange_report(self):
        self.reports.append((7, 1))
        self.assert_found("bad_reports")


if __name__ == "__main__":
    unittest.main()
