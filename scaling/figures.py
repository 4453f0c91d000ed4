"""What was measured: of each role, and of an event's bytes. figures.yaml, or a bench's own file."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("figures.yaml")
PACKED_EVENT_BYTES = 350  # of the events that stored_bytes_by_pack_events is about
# Which row of a bench is a role's: on AWS's engines, else on the embedded ones.
ROWS = {
    "collector": ("collector_aws", "collector_batch500"),
    "processor": ("processor_aws", "processor"),
}


class BadFigures(Exception):
    """A file of figures that is none; the message says why."""


@dataclass(frozen=True)
class Figures:
    """events_per_core_s: by role. The tables: stored bytes an event, payload and sidecar."""

    measured_by: str
    events_per_core_s: Mapping[str, float]
    by_event_bytes: Mapping[float, float]
    by_pack_events: Mapping[float, float]
    sidecar_bytes: float

    def stored_bytes(self, event_bytes: float, pack_events: float) -> float:
        """Of one event, by both tables: the second is scaled to events of this size."""
        of_size = _between(self.by_event_bytes, event_bytes)
        of_pack = _between(self.by_pack_events, pack_events)
        return of_size * of_pack / _between(self.by_event_bytes, PACKED_EVENT_BYTES)


def load(bench: Path | None = None) -> Figures:
    """The committed figures; with a bench.json, its roles' own. Raises BadFigures."""
    document = yaml.safe_load(FILE.read_text())
    figures = Figures(
        measured_by=f"{document['measured_by']}, {document['measured_on']}",
        events_per_core_s=document["events_per_core_s"],
        by_event_bytes=document["stored_bytes_by_event_bytes"],
        by_pack_events=document["stored_bytes_by_pack_events"],
        sidecar_bytes=float(document["sidecar_bytes"]),
    )
    return figures if bench is None else _with_bench(figures, bench)


def _with_bench(figures: Figures, path: Path) -> Figures:
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        rows = {row["name"]: float(row["value"]) for row in document["rows"]}
        measured = {
            role: next(rows[name] for name in names if name in rows)
            for role, names in ROWS.items()
            if not rows.keys().isdisjoint(names)
        }
        said = f"{path.name} of {document['at']}, {document['cores']} cores"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFigures(f"it is no file of `make bench`: {error}") from error
    if len(measured) < len(ROWS) or any(value <= 0 for value in measured.values()):
        names = (name for of_role in ROWS.values() for name in of_role)
        raise BadFigures(f"it lacks a row of each role: {', '.join(names)}")
    return replace(
        figures, events_per_core_s={**figures.events_per_core_s, **measured}, measured_by=said
    )


def _between(table: Mapping[float, float], at: float) -> float:
    """A straight line between the neighbours on a logarithmic scale; the ends outside of it."""
    known = sorted(table)
    if at <= known[0] or at >= known[-1]:
        return table[known[0] if at <= known[0] else known[-1]]
    above = bisect_left(known, at)
    low, high = known[above - 1], known[above]
    share = math.log(at / low) / math.log(high / low)
    return table[low] + share * (table[high] - table[low])
