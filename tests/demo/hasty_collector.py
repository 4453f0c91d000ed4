"""Planted: a collector that acknowledges before the commit. Everything else of it is real.

Its queue keeps what it is given in memory and commits it later; the newest pack is always still
in memory, so a kill loses at least that one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eventstore import engines, service, settings
from eventstore.collector.app import Collector
from eventstore.ports import Packed


class HastyQueue:
    """The real queue, but `put` says yes before anything is durable."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._later: list[Packed] = []

    def put(self, packs: Sequence[Packed]) -> None:
        committed = [*self._later, *packs]
        self._later = [committed.pop()]
        if committed:
            self._queue.put(committed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def make(options: settings.Settings, process: service.Process) -> service.Role:
    def open_queue() -> Any:
        return HastyQueue(engines.open_queue(options))

    return Collector(
        options,
        open_queue,
        partial(engines.open_store, options),
        None,
        node=process.node,
        release=process.release,
    )


if __name__ == "__main__":
    chosen = settings.load(Path(os.environ["EV_SETTINGS"]))
    sys.exit(service.serve(service.Process.from_environment("collector"), chosen, make))
