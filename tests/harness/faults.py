# SPDX-License-Identifier: GPL-2.0-or-later
"""
Faults of brokers and networks, each in the middle of a workload, and what must come of it: every
accepted record is in the topic at least once and unchanged, the first occurrences of each key are in
order, and each duplicate is explained.

A Trial publishes lines through spool-forward without a pause, while faults begin, are felt, go on for
a while and end; then it drains, reads the topic and judges.
"""

import argparse
import dataclasses
import json
import random
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Callable

from harness import chaos, inspector, oracle, process

# How long anything may take, on a machine that is busy with other things too.
PATIENCE_S = 300
LOOK_S = 0.2
KEYS = 40
HEADERS = [("origin", b"faults"), ("kind", b"cdr|1")]
# In-flight at most, over all destinations (spool/limits.h): what one crash can send again.
WINDOW_RECORDS = 32768
# A client that notices what happens within seconds.
QUICK = (
    "g.reconnect.backoff.ms=50&g.reconnect.backoff.max.ms=500&g.socket.timeout.ms=3000"
    "&g.topic.metadata.propagation.max.ms=1000&g.topic.metadata.refresh.interval.ms=2000"
)


@dataclasses.dataclass
class Fault:
    """
    begin and end take the Trial; so does felt, which must become true while the fault is on: a fault
    that nobody feels shows nothing. It goes on for hold_s after that.
    """

    name: str
    begin: Callable
    end: Callable = lambda trial: None
    felt: Callable = lambda trial: True
    hold_s: float = 1.0


def said(*texts):
    """Felt when spool-forward said one of them since the fault began."""
    return lambda trial: any(text in trial.said_since() for text in texts)


def waiting(count):
    """Felt when so many records wait."""
    return lambda trial: trial.counters()["queue_records"] >= count


class Lines:
    """
    KEY|PAYLOAD lines without an end, made when they are asked for; each payload has the number of its
    key's record, so that none is like another.
    """

    def __init__(self, seed, large_share, large_bytes):
        self.dice = random.Random(seed)
        self.large_share = large_share
        self.large_bytes = large_bytes
        self.filling = bytes(self.dice.choice(b"abcdefghijklmnopqrstuvwxyz0123|") for _ in range(65536))
        self.numbers = [0] * KEYS
        self.made = []

    def __len__(self):
        return sys.maxsize

    def __getitem__(self, part):
        while len(self.made) < part.stop:
            self.made.append(self._make())
        return self.made[part]

    def _make(self):
        key = self.dice.randrange(KEYS)
        self.numbers[key] += 1
        size = self.dice.randrange(20, 400)
        if self.dice.random() < self.large_share:
            size = self.large_bytes
        at = self.dice.randrange(len(self.filling) - size)
        return b"key-%02d|%d %s" % (key, self.numbers[key], self.filling[at : at + size])

    def take(self, count):
        """The first lines, which are not given again."""
        taken = self[:count]
        del self.made[:count]
        return taken


