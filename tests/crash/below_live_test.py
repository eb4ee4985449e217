# SPDX-License-Identifier: GPL-2.0-or-later
"""
Faults from below, under a pipeline that runs: a disk that is slow, a disk that becomes read-only or
full, no more file descriptors, and a spool-inspect that is stopped while it reads.
"""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import acting, forward, inspector, oracle, process  # noqa: E402

DISK_BYTES = 16 << 20
NOT_OPENED = 3
NOT_ACCEPTED = 5


def run_quietly(*command):
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)
    return done.returncode == 0, (done.stderr or done.stdout).strip()


class LiveCase(acting.ActCase):
    """Publishing that is noted, and judged at the end."""

    def setUp(self):
        super().setUp()
        self.published = []
        self.offered = []

    def hooked(self, **variables):
        """The environment of a program whose calls on the spool's files are watched."""
        return {
            **os.environ,
            "LD_PRELOAD": process.program("disk-hooks.so"),
            "ASAN_OPTIONS": "verify_asan_link_order=0",
            "DISK_HOOKS_ROOT": str(self.spool.parent),
            **variables,
        }

    def publish(self, address, pairs, *arguments, **options):
        """Publishes to the end of the input; notes what was accepted. Returns the result."""
        result = forward.run(
            *["--spool", self.spool, "--broker", address, "--publish", "k1", "-K", "|", "--ack"],
            *arguments,
            lines=[key + b"|" + payload for key, payload in pairs],
            **options,
        )
        accepted = result.sequences()
        self.published += [(sequence, *pair) for sequence, pair in zip(accepted, pairs)]
        self.offered += pairs[len(accepted) :]
        return result

    def drain(self, address):
        result = forward.run(
            *["--spool", self.spool, "--broker", address, "--drain", "--timeout", "60"]
        )
        self.assertEqual(result.code, 0, result)

    def assert_all_arrived(self, embedded, duplicates=0):
        summary = oracle.judge(self.published, embedded.records(), offered=self.offered)
        self.assertTrue(summary["ok"], summary)
        self.assertEqual(summary["accepted"], len(self.published), summary)
        self.assertLessEqual(summary["duplicates"], duplicates, summary)


def pairs(count, size=100, first=0):
    return [
        (b"key-%d" % (i % 7), b"payload %06d " % i + b"p" * size) for i in range(first, first + count)
    ]


class SlowDiskTest(LiveCase):
    """Each flush takes half a second."""

    def test_publishes_wait_for_their_commit(self):
        embedded = self.start_broker()
        slow = self.hooked(DISK_SLOW_MS="500")
        result = self.publish(self.address(embedded), pairs(200), "--drain", env=slow)
        self.assertEqual((result.code, len(self.published)), (0, 200), result)
        self.assert_all_arrived(embedded)
        self.assert_sound()

    def test_a_publish_that_cannot_wait_says_why(self):
        embedded = self.start_broker()
        slow = self.hooked(DISK_SLOW_MS="500")
        result = self.publish(
            self.address(embedded), pairs(200), "--commit-timeout", "200", env=slow
        )
        self.assertEqual(result.code, NOT_ACCEPTED, result)
        self.assertIn("commit timeout", result.said)
        self.assert_sound()
        self.drain(self.address(embedded))
        self.assert_all_arrived(embedded, duplicates=200)


