# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs, killed -9 at the points of spool/point.h, lose nothing that they accepted."""

import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import acting, forward  # noqa: E402


class PointsTest(acting.ActCase):
    def test_a_kill_behind_the_commit_leaves_the_record(self):
        address = ["--broker", self.dead_address(), "--publish", "k1", "--ack", "--flush", "0"]
        env = {**os.environ, "SPOOL_KILL_AT": "batch.committed:1"}
        died = forward.run("--spool", self.spool, *address, lines=[b"one"], env=env)
        self.assertEqual((died.code, died.sequences()), (-9, []), died)
        self.assertEqual(self.sequences(), [1])
        self.assert_sound()


if __name__ == "__main__":
    unittest.main()
