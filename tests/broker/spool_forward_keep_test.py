# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-forward --keep: what is written to a FIFO is not lost, however the program ends."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, forward, process  # noqa: E402

QUICK = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100&g.socket.timeout.ms=1000"
MIB = 1 << 20


def first_ones(payloads):
    """In the order of each payload's first occurrence: a second is a copy."""
    return list(dict.fromkeys(payloads))


class KeepCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.broker = broker.EmbeddedBroker(self.folder, topics={"t": 1}, record=True)
        self.addCleanup(self.broker.close)
        self.fifo = self.folder / "fifo"
        os.mkfifo(self.fifo)
        # As systemd does: it is held open for both, so that it lives longer than its readers.
        self.fd = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, self.fd)

    def start(self, *arguments, stdin=None):
        started = forward.Started(
            self.folder / "spool-forward.log",
            *["--spool", self.folder / "spool", "--publish", "k1", "--keep"],
            *["--broker", f"[k1]{self.broker.bootstrap}/t?{QUICK}", *arguments],
            stdin=self.fd if stdin is None else stdin,
        )
        self.addCleanup(lambda: started.kill9() if started.is_alive() else None)
        self.addCleanup(started.popen.stdout.close)
        return started

    def write(self, lines):
        """Waits for room, as every writer does. Each line at once."""
        with open(self.fifo, "wb", buffering=0) as fifo:
            for line in lines:
                fifo.write(line + b"\n")

    def write_meanwhile(self, lines):
        writer = threading.Thread(target=self.write, args=(lines,), daemon=True)
        writer.start()
        return writer

    def payloads(self):
        return [each.payload for each in self.broker.records()]

    def wait_for(self, lines):
        process.wait_until(
            lambda: set(self.payloads()) >= set(lines), forward.PATIENCE_S, "all are delivered"
        )
        return first_ones(self.payloads())


class FullTest(KeepCase):
    def fill(self, lines):
        """A spool that takes 10 records, with a broker that is away, and more lines."""
        self.broker.command("down all")
        started = self.start("--max-records", "10")
        self.write(lines)
        started.wait_said("lines wait in the pipe, the first was not accepted: the spool is at its")
        return started

    def test_lines_wait_until_there_is_room(self):
        lines = [b"line %d" % number for number in range(50)]
        started = self.fill(lines)
        self.broker.command("up all")
        self.assertEqual(self.wait_for(lines), lines)
        started.wait_said("lines are accepted again")
        self.assertEqual(len(self.payloads()), len(lines), "nothing ended: no copies")
        self.assertEqual(started.terminate(), 0)

    def test_an_end_meanwhile_loses_none(self):
        lines = []
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number):
                new = [b"line %d, signal %d" % (each, number) for each in range(50)]
                lines += new
                started = self.fill(new)
                started.signal(number)
                started.popen.wait(forward.PATIENCE_S)
                self.broker.command("up all")
                started = self.start()
                self.assertEqual(self.wait_for(lines), lines)
                self.assertEqual(started.terminate(), 0)


class KilledTest(KeepCase):
    def test_lines_survive_each_kill(self):
        lines = [b"line %d" % number for number in range(20000)]
        started = self.start()
        writer = self.write_meanwhile(lines)
        for count in range(1000, 16000, 3000):
            process.wait_until(
                lambda: len(self.payloads()) >= count, forward.PATIENCE_S, "some are delivered"
            )
            started.kill9()
            started = self.start()
        writer.join(forward.PATIENCE_S)
        self.assertEqual(self.wait_for(lines), lines)
        self.assertEqual(started.terminate(), 0)


class LinesTest(KeepCase):
    def test_lines_longer_than_the_pipe(self):
        properties = "g.message.max.bytes=4190000"
        lines = [b"before", b"x" * (3 * MIB), b"between", b"y" * 40000, b"behind"]
        started = self.start(
            "--broker", f"[k2]{self.broker.bootstrap}/t?{QUICK}&{properties}", "--publish", "k2"
        )
        writer = self.write_meanwhile(lines)
        self.assertEqual(self.wait_for(lines), lines)
        writer.join(forward.PATIENCE_S)
        self.assertEqual(started.terminate(), 0)

    def test_a_line_that_no_record_can_have_is_dropped_and_said(self):
        started = self.start()
        writer = self.write_meanwhile([b"before", b"x" * (5 * MIB), b"y" * (2 * MIB), b"behind"])
        self.assertEqual(self.wait_for([b"before", b"behind"]), [b"before", b"behind"])
        writer.join(forward.PATIENCE_S)
        said = started.log_path.read_text(encoding="utf-8")
        self.assertRegex(said, r"(1|2) lines were dropped: no record may be so large")
        self.assertEqual(started.terminate(), 0)

    def test_a_line_that_comes_in_parts_is_one(self):
        started = self.start()
        with open(self.fifo, "wb", buffering=0) as fifo:
            fifo.write(b"one\nfirst half, ")
            self.wait_for([b"one"])
            self.assertTrue(started.is_alive())
            fifo.write(b"second half\n")
        self.assertEqual(
            self.wait_for([b"first half, second half"]), [b"one", b"first half, second half"]
        )
        self.assertEqual(started.terminate(), 0)

    def test_what_is_no_pipe_is_refused_before_anything_is_made(self):
        started = self.start(stdin=subprocess.DEVNULL)
        self.assertEqual(started.popen.wait(forward.PATIENCE_S), 2)
        self.assertTrue(started.has_said("--keep: standard input is no pipe"))
        self.assertFalse((self.folder / "spool").exists())

    def test_the_end_of_a_pipe_is_its_last_line(self):
        started = self.start("--drain", stdin=subprocess.PIPE)
        started.popen.stdin.write(b"one\ntwo\n\nthree")
        code, _ = started.finish()
        self.assertEqual(code, 0)
        self.assertEqual(self.payloads(), [b"one", b"two", b"", b"three"])


if __name__ == "__main__":
    unittest.main()