class SmallDisk(LiveCase):
    """A file system of 16 MiB: an ext4 on a loop device, or a tmpfs."""

    is_tmpfs = False

    def mount(self, *options):
        if self.is_tmpfs:
            options = [f"size={DISK_BYTES}", *options]
            return run_quietly("mount", "-t", "tmpfs", "-o", ",".join(options), "none", self.disk)
        return run_quietly("mount", "-o", ",".join(["loop", *options]), self.image, self.disk)

    def make(self):
        self.image = self.folder / "image"
        if self.is_tmpfs:
            return True, ""
        with open(self.image, "wb") as file:
            file.truncate(DISK_BYTES)
        return run_quietly("mkfs.ext4", "-q", "-m", "0", "-F", self.image)

    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        made, why = self.make()
        mounted, why = self.mount() if made else (made, why)
        if not mounted:
            print(f"\nSKIPPED, no small file system here: {why}", file=sys.stderr)
            self.skipTest(why)
        self.addCleanup(run_quietly, "umount", self.disk)
        self.spool = self.disk / "spool"

    def fill(self):
        """Not one byte more fits."""
        with open(self.disk / "filler", "ab", buffering=0) as file:
            for size in (65536, 4096, 256, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass
            os.fsync(file.fileno())


class ReadOnlyTest(SmallDisk):
    def test_a_disk_that_becomes_read_only_refuses_and_loses_nothing(self):
        embedded = self.start_broker()
        embedded.command("down all")
        address = self.address(embedded)
        lines = pairs(300)
        program = self.start_forward(
            *["--broker", address, "--publish", "k1", "-K", "|", "--ack", "--flush", "100"]
        )
        program.write([key + b"|" + payload for key, payload in lines])
        sequences = program.read_sequences(len(lines))
        self.published += [(number, *pair) for number, pair in zip(sequences, lines)]
        # What the kernel does to a disk that fails: nothing can be written any more.
        stopped, why = run_quietly("mount", "-o", "remount,abort", self.disk)
        if not stopped:
            self.skipTest(why)
        more = pairs(5, first=300)
        self.offered += more
        program.write([key + b"|" + payload for key, payload in more])
        code, output = program.finish()
        self.assertEqual((code, output), (NOT_ACCEPTED, b""), program.log_tail())
        said = program.log_path.read_text(encoding="utf-8")
        self.assertRegex(said, "cannot be written|write to the spool failed|perhaps accepted")
        # Read-only, it is refused at the start, and looked at.
        result = forward.run("--spool", self.spool, "--broker", address, "--drain")
        self.assertEqual(result.code, NOT_OPENED, result)
        self.assertIn(str(self.spool), result.said)
        self.assert_sound()
        # Mended, all of it is there.
        unmounted, why = run_quietly("umount", self.disk)
        self.assertTrue(unmounted, why)
        run_quietly("e2fsck", "-fy", self.image)
        mounted, why = self.mount()
        self.assertTrue(mounted, why)
        embedded.command("up all")
        self.drain(address)
        self.assert_all_arrived(embedded)

    def test_a_disk_that_is_read_only_from_the_start(self):
        self.killed_spool(acting.lines(50))
        unmounted, why = run_quietly("umount", self.disk)
        self.assertTrue(unmounted, why)
        mounted, why = self.mount("ro")
        self.assertTrue(mounted, why)
        result = forward.run("--spool", self.spool, "--broker", self.dead_address(), "--drain")
        self.assertEqual(result.code, NOT_OPENED, result)
        self.assertRegex(result.said, f"{self.spool}.*(read-only|Read-only|cannot)")
        result = inspector.run("drop", "--all", "--yes", spool=self.spool)
        self.assertIn(result.code, (1, 3), result)
        self.assertRegex(result.said, "Read-only|read-only")
        self.assert_sound()


class FullExt4Test(SmallDisk):
    """The last byte is taken, and records are mended by hand."""

    def test_commands_on_a_full_disk(self):
        sequences = self.killed_spool(acting.lines(2000, size=300))
        self.fill()
        commands = [
            ["status"],
            ["pause", "k1"],
            ["expire", str(sequences[0])],
            ["dead", "requeue", "--all"],
            ["drop", f"{sequences[0]}-{sequences[99]}"],
            ["resume", "k1"],
            ["compact"],
            ["salvage", "--into", str(self.disk / "saved")],
        ]
        for words in commands:
            words += ["--yes"] if words[0] in ("expire", "dead", "drop") else []
            result = inspector.run(*words, spool=self.spool)
            self.assertIn(result.code, (0, 1, 3), result)
            if result.code != 0 and words[0] != "status":
                self.assertRegex(result.said + result.output, "full|No space|free some", words)
            self.assert_sound()
        # Deleting always works.
        result = inspector.run("drop", "--all", "--yes", spool=self.spool)
        self.assertEqual(result.code, 0, result)
        self.assertEqual(self.sequences(), [])


class FullTmpfsTest(FullExt4Test):
    is_tmpfs = True


class ExportTest(LiveCase):
    def test_a_disk_that_takes_no_export_is_no_wrong_command_line(self):
        self.killed_spool(acting.lines(10))
        exported = self.folder / "exported"
        # The folder is opened first, then the file is made.
        env = self.hooked(DISK_FAULT=f"open:{errno.ENOSPC}:2")
        words = ["drop", "--all", "--export", exported, "--yes"]
        result = inspector.run(*words, spool=self.spool, env=env)
        self.assertEqual(result.code, 1, result)
        self.assertRegex(result.said, f"{exported}: No space left on device.*nothing is done")
        self.assertEqual(len(self.sequences()), 10)
        exported.write_text("mine", encoding="utf-8")
        result = inspector.run(*words, spool=self.spool)
        self.assertEqual(result.code, 2, result)


class FewDescriptorsTest(LiveCase):
    """A limit of file descriptors that is too low, by each number."""

    def limit(self, count):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

    def test_spool_forward(self):
        embedded = self.start_broker()
        codes = {}
        for count in range(4, 40):
            result = self.publish(
                self.address(embedded),
                pairs(3, first=3 * count),
                *["--drain", "--timeout", "2"],
                preexec_fn=self.limit(count),
            )
            self.assertIn(result.code, (0, 3, 4, 5, 7, 127), (count, result))
            self.assertTrue(result.code == 0 or result.said, (count, result))
            self.assertNotIn("Sanitizer", result.said)
            codes.setdefault(result.code, []).append(count)
        self.assertIn(0, codes, codes)
        self.assertIn(NOT_OPENED, codes, codes)
        self.drain(self.address(embedded))
        self.assert_all_arrived(embedded, duplicates=100)
        self.assert_sound()

    def test_spool_inspect(self):
        self.killed_spool(acting.lines(100))
        codes = {}
        for words in (["status"], ["ls"], ["verify"], ["pause", "k1"], ["compact"]):
            for count in range(4, 20):
                result = inspector.run(*words, spool=self.spool, preexec_fn=self.limit(count))
                self.assertIn(result.code, (0, 1, 3, 127), (count, result))
                self.assertTrue(result.code == 0 or result.output or result.said, (count, result))
                codes.setdefault(result.code, []).append(count)
        self.assertIn(0, codes, codes)
        self.assertEqual(len(self.sequences()), 100)
        self.assert_sound()


class StoppedReaderTest(LiveCase):
    """spool-inspect is stopped in the midst of a read, and holds back every page that is freed."""

    LIMIT = "2M"
    # Nothing but the value of the queue's first record is read in one piece of this size. What is
    # read before, to look at meta pages and small databases, is of other transactions too.
    LARGE = 256 << 10

    def publish_before(self):
        lines = acting.lines(1, size=self.LARGE) + acting.lines(1000, size=200)
        return self.killed_spool(lines, "--max-bytes", self.LIMIT)

    def start_stopped(self, *words):
        program = process.Program(
            [process.program("spool-inspect"), "--spool", self.spool, *words],
            self.folder / "stopped.log",
            env=self.hooked(DISK_STOP_AT_BYTES=str(self.LARGE)),
        )
        self.addCleanup(program.kill9)
        stat = Path(f"/proc/{program.pid}/stat")
        process.wait_until(
            lambda: stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T",
            forward.PATIENCE_S,
            "it is stopped",
        )
        return program

    def data_bytes(self):
        return (self.spool / "data.mdb").stat().st_size

    def test_publishing_goes_on_in_what_room_is_left(self):
        embedded = self.start_broker()
        address = self.address(embedded)
        old = self.publish_before()
        stopped = self.start_stopped("export")
        readers = self.document("status", code=1)["readers"]
        self.assertGreaterEqual(readers["count"], 1, readers)
        # What is published is delivered, until the pages that are held back are all there are.
        result = self.publish(
            address, pairs(20000, size=300), "--max-bytes", self.LIMIT, "--drain", "--timeout", "60"
        )
        self.assertEqual(result.code, NOT_ACCEPTED, result)
        self.assertIn("at its limit of bytes", result.said)
        self.assertGreater(len(self.published), 100)
        self.assertLessEqual(self.data_bytes(), 2 << 20)
        self.assert_sound()
        # It goes on where it stood, and has read what there was, though all of it is delivered.
        stopped.sigcont()
        self.assertEqual(stopped.popen.wait(forward.PATIENCE_S), 0, stopped.log_tail())
        lines = stopped.log_path.read_text(encoding="utf-8").splitlines()
        exported = [json.loads(line)["sequence"] for line in lines]
        self.assertGreater(len(exported), 0)
        self.assertEqual(exported, old[: len(exported)])
        # And the room is there again.
        self.publish(address, pairs(50, first=30000), "--max-bytes", self.LIMIT, "--drain")
        self.drain(address)
        delivered = {record.payload for record in embedded.records()}
        missing = [pair for _, *pair in self.published if pair[1] not in delivered]
        self.assertEqual(missing, [])
        self.assert_sound()

    def test_one_that_is_killed_holds_nothing_back(self):
        embedded = self.start_broker()
        self.publish_before()
        stopped = self.start_stopped("export")
        stopped.signal(signal.SIGKILL)
        stopped.popen.wait()
        result = self.publish(
            self.address(embedded), pairs(20000, size=300), "--max-bytes", "64M", "--drain"
        )
        self.assertEqual((result.code, len(self.published)), (0, 20000), result)
        self.assertEqual(self.document("status")["readers"]["count"], 0)


if __name__ == "__main__":
    unittest.main()
