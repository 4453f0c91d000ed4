"""From an operator's wish to a draft: what is shown as a plan is what is carried out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import click

from artifacts.errors import EvctlError
from artifacts.gates import Gate
from artifacts.windows import closed_now
from cli.asked import ask
from cli.fleet import Fleet, NodeInfo
from cli.history.entry import user_of
from cli.rollout.compatibility import Change, Order, order
from cli.rollout.document import Document, Kind, Limits, NodeRecord, Probe
from cli.rollout.errors import NodesSilent, StalePlan, WindowClosed
from cli.rollout.plan import CANARIES, Share, capacities, waves
from cli.wanted import wanted

past_one_way_option = click.option(
    "--past-one-way", is_flag=True, help="Although what is written now can't be read then."
)


@dataclass(frozen=True)
class Wish:
    """to: node → the release that it should serve. floors: role → how many must always serve."""

    kind: Kind
    to: dict[str, str]
    range: str
    reason: str = ""
    limits: Limits = field(default_factory=Limits)
    canaries: int = CANARIES
    shares: tuple[Share, ...] = ()
    floors: Mapping[str, int] = field(default_factory=dict)
    past_one_way: bool = False
    closed: tuple[str, ...] = ()
    in_closed_window: bool = False
    gates: Mapping[str, tuple[Gate, ...]] = field(default_factory=dict)
    gate_command: tuple[str, ...] = ()
    probe: Probe | None = None


def draft(fleet: Fleet, wish: Wish) -> Document:
    """A rollout of those of the nodes that serve something else, or were told to. NodesSilent,
    FloorNotKept, SchemasClash, OneWayChange."""
    nodes, told = fleet.nodes(), fleet.documents().desired().nodes
    # A node that is off keeps nobody from going back: it goes when it returns.
    silent_max = len(wish.to) if wish.kind == "rollback" else wish.limits.max_unreachable
    found = asked_now(fleet, sorted(wish.to), silent_max)
    serving = serving_now(fleet, found)
    records = {
        node: _record(found[node], nodes[node].role or "", serving[node], release)
        for node, release in wish.to.items()
        if serving[node] != release or told.get(node, release) != release
    }
    sizes = role_sizes(nodes)
    capacity = capacities(sizes, records, wish.floors, back=wish.kind == "rollback")
    ordered = _order(fleet, records, past_one_way=wish.past_one_way)
    steps = waves(
        {node: record.role for node, record in records.items()},
        sizes,
        canaries=wish.canaries,
        shares=wish.shares,
        zones={node: nodes[node].az for node in records},
        capacity=capacity,
        stages=ordered.stages,
    )
    gates = {role: gates for role, gates in wish.gates.items() if role in capacity}
    return Document(
        id="",
        kind=wish.kind,
        operator=user_of(os.environ),
        reason=wish.reason,
        range=wish.range,
        created_at=round(time.time(), 3),
        nodes=records,
        waves=steps,
        limits=wish.limits,
        capacity=capacity,
        closed=wish.closed,
        in_closed_window=wish.in_closed_window,
        checks=ordered.checks,
        gates=gates,
        gate_command=wish.gate_command,
        probe=wish.probe,
        beside={n.id: n.role for n in nodes.values() if n.role in gates and n.id not in records},
    ).planned()


def _record(said: Mapping[str, Any], role: str, before: str | None, to: str) -> NodeRecord:
    if said["state"] == "silent":
        return NodeRecord(role, before, to, away=True, state="silent", fault="silent")
    has_it = to in said.get("unpacked", ())
    return NodeRecord(role, before, to, state="prefetched" if has_it else "planned")


def _order(fleet: Fleet, records: Mapping[str, NodeRecord], *, past_one_way: bool) -> Order:
    """By the schemas that the releases' manifests name. One that can't be had now, with a registry
    that is away, keeps nobody from going back; that it wasn't compared is said."""
    found = Manifests(fleet)
    changes: dict[str, Change] = {}
    for node in fleet.nodes().values():
        if not node.role:
            continue
        change = changes.get(node.role, Change())
        if record := records.get(node.id):
            after = next(iter(found.facts(record.to, node.role)), {})
            before = (*change.before, *found.facts(record.before, node.role))
            changes[node.role] = replace(change, before=before, after=after)
        else:
            staying = found.facts(found.wanted(node), node.role)
            changes[node.role] = replace(change, staying=(*change.staying, *staying))
    ordered = order(changes, past_one_way=past_one_way)
    missing = tuple(f"{release}: its schemas are not known here" for release in found.missing)
    return replace(ordered, checks=(*ordered.checks, *missing))


