#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The list of results that tests/run keeps: one JSON object a line, written by whatever ran a test.

    results.py unittest LIST PART FILE [OPTION...]   run a program of Python tests
    results.py junit LIST PART XML                   take ctest's and cmocka's results
    results.py add LIST PART OUTCOME NAME SECONDS [REASON]
    results.py time LIST PART SECONDS                how long the part took in all
    results.py summary LIST                          print all of it; 1 if something failed

An outcome is passed, failed or skipped. With CI=true a skip is a failure, unless its reason
begins with "not here:" and so says that this system cannot have what is missing.
"""

import json
import os
import re
import runpy
import sys
import time
import traceback
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

OUTCOMES = ("passed", "failed", "skipped")
CMOCKA_LINE = re.compile(r"^\[\s*(OK|FAILED|SKIPPED)\s*\] (?:\S+: )?([A-Za-z_]\w*)\s*$", re.M)
CMOCKA_OUTCOMES = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}


class ResultList:
    """
    The list, in a file. Programs write side by side, a line at once; a killed one costs nothing that
    it wrote.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.written = []  # by this process

    def write(self, **fields):
        self.written.append(fields)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")

    def add(self, part, outcome, name, seconds, reason=""):
        if outcome not in OUTCOMES:
            raise ValueError(f"no outcome: {outcome}")
        if outcome == "skipped" and os.environ.get("CI") == "true":
            if not reason.startswith("not here:"):
                outcome, reason = "failed", f"skipped, which CI does not allow: {reason}"
        self.write(part=part, outcome=outcome, name=name, seconds=seconds, reason=reason)

    def read(self):
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


class RecordingResult(unittest.TextTestResult):
    """Writes each test's outcome once, when it ends: a failed subtest fails its test."""

    results = None
    part = None

    def startTest(self, test):
        super().startTest(test)
        self.begin = time.monotonic()
        self.outcome = ("passed", "")

    def worsen(self, outcome, reason=""):
        # A skipped subtest must not hide a failed one.
        if self.outcome[0] != "failed":
            self.outcome = (outcome, reason)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if hasattr(self, "outcome"):
            self.worsen("skipped", reason)
        else:
            self.record(test, "skipped", reason)

    def addError(self, test, err):
        super().addError(test, err)
        if hasattr(self, "outcome"):
            self.worsen("failed", str(err[1]))
        else:
            # A class or module whose set-up failed: none of its tests is run.
            self.record(test, "failed", str(err[1]))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.worsen("failed", str(err[1]))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.worsen("failed", str(err[1]))

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.worsen("failed", "it was expected to fail")

    def stopTest(self, test):
        self.record(test, *self.outcome, time.monotonic() - self.begin)
        del self.outcome
        super().stopTest(test)

    def record(self, test, outcome, reason, seconds=0.0):
        name = re.sub(r"^__main__\.", "", test.id())
        lines = reason.strip().splitlines() or [""]
        self.results.add(self.part, outcome, f"{self.file}: {name}", seconds, lines[0])


def run_unittest(results, part, file, options):
    """Runs a test program as "python3 FILE" would, and returns its exit code."""
    result_class = type(
        "Result", (RecordingResult,), {"results": results, "part": part, "file": Path(file).stem}
    )
    runner_init = unittest.TextTestRunner.__init__

    def init(runner, *arguments, **keywords):
        keywords["resultclass"] = result_class
        runner_init(runner, *arguments, **keywords)

    unittest.TextTestRunner.__init__ = init
    sys.argv = [file, "--verbose", *options]
    sys.path[0] = str(Path(file).resolve().parent)
    code = 1
    try:
        runpy.run_path(file, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # pylint: disable=broad-except
        traceback.print_exc()
        results.add(part, "failed", file, 0.0, f"it did not run: {error!r}")
    found = [each["outcome"] for each in results.written]
    if not found:
        results.add(part, "failed", file, 0.0, "it ran no test")
    elif code != 0 and "failed" not in found:
        results.add(part, "failed", file, 0.0, f"it ended with {code}")
    return 1 if "failed" in found or not found else code


def take_junit(results, part, path):
    """One result for each cmocka test, or for the program when it has none or ended badly."""
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    if not cases:
        results.add(part, "failed", path, 0.0, "it has no test")
    for case in cases:
        name = case.get("name")
        seconds = float(case.get("time") or 0)
        output = case.findtext("system-out") or ""
        tests = {}
        for word, test in CMOCKA_LINE.findall(output):
            tests[test] = CMOCKA_OUTCOMES[word]
        for at, (test, outcome) in enumerate(tests.items()):
            # cmocka tells no times: the program's stands at its first test.
            time_s = seconds if at == 0 else 0.0
            results.add(part, outcome, f"{name}: {test}", time_s)
        status = case.get("status")
        if status == "run":
            if not tests:
                results.add(part, "passed", name, seconds)
        elif status == "fail":
            if "failed" not in tests.values():
                failure = case.find("failure")
                reason = failure.get("message", "") if failure is not None else ""
                results.add(part, "failed", name, seconds, reason or "it ended badly")
        else:
            skipped = case.find("skipped")
            reason = skipped.get("message", "") if skipped is not None else ""
            # Not run: disabled, skipped by its exit code, or not there.
            is_meant = status == "disabled" or reason.startswith("SKIP_")
            results.add(part, "skipped" if is_meant else "failed", name, seconds, reason or status)


def with_empty_parts(entries):
    """A part that ran nothing has failed."""
    ran = {each["part"] for each in entries if "outcome" in each}
    for each in entries:
        yield each
        if each["part"] not in ran:
            yield dict(part=each["part"], outcome="failed", name="it", reason="ran no test")


def summary_text(entries):
    """The table, what failed and what was skipped, and the closing line."""
    entries = list(with_empty_parts(entries))
    parts = {}
    for each in entries:
        row = parts.setdefault(each["part"], dict.fromkeys(OUTCOMES, 0) | {"seconds": 0.0})
        if "outcome" in each:
            row[each["outcome"]] += 1
        else:
            row["seconds"] += each["seconds"]
    lines = ["", f"{'part':<10} {'passed':>8} {'failed':>8} {'skipped':>8} {'time':>8}"]
    for part, row in parts.items():
        counts = " ".join(f"{row[each]:>8}" for each in OUTCOMES)
        lines.append(f"{part:<10} {counts} {row['seconds']:>6.0f} s")
    for outcome in ("skipped", "failed"):
        found = [each for each in entries if each.get("outcome") == outcome]
        if found:
            lines += ["", f"{outcome.upper()}:"]
        for each in found:
            reason = f" ({each['reason']})" if each["reason"] else ""
            lines.append(f"  {each['part']}: {each['name']}{reason}")
    totals = [sum(row[each] for row in parts.values()) for each in OUTCOMES]
    lines += ["", ", ".join(f"{count} {each}" for count, each in zip(totals, OUTCOMES))]
    return "\n".join(lines), totals


def main():
    command, path, *arguments = sys.argv[1:]
    results = ResultList(path)
    if command == "unittest":
        part, file, *options = arguments
        return run_unittest(results, part, file, options)
    if command == "junit":
        take_junit(results, *arguments)
    elif command == "add":
        part, outcome, name, seconds, *reason = arguments
        results.add(part, outcome, name, float(seconds), *reason)
    elif command == "time":
        results.write(part=arguments[0], seconds=float(arguments[1]))
    elif command == "summary":
        text, totals = summary_text(results.read())
        print(text)
        return 1 if totals[1] > 0 or totals[0] == 0 else 0
    else:
        sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
