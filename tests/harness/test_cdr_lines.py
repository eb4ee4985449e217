# SPDX-License-Identifier: GPL-2.0-or-later
"""The generator's lines are what the tests build on: repeatable, distinct, ordered within a call."""

import hashlib
import json
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.cdr_lines import cdr_lines  # noqa: E402

PROGRAM = Path(__file__).resolve().parent / "cdr_lines.py"


class CdrLinesTest(unittest.TestCase):
    def test_same_seed_same_bytes_everywhere(self):
        text = "\n".join(cdr_lines(5000, 7))
        self.assertEqual(text, "\n".join(cdr_lines(5000, 7)))
        self.assertNotEqual(text, "\n".join(cdr_lines(5000, 8)))
        # Another Python must give these bytes too; change the digest with the generator.
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.assertEqual(digest[:16], "ac118371c973e9b0")

    def test_lines_are_distinct_keyed_json(self):
        lines = list(cdr_lines(5000))
        self.assertEqual(len(set(lines)), 5000)
        for line in lines:
            key, _, payload = line.partition("|")
            self.assertEqual(json.loads(payload)["callid"], key)
            self.assertNotIn("\n", line)

    def test_calls_overlap_and_keep_their_order(self):
        events = {}
        for at, line in enumerate(cdr_lines(20000)):
            key, _, payload = line.partition("|")
            events.setdefault(key, []).append((at, json.loads(payload)["event"]))
        whole = ("invite", "answered", "ended"), ("invite", "failed")
        overlapping = 0
        for found in events.values():
            names = tuple(name for _, name in found)
            self.assertTrue(any(each[: len(names)] == names for each in whole), names)
            overlapping += found[-1][0] - found[0][0] >= len(found)
        self.assertGreater(overlapping, len(events) // 2)

    def test_program_writes_what_the_function_yields(self):
        for count in (0, 1, 1000, 2500):
            output = subprocess.run(
                [sys.executable, PROGRAM, "--count", str(count), "--seed", "3"],
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
            self.assertEqual(output.decode().splitlines(), list(cdr_lines(count, 3)))


if __name__ == "__main__":
    unittest.main()
