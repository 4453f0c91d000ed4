"""What changes a fleet is told: to its history, and while a rollout runs, as it happens."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from artifacts.errors import EvctlError
from cli.fleet import Fleet
from cli.history.entry import Event, Head, who_is_here
from cli.orders import Publisher
from cli.output import BAD, GOOD, NOTE, UNKNOWN, Output
from cli.ranges import fold
from cli.rollout.document import Document
from cli.rollout.drive import Progress
from cli.webhook import NoWebhook, Webhook, escaped, read_url


def record(fleet: Fleet, event: Event, what: Mapping[str, Any], *, why: str = "") -> Head:
    """Into the fleet's history. What the documents' store raises: then it isn't written down, and
    should not be done."""
    who = who_is_here(os.environ)
    return fleet.history().add(event, what, who=who, why=why, at=time.time())


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


def tell_nodes(output: Output, fleet: Fleet) -> None:
    """Publish their orders, after a change that no rollout makes."""
    publisher = Publisher(fleet, lambda why: output.say(UNKNOWN, f"orders: {why}"))
    publisher.changed()
    publisher.close()


def witness(output: Output, fleet: Fleet) -> None:
    """Copy the head of the history to its witnesses, now that nobody waits for it."""
    try:
        fleet.history().witness()
    except EvctlError as error:
        output.say(UNKNOWN, f"the history has no witness: {error}")


class Announcer:
    """A rollout's progress, passed on. Each new state goes into the history as well, and to the
    fleet's webhook; what nodes should run, into their orders. What may be slow, webhook, orders and
    witnesses, is waited for when the rollout is over, and not for long."""

    def __init__(self, output: Output, fleet: Fleet, progress: Progress) -> None:
        self._output = output
        self._fleet = fleet
        self._progress = progress
        self._state: str | None = None
        self._webhook = self._open_webhook()
        self._orders = Publisher(fleet, lambda why: output.say(UNKNOWN, f"orders: {why}"))

    def __enter__(self) -> Announcer:
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.close()
        if self._webhook:
            self._webhook.close()
        witness(self._output, self._fleet)

    def event(self, document: Document, event: str, facts: dict[str, Any]) -> None:
        before, self._state = self._state, document.state
        if before is None:  # nothing is begun that can't be written down
            head = record(self._fleet, document.kind, _facts(document), why=document.reason)
            self._post(document, head)
        self._progress(document, event, facts)
        self._orders.changed()
        if before not in (None, document.state):
            self._post(document, self._recorded(document))

    def _recorded(self, document: Document) -> Head | None:
        try:
            return record(self._fleet, document.kind, _facts(document), why=document.reason)
        except EvctlError as error:
            self._output.say(UNKNOWN, f"not in the history: {error}")
            return None

    def _open_webhook(self) -> Webhook | None:
        if self._fleet.config.webhook is None:
            return None
        try:
            return Webhook(read_url(self._fleet.config.webhook), self._complain)
        except NoWebhook as error:
            self._complain(str(error))
            return None

    def _complain(self, why: str) -> None:
        self._output.say(UNKNOWN, f"webhook: {why}")

    def _post(self, document: Document, head: Head | None) -> None:
        if self._webhook:
            self._webhook.post(message(self._fleet.config.name, document, head))


def message(fleet: str, document: Document, head: Head | None) -> dict[str, Any]:
    """What a webhook is sent, in Slack's shape. head: of the history; whoever keeps the message can
    prove with it that nothing was cut off since."""
    facts = _facts(document)
    to = ", ".join(facts["to"])
    said = f"{document.id} {document.state}: {document.kind} to {to} on {facts['nodes']}"
    fields = {
        "fleet": fleet,
        "rollout": document.id,
        "state": document.state,
        "release": to,
        "nodes": facts["nodes"],
        "by": document.operator,
        "why": document.reason,
        "note": document.note,
        "history": str(head or ""),
    }
    return {
        "text": escaped(f"{GLYPHS.get(document.state, NOTE)} {said} · by {document.operator}"),
        "attachments": [
            {
                "fallback": escaped(said),
                "color": _COLORS.get(document.state, "warning"),
                "fields": [
                    {"title": title, "value": escaped(value), "short": len(value) < SHORT}
                    for title, value in fields.items()
                    if value
                ],
            }
        ],
    }


SHORT = 40
GLYPHS = {
    "converged": GOOD,
    "rolled_back": BAD,
    "aborted": BAD,
    "failed": BAD,
    "partial": UNKNOWN,
    "paused": UNKNOWN,
}
_COLORS = {
    "running": "#439fe0",
    "converged": "good",
    "rolled_back": "danger",
    "aborted": "danger",
    "failed": "danger",
}


def _facts(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "state": document.state,
        "to": sorted({record.to for record in document.nodes.values()}),
        "nodes": fold(document.nodes),
        "operator": document.operator,
        "plan": document.plan,
    }
