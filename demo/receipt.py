"""The receipt: what happened, in one JSON object, and whether that is good."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.lab.spec import EngineName
from demo.figures import Figures
from demo.kept import Kept

REQUESTS_MIN = 50_000
REQUESTS_MIN_ON_AWS = 15_000
SWAPS_MIN = 15
MIB_PSS_MAX = 120.0
POWER_ON_S_MAX = 10.0
SWAP_S_MAX = 3.0
ROLLBACK_S_MAX = 5.0
HELP_S_MAX = 0.3


@dataclass(frozen=True)
class Node:
    role: str
    release: str


@dataclass(frozen=True)
class Requests:
    """`failed`: refused, reset, timed out, or any answer but a 2xx with a true receipt."""

    sent: int
    failed: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, figures: Figures) -> Requests:
        return cls(
            sent=figures.sent,
            failed=figures.failed,
            p50_ms=round(figures.p50_ms, 2),
            p99_ms=round(figures.p99_ms, 2),
            max_ms=round(figures.max_ms, 2),
        )


@dataclass(frozen=True)
class Events:
    """`lost`: acknowledged and not in the store as sent. `duplicated`: visible twice to a reader.
    `phantom`: visible and never sent."""

    acked: int
    stored: int
    lost: int
    duplicated: int
    phantom: int


@dataclass(frozen=True)
class Rollout:
    """Times in epoch seconds; 0 when unknown. `from_`: the release before, "from" in JSON."""

    id: str
    from_: str
    to: str
    state: str
    nodes: int
    swaps: int
    duration_s: float
    started_at: float = 0.0
    ended_at: float = 0.0


@dataclass(frozen=True)
class Aggregates:
    windows: int
    mismatches: int


@dataclass(frozen=True)
class Billed:
    """What `evctl aws bill` says of it all. ended: generations of which others tell."""

    usd: float
    usd_per_billion_events: float
    generations: int
    ended: int


@dataclass(frozen=True)
class SwapTimes:
    """Decision to the old generation gone, without its drain; seconds."""

    p50: float
    max: float


@dataclass(frozen=True)
class Speed:
    """None: not measured. `pss_mib`: role → MiB at rest."""

    power_on_to_serving_s: dict[str, float] = field(default_factory=dict)
    swap_s: SwapTimes | None = None
    rollback_one_node_s: float | None = None
    pss_mib: dict[str, float] = field(default_factory=dict)
    evctl_help_s: float | None = None


@dataclass(frozen=True)
class Receipt:
    driver: str
    why_driver: str
    nodes: dict[str, Node]
    requests: Requests
    events: Events
    rollouts: list[Rollout]
    aggregates: Aggregates
    engine: EngineName = "embedded"
    kept: Kept = field(default_factory=Kept)
    billed: Billed | None = None
    speed: Speed = field(default_factory=Speed)
    failures_by_kind: dict[str, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def swaps(self) -> int:
        return sum(rollout.swaps for rollout in self.rollouts)

    def to_json(self) -> dict[str, Any]:
        document = asdict(self)
        for rollout in document["rollouts"]:
            rollout["from"] = rollout.pop("from_")
        return document


def from_json(document: Mapping[str, Any]) -> Receipt:
    """The inverse of `to_json`; KeyError or TypeError when it isn't one."""
    speed = dict(document["speed"])
    if speed["swap_s"] is not None:
        speed["swap_s"] = SwapTimes(**speed["swap_s"])
    rollouts = [
        Rollout(**{"from_" if key == "from" else key: value for key, value in one.items()})
        for one in document["rollouts"]
    ]
    return Receipt(
        driver=document["driver"],
        why_driver=document["why_driver"],
        nodes={name: Node(**one) for name, one in document["nodes"].items()},
        requests=Requests(**document["requests"]),
        events=Events(**document["events"]),
        rollouts=rollouts,
        aggregates=Aggregates(**document["aggregates"]),
        speed=Speed(**speed),
        engine=document["engine"],
        kept=Kept(**document["kept"]),
        billed=document["billed"] and Billed(**document["billed"]),
        failures_by_kind=dict(document["failures_by_kind"]),
        environment=dict(document["environment"]),
    )


def write(path: Path, receipt: Receipt) -> None:
    """Written aside and renamed: a reader sees a whole receipt or the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(json.dumps(receipt.to_json(), indent=2) + "\n")
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)


def verdict(
    receipt: Receipt, *, requests_min: int = REQUESTS_MIN, swaps_min: int = SWAPS_MIN
) -> list[str]:
    """Why the receipt isn't good; empty when it is."""
    requests, events = receipt.requests, receipt.events
    reasons = []
    if requests.failed:
        kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(receipt.failures_by_kind.items()))
        reasons.append(f"{count(requests.failed, 'request')} failed ({kinds or 'kind unknown'})")
    if events.lost:
        reasons.append(
            f"{count(events.lost, 'event')} lost: acknowledged and not in the store as sent"
        )
    if events.duplicated:
        reasons.append(f"{count(events.duplicated, 'event')} duplicated: visible twice to a reader")
    if events.phantom:
        reasons.append(f"{count(events.phantom, 'phantom event')}: stored and never sent")
    if receipt.aggregates.mismatches:
        reasons.append(
            f"{count(receipt.aggregates.mismatches, 'aggregate')} not equal to what the store holds"
        )
    if requests.sent < requests_min:
        reasons.append(
            f"only {count(requests.sent, 'request')}: at least {requests_min:,} are wanted"
        )
    if receipt.swaps < swaps_min:
        reasons.append(f"only {count(receipt.swaps, 'swap')}: at least {swaps_min} are wanted")
    if not events.acked:
        reasons.append("no event was acknowledged: the zeros say nothing")
    if receipt.engine == "aws":
        reasons += receipt.kept.lacks()
        if receipt.billed is None or not (receipt.billed.usd and receipt.billed.ended):
            reasons.append("the bill has nothing, or nothing of generations that have ended")
    if events.acked and not receipt.aggregates.windows:
        reasons.append("no window was published: nothing to compare with")
    return reasons


def count(number: int, noun: str) -> str:
    """1 swap, 2 swaps."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
