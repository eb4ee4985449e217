# SPDX-License-Identifier: GPL-2.0-or-later
"""
Faults from below, call by call: each call on the spool's files fails in each way that it can, once
and from then on, while a spool is made, used, and mended by each command of spool-inspect; and each
allocation finds no memory.

    SPOOL_BUILD_DIR=build/asan python3 tests/crash/below_test.py [--step N] [CLASS.TEST]

Nothing crashes, hangs or leaks; a message says where and what; what was accepted is there, what was
refused is not; and when the fault is gone, the spool works again. A failure names its case: to see
it again, run the program "below" with --only and that number.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import process  # noqa: E402

LONG = os.environ.get("SPOOL_CRASH_LONG") == "1"
# Of the cases, each so many-th; None: as each test says.
STEP = 1 if LONG else None
PATIENCE_S = 7200 if LONG else 900
JOBS = 2


class BelowTest(unittest.TestCase):
    def setUp(self):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = tempfile.TemporaryDirectory(dir=memory)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_cases(self, what, step):
        """Two processes share the cases. Their sums."""
        started = []
        for job in range(JOBS):
            scratch = self.folder / str(job)
            scratch.mkdir()
            words = [process.program("below"), what, "--scratch", scratch]
            words += ["--job", job, "--jobs", JOBS, "--step", STEP or step]
            started.append(
                subprocess.Popen(
                    [str(each) for each in words],
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"},
                )
            )
        said, sums = [], {}
        for each in started:
            output, _ = each.communicate(timeout=PATIENCE_S)
            *lines, last = output.splitlines()
            said += lines
            for name, number in json.loads(last).items():
                sums[name] = number if name == "cases" else sums.get(name, 0) + number
        print(f"\n{what}: {json.dumps(sums)}", file=sys.stderr)
        self.assertEqual(sums["failures"], 0, "\n".join(said))
        # The faults do happen.
        self.assertGreater(sums["hits"], sums["tried"] * 0.8)
        return sums

    def test_a_spool_that_is_made(self):
        self.assertGreater(self.run_cases("new", 5)["cases"], 500)

    def test_a_spool_that_is_there(self):
        self.assertGreater(self.run_cases("old", 5)["cases"], 500)

    def test_commands(self):
        self.assertGreater(self.run_cases("commands", 31)["cases"], 1000)

    def test_memory_of_a_spool_that_is_made(self):
        self.assertGreater(self.run_cases("new-memory", 2)["cases"], 100)

    def test_memory_of_a_spool_that_is_there(self):
        self.assertGreater(self.run_cases("old-memory", 2)["cases"], 100)

    def test_memory_of_commands(self):
        self.assertGreater(self.run_cases("commands-memory", 127)["cases"], 1000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--step", type=int, default=STEP)
    arguments, rest = parser.parse_known_args()
    STEP = arguments.step
    unittest.main(argv=[sys.argv[0], *rest])
