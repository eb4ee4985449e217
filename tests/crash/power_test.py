# SPDX-License-Identifier: GPL-2.0-or-later
"""
Power losses: what a workload does to the spool's files is recorded, every disk that a power loss
can leave is a candidate, and those that are chosen (by a seed) are opened and checked.

    SPOOL_BUILD_DIR=build/asan python3 tests/crash/power_test.py [--each N] [--seed N] [CLASS.TEST]

tests/crash/disk_model.h says what is assumed of disks. Each disk must verify, open, work, and hold
exactly what the last commit left that was durable, or the one that was under way.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, forward, inspector, process  # noqa: E402

LONG = os.environ.get("SPOOL_CRASH_LONG") == "1"
# Disks for each step that makes something certain, at most.
EACH = 300 if LONG else 7
SEED = 1
PATIENCE_S = 7200 if LONG else 600
# More would fight for a small machine.
JOBS = 2


class Recorded:
    """A folder whose files' changes are recorded, and the programs that make them."""

    def __init__(self, folder, without=""):
        self.root = folder / "root"
        self.root.mkdir()
        self.log = folder / "log"
        self.folder = folder
        self.spool = self.root / "spool"
        self.env = {
            **os.environ,
            "LD_PRELOAD": process.program("disk-hooks.so"),
            # It is loaded before the sanitizers.
            "ASAN_OPTIONS": "verify_asan_link_order=0",
            "DISK_HOOKS_ROOT": str(self.root),
            "DISK_HOOKS_LOG": str(self.log),
            "DISK_HOOKS_SAID": "1",
            "DISK_HOOKS_WITHOUT": without,
        }

    def work(self, *arguments):
        """The deterministic workload; its sequences."""
        words = [process.program("power-work"), self.spool, *arguments]
        done = subprocess.run(
            [str(each) for each in words],
            env=self.env,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done
        return done.stdout

    def inspect(self, *arguments, spool=None, codes=(0,)):
        result = inspector.run(*arguments, spool=spool or self.spool, env=self.env)
        assert result.code in codes, result

    def check(self, durability, *, spool="spool", kept=None, each=None):
        """Tries the disks, in two processes. Returns (what they said, their sums)."""
        command = [process.program("power"), "--log", self.log, "--root", self.root]
        command += ["--spool", spool, "--durability", durability, "--seed", SEED]
        command += ["--each", each or EACH, "--inspect", process.program("spool-inspect")]
        command += ["--kept", kept] if kept else []
        started = []
        for job in range(JOBS):
            scratch = self.folder / f"scratch-{job}"
            scratch.mkdir(exist_ok=True)
            words = [*command, "--scratch", scratch, "--job", job, "--jobs", JOBS]
            started.append(
                subprocess.Popen(
                    [str(each) for each in words],
                    stdout=subprocess.PIPE,
                    text=True,
                    # Memory that was freed need not be kept back in processes that live so short.
                    env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"},
                )
            )
        return self.sums(started)

    def sums(self, started):
        said, sums = [], {}
        for each in started:
            output, _ = each.communicate(timeout=PATIENCE_S)
            assert each.returncode == 0, output
            lines = output.splitlines()
            said += lines[:-1]
            for name, number in json.loads(lines[-1]).items():
                is_shared = name in ("operations", "barriers", "points", "commits", "acked")
                is_shared = is_shared or name == "written_bytes"
                sums[name] = number if is_shared else sums.get(name, 0) + number
        return "\n".join(said), sums


class PowerCase(unittest.TestCase):
    """A recorded folder for each test, in memory where there is some."""

    disks = 0

    def setUp(self):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = tempfile.TemporaryDirectory(dir=memory)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.began = time.monotonic()

    def assert_nothing_is_lost(self, recorded, durability, **options):
        said, sums = recorded.check(durability, **options)
        PowerCase.disks += sums["disks"]
        sums["seconds"] = round(time.monotonic() - self.began, 1)
        print(f"\n{self.id().split('.')[-1]}: {json.dumps(sums)}", file=sys.stderr)
        wrong = sums["lost"] + sums["damaged"] + sums["died"]
        self.assertEqual(wrong, 0, said)
        for kind in ("prefix", "dropped", "reordered", "torn"):
            self.assertGreater(sums[kind], 0, kind)
        return sums


class PowerTest(PowerCase):
    def live_and_act(self, durability):
        """A spool's whole life: made, used, mended by hand, compacted, used again."""
        recorded = Recorded(self.folder)
        recorded.work("live", durability, SEED, 60)
        recorded.inspect("dead", "requeue", "--destination", "one", "--yes")
        recorded.inspect("pause", "two")
        recorded.inspect("expire", "--destination", "two", "--smaller-than", "500", "--yes")
        recorded.inspect("move", "--destination", "three", "--into", "one", "--yes")
        recorded.inspect("dead", "drop", "--destination", "three", "--yes")
        recorded.inspect("resume", "two")
        recorded.inspect("compact")
        recorded.work("live", durability, SEED + 1, 60)
        return recorded

    def test_sync_loses_nothing(self):
        sums = self.assert_nothing_is_lost(self.live_and_act("sync"), "sync")
        self.assertEqual(sums["older"], 0)
        self.assertGreater(sums["acked"], 600)

    def test_nometasync_loses_the_last_commit_at_most(self):
        sums = self.assert_nothing_is_lost(self.live_and_act("nometasync"), "nometasync")
        # It does lose that, on some disks: else its price would be paid for nothing.
        self.assertGreater(sums["older"], 0)


class FilesTest(PowerCase):
    """What moves whole files, and what must be on disk before something else is gone."""

    def test_a_damaged_spool_is_set_aside_or_still_there(self):
        recorded = Recorded(self.folder)
        recorded.work("live", "sync", SEED, 3)
        recorded.work("damage")
        recorded.work("live", "sync", SEED + 1, 3)
        self.assertEqual(len(list(recorded.spool.glob("damaged-*"))), 1)
        self.assert_nothing_is_lost(recorded, "sync")

    def test_salvage_has_saved_what_it_says(self):
        recorded = Recorded(self.folder)
        damaged = self.folder / "damaged"
        inspector.make_kept_spool(damaged)
        with open(damaged / "data.mdb", "r+b") as file:
            file.write(b"x" * 8192)
        # Not all of it could be told from what was delivered: that is exit code 1.
        recorded.inspect("salvage", "--into", recorded.spool, spool=damaged, codes=(0, 1))
        sums = self.assert_nothing_is_lost(recorded, "sync", each=100)
        self.assertGreater(sums["commits"], 2)

    def test_an_export_is_whole_before_the_records_are_gone(self):
        recorded = Recorded(self.folder)
        exported = recorded.root / "exported.jsonl"
        recorded.work("live", "sync", SEED, 5)
        recorded.inspect("drop", "--all", "--export", exported, "--yes")
        self.assertGreater(exported.stat().st_size, 1000)
        self.assert_nothing_is_lost(recorded, "sync", kept=exported.name)

    def test_an_import_is_done_when_it_says_so(self):
        exported = self.folder / "exported.jsonl"
        first = Recorded(self.folder)
        first.work("live", "sync", SEED, 5)
        with open(exported, "wb") as file:
            file.write(inspector.run("export", spool=first.spool).bytes)
        folder = self.folder / "second"
        folder.mkdir()
        recorded = Recorded(folder)
        recorded.work("live", "sync", SEED + 1, 2)
        recorded.inspect("import", "--into", "one", exported)
        self.assert_nothing_is_lost(recorded, "sync")


class ForwardTest(PowerCase):
    """The program itself, with its threads, a broker, and a kill in the midst."""

    def publish(self, recorded, embedded, durability, lines, **options):
        program = forward.Started(
            self.folder / "spool-forward.log",
            *["--spool", recorded.spool, "--durability", durability, "--max-bytes", "8M"],
            *["--broker", f"[k1]{embedded.bootstrap}/t?s.ttl.ms=600000"],
            *["--publish", "k1", "--ack"],
            env=recorded.env,
            **options,
        )
        # A few at a time: each answer of them is a commit.
        sequences = []
        for at in range(0, len(lines), 7):
            program.write(lines[at : at + 7])
            sequences += program.read_sequences(len(lines[at : at + 7]))
        return program, sequences

    def run_forward(self, durability):
        recorded = Recorded(self.folder)
        lines = [b"line %d " % i + b"x" * (i * 37 % 3000) for i in range(210)]
        with broker.EmbeddedBroker(self.folder, topics={"t": 2}) as embedded:
            program, first = self.publish(recorded, embedded, durability, lines)
            program.kill9()
            program.popen.stdin.close()
            program.popen.stdout.close()
            program, second = self.publish(recorded, embedded, durability, lines)
            code, _ = program.finish()
        self.assertEqual((len(first), len(second), code), (210, 210, 0), program.log_tail())
        sums = self.assert_nothing_is_lost(recorded, durability)
        self.assertGreaterEqual(sums["acked"], 420)
        return sums

    def test_sync_loses_nothing(self):
        self.assertEqual(self.run_forward("sync")["older"], 0)

    def test_nometasync_loses_the_last_commit_at_most(self):
        self.assertGreater(self.run_forward("nometasync")["older"], 0)


class DefectTest(PowerCase):
    """Builds that do not flush are caught, so the tests above could have failed."""

    def find(self, without):
        recorded = Recorded(self.folder, without)
        recorded.work("live", "sync", SEED, 12)
        said, sums = recorded.check("sync", each=4)
        print(f"\nwithout {without}: {json.dumps(sums)}", file=sys.stderr)
        self.assertGreater(sums["disks"], 50, said)
        return sums

    def test_no_flush_of_the_data_is_damage(self):
        self.assertGreater(self.find("flush")["damaged"], 50)

    def test_no_flush_of_the_meta_page_is_a_loss(self):
        sums = self.find("dsync")
        self.assertGreater(sums["lost"], 20)
        self.assertEqual(sums["damaged"] + sums["died"], 0)

    def test_no_flush_at_all_is_both(self):
        sums = self.find("flush,dsync")
        self.assertGreater(sums["lost"], 10)
        self.assertGreater(sums["damaged"], 10)


class CountTest(unittest.TestCase):
    """Runs last, by its place in load_tests()."""

    def test_there_were_enough_disks(self):
        if EACH < 7:
            self.skipTest("fewer were asked for")
        print(f"\ndisks in all: {PowerCase.disks}", file=sys.stderr)
        self.assertGreaterEqual(PowerCase.disks, 10_000)


def load_tests(loader, _tests, _pattern):
    classes = [PowerTest, FilesTest, ForwardTest, DefectTest, CountTest]
    return unittest.TestSuite(loader.loadTestsFromTestCase(each) for each in classes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments, rest = parser.parse_known_args()
    EACH, SEED = arguments.each, arguments.seed
    unittest.main(argv=[sys.argv[0], *rest])
