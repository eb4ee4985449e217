# SPDX-License-Identifier: GPL-2.0-or-later
"""
Publishers in processes of their own, and the owner of the spool: whichever of them is killed -9 at a
point of spool/point.h, the others are not held up, and nothing is lost that was accepted.
"""

import collections
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash import point_case, point_table  # noqa: E402
from harness import process  # noqa: E402

PATIENCE_S = 120
OWNER_DIED = 3
RECORDS = 40
# Of the publishers that do not die, at least.
SURVIVORS = 3
CROWD = 16
# The dead can hold all slots of the ring until they are swept, once a second.
PATIENT = ["--commit-timeout", "30000"]
# Not accepted, for certain.
REFUSED = {"timeout", "closed"}


class Run:
    """One run of point-crowd: what each publisher heard."""

    def __init__(self, number, code, text):
        self.number = number
        self.code = code
        self.outcomes = {}  # (publisher, record) -> (outcome, sequence)
        self.reports = collections.Counter()  # spool-id -> how often a status 0 was told
        self.dead = set()  # publishers
        for words in map(str.split, text.splitlines()):
            if words[0] == "report":
                assert words[1] == "0", words
                self.reports[words[2]] += 1
            elif words[0] == "died":
                self.dead.add(int(words[1]))
            else:
                self.outcomes[int(words[0]), int(words[1])] = (words[2], int(words[3]))

    def line(self, publisher, record):
        """(key, payload), as the publisher makes them."""
        text = f"r{self.number} p{publisher} n{record} ".encode()
        return b"p%d" % publisher, text + b"x" * (1000 - len(text))


class PointsCrowdTest(point_case.PointCase):
    def setUp(self):
        super().setUp()
        self.runs = []

    def begin(self, scenario):
        super().begin(scenario)
        self.runs = []

    # --- point-crowd

    def run_crowd(self, *options, hits_to=None):
        lines = self.folder / f"lines-{len(self.runs)}"
        command = [process.program("point-crowd"), "--spool", self.spool, "--lines", lines]
        command += ["--broker", self.broker_address(), "--run", len(self.runs)]
        command += ["--records", RECORDS, *options]
        done = subprocess.run(
            [str(each) for each in command],
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
            env=point_case.environment(hits_to=hits_to),
        )
        self.said = done.stderr.decode(errors="replace")
        run = Run(len(self.runs), done.returncode, lines.read_text("ascii"))
        self.runs.append(run)
        return run

    def judge(self, publishers, reports=False):
        """All of what the runs accepted is at the broker, once they have ended."""
        published = point_case.Published()
        for run in self.runs:
            for publisher in range(publishers):
                for record in range(RECORDS):
                    outcome, sequence = run.outcomes.get((publisher, record), ("", 0))
                    pair = run.line(publisher, record)
                    if outcome == "accepted":
                        published.accepted.append((sequence, *pair))
                    elif outcome not in REFUSED:
                        published.offered.append(pair)
        summary = self.assert_delivered(published)
        if reports:
            told = sum((run.reports for run in self.runs), collections.Counter())
            ids = {each.spool_id for each in self.records()}
            self.assertEqual(set(told), ids, "reports and records")
        self.assert_sound()
        return summary

    # --- Publishers

    def kill_publishers(self, points, *options):
        """A publisher dies at each of the points. The names of those that were not reached."""
        dying = [word for point in points for word in ("--publisher-dies", point)]
        count = CROWD  # always more than the ring has slots
        self.assertLessEqual(len(points) + SURVIVORS, count)
        run = self.run_crowd("--publishers", count, *dying, *(options or PATIENT))
        self.assertEqual(run.code, 0, self.said)
        for survivor in range(len(points), count):
            heard = [run.outcomes.get((survivor, record)) for record in range(RECORDS)]
            self.assertNotIn(None, heard, f"publisher {survivor} was held up: {self.said}")
            if not options:
                self.assertEqual({outcome for outcome, _ in heard}, {"accepted"}, self.said)
        self.judge(count)
        return [each.split(":")[0] for i, each in enumerate(points) if i not in run.dead]

    def check_publishers(self, scenario, *options):
        """All points of the scenario at once: at the first, second, and a random hit of each."""
        names = [name for each, name, _ in point_table.pairs() if each == scenario]
        draw = point_case.random_source(scenario)
        for hits in ([1] * len(names), [2] * len(names), [draw.randint(3, 8) for _ in names]):
            points = dict(zip(names, hits))
            with self.subTest(points=points, seed=point_case.SEED):
                # What depends on who is faster is tried again.
                for _ in range(point_case.TRIES):
                    if points:
                        words = [f"{name}:{hit}" for name, hit in points.items()]
                        left = self.run_case("kill_publishers", words, *options)
                        points = {name: point_case.earlier(points[name]) for name in left}
                self.assertEqual(points, {}, "not reached")

    def test_publishers(self):
        self.check_publishers("publishers")

    def test_hasty(self):
        """Publishers that wait for a millisecond: records are taken back, or answered to nobody."""
        self.check_publishers("hasty", "--commit-timeout", "1")

    # --- The owner

    def kill_owner(self, kill, *options, publishers=4):
        words = ["--owner-dies", kill] if kill else []
        run = self.run_crowd(
            *["--publishers", publishers, *words, *options],
            hits_to=None if kill else self.hits_to,
        )
        self.assertIn(run.code, (OWNER_DIED, 0) if kill else (0,), self.said)
        self.assert_sound()
        return run.code == OWNER_DIED

    def owner(self, kill):
        """The owner dies, and comes back: what was accepted is delivered, and reported."""
        words = ["--report-route", "report"]
        died = self.kill_owner(kill, *words)
        again = self.run_crowd("--publishers", 4, *words)
        self.assertEqual(again.code, 0, self.said)
        self.judge(4, reports=True)
        return died

    def sweeping(self, kill):
        """The owner dies while it frees what dead publishers held."""
        dead = 3
        words = [word for _ in range(dead) for word in ("--publisher-dies", "ring.entry_written:1")]
        died = self.kill_owner(kill, *words, publishers=dead + SURVIVORS)
        again = self.run_crowd("--publishers", dead + SURVIVORS)
        self.assertEqual(again.code, 0, self.said)
        self.judge(dead + SURVIVORS)
        return died


point_case.add_tests(PointsCrowdTest)

if __name__ == "__main__":
    unittest.main()