class Trial:
    """
    One spool, one destination [k1], one workload. forgetful: the brokers do not know what an
    idempotent producer has written, so that a lost answer is a duplicate, and what comes too early is
    taken; this says why.
    """

    def __init__(
        self,
        folder,
        address,
        *,
        seed=1,
        rate=1500,
        large_share=0.0,
        large_bytes=4000,
        forgetful="",
    ):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.spool = folder / "spool"
        self.log_path = folder / "spool-forward.log"
        self.addresses = [address]
        self.rate = rate
        self.forgetful = forgetful
        self.lines = Lines(seed, large_share, large_bytes)
        self.run = None
        self.identity = None  # of the run: where it publishes to
        self.published = {"k1": [], "k2": []}  # identity -> (sequence, key, payload)
        self.offered = []
        self.crashes_count = 0
        self.possible_duplicates_count = 0
        self.producers_lost_count = 0
        self.log_at = 0
        self.begin_s = time.monotonic()
        self.back_s = 0.0
        self.took_s = 0.0

    # --- The workload

    def start(self, identity="k1", *options):
        arguments = [process.program("spool-forward"), "--spool", self.spool]
        for address in self.addresses:
            arguments += ["--broker", address]
        for name, value in HEADERS:
            arguments += ["-H", f"{name}={value.decode()}"]
        arguments += ["--publish", identity, "-K", "|", "--ack", "--json", *options]
        self.identity = identity
        self.run = chaos.Run(arguments, self.log_path, self.lines, self.rate)
        # Before that there may be no spool to look into.
        process.wait_until(
            lambda: self.run.sequences or not self.run.program.is_alive(),
            PATIENCE_S,
            "a line is accepted",
        )

    def start_draining(self):
        self.start("k1", "--drain", "--timeout", PATIENCE_S)

    def end_run(self):
        """Waits for the end of the run; what it accepted is noted. Returns its exit code."""
        code = self.run.finish()
        lines = self.lines.take(self.run.handed_over)
        for sequence, line in zip(self.run.sequences, lines):
            self.published[self.identity].append((sequence, *chaos.split(line)))
        self.offered += [chaos.split(line) for line in lines[len(self.run.sequences) :]]
        if self.run.statistics is not None:
            for each in self.run.statistics["destinations"]:
                self.possible_duplicates_count += each["possible_duplicates"]
                self.producers_lost_count += each["producers_lost"]
        return code

    def crash(self):
        """kill -9 of spool-forward, and another that goes on."""
        self.run.program.kill9()
        self.end_run()
        self.crashes_count += 1
        self.start_draining()

    def finish(self):
        """No more is published; all must drain."""
        self.run.stop_feeding()
        code = self.end_run()
        self.took_s = time.monotonic() - self.begin_s
        if code != 0:
            raise AssertionError(f"spool-forward ended with {code}: {self.run.program.log_tail()}")

    def close(self):
        """After a failure: nothing goes on."""
        if self.run is not None and self.run.program.is_alive():
            self.run.program.kill9()
            self.run.finish()

    # --- Looking

    def accepted_count(self):
        published = sum(len(each) for each in self.published.values())
        return published + (len(self.run.sequences) if self.run is not None else 0)

    def said_since(self):
        with open(self.log_path, "rb") as log:
            log.seek(self.log_at)
            return log.read().decode(errors="replace")

    def status(self):
        time.sleep(LOOK_S)  # starting a program is work, and many trials look
        return inspector.run("status", "--json", spool=self.spool).document()

    def counters(self, identity="k1"):
        for each in self.status()["destinations"]:
            if each["destination"].startswith(f"[{identity}]"):
                return each["counters"]
        return {"queue_records": 0, "delivered": 0, "dead_records": 0}

    def sequences_in(self, place):
        """The sequences in the queue, or of the dead letters, at the moment."""
        result = inspector.run("export", "--place", place, spool=self.spool)
        return [json.loads(line)["sequence"] for line in result.output.splitlines()]

    def wait_delivered(self, more_than, identity="k1"):
        self.wait(
            lambda: self.counters(identity)["delivered"] > more_than,
            f"more than {more_than} records of [{identity}] are delivered",
        )

    # --- Faults

    def wait(self, condition, what):
        """Waits for it, while spool-forward runs."""

        def is_so():
            if not self.run.program.is_alive():
                raise AssertionError(f"spool-forward ended: {self.run.program.log_tail()}")
            return condition()

        try:
            process.wait_until(is_so, PATIENCE_S, what)
        except TimeoutError as late:
            raise TimeoutError(f"{late}; {self.run.program.log_tail()}") from late

    def begin(self, fault):
        """The fault begins and is felt."""
        self.log_at = self.log_path.stat().st_size
        fault.begin(self)
        self.wait(lambda: fault.felt(self), f"{fault.name} is felt")

    def suffer(self, fault):
        """The fault begins, is felt, holds, ends; then records are delivered again."""
        accepted = len(self.run.sequences)
        begin = time.monotonic()
        self.begin(fault)
        time.sleep(fault.hold_s)
        grown = len(self.run.sequences) - accepted
        wanted = self.rate * (time.monotonic() - begin) / 20
        delivered = self.counters()["delivered"]
        fault.end(self)
        # P5: whoever publishes does not notice. (A crash is another matter.)
        if self.crashes_count == 0 and grown < wanted:
            raise AssertionError(f"only {grown} records were accepted during {fault.name}")
        end = time.monotonic()
        self.wait_delivered(delivered)
        self.back_s = max(self.back_s, time.monotonic() - end)

    def go_through(self, faults, pause_s=0.5):
        """A whole workload with these faults, one after the other, in its middle."""
        try:
            self.start_draining()
            self.wait_delivered(0)
            for fault in faults:
                time.sleep(pause_s)
                self.suffer(fault)
            time.sleep(pause_s)
            self.finish()
        finally:
            self.close()

    def go_beside(self, fault, address):
        """
        The fault begins while [k1] is published to, and goes on while [k2], at that address, is: all
        of that must be delivered before the fault ends.
        """
        try:
            self.start("k1", "--flush", "200")
            self.wait_delivered(0)
            self.begin(fault)
            self.run.stop_feeding()
            if self.end_run() != 0:
                raise AssertionError(self.run.program.log_tail())
            self.addresses.append(address)
            self.start("k2", "--drain", "--timeout", PATIENCE_S)
            time.sleep(fault.hold_s)
            self.wait_delivered(len(self.run.sequences), "k2")
            if self.counters("k1")["queue_records"] == 0:
                raise AssertionError(f"{fault.name} was over too soon")
            fault.end(self)
            self.finish()
        finally:
            self.close()

    # --- Judging

    def judge(self, logs, *, identity="k1", excused=frozenset(), keys_may_move=False):
        """
        logs: what was read, in the topic's order; each list of a topic made anew. excused: sequences
        that need not be there, since Kafka lost them or they are dead letters.
        """
        judged = oracle.Oracle(headers=HEADERS, keys_may_move=keys_may_move)
        for sequence, key, payload in self.published[identity]:
            if sequence in excused:
                judged.offered(key, payload)
            else:
                judged.accepted(sequence, key, payload)
        for key, payload in self.offered:
            judged.offered(key, payload)
        for records in logs:
            judged.begin_log()
            for record in records:
                judged.consumed(record)
        summary = judged.summary()
        summary["accepted"] = len(self.published[identity])
        return summary

    def explains_order(self, summary):
        """
        Whether order is all that is wrong, and the brokers' fault: librdkafka sends what it had not
        sent yet before it repeats what timed out, and relies on brokers that check sequences.
        """
        wrong = [name for name in summary["examples"] if name != "reordered"]
        log = self.log_path.read_text(encoding="utf-8", errors="replace")
        has_timed_out = "timed out" in log or "more lines in the last minute" in log
        return bool(self.forgetful) and not wrong and has_timed_out

    def explained_duplicates(self):
        """How many duplicates there may be at most, and why."""
        reasons = []
        most = 0
        if self.possible_duplicates_count > 0:
            most += self.possible_duplicates_count
            reasons.append(f"possibly persisted: {self.possible_duplicates_count}")
        if self.producers_lost_count > 0:
            reasons.append(f"producers lost: {self.producers_lost_count}")
        if self.crashes_count > 0:
            most += self.crashes_count * WINDOW_RECORDS
            reasons.append(f"crashes: {self.crashes_count}")
        if self.forgetful:
            most += WINDOW_RECORDS
            reasons.append(self.forgetful)
        return most, ", ".join(reasons) or "-"


