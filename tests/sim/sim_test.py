# SPDX-License-Identifier: GPL-2.0-or-later
"""
The simulator over many seeds, two processes side by side.

    SPOOL_BUILD_DIR=build/asan python3 tests/sim/sim_test.py [--count N] [--from N] [--failures N]

Everything that must hold holds in each; and each thing that the simulator can do was done at least
once, since what never happened was not tested. A failure is printed as the command that repeats it,
and the run goes on: the seeds behind it say whether it is one mistake or many.
"""

import argparse
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import process  # noqa: E402

COUNT = 1000
FROM = 1
# Each process ends after so many failures.
FAILURES = 10
# More would fight for a small machine.
JOBS = 2
# So many seeds do everything at least once.
COUNT_OF_ALL = 1000


def sim(*arguments):
    """Starts the simulator."""
    command = [process.program("sim"), *(str(each) for each in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read_tally(output):
    """How often each thing happened, by (kind, name)."""
    rows = [line.split("\t") for line in output.splitlines() if line.count("\t") == 2]
    return {(kind, name): int(count) for kind, name, count in rows}


def run(first, count):
    """Returns (what failed, how often each thing happened)."""
    started = []
    for job in range(JOBS):
        begin = first + count * job // JOBS
        end = first + count * (job + 1) // JOBS
        if end > begin:
            range_of_job = ("--from", begin, "--count", end - begin)
            started.append(sim(*range_of_job, "--failures", FAILURES, "--tally"))
    failed, sums = "", {}
    for each in started:
        output, _ = each.communicate()
        for key, number in read_tally(output).items():
            sums[key] = sums.get(key, 0) + number
        if each.returncode != 0:
            failed += "".join(line for line in output.splitlines(True) if line.count("\t") != 2)
    return failed, sums


def seeds_kept():
    """The seeds that once found something: "NUMBER WHY" a line."""
    path = Path(__file__).with_name("seeds")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split(None, 1) for line in lines if line and not line.startswith("#")]


class SimTest(unittest.TestCase):
    def test_1_seeds_that_once_found_something(self):
        for seed, why in seeds_kept():
            with self.subTest(seed=seed, why=why):
                output, _ = (started := sim("--seed", seed)).communicate()
                self.assertEqual(started.returncode, 0, output)

    def test_2_everything_that_must_hold_holds_in_any_history(self):
        failed, sums = run(FROM, COUNT)
        for (kind, name), number in sorted(sums.items()):
            print(f"{kind:16} {name:34} {number:12}")
        self.assertEqual(failed, "")
        if COUNT >= COUNT_OF_ALL:
            never = [f"{kind}: {name}" for (kind, name), number in sums.items() if number == 0]
            self.assertEqual(never, [], "the simulator never did these")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--from", type=int, default=FROM, dest="first")
    parser.add_argument("--failures", type=int, default=FAILURES)
    arguments, rest = parser.parse_known_args()
    COUNT, FROM, FAILURES = arguments.count, arguments.first, arguments.failures
    unittest.main(argv=[sys.argv[0], *rest])
