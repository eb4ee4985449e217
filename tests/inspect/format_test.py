# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command, and the pipeline, on the spools that earlier versions made: tests/format."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import acting, forward, inspector  # noqa: E402

KEPT = sorted(path.name.split(".")[0] for path in (inspector.ROOT / "tests/format").glob("*.xz"))

# Command, exit code. Those that change something come last, and leave something to the next.
COMMANDS = [
    (["status"], 1),
    (["ls"], 0),
    (["show", "6", "7", "8", "9", "10", "11"], 0),
    (["dead", "ls"], 0),
    (["dead", "show", "1", "2", "3"], 0),
    (["metrics"], 0),
    (["verify"], 0),
    (["export"], 0),
    (["audit"], 0),
    (["pause", "cdr"], 0),
    (["resume", "cdr"], 0),
    (["expire", "7", "--yes"], 0),
    (["move", "6", "--into", "2", "--yes"], 0),
    (["drop", "9", "--yes"], 0),
    (["dead", "requeue", "7", "--yes"], 0),
    (["dead", "drop", "1", "--yes"], 0),
    (["audit"], 0),
    (["compact"], 0),
    (["verify"], 0),
]


class FormatTest(acting.ActCase):
    def each_kept(self):
        for name in KEPT:
            with self.subTest(name):
                self.spool = self.folder / name / "spool"
                self.old_spool(name)
                yield name

    def test_there_is_one(self):
        self.assertIn("format-1", KEPT)

    def test_every_command_works(self):
        for _ in self.each_kept():
            for command, code in COMMANDS:
                self.do(*command, code=code)
            self.assertEqual(sorted(self.sequences()), [6, 7, 8, 10, 11])
            self.assertEqual(self.sequences("dead"), [2, 3])
            self.assertEqual(len(self.audit()), 7)

    def test_the_pipeline_goes_on_with_it(self):
        """What waits is delivered, also what is imported again from there."""
        for _ in self.each_kept():
            embedded = self.start_broker(topics={"cdrs": 1})
            self.do("move", "--all", "--into", "cdr", "--yes")
            result = forward.run(
                *["--spool", self.spool, "--drain"],
                *["--broker", self.address(embedded, "cdr", "cdrs")],
            )
            self.assertEqual(result.code, 0, result)
            # One has expired since.
            self.assertEqual(
                [record.spool_id.split(":")[1] for record in embedded.records()],
                ["4711", "7", "8", "9", "10"],
            )
            self.assertEqual(self.sequences("dead"), [1, 2, 11, 3])
            self.assert_sound()


if __name__ == "__main__":
    unittest.main()
