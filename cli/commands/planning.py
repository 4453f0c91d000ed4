"""From an operator's wish to a draft: what is shown as a plan is what is carried out."""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from cli.commands.status import ask
from cli.fleet import Fleet, NodeInfo
from cli.node_pillar import wanted_release
from cli.rollout.document import Document, Kind, Limits, NodeRecord
from cli.rollout.errors import NodesSilent, StalePlan
from cli.rollout.plan import CANARIES, Share, capacities, waves


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
    closed: tuple[str, ...] = ()


def draft(fleet: Fleet, wish: Wish) -> Document:
    """A rollout of those of the nodes that serve something else. NodesSilent, FloorNotKept."""
    nodes = fleet.nodes()
    serving = serving_now(fleet, sorted(wish.to), wish.limits.max_unreachable)
    records = {
        node: NodeRecord(role=nodes[node].role or "", before=serving[node], to=release)
        for node, release in wish.to.items()
        if serving[node] != release
    }
    sizes = role_sizes(nodes)
    capacity = capacities(sizes, records, wish.floors, back=wish.kind == "rollback")
    steps = waves(
        {node: record.role for node, record in records.items()},
        sizes,
        canaries=wish.canaries,
        shares=wish.shares,
        zones={node: nodes[node].az for node in records},
        capacity=capacity,
    )
    return Document(
        id="",
        kind=wish.kind,
        operator=getpass.getuser(),
        reason=wish.reason,
        range=wish.range,
        created_at=round(time.time(), 3),
        nodes=records,
        waves=steps,
        limits=wish.limits,
        capacity=capacity,
        closed=wish.closed,
    ).planned()


def refuse_stale(document: Document, planned: str | None) -> None:
    """StalePlan when another plan was looked at than would be carried out."""
    if planned not in (None, document.plan):
        raise StalePlan(
            f"the plan is {document.plan} now, not {planned}",
            why="nodes, releases or options aren't what they were",
            next_step="look at it with --plan",
        )


def serving_now(fleet: Fleet, nodes: list[str], silent_max: int = 0) -> dict[str, str | None]:
    """What each of these nodes serves; of one that doesn't answer, what it should.
    NodesSilent when more than so many don't answer."""
    found = ask(fleet, nodes)
    silent = [node for node, said in found.items() if said["state"] == "silent"]
    failed = [node for node, said in found.items() if said["state"] == "failed"]
    if failed or len(silent) > silent_max:
        named = ", ".join([*silent, *failed])
        raise NodesSilent(
            f"{len(silent) + len(failed)} of {len(nodes)} nodes can't be asked: {named}",
            why="; ".join(
                str((found[node].get("error") or {}).get("what")) for node in [*silent, *failed][:3]
            ),
            next_step="evctl status; or leave them out of the range: "
            f"'…!{[*silent, *failed][0]}'; or --max-unreachable {len(silent)}",
        )
    roles = fleet.nodes()
    return {
        node: wanted_release(fleet, node, roles[node].role or "")
        if node in silent
        else said["release"]
        for node, said in found.items()
    }


def role_sizes(nodes: Mapping[str, NodeInfo]) -> dict[str, int]:
    """Role → how many nodes the fleet has of it."""
    sizes: dict[str, int] = {}
    for node in nodes.values():
        if node.role:
            sizes[node.role] = sizes.get(node.role, 0) + 1
    return sizes
