"""Every decision of a rollout: pure functions over its document.

`decide` says what to do next; `begin` and `observe` take in what was asked and what the nodes
answered; `wanted` says what each node should run meanwhile. None of them knows Salt, clocks or
disks. A rollout in which too many nodes fail or fall silent goes back everywhere; a rollback goes
on instead, so that one bad node doesn't keep the others on the bad release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from artifacts.windows import closed_now
from cli.rollout.document import BACK, FINAL, Document, NodeRecord, NodeState, State

Action = Literal["prefetch", "swap", "check", "revert"]


@dataclass(frozen=True)
class Command:
    """Ask these nodes for this, all at once. releases: node → release that it is about."""

    action: Action
    releases: dict[str, str]


@dataclass(frozen=True)
class Turn:
    """Nobody is asked: the rollout goes into another state, or stays in the one where it ended."""

    state: State
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """What a node answered to a command. error: what it said, or that it said nothing.
    held: nothing is wrong with it, and why that isn't enough to go on. proven: to a swap, that it
    serves the release by its own word already, and nothing more is to be looked at."""

    ok: bool
    silent: bool = False
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    held: str = ""
    proven: bool = False


# A node in one of these states isn't counted as serving; one that didn't serve before never is.
OUT: tuple[NodeState, ...] = ("swapping", "swapped", "unhealthy", "silent", "stuck")


def decide(document: Document, now: float) -> Command | Turn:
    """What comes next. now: Unix seconds."""
    if document.state in BACK:
        return _go_back(document)
    if document.state != "running":
        return Turn(document.state, document.note)
    over = over_limit(document) if document.kind == "rollout" else ""
    return Turn("rolling_back", over) if over else _go_on(document, now)


def _go_on(document: Document, now: float) -> Command | Turn:
    forward = document.kind == "rollout"
    if forward and (planned := document.in_state("planned")):
        return _ask(document, "prefetch", planned)
    for wave in document.waves:
        if swapped := _of(document, wave, "swapped"):
            return _ask(document, "check", swapped)
        if forward and (unhealthy := _to_revert(document, wave, "unhealthy")):
            return _revert(document, unhealthy)
        if waiting := _of(document, wave, "swapping", "planned", "prefetched"):
            return _swap(document, waiting, now)
    return Turn(_end(document))


def over_limit(document: Document) -> str:
    """Why a rollout must go back: more nodes than may have failed, or fallen silent."""
    limits = document.limits
    for fault, at_most in (("failed", limits.max_fail), ("silent", limits.max_unreachable)):
        nodes = [node for node, record in document.nodes.items() if record.fault == fault]
        if len(nodes) > at_most:
            return f"{len(nodes)} {fault} ({', '.join(sorted(nodes)[:5])}), at most {at_most} may"
    return ""


def _swap(document: Document, waiting: list[str], now: float) -> Command | Turn:
    """As many of a wave as the floors leave room for. One that was asked already is asked again:
    its driver may have died before it could answer."""
    held = document.kind == "rollout" and not document.in_closed_window
    if held and (window := closed_now(document.closed, now)):
        return Turn("paused", f"the window is closed: {window}")
    takes = [node for node in waiting if document.nodes[node].state != "swapping"]
    chosen = [n for n in waiting if n not in takes] + _with_room(document, takes)
    if chosen:
        return _ask(document, "swap", chosen)
    if document.kind == "rollback":
        return _ask(document, "swap", waiting[:1])  # see _go_back
    role = document.nodes[waiting[0]].role
    out = [node for node, record in document.nodes.items() if _is_out(record, role)]
    floor = document.capacity[role].floor
    return Turn("paused", f"{', '.join(out)} out of service: fewer than {floor} {role} would serve")


def _with_room(document: Document, nodes: list[str]) -> list[str]:
    """Those of these serving nodes that can be taken at once, so that every role keeps its floor.
    A node that did not serve when it was planned takes no room."""
    room: dict[str, int] = {}
    chosen = []
    for node in nodes:
        record = document.nodes[node]
        if record.served() and record.role in document.capacity:
            if record.role not in room:
                room[record.role] = room_of(document, record.role)
            if room[record.role] <= 0:
                continue
            room[record.role] -= 1
        chosen.append(node)
    return chosen


def room_of(document: Document, role: str) -> int:
    """How many more nodes of a role may be taken out of service."""
    capacity = document.capacity[role]
    out = sum(_is_out(record, role) for record in document.nodes.values())
    return capacity.serving - out - capacity.floor


def _is_out(record: NodeRecord, role: str) -> bool:
    if record.role != role or not record.served():
        return False
    # One that fell silent, and is to be asked again, hasn't answered yet.
    return record.state in OUT or (record.state == "planned" and record.fault is not None)


def _go_back(document: Document) -> Command | Turn:
    """Whoever has changed, or may have, goes back to what it served before: first those that don't
    serve for sure, and of the others as many as the floors leave room for. At least one: when
    nodes that are down have broken the floor already, waiting would make nothing better."""
    bad = _to_revert(document, tuple(document.nodes), "swapping", "swapped", "unhealthy", "silent")
    good = _to_revert(document, tuple(document.nodes), "healthy")
    if chosen := [*bad, *_with_room(document, good)] or good[:1]:
        return _revert(document, chosen)
    if document.in_state("stuck"):
        return Turn("failed", document.note)
    if any(document.nodes[node].swap is not None for node in document.in_state("silent")):
        return Turn("partial", document.note)
    return Turn("aborted" if document.state == "aborting" else "rolled_back", document.note)


def _to_revert(document: Document, nodes: tuple[str, ...], *states: NodeState) -> list[str]:
    return [
        node
        for node in _of(document, nodes, *states)
        if (record := document.nodes[node]).before
        and record.swap is not None  # one that fell silent before it was asked has not changed
        and record.revert is None
    ]


def _end(document: Document) -> State:
    states = {record.state for record in document.nodes.values()}
    if "stuck" in states:
        return "failed"
    if document.kind == "rollback" and states & {"failed", "unhealthy"}:
        return "failed"
    return "converged" if states <= {"healthy"} else "partial"


def begin(document: Document, command: Command) -> Document:
    """The document when the nodes of a command are about to be asked: whoever drives it from here
    on knows that they may have changed."""
    if command.action != "swap":
        return document
    nodes = dict(document.nodes)
    for node in command.releases:
        again = nodes[node].swap is not None
        nodes[node] = replace(nodes[node], state="swapping", swap={"again": True} if again else {})
    return replace(document, nodes=nodes)


def turn(document: Document, to: Turn) -> Document:
    """The document in the state that was decided."""
    back = document.back or to.state in BACK
    return replace(document, state=to.state, note=to.note, back=back)


def observe(document: Document, command: Command, answers: Mapping[str, Answer]) -> Document:
    """The document after nodes of a command have answered. Who wasn't waited for to the end, since
    someone has paused or aborted meanwhile, isn't in the answers and stays as it is."""
    nodes = dict(document.nodes)
    held = ""
    for node, answer in answers.items():
        nodes[node] = _take_in(nodes[node], command.action, answer)
        held = held or (answer.held and f"{node}: {answer.held}")
    document = replace(document, nodes=nodes)
    if held and document.state == "running" and not over_limit(document):
        return turn(document, Turn("paused", held))
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


