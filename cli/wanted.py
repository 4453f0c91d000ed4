"""What a node should run: a rollout's word for it, else what its channel names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from cli.fleet import Fleet, NodeInfo
from cli.rollout.documents import Desired

By = Literal["rollout", "channel"]


def wanted(
    node: NodeInfo, desired: Desired, channel: Mapping[str, str]
) -> tuple[str | None, By | None]:
    """The release, and who says so; None twice when nobody does. channel: the node's, role →
    release."""
    role = node.role or ""
    if by_rollout := desired.release_for(node.id, role):
        return by_rollout, "rollout"
    by_channel = channel.get(role)
    return (by_channel, "channel") if by_channel else (None, None)


def wanted_release(fleet: Fleet, node: NodeInfo) -> str | None:
    """The same, asked for now. No registry is needed for a node that a rollout has a word for."""
    desired = fleet.documents().desired()
    if desired.release_for(node.id, node.role or ""):
        return wanted(node, desired, {})[0]
    return wanted(node, desired, fleet.registry().channel(node.channel))[0]
