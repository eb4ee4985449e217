# SPDX-License-Identifier: GPL-2.0-or-later
"""
What the tests of kill points stand on: for each point of a scenario a test that lets the program die
at the point's first, second and a random hit, and judges what it left.

A scenario is a method that takes "NAME:HIT", or "" for a run in which nobody dies and hits are
counted. It makes its own spool, judges all that it finds, and returns whether the program died. All that is random comes
from SPOOL_SEED, which is printed.
"""

import collections
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from crash import point_table
from harness import acting, broker, forward, inspector, oracle

SEED = int(os.environ.get("SPOOL_SEED") or random.randrange(1 << 32))
DIED = -9
NO_SPOOL = 3
TRIES = 8


def environment(kill=None, hits_to=None):
    """A program's environment: where it dies, where it tells its hits."""
    words = {"SPOOL_KILL_AT": kill, "SPOOL_HITS_TO": hits_to}
    return {**os.environ, **{name: str(value) for name, value in words.items() if value}}


def random_source(*words):
    return random.Random(f"{SEED} {words}")


def earlier(hit):
    """For a random hit that was not reached; the first and the second stay."""
    return max(hit * 2 // 3, min(hit, 2))


class Published:
    """What was accepted, and what was handed over without an answer: for the oracle."""

    def __init__(self):
        self.accepted = []  # (sequence, key, payload)
        self.offered = []  # (key, payload)

    def note(self, lines, sequences):
        """Lines KEY|PAYLOAD that were handed over, and the sequences of the first of them."""
        pairs = [tuple(line.split(b"|", 1)) for line in lines]
        self.accepted += [(sequence, *pair) for sequence, pair in zip(sequences, pairs)]
        self.offered += pairs[len(sequences) :]

    def sequences(self):
        return {sequence for sequence, _, _ in self.accepted}


class PointCase(acting.ActCase):
    """Scenarios on one embedded broker; each case has a topic and a spool of its own."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.class_folder = Path(folder.name)
        cls.broker = broker.EmbeddedBroker(cls.class_folder, record=True)
        cls.addClassCleanup(cls.broker.close)
        cls.cases_count = 0
        cls.counts = {}
        print(f"SPOOL_SEED={SEED}", file=sys.stderr)

    # --- Hits

    def count_hits(self, scenario, name, enough):
        """
        How often the point is reached by a run of the scenario in which nobody dies. Runs differ:
        the most of some, when there are not enough.
        """
        counts = self.counts.setdefault(scenario, collections.Counter())
        for _ in range(TRIES):
            if counts[name] < enough:
                self.run_case(scenario, "")
                counts |= collections.Counter(self.hits_to.read_text("ascii").split())
        return counts[name]

    def choose_hits(self, scenario, name, is_once):
        """The first, the second, and one of the others."""
        count = self.count_hits(scenario, name, 1 if is_once else 2)
        self.assertGreater(count, 0, f"{scenario} never reaches {name}")
        if is_once:
            return [1]
        self.assertGreater(count, 1, f"{scenario} reaches {name} only once")
        chosen = random_source(scenario, name).randint(3, max(3, count))
        return [1, 2, chosen] if count > 2 else [1, 2]

    def check_point(self, scenario, name, is_once):
        for hit in self.choose_hits(scenario, name, is_once):
            with self.subTest(scenario=scenario, kill_at=f"{name}:{hit}", seed=SEED):
                # What was reached 20 times may be reached 15 times now.
                for _ in range(TRIES):
                    if self.run_case(scenario, f"{name}:{hit}"):
                        break
                    hit = earlier(hit)
                else:
                    self.fail(f"{name}:{hit} was not reached")

    def run_case(self, scenario, kill, *more):
        self.begin(scenario)
        try:
            return getattr(self, scenario)(kill, *more)
        finally:
            # Each spool claims some megabytes of disk.
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- A case's own

    def setUp(self):
        super().setUp()
        self.hits_to = None
        self.topic = None
        self.embedded = None

    def begin(self, scenario):
        """Another case: its own spool, topic and log."""
        type(self).cases_count += 1
        name = f"{scenario}-{self.cases_count}"
        self.folder = self.class_folder / name
        self.folder.mkdir()
        self.spool = self.folder / "spool"
        self.hits_to = self.class_folder / f"hits-{name}"
        self.topic = name
        self.embedded = self.broker

    def broker_address(self, identity="k1", properties=""):
        return f"[{identity}]{self.embedded.bootstrap}/{self.topic}?{acting.QUICK}{properties}"

    def nobodys_address(self, identity="k1", properties=""):
        """The same destination, where nobody is."""
        return f"[{identity}]127.0.0.1:1/{self.topic}?{acting.QUICK}{properties}"

    def environment(self, kill):
        """Of the program that is to die; None: of another one."""
        return environment(kill, None if kill is None else self.hits_to)

    def records(self):
        return list(self.embedded.records(self.topic))

    # --- spool-forward

    def start(self, *arguments, kill=None, **options):
        return self.start_forward(*arguments, env=self.environment(kill), **options)

    def feed(self, published, rounds, *arguments, kill=None):
        """
        Publishes rounds of lines, each when the one before is acknowledged, and waits for the
        end. Returns the exit code.
        """
        started = self.start(*arguments, "-K", "|", "--ack", kill=kill)
        for lines in rounds:
            try:
                started.write(lines)
            except BrokenPipeError:
                break
            sequences = started.read_sequences(len(lines))
            published.note(lines, sequences)
            if len(sequences) < len(lines):
                break
        code, _ = started.finish()
        return code

    def drain(self, *addresses):
        words = [word for address in addresses for word in ("--broker", address)]
        result = forward.run("--spool", self.spool, *words, "--drain", "--timeout", "60")
        self.assertEqual(result.code, 0, result)
        return result

    def has_died(self, code, kill, otherwise=0):
        """Whether it died where it was to; nothing else may have ended it."""
        self.assertIn(code, (DIED, otherwise) if kill else (otherwise,), self.log())
        return code == DIED

    def log(self):
        path = self.folder / "spool-forward.log"
        return path.read_text("utf-8", "replace")[-4000:] if path.exists() else ""

    # --- Judging

    def places(self, spool=None):
        """place -> sequences, of what is in the spool; no sequence is twice (S2)."""
        found = collections.defaultdict(list)
        result = self.do("export", spool=spool)
        for line in result.output.splitlines():
            document = json.loads(line)
            found[document["place"]].append(document["sequence"])
        kept = found["queue"] + found["dead"]
        self.assertEqual(len(kept), len(set(kept)), found)
        return found

    def assert_kept(self, published):
        """Everything accepted is in the spool or at the broker, and the spool is sound."""
        verified = self.run_inspect("verify")
        if verified.code == NO_SPOOL:
            self.assertRegex(verified.said, "there is no spool")
            self.assertEqual(published.accepted, [])
            return
        self.assertEqual(verified.code, 0, verified)
        places = self.places()
        there = {int(each.spool_id.rpartition(":")[2]) for each in self.records()}
        there.update(places["queue"], places["dead"])
        lost = sorted(published.sequences() - there)
        self.assertEqual(lost, [], self.log())

    def assert_delivered(self, published, records=None):
        """Everything accepted is at the broker, identical, in the order of its key."""
        records = self.records() if records is None else records
        summary = oracle.judge(published.accepted, records, offered=published.offered)
        self.assertTrue(summary["ok"], (summary, self.log()))
        return summary

    def run_inspect(self, *arguments, kill=None, spool=None):
        spool = spool or self.spool
        return inspector.run(*arguments, spool=spool, env=self.environment(kill))


def lines(first, count):
    """KEY|PAYLOAD with three keys."""
    return [b"key-%d|payload %d" % (i % 3, i) for i in range(first, first + count)]


def add_tests(case):
    """A test for each point of each scenario that the class has."""
    for scenario, name, is_once in point_table.pairs():
        if not hasattr(case, scenario):
            continue

        def test(self, scenario=scenario, name=name, is_once=is_once):
            self.check_point(scenario, name, is_once)

        words = f"test_{scenario}_{name.replace('.', '_')}"
        test.__doc__ = f"{scenario}, killed at {name}"
        setattr(case, words, test)
    return case