class Manifests:
    """What releases say of roles, and nodes should run; each read once. missing: not to be had."""

    def __init__(self, fleet: Fleet) -> None:
        self._registry = fleet.registry()
        self._desired = fleet.documents().desired()
        self._roles: dict[str, dict[str, Any]] = {}
        self._channels: dict[str, dict[str, str]] = {}
        self.missing: list[str] = []

    def facts(self, release: str | None, role: str) -> list[dict[str, Any]]:
        """None or one."""
        if release and release not in self._roles:
            try:
                self._roles[release] = self._registry.manifest(release).roles
            except EvctlError:
                self._roles[release] = {}
                self.missing.append(release)
        found = self._roles[release].get(role) if release else None
        return [found] if found else []

    def wanted(self, node: NodeInfo) -> str | None:
        """What a node should run; None also when there is no registry to ask for its channel."""
        if node.channel not in self._channels and not self._desired.release_for(
            node.id, node.role or ""
        ):
            try:
                self._channels[node.channel] = self._registry.channel(node.channel)
            except EvctlError:
                self._channels[node.channel] = {}
        return wanted(node, self._desired, self._channels.get(node.channel, {}))[0]


def refuse_stale(document: Document, planned: str | None) -> None:
    """StalePlan when another plan was looked at than would be carried out."""
    if planned not in (None, document.plan):
        raise StalePlan(
            f"the plan is {document.plan} now, not {planned}",
            why="nodes, releases or options aren't what they were",
            next_step="look at it with --plan",
        )


def refuse_closed(windows: tuple[str, ...]) -> None:
    """WindowClosed while one of them is."""
    if window := closed_now(windows, time.time()):
        raise WindowClosed(
            f"the window is closed: {window}",
            why="the release's evctl.yaml says so (`closed`)",
            next_step="wait, or evctl rollout --in-closed-window",
        )


def asked_now(fleet: Fleet, nodes: list[str], silent_max: int) -> dict[str, dict[str, Any]]:
    """Node → its status; see cli.asked.ask. NodesSilent when more than so many don't answer."""
    found = ask(fleet, nodes, silent_max)
    silent = [node for node, said in found.items() if said["state"] == "silent"]
    failed = [node for node, said in found.items() if said["state"] == "failed"]
    if failed or len(silent) > silent_max:
        bad = [*silent, *failed]
        raise NodesSilent(
            f"{len(bad)} of {len(nodes)} nodes can't be asked: {', '.join(bad)}",
            why="; ".join(str((found[node].get("error") or {}).get("what")) for node in bad[:3]),
            next_step=f"evctl status; or leave them out of the range: '…!{bad[0]}'"
            + ("" if failed else f"; or --max-unreachable {len(silent)}"),
        )
    return found


def serving_now(fleet: Fleet, found: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    """What each of these nodes serves; of those that don't answer: what they should serve."""
    known, manifests = fleet.nodes(), Manifests(fleet)
    return {
        node: manifests.wanted(known[node]) if said["state"] == "silent" else said["release"]
        for node, said in found.items()
    }


def role_sizes(nodes: Mapping[str, NodeInfo]) -> dict[str, int]:
    """Role → how many nodes the fleet has of it."""
    sizes: dict[str, int] = {}
    for node in nodes.values():
        if node.role:
            sizes[node.role] = sizes.get(node.role, 0) + 1
    return sizes
