"""What generations that have ended had consumed of engines that bill it: each leaves it on its
node, in its role's own folder, and those that come after it tell it at /metrics.

One that is killed leaves nothing: what it has counted is lost.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from eventstore.metrics import Counter

log = logging.getLogger("eventstore.ended")
KEPT = 50
EVENTS = "ev_events_acked_total"  # what is consumed is told for so many of them


class Ended(Counter):
    """One series for each counter of each of them. folder: None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__("ev_ended_total", "What generations that ended here had counted.", "was")
        self._folder = folder

    def leave(
        self, release: str, since_s: float, until_s: float, counters: Iterable[Counter]
    ) -> None:
        """At the end of a generation. Whatever goes wrong is logged: it ends all the same."""
        amounts = {one.name: one.total() for one in counters}
        billed = {name: one for name, one in amounts.items() if name.startswith("ev_aws_")}
        if self._folder is None or not billed:
            return
        left = {
            "release": release,
            "since_s": round(since_s, 3),
            "until_s": round(until_s, 3),
            "amounts": billed | ({EVENTS: amounts[EVENTS]} if EVENTS in amounts else {}),
        }
        try:
            _write(self._folder, f"{since_s:017.3f}-{os.getpid()}.json", json.dumps(left))
        except OSError as error:
            log.error("what was consumed is not noted: %s", error)

    def lines(self) -> list[str]:
        head = super().lines()
        return head + [
            f'{self.name}{{counter="{name}",release="{one["release"]}",since="{one["since_s"]}",'
            f'until="{one["until_s"]}"}} {amount:.15g}'
            for one in self._left()
            for name, amount in one["amounts"].items()
        ]

    def _left(self) -> Iterator[dict[str, Any]]:
        for file in sorted(self._folder.glob("*.json")) if self._folder else ():
            try:
                yield json.loads(file.read_text())
            except (OSError, ValueError) as error:
                log.error("%s can't be read: %s", file, error)


def _write(folder: Path, name: str, text: str) -> None:
    """Aside, then in its place; the oldest go."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{name}.new"
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(folder / name)
    for old in sorted(folder.glob("*.json"))[:-KEPT]:
        old.unlink(missing_ok=True)
