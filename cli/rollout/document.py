"""What a rollout is: plain data. Every change of it goes through `logged`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from artifacts.gates import Gate
from cli.moments import is_moment
from cli.rollout.errors import DocumentChanged

Kind = Literal["rollout", "rollback"]
State = Literal[
    "running",  # on its way, driven or waiting for a driver
    "paused",  # held by its operator, a gate, a window or a floor: `resume` goes on
    "rolling_back",  # too many nodes have failed or fallen silent: all go back
    "aborting",  # its operator wants all to go back
    "converged",  # every node has passed its gate
    "rolled_back",  # every node that changed serves what it served before
    "aborted",  # the same, because its operator wanted it
    "failed",  # some node could neither come along nor go back
    "partial",  # some node fell silent, or failed within the limits: the others are done
]
NodeState = Literal[
    "planned",  # nothing was asked of it yet
    "prefetched",  # it has the release; it serves what it served before
    "swapping",  # it was asked to swap, and has not answered yet
    "swapped",  # it says that it swapped
    "healthy",  # it has passed its wave's gate: done
    "failed",  # it answered that it could not, and serves what it served before
    "unhealthy",  # it swapped, and then did not pass the gate
    "silent",  # it did not answer: nothing is known
    "reverted",  # it serves again what it served before
    "stuck",  # it could not go back
]
FINAL: tuple[State, ...] = ("converged", "rolled_back", "aborted", "failed", "partial")
BACK: tuple[State, ...] = ("rolling_back", "aborting")


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node of a rollout. before: what it served when the rollout was planned, if anything; of
    one that was away, and did not answer then: what it should have served.
    fault: how it first went wrong, whatever became of it later: what the limits count.
    swap, revert: what it answered; {} when it was asked, and nothing is known; None: not asked."""

    role: str
    before: str | None
    to: str
    away: bool = False
    state: NodeState = "planned"
    fault: Literal["failed", "silent"] | None = None
    swap: dict[str, Any] | None = None
    revert: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    def served(self) -> bool:
        """When the rollout was planned. What did not serve then is no loss while it swaps."""
        return self.before is not None and not self.away

    def releases(self) -> set[str]:
        """Those that the node may be asked to serve: none of them may leave it meanwhile."""
        return {release for release in (self.before, self.to) if release}


@dataclass(frozen=True)
class Limits:
    """Bounds on what nodes are waited for, how long a wave must stay healthy, and how much longer
    its gates may wait for traffic (seconds); and how many nodes of the whole rollout may fail, or
    fall silent, before all go back."""

    prefetch_s: float = 300.0
    swap_s: float = 120.0
    status_s: float = 15.0
    bake_s: float = 1.0
    hold_s: float = 60.0
    max_fail: int = 0
    max_unreachable: int = 0


@dataclass(frozen=True)
class Capacity:
    """Of one role in the fleet: how many nodes serve at the start, and never fewer than that."""

    serving: int
    floor: int


@dataclass(frozen=True)
class Probe:
    """The app's own: a tool of it, with these arguments, on the first of these nodes that can run
    it. missing: why there is none that could."""

    tool: str
    arguments: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A rollout. waves: node ids, in the order in which they are changed; the first ones are the
    canaries. capacity: by role. closed: windows in which no further node is changed. plan: the
    digest of what was planned. driver: who drives it, or drove it last. back: it goes, or went,
    back. note: why it is in its state. Times are Unix seconds."""

    id: str
    kind: Kind
    operator: str
    reason: str
    range: str
    created_at: float
    nodes: dict[str, NodeRecord]
    waves: tuple[tuple[str, ...], ...]
    limits: Limits = Limits()
    capacity: dict[str, Capacity] = field(default_factory=dict)
    closed: tuple[str, ...] = ()
    in_closed_window: bool = False
    checks: tuple[str, ...] = ()
    gates: dict[str, tuple[Gate, ...]] = field(default_factory=dict)
    gate_command: tuple[str, ...] = ()
    probe: Probe | None = None
    beside: dict[str, str] = field(default_factory=dict)
    plan: str = ""
    driver: str = ""
    state: State = "running"
    back: bool = False
    note: str = ""
    ended_at: float | None = None
    log: tuple[dict[str, Any], ...] = field(default=())

    def with_node(self, node_id: str, **changes: Any) -> Document:
        record = replace(self.nodes[node_id], **changes)
        return replace(self, nodes={**self.nodes, node_id: record})

    def logged(self, at: float, event: str, **facts: Any) -> Document:
        """With one more entry in the log; each entry's digest covers all before it."""
        entry = {"at": round(at, 3), "event": event, **facts}
        before = self.log[-1]["digest"] if self.log else ""
        return replace(self, log=(*self.log, {**entry, "digest": _digest(before, entry)}))

    def planned(self) -> Document:
        """With the digest of its plan: what is carried out later is what was shown now."""
        return replace(self, plan=plan_digest(self))

    def has_asked(self) -> bool:
        """Whether any node was asked for anything."""
        return any("nodes" in entry for entry in self.log)

    def may_abort(self) -> bool:
        """A rollback may not: it is the way back. What goes back already can't be told to."""
        return self.kind == "rollout" and self.state in ("running", "paused")

    def ways_on(self) -> str:
        """The commands for one that has not ended, and that nobody drives."""
        resume = f"evctl rollout resume {self.id}"
        return f"{resume} | evctl rollout abort {self.id}" if self.may_abort() else resume

    def bakes(self) -> bool:
        """Whether there is more to see of a node than that it serves: for a time, or by a gate."""
        return bool(self.limits.bake_s or self.gates or self.gate_command or self.probe)

    def in_state(self, *states: NodeState) -> list[str]:
        """Ids of the nodes in one of these states, in the waves' order."""
        return [n for wave in self.waves for n in wave if self.nodes[n].state in states]

    def wave_of(self, node_id: str) -> int:
        """Counted from 1."""
        return next(k for k, wave in enumerate(self.waves, 1) if node_id in wave)


