"""What all nodes of a fleet should run, published in the registry by their master, for those that
can't hear it. Signed by a key of the master's own: not the one that signs releases, which is kept
elsewhere.

orders/<fleet>.json   {"fleet", "at", "nodes": {node: release}}, at: Unix seconds, its master's
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from artifacts.layout import check_release_id
from artifacts.node_errors import BadReleaseId
from artifacts.objects import ObjectConflict, ObjectMissing, ObjectStore, check_key
from artifacts.trust import NotTrusted, load_signing_key, public_key, sign, verify

KIND = "orders"
KEY_ID = "orders"


@dataclass(frozen=True)
class Orders:
    fleet: str
    at: float
    nodes: dict[str, str]


def publish(objects: ObjectStore, orders: Orders, key: Path) -> bool:
    """Put them where nodes find them. False: the same lie there, or newer ones. BadKey."""
    private = load_signing_key(key)
    etag = None
    try:
        lying = objects.get(_key(orders.fleet))
        etag = lying.etag
        before = _read(lying.body, public_key(private))
        if before.at >= orders.at or before.nodes == orders.nodes:
            return False
    except (ObjectMissing, NotTrusted):
        pass  # none yet, or another key's: replaced
    body = json.dumps(asdict(orders), sort_keys=True).encode()
    signed = sign(KIND, body, private, KEY_ID)
    try:
        objects.put(_key(orders.fleet), signed, if_match=etag, if_absent=etag is None)
    except ObjectConflict:
        return (
            False  # someone was quicker, with what was wanted a moment ago: the next one mends it
        )
    return True


def read(objects: ObjectStore, fleet: str, public: str) -> Orders | None:
    """Those that lie there; None when there are none. NotTrusted."""
    try:
        orders = _read(objects.get(_key(fleet)).body, public)
    except ObjectMissing:
        return None
    if orders.fleet != fleet:
        raise NotTrusted(f"under the orders of {fleet} lie those of {orders.fleet}")
    return orders


def _read(signed: bytes, public: str) -> Orders:
    payload = verify(KIND, signed, {KEY_ID: public})
    try:
        raw = json.loads(payload)
        nodes = {str(node): check_release_id(release) for node, release in raw["nodes"].items()}
        return Orders(str(raw["fleet"]), float(raw["at"]), nodes)
    except (ValueError, KeyError, TypeError, AttributeError, BadReleaseId) as error:
        raise NotTrusted("these orders can't be read", why=str(error)) from error


def _key(fleet: str) -> str:
    return check_key(f"orders/{fleet}.json")
