# SPDX-License-Identifier: GPL-2.0-or-later
"""
What happens in a soak, each of it a thread that draws from the seed: to the broker, to OpenSIPS and
its disk, and what an operator does meanwhile.
"""

import collections
import random
import subprocess
import threading
import time

from harness import process
from opensips import server

INSPECT_S = 120
# What spool-inspect may end with when it could not do what it was told; see its man page.
NOT_ALL, CANNOT_READ = 1, 3


class Run:
    """What all threads share: when it is over, and the first failure."""

    def __init__(self, seed):
        self.seed = seed
        self.over = threading.Event()
        self.failure = None
        self.begin = time.monotonic()
        self.counts = collections.Counter()  # (who, what) -> how often
        self.events = []  # (who, what, seconds since the start, how long)

    def dice(self, who):
        return random.Random(f"{self.seed} {who}")

    def fail(self, text):
        self.failure = self.failure or text
        self.over.set()

    def sleep(self, seconds):
        """Returns early when it is over."""
        self.over.wait(seconds)


class Happening(threading.Thread):
    """Repeats step() until it is over; then mend(). state: what happens now, in a word."""

    who = None

    def __init__(self, run):
        super().__init__(name=self.who)
        self.context = run
        self.dice = run.dice(self.who)
        self.state = ""

    def run(self):
        try:
            while not self.context.over.is_set():
                self.step()
        except Exception as error:  # pylint: disable=broad-except
            self.context.fail(f"{self.who}, {self.state or 'at rest'}: {error!r}")
        try:
            self.mend()
        except Exception as error:  # pylint: disable=broad-except
            self.context.fail(f"{self.who}, at the end: {error!r}")
        self.state = ""

    def do(self, what, function, *arguments):
        """Does it, counted and timed."""
        self.state = what
        begin = time.monotonic()
        function(*arguments)
        self.context.counts[self.who, what] += 1
        self.context.events.append(
            (self.who, what, begin - self.context.begin, time.monotonic() - begin)
        )
        self.state = ""

    def rest(self, low_s, high_s):
        self.context.sleep(self.dice.uniform(low_s, high_s))

    def step(self):
        raise NotImplementedError

    def mend(self):
        """Ends what goes on."""


class BrokerFaults(Happening):
    who = "broker"
    lengths_s = (3, 15, 45)  # a short, a usual, a long outage

    def __init__(self, run, broker):
        super().__init__(run)
        self.broker = broker

    def step(self):
        self.rest(10, 45)
        name = self.dice.choice(sorted(self.broker.faults))
        length_s = self.dice.choice(self.lengths_s) * self.dice.uniform(0.5, 1.5)
        if not self.context.over.is_set():
            self.do(name, self._fault, name, length_s)

    def _fault(self, name, length_s):
        begin, end = self.broker.faults[name]
        begin()
        try:
            self.context.sleep(length_s)
        finally:
            end()


class HostFaults(Happening):
    """
    OpenSIPS is killed, restarted and loses its power; its disk gets full and slow. At steady_at
    (of time.monotonic()) it is restarted for the last time, so that a trend of its memory shows.
    servers: started in turn, at the same ports; the last start is the first one's. only: one thing
    alone happens, to the end.
    """

    who = "host"

    restarts = ("kill -9", "power loss", "orderly restart")
    names = (*restarts, "full disk", "stuck disk", "slow disk")

    def __init__(self, run, servers, disk, steady_at, only=None):
        super().__init__(run)
        self.only = only
        self.servers = servers
        self.server = servers[0]
        self.disk = disk
        self.steady_at = steady_at
        self.starts = 1
        self.is_steady = only is not None and only not in self.restarts
        # Held while there is no spool in its place.
        self.no_spool = threading.Lock()

    def step(self):
        self.rest(8, 30)
        restarts = {
            "kill -9": self._kill,
            "power loss": self._lose_power,
            "orderly restart": self._restart,
        }
        slows = {"full disk": self._full, "stuck disk": self._stuck, "slow disk": self._slow}
        choices = slows if self.is_steady else {**restarts, **slows}
        name = self.only or self.dice.choice(sorted(choices))
        if not self.only and not self.is_steady and time.monotonic() >= self.steady_at:
            self.is_steady = True
            name = "orderly restart"
            choices = restarts
        if self.context.over.is_set():
            return
        if not self.server.is_alive():
            raise RuntimeError(f"OpenSIPS has ended by itself:\n{self.server.log()[-2000:]}")
        self.do(name, choices[name])

    # --- OpenSIPS

    def _start_next(self):
        number = self.starts % len(self.servers)
        self.server = self.servers[0 if self.is_steady else number]
        self.server.start()
        self.starts += 1

    def _judge_sanitizers(self):
        reports = self.server.sanitizer_reports()
        if reports:
            raise RuntimeError("a sanitizer's report:\n" + "\n\n".join(reports))

    def _kill(self):
        self.server.kill9()
        self._judge_sanitizers()
        self._start_next()

    def _restart(self):
        self.end_orderly()
        self._start_next()

    def end_orderly(self):
        code = self.server.terminate()
        self._judge_sanitizers()
        if code != 0 or self.server.core_files():
            raise RuntimeError(f"an orderly end gave {code}, {self.server.core_files()}")
        if self.server.stop_seconds >= server.STOP_S:
            raise RuntimeError(f"an orderly end took {self.server.stop_seconds:.1f} s")

    def _lose_power(self):
        """Between the loss and the kill nothing more may be accepted: the flushes fail."""
        with self.no_spool:
            self.disk.cut_power()
            time.sleep(self.dice.choice((0, 0, 0.2, 1.0)))
            self.server.kill9()
            self._judge_sanitizers()
            for core in self.server.core_files():
                # Reading a page of a disk that is gone is SIGBUS.
                core.unlink()
                self.context.counts["host", "crash without power"] += 1
            self.disk.restore_power()
        self._start_next()

    # --- The disk

    def _full(self):
        self.disk.fill()
        try:
            self.context.sleep(self.dice.uniform(5, 30))
        finally:
            self.disk.free()

    def _stuck(self):
        self.disk.freeze()
        try:
            time.sleep(self.dice.uniform(0.5, 3))
        finally:
            self.disk.thaw()

    def _slow(self):
        """Each flush waits for tens of milliseconds, for some seconds."""
        pulses = self.dice.randrange(20, 120)
        for _ in range(pulses):
            self._pulse(self.dice.uniform(0.02, 0.08))
            time.sleep(0.02)

    def _pulse(self, seconds):
        self.disk.freeze()
        try:
            time.sleep(seconds)
        finally:
            self.disk.thaw()

    def mend(self):
        self.disk.thaw()
        self.disk.free()
        if not self.server.is_alive():
            self._start_next()


