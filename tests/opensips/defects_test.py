# SPDX-License-Identifier: GPL-2.0-or-later
"""
The defects of the stock event_kafka (3.6.8; 3.4 to the newest are alike), by number. Each scenario
passes on this project's module, and shows its defect on the stock one. Without a scenario:

D12  an event socket's error path casts and frees wrongly: our raise frees nothing of the socket's
D19  an fd's variable is not reset after close(): our fds live as long as their process
D20  a configuration is freed twice on an error: the sink's clients are made and freed in
     tests/unit under ASan
D22  freed strings are printed in debug lines: sanitized_test.py has all debug lines printed
D23  unaligned structs: sanitized_test.py runs the module under UBSan
D26  the route type is left as it was set for the report: report_route.c restores it; no script can
     see it, since whatever runs next in the process sets its own
"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opensips import case, defect, defect_event, defect_publish  # noqa: E402,F401


class Ours(case.Case):
    """None of them is seen."""


@case.long_only
class UpstreamHasIt(case.Case):
    """Each of them is: the scenarios can fail."""

    is_upstream = True


def add(scenario):
    def test_ours(self):
        scenario.run(self)

    def test_upstream(self):
        for _ in range(scenario.attempts):
            try:
                scenario.run(self)
            except defect.Defect as seen:
                print(f"\n{scenario.name}: {str(seen).splitlines()[0][:120]}", file=sys.stderr)
                return
            self.doCleanups()
            self.setUp()
        self.fail(f"not seen in {scenario.attempts} attempts")

    setattr(Ours, f"test_{scenario.name}", test_ours)
    if UpstreamHasIt is not None and scenario.attempts > 0:
        setattr(UpstreamHasIt, f"test_{scenario.name}", test_upstream)


for each in defect.SCENARIOS:
    add(each)

if __name__ == "__main__":
    unittest.main()
