# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-inspect where not one byte more fits: LMDB alone would end it by SIGBUS."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import forward, inspector  # noqa: E402

DISK_BYTES = 6 << 20


class FullDiskTest(inspector.InspectCase):
    def setUp(self):
        super().setUp()
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", disk],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            self.skipTest(f"not here: no small file system: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", str(disk)], check=True)
        self.spool = disk / "spool"

    def fill_disk(self):
        with open(self.spool.parent / "filler", "ab", buffering=0) as file:
            for size in (65536, 4096, 256, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def test_it_says_so_and_still_shows_everything(self):
        result = forward.run(
            *["--spool", self.spool, "--broker", "[k1]127.0.0.1:1/t", "--publish", "k1"],
            *["--flush", "0"],
            lines=[b"payload %d" % number for number in range(100)],
        )
        self.assertEqual(result.code, 0, result)
        self.fill_disk()
        result = self.inspect()
        self.assertEqual(result.code, 1, result)
        self.assertTrue(result.output.startswith("full\n  - the disk is full"), result)
        self.assertEqual(len(self.inspect("ls", "--json").documents()), 100)
        self.assertIn("payload 41", self.inspect("show", "42").output)
        self.assertIn("kafka_spool_disk_full 1\n", self.inspect("metrics").output)
        output = self.spool.parent / "x.prom"
        result = self.inspect("metrics", "--output", output)
        self.assertEqual(result.code, 1, result)
        self.assertIn("No space left", result.said)
        self.assertEqual([each for each in os.listdir(output.parent) if ".prom" in each], [])

        # Without lock.mdb, which it may not even find room to make.
        (self.spool / "lock.mdb").unlink()
        self.fill_disk()
        result = self.inspect()
        self.assertEqual(result.code, 3, result)
        self.assertIn("the disk is full: lock.mdb cannot be made", result.said)
        (self.spool.parent / "filler").unlink()
        self.assertEqual(len(self.inspect("ls", "--json").documents()), 100)


if __name__ == "__main__":
    unittest.main()
