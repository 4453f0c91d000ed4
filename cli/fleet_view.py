"""What is known of a fleet without asking its nodes; whatever doesn't answer is named, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from artifacts.errors import EvctlError
from cli.fleet import Fleet, NodeInfo
from cli.rollout.documents import Desired
from cli.salt_master import Key, SaltMaster
from cli.wanted import wanted

T = TypeVar("T")


@dataclass(frozen=True)
class FleetView:
    """channels: name → role → release. keys, desired: None when they can't be read. holders: node →
    rollout that is at work on it. troubles: part → the first error that it gave."""

    nodes: Mapping[str, NodeInfo]
    releases: list[str]
    channels: dict[str, dict[str, str]]
    rollouts: list[str]
    desired: Desired | None
    holders: dict[str, str]
    keys: dict[str, Key] | None
    troubles: dict[str, EvctlError] = field(default_factory=dict)

    def wanted(self, node_id: str) -> tuple[str | None, str | None]:
        """What a node should run, and who says so; `unknown` when the documents can't be read,
        since the channel's word alone is worth nothing."""
        if self.desired is None:
            return None, "unknown"
        node = self.nodes[node_id]
        return wanted(node, self.desired, self.channels.get(node.channel, {}))


def look(fleet: Fleet, now: float) -> FleetView:
    """FleetError when the fleet's own files can't be understood; no other error is raised."""
    nodes = fleet.nodes()
    asked = _Asked()
    registry, documents = fleet.registry, fleet.documents
    followed = sorted({node.channel for node in nodes.values()})
    master = SaltMaster(fleet.config.salt_master_config, fleet.config.network_namespace)
    view = FleetView(
        nodes=nodes,
        releases=asked.of("registry", lambda: registry().releases(), []),
        channels={
            name: asked.of("registry", lambda name=name: registry().channel(name), {})  # type: ignore[misc]
            for name in followed
        },
        rollouts=asked.of("documents", lambda: documents().ids(), []),
        desired=asked.of("documents", lambda: documents().desired(), None),
        holders=asked.of("documents", lambda: documents().holders(now), {}),
        keys=asked.of("master", master.keys, None),
        troubles=asked.troubles,
    )
    asked.of("master", master.check_listens, None)  # last: it moves to the master's network
    return view


class _Asked:
    """Asks what may not answer."""

    def __init__(self) -> None:
        self.troubles: dict[str, EvctlError] = {}

    def of(self, part: str, ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except EvctlError as error:
            self.troubles.setdefault(part, error)
            return otherwise
