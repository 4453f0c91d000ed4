"""Whether new generations do as well as old ones at the same time: pure functions over the pages
that nodes answer at /metrics, at the start and at the end of a bake.

Too little traffic proves nothing: such a gate holds, and says so; it never passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from artifacts.gates import Gate
from cli.numbers import figures

Series = Mapping[str, float]
LE = 'le="'


@dataclass(frozen=True)
class Span:
    """One generation's series at the start and at the end of a bake."""

    start: Series
    end: Series

    def grown(self, pattern: str) -> float:
        """By how much the counters of this pattern grew; a restart begins at 0."""
        return sum(_grown(self, name) for name in self.end if fnmatchcase(name, pattern))


@dataclass(frozen=True)
class Verdict:
    """says: in one line, with the figures."""

    state: Literal["passed", "failed", "held"]
    says: str


def parse(page: str) -> dict[str, float]:
    """Series → value, of Prometheus' text format. What can't be understood is left out."""
    found = {}
    for line in page.splitlines():
        if line.startswith("#"):
            continue
        name, _, value = line.strip().rpartition(" ")
        try:
            found[name] = float(value)
        except ValueError:
            continue
    return found


def judge(gate: Gate, new: Sequence[Span], old: Sequence[Span]) -> Verdict:
    """new: of the nodes that have swapped; old: of those of the same role that have not."""
    sample, value = _measure(gate, new)
    if sample < gate.sample_min and gate.kind != "gauge":
        return _verdict("held", gate, f"{sample:.0f} of {gate.sample_min}: too few to judge")
    if value is None:
        return _verdict("held", gate, f"no number for {' or '.join(gate.series)} in /metrics")
    if gate.at_most is not None and value > gate.at_most:
        return _verdict("failed", gate, f"{figures(value)}, at most {figures(gate.at_most)} may be")
    if gate.worse_by is None or not old:
        of = "" if gate.kind == "gauge" else f" of {sample:.0f}"
        return _verdict("passed", gate, f"{figures(value)}{of}")
    return _compare(gate, value, gate.worse_by, _measure(gate, old))


def _compare(gate: Gate, value: float, worse_by: float, old: tuple[float, float | None]) -> Verdict:
    sample, before = old
    if before is None or (sample < gate.sample_min and gate.kind != "gauge"):
        few = f"{sample:.0f} of {gate.sample_min} on the old: too few to compare"
        return _verdict("held", gate, few)
    said = f"{figures(value)}, the old {figures(before)}"
    if value > before + worse_by:
        return _verdict("failed", gate, f"{said}: worse by more than {figures(worse_by)}")
    return _verdict("passed", gate, said)


def _verdict(state: Literal["passed", "failed", "held"], gate: Gate, says: str) -> Verdict:
    return Verdict(state, f"{gate.name}: {says}")


def _measure(gate: Gate, spans: Sequence[Span]) -> tuple[float, float | None]:
    """How large the sample is, and its value; None when there is none, or one that is no number."""
    sample, value = _measured(gate, spans)
    return sample, None if value is None or math.isnan(value) else value


def _measured(gate: Gate, spans: Sequence[Span]) -> tuple[float, float | None]:
    if gate.kind == "ratio":
        bad, every = (sum(span.grown(pattern) for span in spans) for pattern in gate.series)
        return every, bad / every if every else None
    if gate.kind == "p99":
        return _p99(gate.series[0], spans)
    (pattern,) = gate.series
    values = [v for span in spans for name, v in span.end.items() if fnmatchcase(name, pattern)]
    if any(map(math.isnan, values)):
        return len(values), math.nan
    return len(values), max(values, default=None)


def _p99(histogram: str, spans: Sequence[Span]) -> tuple[float, float | None]:
    """The bound below which 99 % are."""
    within: dict[float, float] = {}
    for span in spans:
        for name in span.end:
            if name.startswith(f"{histogram}_bucket{{") and LE in name:
                bound = float(name.split(LE)[1].split('"')[0])
                within[bound] = within.get(bound, 0.0) + _grown(span, name)
    every = max(within.values(), default=0.0)
    if not every:
        return 0.0, None
    return every, min((b for b, count in within.items() if count >= 0.99 * every), default=math.inf)


def _grown(span: Span, name: str) -> float:
    before, after = span.start.get(name, 0.0), span.end[name]
    return after - before if after >= before else after


def spans_of(
    start: Mapping[str, Mapping[str, str]],
    end: Mapping[str, Mapping[str, str]],
    releases: Mapping[str, str],
) -> list[Span]:
    """Of the generation that each of these nodes serves from. start, end: node → release → page.
    One that didn't answer both times isn't compared."""
    return [
        Span(parse(start[node][release]), parse(end[node][release]))
        for node, release in releases.items()
        if release in start.get(node, {}) and release in end.get(node, {})
    ]
