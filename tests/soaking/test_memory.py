# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that grows is told from memory that goes up and down, or that a restart made anew."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soaking import memory, samples  # noqa: E402

MIB = 1 << 20


def run_of(used, *, steady_from=0, count=300):
    """A sample each 5 s. used: MiB of shared memory at so many seconds."""
    return [
        samples.Sample(
            seconds=5.0 * i,
            broker="",
            host="",
            is_steady=5 * i >= steady_from,
            shm_used=None if used(5 * i) is None else int(used(5 * i) * MIB),
        )
        for i in range(count)
    ]


class MemoryTest(unittest.TestCase):
    def test_what_goes_up_and_down_does_not_grow(self):
        made = run_of(lambda seconds: 8 + seconds % 60 / 20)
        self.assertEqual(memory.problems(made), {})
        (trend,) = memory.trends(made)
        self.assertLess(abs(trend.slope), MIB)

    def test_growth(self):
        made = run_of(lambda seconds: 8 + seconds / 60 + seconds % 60 / 20)
        self.assertEqual(list(memory.problems(made)), ["memory grows: OpenSIPS's shared memory"])
        (trend,) = memory.trends(made)
        self.assertAlmostEqual(trend.slope / MIB, 60, delta=0.5)

    def test_growth_before_the_last_restart_or_while_it_warms_up_is_none(self):
        made = run_of(lambda seconds: 8 + min(seconds, 700) / 100, steady_from=400)
        self.assertEqual(memory.problems(made), {})

    def test_a_few_samples_say_nothing(self):
        self.assertEqual(memory.trends(run_of(lambda seconds: seconds, count=100)), [])
        self.assertEqual(memory.trends([]), [])

    def test_gaps(self):
        made = run_of(lambda seconds: None if seconds % 60 == 0 else 8)
        self.assertEqual(memory.trends(made)[0].median, 8 * MIB)


if __name__ == "__main__":
    unittest.main()