def plan_digest(document: Document) -> str:
    """Of all that is fixed when a rollout is planned, so that one can say which plan was meant."""
    moves = {node: (r.role, r.before, r.to, r.away) for node, r in document.nodes.items()}
    fixed = {
        "kind": document.kind,
        "nodes": moves,
        "waves": document.waves,
        "limits": asdict(document.limits),
        "capacity": {role: asdict(capacity) for role, capacity in document.capacity.items()},
        "closed": document.closed,
        "checks": document.checks,
        "gates": {role: [asdict(gate) for gate in gates] for role, gates in document.gates.items()},
        "gate_command": document.gate_command,
    }
    if document.probe:
        fixed["probe"] = asdict(document.probe)
    return f"p-{_digest('', fixed)[:12]}"


def encode(document: Document) -> bytes:
    return json.dumps(asdict(document), indent=1, sort_keys=True).encode()


def decode(body: bytes, rollout_id: str = "") -> Document:
    """The inverse of `encode`. DocumentChanged when it is damaged, isn't the one that was asked
    for, or the log's chain is broken."""
    try:
        document = _read(json.loads(body))
        if rollout_id not in ("", document.id):
            raise ValueError(f"it is that of {document.id}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DocumentChanged(
            f"the document of {rollout_id or 'a rollout'} can't be read",
            why=" ".join(f"{type(error).__name__} {error}".split()),
            next_step="bring it back from a backup of the documents",
        ) from error
    if document.plan and document.plan != plan_digest(document):
        raise DocumentChanged(
            f"{document.id} isn't what was planned",
            why=f"its plan was {document.plan}",
            next_step="compare it with a backup of the documents",
        )
    before = ""
    for number, entry in enumerate(document.log):
        said = {key: value for key, value in entry.items() if key != "digest"}
        before = _digest(before, said)
        if before != entry.get("digest"):
            raise DocumentChanged(
                f"the log of {document.id} was changed after it was written",
                why=f"entry {number} doesn't fit its digest",
                next_step="compare it with a backup of the documents",
            )
    return document


def _read(raw: dict[str, Any]) -> Document:
    _refuse_misfits(raw)
    return Document(
        **{
            **raw,
            "nodes": {name: NodeRecord(**record) for name, record in raw["nodes"].items()},
            "waves": tuple(tuple(wave) for wave in raw["waves"]),
            "limits": Limits(**raw["limits"]),
            "capacity": {r: Capacity(**said) for r, said in raw.get("capacity", {}).items()},
            "closed": tuple(raw.get("closed", ())),
            "checks": tuple(raw.get("checks", ())),
            "gates": {
                role: tuple(Gate(**{**gate, "series": tuple(gate["series"])}) for gate in gates)
                for role, gates in raw.get("gates", {}).items()
            },
            "gate_command": tuple(raw.get("gate_command", ())),
            "probe": _probe(raw.get("probe")),
            "log": tuple(raw["log"]),
        }
    )


_STATES, _NODE_STATES = frozenset(get_args(State)), frozenset(get_args(NodeState))


def _refuse_misfits(raw: dict[str, Any]) -> None:
    """ValueError for what only a hand has written: nothing could be decided on it."""
    fits = {"state": raw["state"] in _STATES, "log": all(isinstance(e, dict) for e in raw["log"])}
    fits["created_at"] = is_moment(raw["created_at"])
    fits["ended_at"] = raw["ended_at"] is None or is_moment(raw["ended_at"])
    for node, record in raw["nodes"].items():
        said = (record.get(key) for key in ("swap", "revert", "error"))
        fits[node] = record["state"] in _NODE_STATES and all(
            isinstance(each, dict | None) for each in said
        )
    if misfits := [key for key, does in fits.items() if not does]:
        raise ValueError(f"{misfits[0]} has what has no place there")


def _probe(raw: dict[str, Any] | None) -> Probe | None:
    if raw is None:
        return None
    lists = {key: tuple(raw[key]) for key in ("arguments", "nodes")}
    return Probe(**{**raw, **lists})


def _digest(before: str, entry: dict[str, Any]) -> str:
    said = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}\n{said}".encode()).hexdigest()
