# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether memory grows, in the part of a soak that has no restarts."""

import statistics
from typing import NamedTuple

# At first memory grows to what the work takes.
WARM_UP_S = 300
# Fewer say nothing: five minutes.
SAMPLES_MIN = 60
# Growth: the lowest of the last third is above that of the first by both. Between them memory goes
# up with what is in-flight, and the allocator keeps some of that for a while.
GROWTH_SHARE = 0.25
GROWTH_BYTES = 8 << 20

FIELDS = {
    "kafka_anonymous": "process Kafka, anonymous",
    "worker_anonymous": "largest SIP worker, anonymous",
    "shm_used": "OpenSIPS's shared memory",
}


class Trend(NamedTuple):
    """
    In bytes. slope: by the hour, of the straight line that fits best. first, last: the lowest of
    the first third and of the last.
    """

    name: str
    median: float
    slope: float
    first: float
    last: float

    @property
    def is_growth(self):
        grown = self.last - self.first
        return grown > GROWTH_BYTES and grown > GROWTH_SHARE * self.first


def _trend(name, points):
    values = [value for _, value in points]
    third = len(values) // 3
    return Trend(
        name=name,
        median=statistics.median(values),
        slope=statistics.linear_regression(*zip(*points)).slope * 3600,
        first=min(values[:third]),
        last=min(values[-third:]),
    )


def trends(samples):
    """Of each field; none when the part is too short."""
    steady = [each for each in samples if each.is_steady]
    warm = [each for each in steady if each.seconds >= steady[0].seconds + WARM_UP_S]
    found = []
    for field, name in FIELDS.items():
        points = [(each.seconds, getattr(each, field)) for each in warm]
        known = [point for point in points if point[1] is not None]
        if len(known) >= SAMPLES_MIN:
            found.append(_trend(name, known))
    return found


def problems(samples):
    """What grows: name -> (bytes in the first third, in the last)."""
    return {
        f"memory grows: {each.name}": (each.first, each.last)
        for each in trends(samples)
        if each.is_growth
    }
