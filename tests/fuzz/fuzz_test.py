# SPDX-License-Identifier: GPL-2.0-or-later
"""
The fuzz targets: each file of the corpus gives no finding, nor does anything that libFuzzer makes
of them in some time.

    SPOOL_BUILD_DIR=build/fuzz python3 tests/fuzz/fuzz_test.py [--seconds N] [--seed N] [--grown FOLDER]
        [FuzzTest.test_TARGET...]

A finding is left in the build folder's findings/; to see it again, give it to the target as its
argument. --grown keeps the inputs that reached something new in FOLDER/TARGET, and starts from what
is there.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import corpus  # noqa: E402

SECONDS = 60
SEED = 0  # libFuzzer's word for any
GROWN = None
# Three targets side by side: of two processors each has most of one.
JOBS = 3
# So long no input takes that does not hang, sanitizers and a busy machine included.
HANG_S = 120
MEMORY_MB = 3000


class Run:
    """A target on its corpus, and then on."""

    def __init__(self, target, folder):
        self.target = target
        self.folder = Path(folder)
        grown = Path(GROWN) / target if GROWN else self.folder / f"{target}-grown"
        grown.mkdir(parents=True, exist_ok=True)
        kept = self.folder / f"{target}-kept"
        corpus.unpack(target, kept)
        self.inputs = [grown, kept, corpus.seeds(target)]
        self.findings = Path(corpus.program(target)).parent / "findings"
        self.findings.mkdir(exist_ok=True)
        self.said = ""

    def start(self, *arguments):
        """Whether the target ended without a finding."""
        result = subprocess.run(
            [
                corpus.program(self.target),
                f"-timeout={HANG_S}",
                f"-rss_limit_mb={MEMORY_MB}",
                f"-max_len={corpus.TARGETS[self.target]}",
                f"-artifact_prefix={self.findings}/{self.target}-",
                *arguments,
                *self.inputs,
            ],
            env=corpus.environment(self.folder / "bases"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self.said = result.stdout.decode("utf-8", "replace")
        return result.returncode == 0

    def replay(self):
        return self.start("-runs=0")

    def fuzz(self):
        arguments = [f"-max_total_time={SECONDS}", f"-seed={SEED}", "-use_value_profile=1"]
        if self.target in corpus.SLOW:
            # Else inputs would stay short for as long as the run takes.
            arguments.append("-len_control=0")
        dictionary = corpus.dictionary(self.target, self.folder)
        if dictionary is not None:
            arguments.append(f"-dict={dictionary}")
        return self.start(*arguments, "-print_final_stats=1")

    def figures(self):
        """What libFuzzer said last: executions, edges and features reached, inputs kept."""
        runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", self.said)
        reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", self.said)
        seed = re.search(r"Seed: (\d+)", self.said)
        edges, features, inputs = reached[-1] if reached else (0, 0, 0)
        return (
            f"{self.target}: {runs[1] if runs else '?'} executions, {edges} edges, "
            f"{features} features, {inputs} inputs, seed {seed[1] if seed else '?'}"
        )


class FuzzTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        corpus.make_bases(Path(cls.folder.name) / "bases")
        cls.pool = ThreadPoolExecutor(JOBS)
        cls.results = {}

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown(cancel_futures=True)
        cls.folder.cleanup()

    @classmethod
    def run_target(cls, target):
        run = Run(target, cls.folder.name)
        begin = time.monotonic()
        is_fine = run.replay() and (SECONDS == 0 or run.fuzz())
        return run, is_fine, time.monotonic() - begin

    def check(self, target):
        # The first test starts all that are wanted, so that they run side by side.
        if not self.results:
            for each in wanted_targets():
                self.results[each] = self.pool.submit(self.run_target, each)
        run, is_fine, seconds = self.results[target].result()
        if not is_fine:
            self.fail(run.said[-6000:])
        print(f"{run.figures()}, {seconds:.0f} s", flush=True)


def wanted_targets():
    named = [each for each in corpus.TARGETS if any(f"test_{each}" in arg for arg in sys.argv)]
    return named or list(corpus.TARGETS)


def add_target(target):
    def test(self):
        self.check(target)

    setattr(FuzzTest, f"test_{target}", test)


for each_target in corpus.TARGETS:
    add_target(each_target)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--grown", default=GROWN)
    arguments, rest = parser.parse_known_args()
    SECONDS, SEED, GROWN = arguments.seconds, arguments.seed, arguments.grown
    unittest.main(argv=[sys.argv[0], *rest])
