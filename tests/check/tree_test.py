# SPDX-License-Identifier: GPL-2.0-or-later
"""
The project keeps its rules, its format, and what lint asks for. SPOOL_BUILD_DIR names a folder
that cmake configured for clang, for lint to know how each file is compiled. SPOOL_CHECK_LONG=1: clang's
analyzer, which is nine tenths of lint's time, looks at the tests' own sources too.
"""

import os
import re
import shutil
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import rules  # noqa: E402
from source import Tree  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
# Debian bookworm's versions: others format and warn differently.
CLANG_VERSION = "14"
CPPCHECK_VERSION = "2.10"


def start(*arguments):
    return subprocess.run(
        [str(each) for each in arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def run(*arguments):
    """None, or what the tool said when it failed."""
    result = start(*arguments)
    if result.returncode == 0:
        return None
    said = result.stdout.replace(f"{ROOT}/", "")
    return re.sub(r"^\d+ warnings generated\.\n", "", said, flags=re.MULTILINE)


def run_each(command, paths):
    """Runs the command for each path, as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = pool.map(lambda path: run(*command, path), paths)
        return "\n".join(each for each in said if each)


class TreeTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.tree = Tree.of_folder(ROOT)
        cls.c_files = [each.path for each in cls.tree.sources if each.is_c]

    def need(self, program, version=""):
        """Skips the test where the program is not there, or is of another version."""
        found = shutil.which(program)
        if found and (not version or version in start(found, "--version").stdout.split()):
            return found
        release = Path("/etc/os-release")
        is_had = release.exists() and "VERSION_CODENAME=bookworm" in release.read_text("utf-8")
        reason = f"no {program} {version}".strip()
        self.skipTest(reason if is_had else f"not here: {reason} (Debian bookworm has it)")

    def assert_silent(self, said):
        if said:
            self.fail("\n" + said)

    def test_format(self):
        tool = self.need(f"clang-format-{CLANG_VERSION}")
        self.assert_silent(run(tool, "--dry-run", "--Werror", *self.c_files))

    def test_lint_clang_tidy(self):
        tool = self.need(f"clang-tidy-{CLANG_VERSION}")
        build = os.environ["SPOOL_BUILD_DIR"]
        known = Path(build, "compile_commands.json").read_text(encoding="utf-8")
        files = [each for each in self.c_files if f'"{ROOT / each}"' in known]
        self.assertTrue(files, f"{build} was not configured for this folder")
        lint = [tool, "--quiet", "-p", build]
        is_long = os.environ.get("SPOOL_CHECK_LONG") == "1"
        product = [each for each in files if is_long or not each.startswith("tests/")]
        tests = [each for each in files if each not in product]
        self.assertTrue(product)
        self.assert_silent(run_each(lint, product))
        self.assert_silent(run_each([*lint, "--checks=-clang-analyzer-*"], tests))

    def test_lint_cppcheck(self):
        # memleak, memleakOnRealloc, resourceLeak: cppcheck does not know the cleanup attribute.
        said = run(
            self.need("cppcheck", CPPCHECK_VERSION),
            "--quiet",
            "--error-exitcode=1",
            "--enable=warning,performance,portability",
            "--suppress=memleak",
            "--suppress=memleakOnRealloc",
            "--suppress=resourceLeak",
            "--std=c11",
            "-D_GNU_SOURCE",
            "-I.",
            f"-j{os.cpu_count()}",
            *self.c_files,
        )
        self.assert_silent(said)

    def test_programs_have_no_kill_points(self):
        build = Path(os.environ["SPOOL_BUILD_DIR"])
        programs = ["tools/spool-forward", "tools/inspect/spool-inspect"]
        if (build / "src/opensips").is_dir():
            programs.append("src/opensips/event_kafka.so")
        for program in programs:
            self.assertNotIn(b"SPOOL_KILL_AT", (build / program).read_bytes(), program)
        self.assertIn(b"SPOOL_KILL_AT", (build / "tests/unit/point_test").read_bytes())

    def test_scripts_can_be_read(self):
        for source in self.tree.sources:
            if source.text.startswith("#!/usr/bin/env bash"):
                with self.subTest(script=source.path):
                    self.assert_silent(run("bash", "-n", source.path))

    def test_man_pages_can_be_read(self):
        pages = sorted((ROOT / "docs" / "man").glob("*.scd"))
        self.assertTrue(pages)
        for page in pages:
            with self.subTest(page=page.name), open(page, "rb") as text:
                made = subprocess.run(["scdoc"], stdin=text, capture_output=True, check=False)
                self.assertEqual((made.returncode, made.stderr), (0, b""))


def add_rule(rule):
    def test(self):
        self.assert_silent("\n".join(rules.breaches(self.tree, rule)))

    test.__doc__ = rule.__doc__
    setattr(TreeTest, f"test_rule_{rule.__name__}", test)


for each_rule in rules.RULES:
    add_rule(each_rule)

if __name__ == "__main__":
    unittest.main()
