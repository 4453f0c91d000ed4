"""Channels, and the way of a release through them: canary → stable, or as fleet.yaml has it.

A channel says what a new node starts with. Nodes that run already are changed by rollouts alone, so
whoever points a channel elsewhere holds the nodes that follow it at what they should run now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from artifacts.errors import EvctlError
from cli.fleet import Fleet, NodeInfo
from cli.rollout.documents import Desired
from cli.salt_master import SaltMaster


class NotPromoted(EvctlError):
    code = "E4301"
    exit_code = 4
    explanation = (
        "A release goes through the channels in the order of fleet.yaml's `channels`: the channel "
        "before must name it, for all of its roles, once that channel is in use."
    )


class NotProven(EvctlError):
    code = "E4302"
    exit_code = 4
    explanation = (
        "A release is promoted when the nodes that follow the channel before it serve it, all of "
        "them, as they say themselves. Roll it out there, or roll back there."
    )


@dataclass(frozen=True)
class Promotion:
    """before, after: role → release of the channel. held: node → what it goes on to run, until a
    rollout says otherwise."""

    channel: str
    release: str
    before: dict[str, str]
    after: dict[str, str]
    held: dict[str, str]


def promotion(fleet: Fleet, release: str, roles: Mapping[str, object], channel: str) -> Promotion:
    """What pointing a channel at a release would change. FleetError: no such channel."""
    fleet.check_channel(channel)
    before = fleet.registry().channel(channel)
    after = {**before, **dict.fromkeys(roles, release)}
    held = {}
    if before not in ({}, after):  # whom nothing was promised has nothing to hold
        joined = _joined(fleet)
        following = {
            id_: node
            for id_, node in fleet.nodes().items()
            if node.channel == channel and (joined is None or id_ in joined)
        }
        held = to_hold(following, fleet.documents().desired(), before, after)
    return Promotion(channel, release, before, after, held)


def to_hold(
    nodes: Mapping[str, NodeInfo],
    desired: Desired,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> dict[str, str]:
    """Node → release, of those of these nodes whom the channel's change would change by itself."""
    held = {}
    for id_, node in nodes.items():
        role = node.role or ""
        told = before.get(role)
        if told and told != after[role] and not desired.release_for(id_, role):
            held[id_] = told
    return held


def require_order(fleet: Fleet, roles: Mapping[str, object], channel: str, release: str) -> None:
    """NotPromoted unless the channel before names it too."""
    earlier = channel_before(fleet, channel)
    named = fleet.registry().channel(earlier) if earlier else {}
    other = sorted(role for role in roles if named.get(role) != release)
    if earlier and named and other:
        said = ", ".join(f"{named.get(role) or 'nothing'} for {role}" for role in other)
        raise NotPromoted(
            f"{channel} comes after {earlier}",
            why=f"{earlier} names {said}",
            next_step=f"evctl promote {release} {earlier}, and a rollout to channel:{earlier}",
        )


def followers(fleet: Fleet, roles: Mapping[str, object], channel: str) -> list[str]:
    """The nodes of these roles that follow the channel before."""
    earlier = channel_before(fleet, channel)
    return [n.id for n in fleet.nodes().values() if n.channel == earlier and n.role in roles]


def require_served(serving: Mapping[str, str | None], channel: str, release: str) -> None:
    """NotProven unless all of them serve it. serving: of the channel before, node → release."""
    others = [node for node, serves in sorted(serving.items()) if serves != release]
    if others:
        first = others[0]
        raise NotProven(
            f"{release} is not served by all who come before {channel}: {', '.join(others)}",
            why=f"{first} serves {serving[first] or 'nothing'}",
            next_step=f"evctl rollout --range '{','.join(others)}' --to {release}",
        )


def channel_before(fleet: Fleet, channel: str) -> str | None:
    place = fleet.config.channels.index(channel)
    return fleet.config.channels[place - 1] if place else None


def point(fleet: Fleet, change: Promotion) -> None:
    """Hold first: a node that polls just now must not be changed by itself."""
    if change.held:
        fleet.documents().want(change.held)
    fleet.registry().set_channel(change.channel, change.after, fleet.signing_key())


def _joined(fleet: Fleet) -> frozenset[str] | None:
    """None when it isn't known who has: then nobody is left out."""
    master = SaltMaster(fleet.config.salt_master_config, fleet.config.network_namespace)
    try:
        return frozenset(node for node, key in master.keys().items() if key == "joined")
    except EvctlError:
        return None
