# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of tests/run are right, above all when a test fails, crashes or runs nothing."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import results  # noqa: E402

PROGRAM = Path(results.__file__).resolve()
TESTS = """
import unittest

class A(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail("why")
    def test_error(self): raise ValueError("what")
    @unittest.skip("no tool")
    def test_skipped(self): pass
    def test_skipped_inside(self): self.skipTest("no disk")
    @unittest.expectedFailure
    def test_unexpected(self): pass
    def test_subtests(self):
        for i in range(3):
            with self.subTest(i=i): self.assertEqual(i, 1)
        with self.subTest(i=3): self.skipTest("half")

class B(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError("no port")
    def test_never(self): pass

if __name__ == "__main__":
    unittest.main()
"""
JUNIT = """<testsuite>
<testcase name="unit.a" time="1.5" status="run"><system-out>[==========] Running 2 test(s).
[ RUN      ] a_one
[       OK ] a_one
[ RUN      ] a_two
[  SKIPPED ] a_two
[  PASSED  ] 1 test(s).
</system-out></testcase>
<testcase name="unit.b" time="1" status="fail"><failure message="Failed"/><system-out>
[       OK ] b_one
[ RUN      ] b_two
[  FAILED  ] b_two
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] b_two
</system-out></testcase>
<testcase name="unit.crashed" time="1" status="fail"><failure message="SEGFAULT"/><system-out>
[       OK ] c_one
[ RUN      ] c_two
</system-out></testcase>
<testcase name="unit.plain" time="1" status="run"><system-out>fine</system-out></testcase>
<testcase name="unit.absent" time="0" status="notrun"><skipped message="Unable to find"/></testcase>
<testcase name="unit.off" time="0" status="disabled"><skipped message=""/></testcase>
</testsuite>"""


class ResultsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.list = self.folder / "results"

    def run_program(self, *arguments, ci="false"):
        return subprocess.run(
            [sys.executable, PROGRAM, *map(str, arguments)],
            env=os.environ | {"CI": ci},
            capture_output=True,
            text=True,
            check=False,
        )

    def run_tests(self, text, **options):
        file = self.folder / "x_test.py"
        file.write_text(text, encoding="ascii")
        code = self.run_program("unittest", self.list, "p", file, **options).returncode
        return code, self.outcomes()

    def outcomes(self):
        return {
            each["name"].split(": ")[-1].split(".")[-1]: (each["outcome"], each["reason"])
            for each in results.ResultList(self.list).read()
        }

    def test_each_python_test_counts_once(self):
        code, outcomes = self.run_tests(TESTS)
        self.assertEqual(code, 1)
        class_name = next(each for each in outcomes if each.startswith("B)"))
        self.assertEqual(
            outcomes,
            {
                "test_good": ("passed", ""),
                "test_bad": ("failed", "why"),
                "test_error": ("failed", "what"),
                "test_skipped": ("skipped", "no tool"),
                "test_skipped_inside": ("skipped", "no disk"),
                "test_unexpected": ("failed", "it was expected to fail"),
                "test_subtests": ("failed", outcomes["test_subtests"][1]),
                class_name: ("failed", "no port"),
            },
        )

    def test_program_without_tests_fails(self):
        code, outcomes = self.run_tests("import unittest\nunittest.main()\n")
        self.assertEqual(code, 1)
        self.assertEqual([each for each, _ in outcomes.values()], ["failed"])

    def test_what_others_write_meanwhile_is_not_the_programs(self):
        text = "import unittest\n\nclass A(unittest.TestCase):\n    def test_a(self):\n"
        text += f"        with open('{self.list}', 'a') as file: file.write('{{}}\\n')\n\n"
        text += "unittest.main()\n"
        file = self.folder / "x_test.py"
        for other in ('{"part": "q", "outcome": "failed", "name": "y"}', '{"part": "q", "seconds": 1}'):
            file.write_text(text.format(other), encoding="ascii")
            done = self.run_program("unittest", self.list, "p", file)
            self.assertEqual(done.returncode, 0, done)

    def test_program_that_cannot_start_fails(self):
        code, outcomes = self.run_tests("import no_such_module\n")
        self.assertEqual(code, 1)
        self.assertEqual([each for each, _ in outcomes.values()], ["failed"])
        self.assertEqual(self.run_program("unittest", self.list, "q", "absent").returncode, 1)
        self.assertEqual(len(results.ResultList(self.list).read()), 2)

    def test_skip_fails_in_ci(self):
        text = "import unittest\n\nclass A(unittest.TestCase):\n"
        text += "    def test_a(self): self.skipTest('{}')\n\nunittest.main()\n"
        self.assertEqual(self.run_tests(text.format("no java"))[0], 0)
        self.list.unlink()
        code, outcomes = self.run_tests(text.format("no java"), ci="true")
        self.assertEqual((code, outcomes["test_a"][0]), (1, "failed"))
        self.list.unlink()
        code, outcomes = self.run_tests(text.format("not here: no such disk"), ci="true")
        self.assertEqual((code, outcomes["test_a"][0]), (0, "skipped"))

    def test_junit_counts_cmocka_tests(self):
        xml = self.folder / "x.xml"
        xml.write_text(JUNIT, encoding="ascii")
        self.run_program("junit", self.list, "p", xml)
        outcomes = {name: outcome for name, (outcome, _) in self.outcomes().items()}
        self.assertEqual(
            outcomes,
            {
                "a_one": "passed",
                "a_two": "skipped",
                "b_one": "passed",
                "b_two": "failed",
                "c_one": "passed",
                "crashed": "failed",
                "plain": "passed",
                "absent": "failed",
                "off": "skipped",
            },
        )

    def test_summary_ends_with_the_counts(self):
        self.run_program("add", self.list, "p", "passed", "a", 1)
        self.run_program("add", self.list, "p", "skipped", "b", 1, "no disk")
        self.run_program("time", self.list, "p", 12)
        result = self.run_program("summary", self.list)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stdout.splitlines()[-1], "1 passed, 0 failed, 1 skipped")
        self.assertIn("b (no disk)", result.stdout)
        self.run_program("add", self.list, "q", "failed", "c", 1)
        result = self.run_program("summary", self.list)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout.splitlines()[-1], "1 passed, 1 failed, 1 skipped")

    def test_no_test_at_all_is_a_failure(self):
        self.assertEqual(self.run_program("summary", self.list).returncode, 1)

    def test_part_without_tests_is_a_failure(self):
        self.run_program("add", self.list, "p", "passed", "a", 1)
        self.run_program("time", self.list, "p", 1)
        self.run_program("time", self.list, "q", 1)
        result = self.run_program("summary", self.list)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout.splitlines()[-1], "1 passed, 1 failed, 0 skipped")


if __name__ == "__main__":
    unittest.main()
