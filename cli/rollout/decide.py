"""Every decision of a rollout: pure functions over its document.

`decide` says what to do next; `observe` takes in what the nodes answered. Neither knows Salt, time
or disks. A rollout that has failed anywhere goes back everywhere; a rollback goes on instead, so
that one bad node doesn't keep the others on the bad release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from cli.rollout.document import Document, NodeState, State

Action = Literal["prefetch", "swap", "check", "revert"]


@dataclass(frozen=True)
class Command:
    """Ask these nodes for this, all at once. releases: node → release that it is about."""

    action: Action
    releases: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """What a node answered to a command. error: what it said, or that it said nothing."""

    ok: bool
    silent: bool = False
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


BAD: tuple[NodeState, ...] = ("failed", "unhealthy", "silent")


def decide(document: Document) -> Command | State:
    """The next command, or the state in which the rollout ends."""
    if document.state == "rolling_back":
        return _go_back(document)
    if document.kind == "rollout" and (planned := document.in_state("planned")):
        return _ask(document, "prefetch", planned)
    for wave in document.waves:
        waiting = _of(document, wave, "planned", "prefetched")
        if waiting:
            return _ask(document, "swap", waiting)
        swapped = _of(document, wave, "swapped")
        if swapped:
            return _ask(document, "check", swapped)
    if document.in_state("failed", "unhealthy"):
        return "failed"
    return "partial" if document.in_state("silent") else "converged"


def _go_back(document: Document) -> Command | State:
    """Whoever has changed, or may have, goes back to what it served before."""
    changed = [
        node
        for node in document.in_state("swapped", "healthy", "unhealthy", "silent")
        if document.nodes[node].before and document.nodes[node].revert is None
    ]
    if changed:
        before = {node: document.nodes[node].before or "" for node in changed}
        return Command("revert", before)
    if document.in_state("stuck"):
        return "failed"
    return "partial" if document.in_state("silent") else "rolled_back"


def observe(document: Document, command: Command, answers: Mapping[str, Answer]) -> Document:
    """The document after the nodes of a command have answered, each exactly once."""
    for node in command.releases:
        document = _take_in(document, command, node, answers[node])
    if (
        document.kind == "rollout"
        and document.state == "running"
        and any(record.state in BAD for record in document.nodes.values())
    ):
        document = replace(document, state="rolling_back")
    return document


_GOOD: dict[Action, NodeState] = {
    "prefetch": "prefetched",
    "swap": "swapped",
    "check": "healthy",
    "revert": "reverted",
}
_REFUSED: dict[Action, NodeState] = {
    "prefetch": "failed",
    "swap": "failed",
    "check": "unhealthy",
    "revert": "stuck",
}


def _take_in(document: Document, command: Command, node: str, answer: Answer) -> Document:
    changes: dict[str, Any] = {}
    if answer.ok:
        changes["state"] = _GOOD[command.action]
    else:
        changes["state"] = "silent" if answer.silent else _REFUSED[command.action]
        changes["error"] = document.nodes[node].error or answer.error
    if command.action == "swap":
        changes["swap"] = answer.result
    if command.action == "revert":
        changes["revert"] = answer.result or {}
    return document.with_node(node, **changes)


def _of(document: Document, wave: tuple[str, ...], *states: NodeState) -> list[str]:
    return [node for node in wave if document.nodes[node].state in states]


def _ask(document: Document, action: Action, nodes: list[str]) -> Command:
    return Command(action, {node: document.nodes[node].to for node in nodes})
