"""A rollout as a table of waves and nodes, painted again and again on a terminal."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cli.output import BAD, GOOD, NOTE, UNKNOWN, echo
from cli.ranges import fold
from cli.rollout.document import FINAL, Document, NodeState

PAINT_EVERY_S = 0.2
NODES_SHOWN_MAX = 12
BAR_CHARS = 12
WAITING = "○"
_GLYPHS: dict[NodeState, str] = {
    "planned": WAITING,
    "prefetched": WAITING,
    "swapping": NOTE,
    "swapped": NOTE,
    "healthy": GOOD,
    "failed": BAD,
    "unhealthy": BAD,
    "silent": UNKNOWN,
    "reverted": NOTE,
    "stuck": BAD,
}
_DONE: tuple[NodeState, ...] = ("healthy", "reverted", "failed", "stuck", "silent")


def table(document: Document, waits_for: str, now: float) -> Iterator[str]:
    """Line by line. A wave that is through is one line, and so is one that has not begun; nodes
    that went wrong are always named."""
    records = document.nodes
    done = sum(record.state in _DONE for record in records.values())
    filled = BAR_CHARS * done // max(1, len(records))
    bar = "█" * filled + "░" * (BAR_CHARS - filled)
    seconds = int((document.ended_at or now) - document.created_at)
    to = ", ".join(sorted({record.to for record in records.values()}))
    yield (
        f"{document.kind.capitalize()} {document.id}  {to}  {done}/{len(records)}  "
        f"{seconds // 60:02}:{seconds % 60:02}  {document.state}  {bar}"
    )
    for number, wave in enumerate(document.waves, 1):
        yield from _wave(document, number, wave)
    if document.note:
        yield f"{document.state}: {document.note}"
    elif waits_for and document.state not in FINAL:
        yield f"waiting for: {waits_for}"


def _wave(document: Document, number: int, wave: tuple[str, ...]) -> Iterator[str]:
    states = Counter(document.nodes[node].state for node in wave)
    through = sum(states[state] for state in _DONE)
    if states["healthy"] == len(wave):
        yield f"{GOOD} wave {number}   {len(wave)}/{len(wave)}"
        return
    begun = any(_GLYPHS[state] != WAITING for state in states)
    yield f"{NOTE if begun else WAITING} wave {number}   {through}/{len(wave)}"
    wrong = [node for node in wave if document.nodes[node].fault]
    others = [node for node in wave if node not in wrong] if begun else []
    for node in [*wrong, *others][:NODES_SHOWN_MAX]:
        record = document.nodes[node]
        error = record.error or {}
        said = " ".join(f"{error.get('code', '')} {error.get('what', '')}".split())
        yield f"  {_GLYPHS[record.state]} {node:20} {record.state:10} {said}".rstrip()
    if len(wrong) + len(others) > NODES_SHOWN_MAX:
        yield f"  … and {len(wrong) + len(others) - NODES_SHOWN_MAX} more"


class Table:
    """Takes the events of a rollout and paints. Only for a terminal; its size bounds the lines."""

    def __init__(self) -> None:
        self._painted_lines = 0
        self._painted_at = -math.inf
        self._waits_for = ""

    def event(self, document: Document, event: str, facts: dict[str, Any]) -> None:
        if event in ("prefetch", "swap", "check", "revert"):
            self._waits_for = f"{event} of {fold(facts['nodes'])}"
        settled = document.state in (*FINAL, "paused")
        if settled or time.monotonic() - self._painted_at >= PAINT_EVERY_S:
            self._paint(document)

    def _paint(self, document: Document) -> None:
        size = shutil.get_terminal_size()
        lines = [line[: size.columns - 1] for line in table(document, self._waits_for, time.time())]
        lines = lines[: max(2, size.lines - 2)]
        back = f"\x1b[{self._painted_lines}F\x1b[J" if self._painted_lines else ""
        echo(back + "\n".join(lines), err=True)
        self._painted_lines, self._painted_at = len(lines), time.monotonic()
