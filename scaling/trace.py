"""A traffic trace: events a second over time, as a file of `seconds,events_per_s` lines."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

LINES_MAX = 100_000


class BadTrace(Exception):
    """A file that is no trace; the message says where and why."""


@dataclass(frozen=True)
class Trace:
    """Each rate holds until the next one's time; the last time is where the trace ends."""

    times_s: tuple[float, ...]
    rates: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return self.times_s[-1]

    @property
    def peak(self) -> float:
        return max(self.rates)

    def rate(self, at_s: float) -> float:
        return self.rates[max(bisect_right(self.times_s, at_s) - 1, 0)]


def load(path: Path) -> Trace:
    """Comments begin with #. Raises BadTrace."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadTrace(f"it can't be read: {error}") from error
    points = [
        _point(number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
    if not 2 <= len(points) <= LINES_MAX:
        raise BadTrace(f"it has {len(points)} lines: expected 2 to {LINES_MAX}")
    times = tuple(at for at, _ in points)
    if times[0] != 0 or any(late <= early for early, late in pairwise(times)):
        raise BadTrace("its seconds begin at 0 and only grow")
    return Trace(times, tuple(rate for _, rate in points))


def _point(number: int, line: str) -> tuple[float, float]:
    try:
        at_s, rate = (float(part) for part in line.split(","))
    except ValueError:
        raise BadTrace(f"line {number}: {line[:60]!r}: expected seconds,events_per_s") from None
    if not (0 <= at_s < math.inf and 0 <= rate < math.inf):
        raise BadTrace(f"line {number}: {line[:60]!r}: expected numbers of 0 and more")
    return at_s, rate
