"""The rows of `make bench-rollout`: what was measured, and the table for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Case = Literal["all-up", "one-down", "rollback"]

COLUMNS = ("wall s", "failed / sent", "exit", "on the release", "names the node", "machine busy")


@dataclass(frozen=True)
class Row:
    """prefetched: the release lay on the nodes before. nodes_done: how many serve it afterwards,
    by the links on their disks. node_named: whether the tool's own words name the node that is
    off. wave_overhead_s: of each wave, what it took beyond its nodes' drain. busy: the share of
    the machine that was taken by others just before the row began."""

    name: str
    case: Case
    prefetched: bool
    wall_s: float
    requests_sent: int
    requests_failed: int
    exit_code: int
    nodes_done: int
    node_named: bool | None = None
    wave_overhead_s: tuple[float, ...] = ()
    busy: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_row(raw: Mapping[str, Any]) -> Row:
    return Row(**{**raw, "wave_overhead_s": tuple(raw["wave_overhead_s"])})


def table(rows: Iterable[Row]) -> Iterator[str]:
    """In Markdown."""
    yield f"| | {' | '.join(COLUMNS)} |"
    yield f"|---|{'---:|' * len(COLUMNS)}"
    for row in rows:
        what = f"{row.name}, {row.case}" + (", not prefetched" if not row.prefetched else "")
        named = "" if row.node_named is None else "yes" if row.node_named else "no"
        cells = (
            f"{row.wall_s:.1f}",
            f"{row.requests_failed:,} / {row.requests_sent:,}",
            f"{row.exit_code}",
            f"{row.nodes_done}",
            named,
            f"{row.busy:.0%}",
        )
        yield f"| {what} | {' | '.join(cells)} |"


def wave_overheads_s(lines: Iterable[Mapping[str, Any]]) -> tuple[float, ...]:
    """From what `evctl rollout --bake 0s --json` printed: of each wave the time from asking its
    nodes to swap until all have proved that they serve it, without the longest drain."""
    found: list[float] = []
    began = drain_s = 0.0
    for line in lines:
        event = line.get("event")
        if event == "swap":
            began, drain_s = line["at"], 0.0
            found.append(0.0)
        elif event == "answer" and line.get("action") == "swap":
            drain_s = max(drain_s, (line.get("result") or {}).get("drain_s") or 0.0)
        elif event in ("swap_done", "check_done"):
            found[-1] = round(line["at"] - began - drain_s, 2)
    return tuple(found)


def json_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)
