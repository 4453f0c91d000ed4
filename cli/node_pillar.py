"""What the master tells a node about itself: computed anew whenever the node asks."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifacts.errors import EvctlError
from cli import tokens
from cli.fleet import Fleet, NodeInfo
from cli.orders import trusted_orders
from cli.rollout.documents import Documents
from cli.wanted import wanted_release

log = logging.getLogger(__name__)


def node_pillar(
    node_id: str, grains: Mapping[str, Any], fleet_file: str, tokens_folder: str
) -> dict[str, Any]:
    """Pillar `evctl` of one node; empty for a node that isn't on the map or whose token was not
    issued to it. A node without a release gets the reason as `problem`.

    role, address: from the master's map; release: from the desired releases, else from the node's
    channel; port, ready_s, drain_s: from the release's manifest; rollout: the one that is
    at work on the node just now: until it has ended, the node leaves its release to it; pinned:
    what that rollout and the desired releases name, which the node may not prune; None: not known;
    at: when this was said; orders: what the node needs to believe the master's orders.
    """
    if not tokens.redeem(Path(tokens_folder), node_id, str(grains.get(tokens.GRAIN, ""))):
        log.error("node %s asked for its pillar with a token that was not issued to it", node_id)
        return {}
    try:
        fleet = Fleet.load(Path(fleet_file))
        node = fleet.node(node_id)
        if node is None:
            return {}
        known: dict[str, Any] = {
            "id": node_id,
            "role": node.role,
            "address": node.address,
            "trust": fleet.config.trust,
            "at": round(time.time(), 3),
            "orders": _orders(fleet),
        }
        if node.role is None:
            return known | {"release": None, "problem": "the map of nodes gives it no role"}
        documents = fleet.documents()
        known["rollout"] = documents.holder(node_id, time.time())
        known["pinned"] = _pinned(documents, node_id, node.role, known["rollout"])
        return known | _release(fleet, node, node.role)
    except EvctlError as error:
        log.error("no pillar for node %s: %s", node_id, error)
        return {"id": node_id, "problem": str(error)}


def _orders(fleet: Fleet) -> dict[str, str] | None:
    """A key that can't be read is the master's trouble: its nodes go on without orders."""
    try:
        return trusted_orders(fleet)
    except EvctlError as error:
        log.error("nodes are told to believe no orders: %s", error)
        return None


def _pinned(documents: Documents, node_id: str, role: str, rollout: str | None) -> list[str] | None:
    """None when the rollout can't be read: then nobody knows what it needs."""
    desired = documents.desired().release_for(node_id, role)
    pinned = {desired} if desired else set()
    if rollout:
        try:
            pinned |= documents.load(rollout).document.nodes[node_id].releases()
        except EvctlError as error:
            log.error("node %s may prune nothing: %s", node_id, error)
            return None
    return sorted(pinned)


def _release(fleet: Fleet, node: NodeInfo, role_name: str) -> dict[str, Any]:
    try:
        release = wanted_release(fleet, node)
        if release is None:
            problem = f"no release on channel {node.channel} for {role_name}"
            return {"release": None, "problem": problem}
        role = fleet.registry().manifest(release).roles.get(role_name)
    except EvctlError as error:
        return {"release": None, "problem": str(error)}
    if role is None:
        return {"release": None, "problem": f"release {release} has no role {role_name}"}
    return {
        "release": release,
        "port": role["listen"],
        "ready_s": role["ready_s"],
        "drain_s": role["drain_s"],
    }
