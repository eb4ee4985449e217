# SPDX-License-Identifier: GPL-2.0-or-later
"""
spool-forward and bench-pipeline as whole programs under the thread sanitizer, against the embedded
broker: publishing, forwarding, an outage, and the end. A data race is a failure.

    SPOOL_BUILD_DIR=build/tsan python3 tests/race/threads_test.py [CLASS.TEST]
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from harness import broker, forward, oracle, process  # noqa: E402

RACE_CODE = 66
ADDR_NO_RANDOMIZE = 0x0040000
RECORDS_COUNT = 3000
QUICK = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100&g.socket.timeout.ms=1000"


def fix_addresses():
    """TSan of gcc 12 cannot start where the kernel spreads addresses widely. Children inherit it."""
    libc = ctypes.CDLL(None)
    libc.personality(libc.personality(0xFFFFFFFF) | ADDR_NO_RANDOMIZE)


class ThreadsTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        # The sanitizer's reports go to files: standard error is the program's.
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        os.environ["TSAN_OPTIONS"] = (
            f"suppressions={ROOT}/tests/tsan.supp exitcode={RACE_CODE} log_path={self.folder}/tsan"
        )
        os.environ["LD_PRELOAD"] = process.program("libc11-threads.so")
        fix_addresses()

    def start_broker(self, **options):
        folder = self.folder / "broker"
        folder.mkdir(exist_ok=True)
        embedded = broker.EmbeddedBroker(folder, topics={"t": 4}, record=True, **options)
        self.addCleanup(embedded.close)
        return embedded

    def start_forward(self, embedded, *arguments):
        command = [process.program("spool-forward"), "--spool", self.folder / "spool"]
        command += ["--broker", f"[k1]{embedded.bootstrap}/t?{QUICK}", *arguments]
        started = process.Program(
            command,
            self.folder / "spool-forward.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(lambda: started.kill9() if started.is_alive() else None)
        return started

    def assert_no_race(self, code):
        said = "\n".join(
            each.read_text(encoding="utf-8", errors="replace") for each in self.folder.glob("tsan*")
        )
        self.assertEqual(said, "")
        self.assertEqual(code, 0)

    def test_publishing_and_forwarding_through_an_outage_to_the_end(self):
        embedded = self.start_broker()
        started = self.start_forward(embedded, "--publish", "k1", "-K", "|", "--ack", "--drain")
        pairs = [(b"key-%d" % (i % 7), b"payload %d" % i) for i in range(RECORDS_COUNT)]
        half = RECORDS_COUNT // 2
        self.write(started, pairs[:half])
        process.wait_until(
            lambda: int(embedded.command("sync")) > 0, forward.PATIENCE_S, "some are written"
        )
        embedded.command("down all")
        self.write(started, pairs[half:])
        # So long it retries; no result depends on it.
        time.sleep(1)
        embedded.command("up all")
        started.popen.stdin.close()
        output = started.popen.stdout.read()
        started.popen.stdout.close()
        self.assert_no_race(started.popen.wait(forward.PATIENCE_S))
        sequences = [int(line) for line in output.split()]
        published = [(sequence, *pair) for sequence, pair in zip(sequences, pairs)]
        self.assertEqual(len(published), RECORDS_COUNT)
        summary = oracle.judge(published, embedded.records())
        self.assertTrue(summary["ok"], summary)

    def write(self, started, pairs):
        started.popen.stdin.write(b"".join(key + b"|" + payload + b"\n" for key, payload in pairs))
        started.popen.stdin.flush()

    def test_a_signal_ends_it_while_it_forwards(self):
        embedded = self.start_broker()
        started = self.start_forward(embedded, "--publish", "k1", "-K", "|", "--ack")
        self.write(started, [(b"key", b"payload %d" % i) for i in range(RECORDS_COUNT)])
        for _ in range(RECORDS_COUNT // 10):
            self.assertNotEqual(started.popen.stdout.readline(), b"")
        started.popen.send_signal(signal.SIGTERM)
        started.popen.stdout.read()
        started.popen.stdout.close()
        started.popen.stdin.close()
        self.assert_no_race(started.popen.wait(forward.PATIENCE_S))

    def test_processes_that_publish_through_a_pipeline(self):
        embedded = self.start_broker()
        command = [process.program("bench-pipeline"), "through", "--dir", self.folder / "spool"]
        command += ["--processes", 3, "--outstanding", 64, "--records", RECORDS_COUNT]
        command += ["--address", f"[k1]{embedded.bootstrap}/t"]
        said = subprocess.run(
            [str(each) for each in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=forward.PATIENCE_S,
            check=False,
        )
        self.assertIn(said.returncode, (0, RACE_CODE), said.stdout)
        self.assert_no_race(said.returncode)


if __name__ == "__main__":
    unittest.main()
