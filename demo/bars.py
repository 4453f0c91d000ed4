"""Which node served which release when, out of the swaps that the nodes reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Bar = tuple[str, str, float, float, str]  # node, release, from, to (epoch seconds), state


def bars_from_swaps(
    at_first: Mapping[str, str], swaps: Iterable[Mapping[str, Any]], *, from_t: float, to_t: float
) -> list[Bar]:
    """`at_first`: node → the release that it served at `from_t`; a node that was not there yet has
    its first bar from its first swap on. A failed swap's release gets a bar of its own, beside the
    one that went on; its state is the swap's "state", else "failed".
    """
    serving = {node: (release, from_t) for node, release in at_first.items()}
    bars: list[Bar] = []
    for swap in sorted(swaps, key=lambda one: float(one["started_at"])):
        node, release = str(swap["node"]), str(swap["to"])
        started_at = float(swap["started_at"])
        if not swap.get("ok", True):
            ended_at = float(swap.get("ended_at") or started_at)
            bars.append((node, release, started_at, ended_at, str(swap.get("state") or "failed")))
            continue
        flipped_at = started_at + float(swap.get("ready_s") or 0)
        if node in serving:
            before, since = serving[node]
            bars.append((node, before, since, flipped_at, "serving"))
        serving[node] = (release, flipped_at)
    bars += [(node, release, since, to_t, "serving") for node, (release, since) in serving.items()]
    return bars
