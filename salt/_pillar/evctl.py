"""External pillar: who a node is, by the master's own map, and which release it should run."""

from cli.node_pillar import node_pillar

__virtualname__ = "evctl"


def ext_pillar(minion_id, pillar, fleet, tokens):  # noqa: ARG001 - Salt passes it
    """Settings in the master's file: `ext_pillar: [{evctl: {fleet: PATH, tokens: FOLDER}}]`."""
    return {"evctl": node_pillar(minion_id, __grains__, fleet, tokens)}
