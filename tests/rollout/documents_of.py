"""Documents of rollouts for tests: no fleet is needed to make one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artifacts.gates import Gate
from cli.rollout.document import Document, Kind, Limits, NodeRecord, Probe
from cli.rollout.plan import CANARIES, capacities, waves

OLD, NEW = "1.0.0-aaaaaaaaaaaa", "1.1.0-bbbbbbbbbbbb"


def document_of(
    roles: Mapping[str, str],
    *,
    kind: Kind = "rollout",
    rollout_id: str = "R000001",
    before: Mapping[str, str | None] | None = None,
    fleet: Mapping[str, int] | None = None,
    floors: Mapping[str, int] | None = None,
    gates: Mapping[str, tuple[Gate, ...]] | None = None,
    gate_command: tuple[str, ...] = (),
    probe: Probe | None = None,
    **limits: Any,
) -> Document:
    """A planned rollout from OLD to NEW of these nodes (node → role)."""
    sizes: dict[str, int] = {}
    for role in roles.values():
        sizes[role] = sizes.get(role, 0) + 1
    nodes = {
        node: NodeRecord(role=role, before=(before or {}).get(node, OLD), to=NEW)
        for node, role in roles.items()
    }
    capacity = capacities(fleet or sizes, nodes, floors or {})
    return Document(
        id=rollout_id,
        kind=kind,
        operator="ada",
        reason="",
        range=",".join(roles),
        created_at=1000.0,
        nodes=nodes,
        waves=waves(
            roles,
            fleet or sizes,
            canaries=CANARIES if kind == "rollout" else 0,
            capacity=capacity,
        ),
        limits=Limits(**{"bake_s": 0.0, "hold_s": 0.0, **limits}),
        capacity=capacity,
        gates=dict(gates or {}),
        gate_command=gate_command,
        probe=probe,
    ).planned()
