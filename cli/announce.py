"""What changes a fleet is told: to its history, and while a rollout runs, as it happens."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from artifacts.errors import EvctlError
from cli.fleet import Fleet
from cli.history.entry import Event, who_is_here
from cli.output import UNKNOWN, Output
from cli.ranges import fold
from cli.rollout.document import Document
from cli.rollout.drive import Progress


def record(fleet: Fleet, event: Event, what: Mapping[str, Any], *, why: str = "") -> None:
    """Into the fleet's history. What the documents' store raises: then it isn't written down, and
    should not be done."""
    who = who_is_here(os.environ)
    fleet.history().add(event, what, who=who, why=why, at=time.time())


def record_done(
    output: Output, fleet: Fleet, event: Event, what: Mapping[str, Any], *, why: str
) -> None:
    """The same for what is done already: that it can't be written down is told, and undoes nothing.
    Releases may be made where the documents can't be reached."""
    try:
        record(fleet, event, what, why=why)
    except EvctlError as error:
        output.say(UNKNOWN, f"not in the history: {error}")
    else:
        witness(output, fleet)


def witness(output: Output, fleet: Fleet) -> None:
    """Copy the head of the history to its witnesses, now that nobody waits for it."""
    try:
        fleet.history().witness()
    except EvctlError as error:
        output.say(UNKNOWN, f"the history has no witness: {error}")


class Announcer:
    """A rollout's progress, passed on; each new state of it goes into the history as well."""

    def __init__(self, output: Output, fleet: Fleet, progress: Progress) -> None:
        self._output = output
        self._fleet = fleet
        self._progress = progress
        self._state: str | None = None

    def event(self, document: Document, event: str, facts: dict[str, Any]) -> None:
        first, changed = self._state is None, document.state != self._state
        self._state = document.state
        if first:
            record(self._fleet, document.kind, _facts(document), why=document.reason)
        self._progress(document, event, facts)
        if changed and not first:
            record_done(self._output, self._fleet, document.kind, _facts(document), why="")


def _facts(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "state": document.state,
        "to": sorted({record.to for record in document.nodes.values()}),
        "nodes": fold(document.nodes),
    }
