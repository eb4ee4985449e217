# SPDX-License-Identifier: GPL-2.0-or-later
"""
The load, restart and report tests on each further OpenSIPS tree that stands beside the main one,
and what differs between versions: async, MI, events.
"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opensips import (  # noqa: E402
    case,
    defect,
    defect_event,
    defect_publish,
    guide_test,
    interface_test,
    kill_test,
    outage_test,
    processes_test,
    start_stop_test,
    tree,
)

TESTS = (
    guide_test.Guide,
    interface_test.Forms,
    interface_test.Operators,
    kill_test.Kill,
    outage_test.Outage,
    processes_test.EveryRoute,
    processes_test.ReloadedRoutes,
    processes_test.Virtual,
    start_stop_test.Start,
    start_stop_test.Spool,
    start_stop_test.Stop,
)
assert defect_event and defect_publish  # imported for the scenarios that they register


def for_tree(base, one):
    """The tests of a class, on another tree; smaller, as they come for each version."""
    name = base.__name__ + "".join(each for each in str(one).title() if each.isalnum())
    sizes = {"kills": 5, "count": 50_000}
    return type(name, (base,), {"tree": one, "__module__": __name__, **sizes})


def defects_on(one):
    """A class with each scenario as a test, on another tree."""
    name = "Defects" + "".join(each for each in str(one).title() if each.isalnum())
    found = type(name, (case.Case,), {"tree": one, "__module__": __name__})
    for each in defect.SCENARIOS:
        setattr(found, f"test_{each.name}", lambda self, scenario=each: scenario.run(self))
    return found


def load_tests(loader, _, __):
    suite = unittest.TestSuite()
    for one in tree.others() if case.IS_LONG else ():
        for base in TESTS:
            suite.addTests(loader.loadTestsFromTestCase(for_tree(base, one)))
        suite.addTests(loader.loadTestsFromTestCase(defects_on(one)))
    if suite.countTestCases() == 0:
        suite.addTest(NoOtherTree("test_versions"))
    return suite


class NoOtherTree(unittest.TestCase):
    def test_versions(self):
        self.skipTest("not here: no OpenSIPS of another version, or not asked for")


if __name__ == "__main__":
    unittest.main()
