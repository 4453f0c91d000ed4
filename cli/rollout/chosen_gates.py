"""Which gates a rollout has: all that its release's evctl.yaml names, unless some are chosen."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from artifacts.gates import ALL, NONE, PROBE, Gate, read_gate
from artifacts.manifest import Manifest
from cli.rollout.document import Probe
from cli.rollout.errors import NoSuchGate

if TYPE_CHECKING:
    from cli.fleet import NodeInfo

PROBE_NODES_MAX = 3  # so many are asked, one after the other, when those before can't run it
ADDRESSES_MAX = 16
_OF_ROLE = re.compile(r"\{([a-z][a-z0-9-]*)\}")


def gates_of(manifest: Manifest, names: Collection[str]) -> dict[str, tuple[Gate, ...]]:
    """Role → its gates of these names. NoSuchGate."""
    every = {
        role: tuple(read_gate(name, raw) for name, raw in facts.get("gates", {}).items())
        for role, facts in manifest.roles.items()
    }
    known = {gate.name for gates in every.values() for gate in gates}
    known |= {PROBE} if _tool(manifest) else set()
    for name in names:
        if name not in known and name not in (ALL, NONE):
            raise NoSuchGate(
                f"{manifest.release} has no gate {name}",
                why=f"it has {', '.join(sorted(known)) or 'none'}",
                next_step="name one of these, or add it under `gates` in evctl.yaml",
            )
    chosen = {
        role: tuple(gate for gate in gates if _is_chosen(gate.name, names))
        for role, gates in every.items()
    }
    return {role: gates for role, gates in chosen.items() if gates}


def probe_of(
    manifest: Manifest,
    names: Collection[str],
    nodes: Mapping[str, NodeInfo],
    first: Collection[str],
) -> Probe | None:
    """The app's probe, where it has one and it is chosen. A word of its arguments with `{role}` in
    it stands once for each node of this role, with its address and port.

    nodes: the fleet's. first: those that are changed; their addresses come first.
    """
    found = _tool(manifest)
    if found is None or not _is_chosen(PROBE, names):
        return None
    role, tool, words = found
    able = sorted(node.id for node in nodes.values() if node.role == role)[:PROBE_NODES_MAX]
    if not able:
        return Probe(tool, missing=f"there is no node of role {role} that could run it")
    in_order = sorted(nodes.values(), key=lambda node: (node.id not in first, node.id))
    arguments: list[str] = []
    for word in words:
        every = list(_expanded(word, manifest.roles, in_order))
        if not every:
            return Probe(tool, missing=f"no node with an address in the map is a {word}")
        arguments += every[:ADDRESSES_MAX]
    return Probe(tool, tuple(arguments), tuple(able))


def _tool(manifest: Manifest) -> tuple[str, str, list[str]] | None:
    """Role, tool and arguments of the app's probe."""
    for role, facts in manifest.roles.items():
        for name, tool in facts.get("tools", {}).items():
            if words := tool.get("probe"):
                return role, name, words
    return None


def _is_chosen(name: str, names: Collection[str]) -> bool:
    return NONE not in names and (not names or ALL in names or name in names)


def _expanded(
    word: str, roles: Mapping[str, Mapping[str, Any]], nodes: Collection[NodeInfo]
) -> Iterator[str]:
    named = _OF_ROLE.search(word)
    if named is None or named[1] not in roles:
        yield word
        return
    for node in nodes:
        if node.role == named[1] and node.address:
            host = f"[{node.address}]" if ":" in node.address else node.address
            yield word.replace(named[0], f"{host}:{roles[named[1]]['listen']}")
