# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-forward on a file system of 16 MiB that somebody fills to the last byte."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, forward, oracle  # noqa: E402

DISK_BYTES = 16 << 20
NOT_OPENED = 3
NOT_ACCEPTED = 5


def run_quietly(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, (done.stderr or done.stdout).strip()


class FullDisk:
    """The same tests for each file system; not a TestCase itself."""

    def mount(self, folder):
        raise NotImplementedError

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="full-disk-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mounted, why = self.mount(self.disk)
        if not mounted:
            print(f"\nSKIPPED, no small file system here: {why}", file=sys.stderr)
            self.skipTest(why)
        self.addCleanup(run_quietly, "umount", str(self.disk))
        self.spool = self.disk / "spool"
        self.filler = self.disk / "filler"
        embedded_folder = self.folder / "broker"
        embedded_folder.mkdir()
        self.embedded = broker.EmbeddedBroker(embedded_folder, record=True, topics={"t": 4})
        self.addCleanup(self.embedded.close)
        self.published = []
        self.offered = []

    def address(self):
        properties = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100"
        return f"[k1]{self.embedded.bootstrap}/t?{properties}"

    def forward(self, *arguments, **options):
        return forward.run(
            *["--spool", self.spool, "--broker", self.address(), *arguments], **options
        )

    def fill(self):
        """Not one byte more fits."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (65536, 4096, 256, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError as error:
                    self.assertEqual(error.errno, errno.ENOSPC)
            os.fsync(file.fileno())

    def publish(self, count, *arguments):
        """Publishes while the broker is down; notes what was accepted. Returns the result."""
        first = len(self.published)
        pairs = [
            (b"key-%d" % (number % 7), b"payload %06d " % number + b"p" * 500)
            for number in range(first, first + count)
        ]
        result = self.forward(
            *["--publish", "k1", "-K", "|", "--ack", "--flush", "100", *arguments],
            lines=[key + b"|" + payload for key, payload in pairs],
        )
        accepted = result.sequences()
        self.published += [(sequence, *pair) for sequence, pair in zip(accepted, pairs)]
        # Lines behind the one that was refused were under way: each may have been accepted.
        self.offered += pairs[len(accepted) :]
        return result, len(accepted)

    def drain(self):
        self.embedded.command("up all")
        result = self.forward("--drain", "--timeout", "60")
        self.assertEqual(result.code, 0, result)
        # What the recorder has not read yet it cannot read of a broker that is down.
        self.embedded.command("sync")
        self.embedded.command("down all")

    def assert_all_arrived(self):
        summary = oracle.judge(self.published, self.embedded.records(), offered=self.offered)
        self.assertTrue(summary["ok"], summary)
        self.assertEqual(summary["accepted"], len(self.published), summary)

    def test_opening_on_a_full_disk_is_a_message(self):
        self.fill()
        result = self.forward("--drain")
        self.assertEqual(result.code, NOT_OPENED, result)
        self.assertIn(str(self.disk), result.said)
        self.assertRegex(result.said, "disk is full|No space left")

    def test_publishes_are_refused_and_all_else_works(self):
        self.embedded.command("down all")
        result, accepted = self.publish(500)
        self.assertEqual(accepted, 500, result)
        self.fill()

        result, accepted = self.publish(200_000)
        self.assertEqual(result.code, NOT_ACCEPTED, result)
        self.assertIn("the disk is full", result.said)
        self.assertLess(accepted, 200_000)
        self.fill()

        self.drain()
        self.assert_all_arrived()

        result, accepted = self.publish(500)
        self.assertEqual((result.code, accepted), (0, 500), result)

        self.filler.unlink()
        result, accepted = self.publish(5000)
        self.assertEqual((result.code, accepted), (0, 5000), result)
        self.drain()
        self.assert_all_arrived()


class FullTmpfs(FullDisk, unittest.TestCase):
    def mount(self, folder):
        return run_quietly("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder)


class FullExt4(FullDisk, unittest.TestCase):
    def mount(self, folder):
        image = self.folder / "image"
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        made, why = run_quietly("mkfs.ext4", "-q", "-m", "0", "-F", image)
        return run_quietly("mount", "-o", "loop", image, folder) if made else (made, why)


if __name__ == "__main__":
    unittest.main()