class Operator(Happening):
    """
    Looks at the spool with spool-inspect and over MI, pauses and resumes, requeues dead letters.
    Each command must end by itself, with an exit code of its man page, and find no damage.
    """

    who = "operator"
    looks = (
        ("status", "--json"),
        ("ls", "--limit", "20"),
        ("dead", "ls", "--limit", "20"),
        ("metrics",),
        ("audit",),
        ("verify",),
        ("export", "--older-than", "5s"),
    )

    def __init__(self, run, host, spool):
        super().__init__(run)
        self.host = host
        self.spool = spool

    def step(self):
        self.rest(0.5, 4)
        choices = [self._look] * 6 + [self._pause, self._pause_by_mi, self._requeue, self._ask]
        self.dice.choice(choices)()

    def inspect(self, *words):
        """Runs it. Returns whether it could do what it was told."""
        name = "spool-inspect " + " ".join(words[:2] if words[0] == "dead" else words[:1])
        command = [process.program("spool-inspect"), "--spool", self.spool, *words]
        with self.host.no_spool:
            done = []
            self.do(
                name,
                lambda: done.append(
                    subprocess.run(command, capture_output=True, timeout=INSPECT_S, check=False)
                ),
            )
        code, said = done[0].returncode, done[0].stderr.decode(errors="replace")
        if code not in (0, NOT_ALL, CANNOT_READ) or "Sanitizer" in said:
            raise RuntimeError(f"{name} ended with {code}: {said}")
        if code == NOT_ALL and words[0] == "verify":
            raise RuntimeError(f"damage: {done[0].stdout.decode(errors='replace')} {said}")
        if code != 0 and words[0] != "status":
            self.context.counts[self.who, f"{name}: not done"] += 1
        return code == 0

    def _look(self):
        self.inspect(*self.dice.choice(self.looks))

    def _pause(self):
        name = self.dice.choice(("calls", "brief"))
        self.inspect("pause", name)
        self.rest(1, 8)
        self._until_done("resume", name)

    def _requeue(self):
        self.inspect("dead", "requeue", "--destination", "brief", "--yes")

    def _until_done(self, *words):
        process.wait_until(lambda: self.inspect(*words), INSPECT_S, " ".join(words))

    def mi(self, *words):
        """Over MI; it may be down, or refuse while the spool cannot be written."""
        try:
            self.do(f"MI {words[0]}", lambda: self.host.server.mi(*words, timeout_s=3))
            return True
        except (OSError, server.MiError, ValueError):
            self.context.counts[self.who, f"MI {words[0]}: not done"] += 1
            return False

    def _ask(self):
        self.mi(*self.dice.choice((("kafka_status",), ("kafka_list", "calls"), ("kafka_flush",))))
        self.mi("kafka_requeue", "brief")

    def _pause_by_mi(self):
        if self.mi("kafka_pause", "calls"):
            self.rest(1, 5)
            if not self.mi("kafka_resume", "calls"):
                self._until_done("resume", "calls")

    def mend(self):
        for name in ("calls", "brief"):
            self._until_done("resume", name)
