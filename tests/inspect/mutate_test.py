# SPDX-License-Identifier: GPL-2.0-or-later
"""
spool-inspect on mutated spools: bits, numbers, pages and files that are not what they were.

    SPOOL_BUILD_DIR=build/asan python3 tests/inspect/mutate_test.py [--count N] [--seed N] [--first N]

Every looking command, and salvage, ends with a documented exit code and says why; nothing crashes
(the sanitizers watch) or hangs; salvage saves each record whose own pages are whole. A failure names
its mutation: to see it again, give its number as --first, the same --seed, and --count 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import forward, process  # noqa: E402

COUNT = 400
SEED = 1
FIRST = 1
# Two processes share the work: more would fight for a small machine.
JOBS = 2


def make_bases(folder):
    """The sound spools. One was left by a spool-forward that was killed: it has the file "live"."""
    subprocess.run([process.program("mutate-bases"), folder], check=True, timeout=120)
    killed = folder / "killed"
    program = forward.Started(
        folder.parent / "forward.log",
        "--spool",
        killed,
        "--broker",
        f"[cdr]127.0.0.1:{process.free_ports(1)[0]}/cdrs",
        "--publish",
        "cdr",
        "--ack",
    )
    try:
        program.write(f"line {i}".encode() * (1 + i % 50) for i in range(200))
        assert len(program.read_sequences(200)) == 200, program.log_tail()
        process.wait_until((killed / "live").exists, 30, "the file live is there")
    finally:
        program.kill9()
        program.popen.stdin.close()
        program.popen.stdout.close()
    return sorted(each for each in folder.iterdir() if each.is_dir())


def run(bases, scratch, first, count, seed):
    """Two processes, each with half of the mutations. Returns (what they said, their sums)."""
    started = []
    for job in range(JOBS):
        begin = first + count * job // JOBS
        end = first + count * (job + 1) // JOBS
        command = [process.program("mutate"), "--first", begin, "--count", end - begin]
        command += ["--seed", seed, "--scratch", scratch, *bases]
        if end > begin:
            started.append(
                subprocess.Popen([str(each) for each in command], stdout=subprocess.PIPE, text=True)
            )
    said, sums = [], {}
    for each in started:
        output, _ = each.communicate()
        lines = output.splitlines()
        said += lines[:-1]
        for name, number in json.loads(lines[-1]).items():
            sums[name] = sums.get(name, 0) + number
    return "\n".join(said), sums


class MutateTest(unittest.TestCase):
    def test_nothing_crashes_or_hangs_and_what_is_whole_is_salvaged(self):
        # Every mutation makes a spool: in memory that costs no flushes.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(
            dir=memory
        ) as scratch:
            # Some commands are run by a user who may look into no file, but must reach the folder.
            os.chmod(folder, 0o755)
            os.chmod(scratch, 0o755)
            bases = Path(folder) / "bases"
            bases.mkdir(mode=0o755)
            said, sums = run(make_bases(bases), scratch, FIRST, COUNT, SEED)
        print(json.dumps(sums))
        self.assertEqual(sums["failures"], 0, said)
        self.assertEqual(sums["mutations"], COUNT)
        self.assertEqual(sums["whole_records_saved"], sums["whole_records"])
        if COUNT >= 100:
            # The mutations do something, and not only harm.
            for name in ("exit_0", "exit_1", "exit_3", "salvaged_spools", "whole_records"):
                self.assertGreater(sums[name], 0, name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--first", type=int, default=FIRST)
    arguments, rest = parser.parse_known_args()
    COUNT, SEED, FIRST = arguments.count, arguments.seed, arguments.first
    unittest.main(argv=[sys.argv[0], *rest])
