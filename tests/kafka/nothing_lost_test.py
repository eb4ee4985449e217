#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Nothing is lost: 100,000 keyed lines through spool-forward into real Apache Kafka, which is killed -9 and
restarted twice and hangs once, while spool-forward is killed -9 five times at random, and once in the drain.

As a test it runs one seed. By hand:

    SPOOL_BUILD_DIR=build/asan python3 tests/kafka/nothing_lost_test.py --seeds 1-20 [--hang 60]
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import chaos, kafka, topic  # noqa: E402

LINES = 100000
KILLS = 5
HANG_S = 60
# In-flight at most, over all destinations (spool/limits.h): what one crash can send again.
WINDOW_RECORDS = 32768
PARTITIONS = 8


def cdr_lines(count, seed):
    generator = Path(__file__).resolve().parents[1] / "harness" / "cdr_lines.py"
    return subprocess.run(
        [sys.executable, generator, "--count", str(count), "--seed", str(seed)],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout.splitlines()


def broker_events(cluster, seed, hang_s):
    """Two kills with restarts, and a hang, one after the other at random times."""
    dice = random.Random(seed * 7919 + 1)
    faults = [
        (lambda: cluster.kill9(0), lambda: cluster.restart(0), lambda: dice.uniform(1, 5)),
        (lambda: cluster.sigstop(0), lambda: cluster.cont(0), lambda: hang_s),
        (lambda: cluster.kill9(0), lambda: cluster.restart(0), lambda: dice.uniform(1, 5)),
    ]
    dice.shuffle(faults)
    events = []
    at = dice.uniform(1, 4)
    for begin, end, length in faults:
        events.append((at, begin))
        at += length()
        events.append((at, end))
        at += dice.uniform(4, 10)
    return events, at


def run_seed(seed, hang_s=HANG_S, count=LINES):
    """One whole run. Returns (chaos, summary)."""
    lines = cdr_lines(count, seed)
    with tempfile.TemporaryDirectory(prefix="kafka-spool-") as folder:
        folder = Path(folder)
        with kafka.KafkaCluster(folder / "kafka", nodes=1) as cluster:
            cluster.create_topic("cdrs", PARTITIONS, 1)
            events, duration_s = broker_events(cluster, seed, hang_s)
            run = chaos.Chaos(
                folder,
                f"[cdr]{cluster.bootstrap}/cdrs",
                lines,
                seed=seed,
                kills=KILLS,
                lines_per_second=count / duration_s,
                broker_events=events,
            )
            run.run(timeout_s=300)
            return run, run.judge(topic.read(cluster.bootstrap, "cdrs", timeout_s=120))


def repeat_command(seed, hang_s):
    return (
        f"SPOOL_BUILD_DIR={os.environ['SPOOL_BUILD_DIR']} "
        f"python3 tests/kafka/nothing_lost_test.py --seeds {seed} --hang {hang_s}"
    )


@unittest.skipUnless(*kafka.available())
class NothingLostTest(unittest.TestCase):
    def test_one_seed(self):
        seed = int(os.environ.get("SPOOL_SEED", "1"))
        run, summary = run_seed(seed)
        repeat = f"repeat with: {repeat_command(seed, HANG_S)}"
        print(chaos.table(run, summary), file=sys.stderr)
        self.assertTrue(summary["ok"], f"{summary}; {repeat}")
        self.assertEqual(summary["accepted"], LINES, repeat)
        # Each crash of ours, and each of the broker (a lost producer), may send a window again.
        self.assertLessEqual(summary["duplicates"], (run.kills_count + 3) * WINDOW_RECORDS, repeat)


def parse_seeds(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=parse_seeds, required=True, help="N or FIRST-LAST")
    parser.add_argument("--hang", type=float, default=HANG_S, help="seconds of SIGSTOP")
    parser.add_argument("--lines", type=int, default=LINES)
    options = parser.parse_args()
    failed = []
    names = ("accepted", "delivered", "lost", "corrupt", "reordered", "split", "duplicates")
    print("seed  seconds  " + "  ".join(f"{name:>10}" for name in names))
    for seed in options.seeds:
        begin = time.monotonic()
        try:
            _, summary = run_seed(seed, options.hang, options.lines)
        except Exception as error:  # pylint: disable=broad-except
            summary = {"ok": False, "error": repr(error)}
        row = "  ".join(f"{summary.get(name, '-'):>10}" for name in names)
        print(f"{seed:>4}  {time.monotonic() - begin:>7.0f}  {row}", flush=True)
        if not summary["ok"]:
            failed.append(seed)
            print(f"      FAILED: {summary}\n      {repeat_command(seed, options.hang)}", flush=True)
    print(f"{len(options.seeds) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--seeds":
        sys.exit(main())
    unittest.main()
