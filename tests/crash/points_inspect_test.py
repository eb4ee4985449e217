# SPDX-License-Identifier: GPL-2.0-or-later
"""
spool-inspect, killed -9 at the points of spool/point.h: the spool is sound, what was done is done
whole and in the audit log, and the same command does the rest.
"""

import hashlib
import json
import shutil
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash import point_case  # noqa: E402
from harness import acting  # noqa: E402

# More than two batches of an act, and of an import.
COUNT = 2100
WAITING = f"1-{COUNT}"


def digest(path):
    return hashlib.sha256(path.read_bytes()).digest()


class PointsInspectTest(point_case.PointCase):
    base = None

    # --- Spools

    def begin(self, scenario):
        """A copy of a spool: COUNT waiting records, as many dead letters, three destinations."""
        if type(self).base is None:
            type(self).base = self.make_base()
        super().begin(scenario)
        shutil.copytree(self.base, self.spool)
        self.before = self.state()

    def make_base(self):
        super().begin("base")
        self.killed_spool(acting.lines(2 * COUNT))
        for identity in ("k2", "k3"):
            self.killed_spool(acting.lines(1), identity=identity)
        self.do("expire", f"{COUNT + 1}-{2 * COUNT}", "--yes")
        # The audit log is made with its first entry; what is counted here begins behind it.
        return self.spool

    def state(self, spool=None):
        """sequence -> (place, destination, key, payload); no sequence is twice (S2)."""
        found = {}
        for line in self.do("export", spool=spool).output.splitlines():
            each = json.loads(line)
            self.assertNotIn(each["sequence"], found)
            found[each["sequence"]] = tuple(
                json.dumps(each.get(name)) for name in ("place", "destination", "key", "payload")
            )
        return found

    def audited(self):
        """Records of all acts but the base's."""
        return sum(each["records"] for each in self.audit()[1:])

    # --- Acts

    def act(self, kill, words, becomes, again=()):
        """Each record is as it was, or as it is to be; then the same command ends it."""
        after = dict(self.before)
        for sequence in after.copy():
            becomes(after, sequence)
        ran = self.run_inspect(*words, "--yes", kill=kill)
        died = self.has_died(ran.code, kill)
        self.assert_sound()
        state = self.state()
        changed = set()
        for sequence, was in self.before.items():
            now = state.get(sequence)
            self.assertIn(now, (was, after.get(sequence)), sequence)
            if now != was:
                changed.add(sequence)
        self.assertEqual(self.audited(), len(changed))
        self.do(*(again or words), "--yes")
        self.assertEqual(self.state(), after)
        self.assertEqual(
            self.audited(), sum(after.get(each) != was for each, was in self.before.items())
        )
        self.assert_sound()
        self.changed = changed
        return died

    def act_drop(self, kill):
        return self.act(kill, ["drop", WAITING], self.goes_from("queue"))

    def act_export(self, kill):
        """What is dropped is in the file before; another file is for what is left."""
        files = [self.folder / name for name in ("one.jsonl", "two.jsonl")]
        words = [["drop", WAITING, "--export", file] for file in files]
        died = self.act(kill, words[0], self.goes_from("queue"), words[1])
        written = files[0].read_text("ascii").splitlines() if files[0].exists() else []
        if not self.changed:
            return died
        self.assertLessEqual(self.changed, {json.loads(line)["sequence"] for line in written})
        return died

    def act_dead_drop(self, kill):
        return self.act(kill, ["dead", "drop", "--all"], self.goes_from("dead"))

    def act_expire(self, kill):
        return self.act(kill, ["expire", WAITING], self.comes_to("queue", place="dead"))

    def act_requeue(self, kill):
        return self.act(kill, ["dead", "requeue", "--all"], self.comes_to("dead", place="queue"))

    def act_move(self, kill):
        to = self.before[2 * COUNT + 1][1]
        words = ["move", WAITING, "--into", "k2"]
        return self.act(kill, words, self.comes_to("queue", destination=to))

    def goes_from(self, place):
        def becomes(after, sequence):
            if after[sequence][0] == json.dumps(place) and sequence <= 2 * COUNT:
                del after[sequence]

        return becomes

    def comes_to(self, where, place=None, destination=None):
        def becomes(after, sequence):
            was = after[sequence]
            if was[0] == json.dumps(where) and sequence <= 2 * COUNT:
                now = json.dumps(place) if place else was[0]
                after[sequence] = (now, destination or was[1], *was[2:])

        return becomes

    def pausing(self, kill):
        """A destination is paused, and the audit log says so; or neither."""
        died = self.has_died(self.run_inspect("pause", "k1", "k2", "k3", kill=kill).code, kill)
        self.assert_sound()
        paused = self.paused()
        self.assertEqual(paused, ["k1", "k2", "k3"][: len(paused)])
        self.assertEqual([each["act"] for each in self.audit()[1:]], ["pause"] * len(paused))
        self.do("pause", "k1", "k2", "k3")
        self.assertEqual(len(self.paused()), 3)
        self.assertEqual(len(self.audit()[1:]), 3)
        self.do("resume", "k1", "k2", "k3")
        self.assertEqual(self.paused(), [])
        return died

    def paused(self):
        document = self.document("status", code=1)
        return sorted(
            each["destination"][1:3] for each in document["destinations"] if each["paused_since_ms"]
        )

    # --- Files

    def exporting(self, kill):
        """Reading changes nothing."""
        before = digest(self.spool / "data.mdb")
        died = self.has_died(self.run_inspect("export", kill=kill).code, kill)
        self.assertEqual(digest(self.spool / "data.mdb"), before)
        self.assertEqual(self.state(), self.before)
        return died

    def importing(self, kill):
        """The same command goes on behind the lines that are in the spool."""
        file = self.folder / "all.jsonl"
        file.write_bytes(self.do("export").bytes)
        empty = self.folder / "empty"
        self.make_empty(empty)
        ran = self.run_inspect("import", file, kill=kill, spool=empty)
        died = self.has_died(ran.code, kill)
        self.do("verify", spool=empty)
        some = self.imported(empty)
        self.assertEqual(len(some), sum(each["records"] for each in self.audit_of(empty)))
        self.do("import", file, spool=empty)
        self.assertEqual(self.imported(empty), sorted(self.before))
        self.do("verify", spool=empty)
        return died

    def make_empty(self, spool):
        mine, self.spool = self.spool, spool
        words = ["--broker", self.nobodys_address("k9"), "--publish", "k9"]
        self.assertEqual(self.feed(point_case.Published(), [], *words), 0, self.log())
        self.spool = mine

    def audit_of(self, spool):
        return self.documents("audit", spool=spool)

    def imported(self, spool):
        """The sequences that the records had; none came twice."""
        lines = [json.loads(line) for line in self.do("export", spool=spool).output.splitlines()]
        origins = sorted(int(each["spool_id"].rpartition(":")[2]) for each in lines)
        self.assertEqual(len(origins), len(set(origins)))
        return origins

    def salvaging(self, kill):
        """The old spool stays as it is; what is half saved is thrown away, and saved anew."""
        before = digest(self.spool / "data.mdb")
        half, whole = self.folder / "half", self.folder / "whole"
        ran = self.run_inspect("salvage", self.spool, "--into", half, kill=kill)
        died = self.has_died(ran.code, kill)
        self.assertEqual(digest(self.spool / "data.mdb"), before)
        if died:
            again = self.run_inspect("salvage", self.spool, "--into", half)
            self.assertNotEqual(again.code, 0)
            self.assertIn("not empty", again.said)
        self.do("salvage", self.spool, "--into", whole)
        self.assertEqual(self.imported(whole), sorted(self.before))
        self.do("verify", spool=whole)
        return died

    def compacting(self, kill):
        """Either file is the spool, and nothing is left beside it the next time."""
        died = self.has_died(self.run_inspect("compact", kill=kill).code, kill)
        self.assert_sound()
        self.assertEqual(self.state(), self.before)
        self.do("compact")
        self.assertEqual([each.name for each in self.spool.iterdir() if each.is_dir()], [])
        self.assert_sound()
        self.assertEqual(self.state(), self.before)
        return died


point_case.add_tests(PointsInspectTest)

if __name__ == "__main__":
    unittest.main()
