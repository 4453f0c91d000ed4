"""One self-contained page about a run: what happened, when, and whether it was good.

    write_report(path, receipt, ledger, swaps, node_releases, spans)

The page loads nothing from anywhere, and its policy forbids it to try.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from demo.figures import Figures, add_up
from demo.ledger import read_requests
from demo.receipt import REQUESTS_MIN, SWAPS_MIN, Receipt, verdict
from demo.report_data import Span, tell
from demo.report_page import page

__all__ = ["Span", "write_report"]

SHORT_RUN_S = 150.0


def write_report(
    path: Path,
    receipt: Receipt,
    ledger: Path,
    swaps: Iterable[Mapping[str, Any]],
    node_releases: Iterable[tuple[str, str, float, float, str]],
    *,
    spans: Iterable[Span] = (),
    requests_min: int = REQUESTS_MIN,
    swaps_min: int = SWAPS_MIN,
) -> None:
    """Writes the page whole, or leaves the one before.

    ledger: the load client's folder · swaps: {"node", "role", "from", "to", "started_at" (epoch s),
    "ready_s", "drain_s", "total_s", "ended_at", "rollout", "ok"} · node_releases: (node, release,
    from, to, state), times in epoch seconds, state "serving" or what went wrong · spans: what else
    held for a while · the minima are the verdict's.
    """
    story = tell(
        receipt=receipt,
        figures=_figures(ledger),
        reasons=verdict(receipt, requests_min=requests_min, swaps_min=swaps_min),
        swaps=swaps,
        node_releases=node_releases,
        spans=spans,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".tmp")
    with aside.open("w", encoding="utf-8") as file:
        file.write(page(story))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _figures(ledger: Path) -> Figures:
    figures = add_up(read_requests(ledger))
    if figures.buckets and figures.buckets[-1].at - figures.buckets[0].at < SHORT_RUN_S:
        return add_up(read_requests(ledger), bucket_s=0.5)
    return figures
