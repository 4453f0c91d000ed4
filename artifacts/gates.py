"""What a role's gates compare, as evctl.yaml has them: names of series and bounds.

errors: {bad: 'ev_requests_total{code="5*"}', all: 'ev_requests_total*', worse_by: 0.01}
p99: {histogram: ev_request_seconds, at_most: 0.25, worse_by: 0.05, sample_min: 50}
backlog: {gauge: ev_queue_packs, at_most: 10000}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SAMPLE_MIN = 50
# What `--gate` takes beside the names of gates.
ALL, NONE, PROBE = "all", "none", "probe"
_SERIES = {"ratio": ("bad", "all"), "p99": ("histogram",), "gauge": ("gauge",)}
_BOUNDS = ("at_most", "worse_by", "sample_min")


@dataclass(frozen=True)
class Gate:
    """ratio: of two sums of counters; p99: of a histogram, in its unit; gauge: the largest value.

    series: patterns of series, `*` for any text. at_most: of the new generations. worse_by: how
    much more than the old generations at the same time. sample_min: judged by so much or not at
    all: of `all`, or of what the histogram counts.
    """

    name: str
    kind: Literal["ratio", "p99", "gauge"]
    series: tuple[str, ...]
    at_most: float | None = None
    worse_by: float | None = None
    sample_min: int = SAMPLE_MIN


def read_gate(name: str, raw: Mapping[str, Any]) -> Gate:
    """From evctl.yaml or a manifest. ValueError says what is wrong."""
    kinds = [kind for kind, keys in _SERIES.items() if all(key in raw for key in keys)]
    if len(kinds) != 1 or raw.keys() - {*_SERIES[kinds[0]], *_BOUNDS}:
        raise ValueError(
            "must have `bad` and `all`, `histogram` or `gauge`; at_most or worse_by; sample_min"
        )
    kind = kinds[0]
    series = tuple(raw[key] for key in _SERIES[kind])
    if not all(isinstance(each, str) and each for each in series):
        raise ValueError("must name its series as texts")
    bounds = {key: raw[key] for key in ("at_most", "worse_by") if key in raw}
    for key, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 <= bound < 1e15:
            raise ValueError(f"must have a number for {key}")
    if not bounds:
        raise ValueError("must say at_most or worse_by")
    sample_min = raw.get("sample_min", SAMPLE_MIN)
    if isinstance(sample_min, bool) or not isinstance(sample_min, int) or sample_min < 1:
        raise ValueError("must have a whole number from 1 for sample_min")
    return Gate(name, kind, series, sample_min=sample_min, **bounds)  # type: ignore[arg-type]
