"""What nodes say of themselves at /metrics, twice, as the signals that decisions are made on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scaling.decide import Signals

# A sample of the text format; labels stay as they are.
_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$", re.M | re.ASCII)
CPU = "process_cpu_seconds_total"
REQUESTS = "ev_requests_total"
# role → what counts what it has drained; how much there is for it, leased or not.
DRAINED = {"processor": "ev_packs_stored_total", "postprocessor": "ev_generations_published_total"}
QUEUED = {"processor": "ev_queue_packs", "postprocessor": "ev_windows_changed"}
LEASED = "ev_queue_leased"
OLDEST = "ev_queue_oldest_seconds"
WAITED_S, WAITED = "ev_pack_wait_seconds_sum", "ev_pack_wait_seconds_count"


@dataclass(frozen=True)
class Page:
    """One node's page, at a time in seconds. identity: ev_info's labels, values: sums by name."""

    at_s: float
    identity: str
    values: Mapping[str, float]


Round = Mapping[str, Page | None]  # node → its page; None: it did not answer


def page_of(text: str, at_s: float) -> Page:
    values: dict[str, float] = {}
    identity = ""
    for name, labels, value in _LINE.findall(text):
        if name == "ev_info":
            identity = labels
        try:
            values[name] = values.get(name, 0.0) + float(value)
        except ValueError:
            continue
    return Page(at_s, identity, values)


def signals_of(role: str, before: Round, after: Round) -> Signals:
    """Of one role's nodes, between two rounds.

    A node that was swapped or has started anew in between answered, but what it counted doesn't go
    on: the others stand for it. What waits is one for all: the most that any of them saw.
    """
    there = {node: page for node, page in after.items() if page is not None}
    pairs = [
        (was, page)
        for node, page in there.items()
        if (was := before.get(node)) is not None and _goes_on(was, page)
    ]
    if not pairs:
        return Signals(nodes=0, silent=len(after))
    stand_for = len(there) / len(pairs)

    def rate(name: str) -> float | None:
        if not all(name in page.values for pair in pairs for page in pair):
            return None
        each = [
            (page.values[name] - was.values[name]) / (page.at_s - was.at_s) for was, page in pairs
        ]
        return sum(each) * stand_for

    earlier = {node: page for node, page in before.items() if page is not None}
    queued, was_queued = (_most(pages, QUEUED.get(role, "")) for pages in (there, earlier))
    oldest_s = _most(there, OLDEST)
    drained = rate(DRAINED.get(role, ""))
    seconds = max(page.at_s - was.at_s for was, page in pairs)
    arrived = None
    if drained is not None and queued is not None and was_queued is not None:
        arrived = max(drained + (queued - was_queued) / seconds, 0.0)
    return Signals(
        nodes=len(there),
        silent=len(after) - len(there),
        seconds=round(seconds, 3),
        requests_per_s=rate(REQUESTS) if role == "collector" else None,
        cpu_cores=rate(CPU),
        arrived_per_s=arrived,
        drained_per_s=drained,
        waiting=_free(queued, there),
        was_waiting=_free(was_queued, earlier),
        oldest_s=_waited_s(pairs) if oldest_s is None else oldest_s,
    )


def _waited_s(pairs: list[tuple[Page, Page]]) -> float | None:
    """How long those had waited that were claimed meanwhile: of a queue that doesn't say how old
    its oldest is, as SQS."""
    seconds, packs = (
        sum(page.values.get(name, 0.0) - was.values.get(name, 0.0) for was, page in pairs)
        for name in (WAITED_S, WAITED)
    )
    return seconds / packs if packs > 0 else None


def _free(queued: float | None, pages: Mapping[str, Page]) -> float | None:
    """Without those that somebody works on."""
    return None if queued is None else max(queued - (_most(pages, LEASED) or 0.0), 0.0)


def _goes_on(was: Page, page: Page) -> bool:
    counted = (CPU, REQUESTS, *DRAINED.values())
    return (
        was.identity == page.identity
        and page.at_s > was.at_s
        and all(page.values.get(name, 0) >= was.values.get(name, 0) for name in counted)
    )


def _most(pages: Mapping[str, Page], name: str) -> float | None:
    return max((page.values[name] for page in pages.values() if name in page.values), default=None)