@dataclasses.dataclass
class Row:
    """What a trial came to, as a row of the table."""

    fault: str
    accepted: int
    delivered: int
    duplicates: int
    explained_by: str
    dead: int
    back_s: float
    took_s: float


def check(
    trial, name, logs, *, identity="k1", dead=frozenset(), excused=frozenset(), keys_may_move=False
):
    """Judges a trial that is through. AssertionError, or the row. dead: who must be dead letters."""
    summary = trial.judge(
        logs, identity=identity, excused=excused | dead, keys_may_move=keys_may_move
    )
    most, reasons = trial.explained_duplicates()
    found = set(trial.sequences_in("dead"))
    row = Row(
        fault=name,
        accepted=summary["accepted"],
        delivered=summary["delivered"],
        duplicates=summary["duplicates"],
        explained_by=reasons if summary["duplicates"] > 0 else "-",
        dead=len(found),
        back_s=trial.back_s,
        took_s=trial.took_s,
    )
    if not summary["ok"] and not trial.explains_order(summary):
        raise AssertionError(f"{name}: {summary}; {row}")
    if summary["reordered"] > 0:
        row.explained_by += f"; {summary['reordered']} out of order: no sequences were checked"
    if summary["duplicates"] > most:
        raise AssertionError(f"{name}: {summary['duplicates']} duplicates, {most} explained; {row}")
    if found != dead:
        raise AssertionError(f"{name}: dead letters {sorted(found ^ dead)[:10]}...; {row}")
    verified = inspector.run("verify", spool=trial.spool)
    if verified.code != 0:
        raise AssertionError(f"{name}: {verified}")
    return row


def table(rows, title):
    """The rows for people."""
    names = ("fault", "accepted", "delivered", "dups", "dead", "back s", "took s", "explained by")
    cells = [
        (
            row.fault,
            f"{row.accepted:,}",
            f"{row.delivered:,}",
            f"{row.duplicates:,}",
            f"{row.dead:,}",
            f"{row.back_s:.1f}",
            f"{row.took_s:.1f}",
            row.explained_by,
        )
        for row in rows
    ]
    widths = [max(len(line[at]) for line in [names, *cells]) for at in range(len(names))]
    lines = [
        "  ".join(
            cell.ljust(width) if at in (0, len(names) - 1) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in [names, *cells]
    ]
    return "\n".join([title, *("  " + line for line in lines)])


def parse_arguments(description, names):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fault", choices=names, action="append", help="a trial of this one")
    parser.add_argument("--minutes", type=float, help="random faults, for so long")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    return parser.parse_known_args()


def main(description, names, run_these, run_random):
    """
    A program of tests; with --fault or --minutes, what is asked for by hand, from a seed. Returns the
    exit code.
    """
    options, rest = parse_arguments(description, names)
    if options.fault is None and options.minutes is None:
        unittest.main(argv=[sys.argv[0], *rest])
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kafka-spool-") as folder:
        folder = Path(folder)
        rows = []
        for row in run_these(folder, options.fault or [], options.seed):
            rows.append(row)
            print(row, flush=True)
        if options.minutes is not None:
            rows.append(run_random(folder, options.seed, options.minutes))
    print(table(rows, f"seed {options.seed}"))
    return 0
