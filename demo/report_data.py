"""What the report draws, checked and in order: one time axis, and a colour for each release."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.figures import Figures
from demo.receipt import Receipt

COLOURS = 6
MARGIN_S = 1.0


@dataclass(frozen=True)
class Swap:
    """One swap on one node; times in epoch seconds, durations in seconds."""

    node: str
    role: str
    from_: str
    to: str
    started_at: float
    ready_s: float
    drain_s: float
    total_s: float
    ended_at: float
    rollout: str
    ok: bool

    @property
    def flipped_at(self) -> float:
        """When the new generation began to serve."""
        return self.started_at + self.ready_s

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Swap:
        """From its JSON shape, where `from_` is "from"; what was never reached counts as 0."""
        started_at = float(given["started_at"])
        return cls(
            node=str(given["node"]),
            role=str(given.get("role") or ""),
            from_=str(given.get("from") or ""),
            to=str(given["to"]),
            started_at=started_at,
            ready_s=float(given.get("ready_s") or 0),
            drain_s=float(given.get("drain_s") or 0),
            total_s=float(given.get("total_s") or 0),
            ended_at=float(given.get("ended_at") or started_at),
            rollout=str(given.get("rollout") or ""),
            ok=bool(given.get("ok", True)),
        )


@dataclass(frozen=True)
class NodeRelease:
    """A node ran a release for a while. `state`: "serving", or what kept it from that."""

    node: str
    release: str
    from_t: float
    to_t: float
    state: str

    @property
    def serving(self) -> bool:
        return self.state == "serving"


@dataclass(frozen=True)
class Span:
    """Something that held for a while: "registry unreachable"."""

    label: str
    from_t: float
    to_t: float


@dataclass(frozen=True)
class Story:
    """Everything the page shows."""

    receipt: Receipt
    figures: Figures
    reasons: Sequence[str]
    swaps: Sequence[Swap]
    node_releases: Sequence[NodeRelease]
    spans: Sequence[Span]
    from_t: float
    to_t: float
    zero_t: float  # 0:00 on the axis: the first request
    releases: Sequence[str]  # in order of appearance; the place chooses the colour

    def colour(self, release: str) -> str:
        """The class that paints this release."""
        place = self.releases.index(release) if release in self.releases else COLOURS
        return f"r{min(place, COLOURS)}"


def tell(
    *,
    receipt: Receipt,
    figures: Figures,
    reasons: Sequence[str],
    swaps: Iterable[Mapping[str, Any]],
    node_releases: Iterable[tuple[str, str, float, float, str]],
    spans: Iterable[Span],
) -> Story:
    """Puts everything in order and finds the axis: the load, and whatever else took place."""
    ordered = sorted((Swap.of(one) for one in swaps), key=lambda one: one.started_at)
    bars = sorted((NodeRelease(*one) for one in node_releases), key=lambda one: one.from_t)
    extra = list(spans)
    moments = [bucket.at for bucket in figures.buckets]
    moments += [bucket.at + bucket.seconds for bucket in figures.buckets[-1:]]
    zero_t = moments[0] if moments else min((one.from_t for one in bars), default=0.0)
    for rollout in receipt.rollouts:
        moments += [moment for moment in (rollout.started_at, rollout.ended_at) if moment]
    moments += [moment for swap in ordered for moment in (swap.started_at, swap.ended_at)]
    moments += [moment for span in extra for moment in (span.from_t, span.to_t)]
    if not moments:
        moments = [moment for bar in bars for moment in (bar.from_t, bar.to_t)] or [0.0, 1.0]
    return Story(
        receipt=receipt,
        figures=figures,
        reasons=reasons,
        swaps=ordered,
        node_releases=bars,
        spans=extra,
        from_t=min(moments) - MARGIN_S,
        to_t=max(moments) + MARGIN_S,
        zero_t=zero_t,
        releases=_in_order(bars, ordered, receipt),
    )


def _in_order(
    bars: Iterable[NodeRelease], swaps: Iterable[Swap], receipt: Receipt
) -> Sequence[str]:
    seen = dict.fromkeys(bar.release for bar in bars if bar.serving)
    seen |= dict.fromkeys(name for swap in swaps for name in (swap.from_, swap.to) if name)
    seen |= dict.fromkeys(bar.release for bar in bars)
    seen |= dict.fromkeys(node.release for node in receipt.nodes.values())
    return list(seen)
