# SPDX-License-Identifier: GPL-2.0-or-later
"""
The ring in every order of steps, and with a publisher that dies at each of them; and that the
explorer finds mistakes.

    SPOOL_BUILD_DIR=build/asan python3 tests/race/race_test.py [CLASS.TEST]

A failure shows the steps that led to it. There is nothing random in it: the same sources give the
same steps. Longer: tests/race/README.md.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "race"))

from harness import process  # noqa: E402
from planted import PLANTED  # noqa: E402

LIMIT_S = 600
STEPS_SHOWN = 60
RING_FILES = ("ring.c", "ring_bytes.c", "ring_slot.c")


def explore(program, scenario):
    """(whether all was well, what it said)"""
    result = subprocess.run(
        [str(program), scenario], stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, check=False
    )
    said = "\n".join(result.stdout.splitlines()[-STEPS_SHOWN:])
    if result.returncode not in (0, 1):
        raise RuntimeError(f"the explorer ended with {result.returncode}: {said}")
    return result.returncode == 0, said


def scenarios():
    said = subprocess.run(
        [process.program("ring-explorer"), "--list"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return [line.split()[0] for line in said.splitlines()]


def plant(folder, file, old, new):
    """Builds the explorer with an edited copy of the ring; its path."""
    copy = folder / "spool"
    copy.mkdir()
    for path in [*(ROOT / "spool").glob("*.h"), *(ROOT / "spool" / each for each in RING_FILES)]:
        shutil.copy(path, copy)
    text = (copy / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise RuntimeError(f"{file} has not exactly once what is to be edited:\n{old}")
    (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    compiler = [os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-w", "-D_GNU_SOURCE"]
    compiler += [f"-I{folder}", f"-I{ROOT}"]
    hooks = ["-include", str(ROOT / "tests/race/hooks.h")]
    objects = []
    for each in RING_FILES:
        objects.append(str(folder / each.replace(".c", ".o")))
        subprocess.run([*compiler, *hooks, "-c", str(copy / each), "-o", objects[-1]], check=True)
    others = [*(ROOT / "tests/race").glob("*.c"), ROOT / "spool/record.c"]
    program = folder / "ring-explorer"
    subprocess.run(
        [*compiler, *map(str, others), *objects, "-lisal", "-o", str(program)],
        check=True,
    )
    return program


def find_planted(mistake):
    """What the explorer said of a ring with the mistake; None when it found nothing."""
    _, scenario, file, old, new = mistake
    with tempfile.TemporaryDirectory() as folder:
        is_fine, said = explore(plant(Path(folder), file, old, new), scenario)
        return None if is_fine else said


class RaceTest(unittest.TestCase):
    def test_the_ring_holds_in_every_order_of_steps(self):
        names = scenarios()
        self.assertTrue(names)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(
                pool.map(lambda name: explore(process.program("ring-explorer"), name), names)
            )
        for name, (is_fine, said) in zip(names, results):
            with self.subTest(scenario=name):
                print(said)
                self.assertTrue(is_fine, said)

    def test_mistakes_are_found(self):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(find_planted, PLANTED))
        for mistake, said in zip(PLANTED, results):
            with self.subTest(mistake=mistake[0]):
                self.assertIsNotNone(said, f"{mistake[1]} does not find it")


if __name__ == "__main__":
    unittest.main()
