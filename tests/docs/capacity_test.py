#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The figures that docs/operations.md plans disks with: bytes of disk for a record, by its payload, and
the example that is worked out with them. SPOOL_BUILD_DIR names a folder with the programs.
"""

import re
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "docs")]

from harness import forward, inspector  # noqa: E402
from markdown import Document  # noqa: E402

COUNT = 4000
# Of the few pages that a spool has besides its records.
TOLERANCE = 0.03


def number(text):
    return int(text.replace(",", ""))


def measure(payload_bytes):
    """(bytes as stored, bytes of disk) of a record, keys of 37 bytes."""
    payload = b"x" * payload_bytes
    lines = [b"call-%032d|%s" % (i, payload) for i in range(COUNT)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--spool", f"{folder}/spool", "--broker", "[k]127.0.0.1:1/t"]
        ran = forward.run(
            *arguments, "--publish", "k", "-K", "|", "--flush", "0", lines=lines
        )
        assert ran.code == 0, ran
        status = inspector.run("status", "--json", spool=f"{folder}/spool").document()
    stored = status["destinations"][0]["counters"]["queue_bytes"]
    return stored / COUNT, status["space"]["used_bytes"] / COUNT


class Capacity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.section = Document("docs/operations.md").section("## Capacity planning")
        rows = re.findall(r"^ *\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", cls.section, re.MULTILINE)
        cls.rows = [tuple(map(number, row)) for row in rows]

    def test_table(self):
        self.assertGreater(len(self.rows), 5)
        with ThreadPoolExecutor(2) as pool:
            measured = list(pool.map(measure, [row[0] for row in self.rows]))
        for (payload, stored, disk), (stored_now, disk_now) in zip(self.rows, measured):
            with self.subTest(payload=payload):
                self.assertEqual(stored, stored_now)
                self.assertAlmostEqual(disk_now / disk, 1, delta=TOLERANCE)

    def test_example(self):
        rate = 300
        disk = {row[0]: row[2] for row in self.rows}[500]
        records = rate * 86400
        limit = 24 << 30
        hours = limit / (rate * disk * 3600)
        for text in (
            f"{records / 1e6:.1f} million",
            f"x {disk} bytes = {records * disk / 1e9:.1f} GB = {records * disk / 2**30:.1f} GiB",
            f"it is {100 * records * disk / limit:.0f} % full",
            f"after {int(hours)} hours",
            f"= {records / (50000 - rate) / 60:.0f} minutes",
        ):
            self.assertIn(text, self.section)


if __name__ == "__main__":
    unittest.main()