def _take_in(record: NodeRecord, action: Action, answer: Answer) -> NodeRecord:
    if answer.held:
        return record
    changes: dict[str, Any] = {}
    if answer.ok:
        changes["state"] = "healthy" if answer.proven else _GOOD[action]
    else:
        changes["state"] = "silent" if answer.silent else _REFUSED[action]
        if action == "swap" and not answer.silent and (record.swap or {}).get("again"):
            # It may refuse because it swapped the first time, and isn't ready now.
            changes["state"] = "unhealthy"
        changes["error"] = record.error or answer.error
        changes["fault"] = record.fault or ("silent" if answer.silent else "failed")
    if action in ("swap", "revert"):
        changes[action] = answer.result or {}
    return replace(record, **changes)


def wanted(document: Document) -> dict[str, str | None]:
    """What the nodes should run from now on that were asked to change, or went wrong: each finds
    it out by itself when it returns. None: what its role or the channel says, since it served
    nothing before."""
    return {
        node: record.to if _wants_new(document, record) else record.before
        for node, record in document.nodes.items()
        if record.swap is not None or record.fault
    }


def _wants_new(document: Document, record: NodeRecord) -> bool:
    if document.back or record.revert is not None:
        return False
    if record.state in ("failed", "planned", "prefetched"):
        return False
    if record.state == "unhealthy":
        return document.kind == "rollback"
    # A node that was away all the time comes along once the others have proved the release.
    return record.swap is not None or document.state in FINAL


def _of(document: Document, nodes: tuple[str, ...], *states: NodeState) -> list[str]:
    return [node for node in nodes if document.nodes[node].state in states]


def _ask(document: Document, action: Action, nodes: list[str]) -> Command:
    return Command(action, {node: document.nodes[node].to for node in nodes})


def _revert(document: Document, nodes: list[str]) -> Command:
    return Command("revert", {node: document.nodes[node].before or "" for node in nodes})
