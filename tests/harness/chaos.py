# SPDX-License-Identifier: GPL-2.0-or-later
"""
Publishes lines through spool-forward while it is killed and its broker fails, and judges the result.

Everything random comes from one seed. The publisher acknowledges each line after its commit, in
order; after a kill the next run goes on behind the last acknowledged line. Lines that were handed
over without an acknowledgement may be in the topic or not.
"""

import json
import random
import subprocess
import threading
import time

from harness import oracle, process

DELIMITER = b"|"


def split(line):
    key, _, payload = line.partition(DELIMITER)
    return key, payload


class Run:
    """
    One run of spool-forward --publish: a feeder, a reader of acknowledgements, the process.
    statistics: what it printed at its end, with --json.
    """

    def __init__(self, arguments, log_path, lines, lines_per_second):
        self.lines = lines
        self.lines_per_second = lines_per_second
        self.handed_over = 0
        self.sequences = []
        self.statistics = None
        self.is_stopping = threading.Event()
        self.program = process.Program(
            arguments, log_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.threads = [
            threading.Thread(target=self._feed),
            threading.Thread(target=self._read),
        ]
        for thread in self.threads:
            thread.start()

    def _feed(self):
        stdin = self.program.popen.stdin
        chunk = max(1, int(self.lines_per_second / 50))
        begin = time.monotonic()
        try:
            while self.handed_over < len(self.lines) and not self.is_stopping.is_set():
                part = self.lines[self.handed_over : self.handed_over + chunk]
                # Before the write: what is in the pipe when the program dies may have been read.
                self.handed_over += len(part)
                stdin.write(b"".join(line + b"\n" for line in part))
                stdin.flush()
                ahead = self.handed_over / self.lines_per_second - (time.monotonic() - begin)
                if ahead > 0:
                    time.sleep(ahead)
            stdin.close()
        except (BrokenPipeError, ValueError):
            pass

    def _read(self):
        for line in self.program.popen.stdout:
            # A last line cut off by the kill is no acknowledgement: it could be 12 of 123.
            if line.startswith(b"{"):
                self.statistics = json.loads(line)
            elif line.endswith(b"\n"):
                self.sequences.append(int(line))

    def stop_feeding(self):
        self.is_stopping.set()

    def finish(self):
        code = self.program.popen.wait()
        for thread in self.threads:
            thread.join()
        self.program.popen.stdout.close()
        try:
            self.program.popen.stdin.close()
        except BrokenPipeError:
            pass
        return code


class Chaos:
    """
    broker_events: (seconds since the start, function) pairs, run by a thread of their own.
    kills: how often spool-forward is killed -9 while it publishes, and once while it drains.
    """

    def __init__(self, folder, address, lines, *, seed, kills, lines_per_second, broker_events=()):
        self.folder = folder
        self.address = address
        self.lines = lines
        self.random = random.Random(seed)
        self.lines_per_second = lines_per_second
        self.broker_events = sorted(broker_events, key=lambda event: event[0])
        self.kill_at = sorted(
            self.random.randrange(len(lines) // 50, len(lines)) for _ in range(kills)
        )
        self.published = []
        self.offered = []
        self.kills_count = 0
        self.log_path = folder / "spool-forward.log"
        self.failure = None

    def _arguments(self, *options):
        # The [ID] is what --publish names.
        return [
            process.program("spool-forward"),
            "--spool",
            self.folder / "spool",
            "--broker",
            self.address,
            *options,
        ]

    def _run_broker_events(self):
        begin = time.monotonic()
        for at, function in self.broker_events:
            time.sleep(max(0.0, begin + at - time.monotonic()))
            try:
                function()
            except Exception as error:  # pylint: disable=broad-except
                self.failure = error
                return

    def _publish_once(self):
        """One run of the publisher, killed when its time has come. Returns whether it finished."""
        begin = len(self.published)
        identity = self.address[1 : self.address.index("]")]
        run = Run(
            self._arguments("--publish", identity, "-K", DELIMITER.decode(), "--ack"),
            self.log_path,
            self.lines[begin:],
            self.lines_per_second,
        )
        kill_at = self.kill_at[0] if self.kill_at else None
        while run.program.is_alive():
            if kill_at is not None and begin + len(run.sequences) >= kill_at:
                time.sleep(self.random.random() * 0.02)
                run.program.kill9()
                self.kills_count += 1
                self.kill_at.pop(0)
                break
            time.sleep(0.002)
        code = run.finish()
        for sequence, line in zip(run.sequences, self.lines[begin:]):
            self.published.append((sequence, *split(line)))
        for line in self.lines[len(self.published) : begin + run.handed_over]:
            self.offered.append(split(line))
        if code not in (0, -9):
            raise RuntimeError(f"spool-forward ended with {code}: {run.program.log_tail()}")
        return len(self.published) == len(self.lines)

    def _drain(self, timeout_s, *options):
        arguments = self._arguments("--drain", "--timeout", timeout_s, *options)
        return process.Program(arguments, self.log_path, stdout=subprocess.PIPE)

    def run(self, timeout_s=180):
        """Publishes, kills, drains. Returns spool-forward's statistics of the last run, as JSON text."""
        events = threading.Thread(target=self._run_broker_events)
        events.start()
        try:
            while not self._publish_once():
                pass
            killed = self._drain(timeout_s)
            time.sleep(self.random.random() * 0.5)
            killed.kill9()
            killed.popen.stdout.close()
            self.kills_count += 1
        finally:
            events.join()
        if self.failure is not None:
            raise self.failure
        last = self._drain(timeout_s, "--json")
        text = last.popen.stdout.read().decode()
        code = last.popen.wait()
        last.popen.stdout.close()
        if code != 0:
            raise RuntimeError(f"the drain ended with {code}: {last.log_tail()}")
        return text

    def judge(self, records):
        return oracle.judge(self.published, records, offered=self.offered)


def table(chaos, summary):
    """The result for people."""
    rows = [
        ("lines published", len(chaos.lines)),
        ("accepted (committed before the yes)", summary["accepted"]),
        ("delivered", summary["delivered"]),
        ("lost", summary["lost"]),
        ("changed", summary["corrupt"]),
        ("out of order within a key", summary["reordered"] + summary["split"]),
        ("duplicates", summary["duplicates"]),
        ("kill -9 of spool-forward", chaos.kills_count),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value:>9,}" for name, value in rows)
