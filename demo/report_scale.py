"""Scales: from seconds and milliseconds to pixels, with ticks that a person would choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True)
class Linear:
    """low … high on from_px … to_px."""

    low: float
    high: float
    from_px: float
    to_px: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.from_px + share * (self.to_px - self.from_px)


@dataclass(frozen=True)
class Logarithmic:
    """The same, by ratios; what is below `low` sits on it."""

    low: float
    high: float
    from_px: float
    to_px: float

    def __call__(self, value: float) -> float:
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.from_px + share * (self.to_px - self.from_px)


def round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 …"""
    return min(step for step in _near(value) if step >= value * 0.999_999)


def round_down(value: float) -> float:
    return max(step for step in _near(value) if step <= value * 1.000_001)


def _near(value: float) -> list[float]:
    decade = 10.0 ** math.floor(math.log10(value))
    return [decade * step for step in (0.5, 1, 2, 5, 10)]


def ratios(low: float, high: float) -> Sequence[float]:
    """Ticks for a logarithmic axis: decades, or 1-2-5 where there are only few of them."""
    few = high / low <= 500
    tick, ticks = low, []
    while tick <= high * 1.000_001:
        mantissa = tick / 10.0 ** math.floor(math.log10(tick) + 1e-9)
        if few or round(mantissa) == 1:
            ticks.append(tick)
        tick *= 2.5 if round(mantissa) == 2 else 2
    return ticks


def seconds(low: float, high: float, ticks_max: int) -> Sequence[float]:
    """Ticks for a time axis: whole steps of seconds or minutes."""
    step = next((one for one in STEPS_S if (high - low) / one <= ticks_max), STEPS_S[-1])
    first = math.ceil(low / step) * step
    return [first + step * k for k in range(int((high - first) // step) + 1)]


def clock(elapsed_s: float) -> str:
    """0:07, 12:30, −0:05."""
    sign = "−" if elapsed_s < -0.5 else ""
    minutes, rest = divmod(round(abs(elapsed_s)), 60)
    return f"{sign}{minutes}:{rest:02d}"


def milliseconds(value: float) -> str:
    if value >= 1000:
        return f"{value / 1000:g} s"
    return f"{value:.3g} ms"
