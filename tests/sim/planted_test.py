# SPDX-License-Identifier: GPL-2.0-or-later
"""
Each planted bug is found by the simulator.

    SPOOL_BUILD_DIR=build/asan python3 tests/sim/planted_test.py [--only WORDS] [--seeds N]

A bug is one edit of a copy of one source file (planted.py), which is compiled as that file is, and
linked in front of the libraries with all the rest.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from planted import PLANTED  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SPOOL_BUILD_DIR", "build/asan")).resolve()
# Within so many seeds each must be found.
SEEDS = 600
ONLY = ""
JOBS = 2


def edit(planted):
    """The file's text with the bug in it."""
    text = (ROOT / planted.file).read_text(encoding="utf-8")
    found = text.count(planted.old)
    if found != 1:
        raise AssertionError(f"the text to edit is {found} times in {planted.file}")
    return text.replace(planted.old, planted.new)


def compile_command(file, source, target):
    """How the build compiles the file, but for another source and target."""
    entries = json.loads((BUILD / "compile_commands.json").read_text(encoding="utf-8"))
    entry = next(each for each in entries if each["file"] == str(ROOT / file))
    words = shlex.split(entry["command"])
    words[words.index("-o") + 1] = str(target)
    words[words.index("-c") + 1] = str(source)
    return words


def link_command(first, target):
    """How the build links the simulator, with one object more in front."""
    listed = subprocess.run(
        ["ninja", "-C", str(BUILD), "-t", "commands", "tests/sim/sim"],
        check=True,
        capture_output=True,
        text=True,
    )
    words = shlex.split(listed.stdout.strip().splitlines()[-1])
    words = [each for each in words if each not in (":", "&&")]
    at = words.index("-o")
    words[at + 1] = str(target)
    return words[:at] + [str(first)] + words[at:]


def run(command, **options):
    done = subprocess.run(
        command, cwd=BUILD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    return done.returncode, done.stdout


def find(planted, folder, seeds=None):
    """Builds the simulator with the bug and runs it. Returns (seeds it took, what it said)."""
    source = folder / Path(planted.file).name
    target, program = folder / "planted.o", folder / "sim"
    source.write_text(edit(planted), encoding="utf-8")
    for command in (
        compile_command(planted.file, source, target),
        link_command(target, program),
    ):
        code, output = run(command)
        if code != 0:
            raise AssertionError(f"it cannot be built: {output}")
    code, output = run([program, "--count", str(seeds or SEEDS), "--no-shrink"], timeout=1500)
    match = re.search(r"^seed (\d+): (\w+): (.*)$", output, re.MULTILINE)
    if code != 1 or not match:
        raise AssertionError(f"not found in {SEEDS} seeds: {output[-500:]}")
    if match[2] not in planted.found_as.split():
        raise AssertionError(f"found for another reason: {match[0]}")
    return int(match[1]), f"{match[2]}: {match[3]}"


def try_one(planted):
    with tempfile.TemporaryDirectory() as folder:
        try:
            return find(planted, Path(folder))
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return None, str(error)


class PlantedTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # What is compiled here must fit what was built.
        subprocess.run(
            ["ninja", "-C", str(BUILD), "tests/sim/sim"], check=True, capture_output=True
        )

    def test_nothing_is_found_where_nothing_is_planted(self):
        nothing = PLANTED[0]._replace(new=PLANTED[0].old)
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(AssertionError, "everything held"):
                find(nothing, Path(folder), 20)

    def test_every_planted_bug_is_found(self):
        wanted = [each for each in PLANTED if ONLY in each.name]
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            results = list(pool.map(try_one, wanted))
        for planted, (seed, said) in zip(wanted, results):
            found = f"seed {seed}" if seed is not None else "NOT FOUND"
            print(f"{planted.breaks:5} {planted.name:50} {found:9} {said}")
        for planted, (seed, said) in zip(wanted, results):
            with self.subTest(planted=planted.name):
                self.assertIsNotNone(seed, said)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", default=ONLY)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments, rest = parser.parse_known_args()
    ONLY, SEEDS = arguments.only, arguments.seeds
    unittest.main(argv=[sys.argv[0], *rest])
