"""`evctl fleet`: what the fleet is, as the master knows it. No node is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import click

from artifacts.errors import EvctlError
from cli.fleet import Fleet, NodeInfo
from cli.node_pillar import CHANNEL
from cli.output import BAD, GOOD, NOTE, UNKNOWN, Output, json_option
from cli.rollout.documents import Desired
from cli.salt_master import Key, SaltMaster

_GLYPHS = {"joined": GOOD, "refused": BAD}


@dataclass(frozen=True)
class NodeFacts:
    """What is known of a node without asking it. key: also `none` and, when the master's keys
    can't be read, `unknown`. desired_by: `rollout`, `channel` or, when the documents can't be
    read, `unknown`. rollout: who holds its lock."""

    role: str | None
    az: str | None
    address: str | None
    key: str
    desired: str | None
    desired_by: str | None
    rollout: str | None


@click.command()
@json_option
@click.pass_context
def fleet(context: click.Context, as_json: bool) -> None:
    """What the fleet is: its nodes, whether they joined, what they should run, and which rollout
    is at work on them; its registry, documents and master, and whether these answer.

    No node is asked: `evctl status` does that. When one of the three doesn't answer, the rest is
    shown all the same, and the exit code is that of the first trouble.

    \b
    Examples:
      evctl fleet
      evctl fleet --json
    """
    output: Output = context.obj
    known = output.load_fleet()
    nodes = known.nodes()
    asked = _Asked()
    releases = asked.of("registry", lambda: known.registry().releases(), [])
    channel = asked.of("registry", lambda: known.registry().channel(CHANNEL), {})
    ids = asked.of("documents", lambda: known.documents().ids(), [])
    desired = asked.of("documents", lambda: known.documents().desired(), None)
    holders = asked.of("documents", lambda: known.documents().holders(time.time()), {})
    master = SaltMaster(known.config.salt_master_config, known.config.network_namespace)
    keys = asked.of("master", master.keys, None)
    asked.of("master", master.check_listens, None)  # last: it moves to the master's network
    facts = facts_of(nodes, keys, desired, channel, holders)
    troubles = asked.troubles
    if as_json:
        output.data(
            {
                "name": known.config.name,
                "path": str(known.path),
                "registry": {"url": known.config.registry, "releases": len(releases)},
                "documents": {"url": known.config.documents, "rollouts": len(ids)},
                "master": {"config": str(known.config.salt_master_config)},
                "troubles": {part: error.to_json() for part, error in troubles.items()},
                "nodes": {node: asdict(known_of_it) for node, known_of_it in facts.items()},
            }
        )
    else:
        _show(output, known, facts, troubles, {"registry": f"{len(releases)} releases",
              "documents": f"{len(ids)} rollouts", "master": "listens"})  # fmt: skip
    context.exit(next((error.exit_code for error in troubles.values()), 0))


class _Asked:
    """Asks what may not answer. troubles: part → the first error that it gave."""

    def __init__(self) -> None:
        self.troubles: dict[str, EvctlError] = {}

    def of(self, part: str, ask: Any, otherwise: Any) -> Any:
        try:
            return ask()
        except EvctlError as error:
            self.troubles.setdefault(part, error)
            return otherwise


def facts_of(
    nodes: Mapping[str, NodeInfo],
    keys: Mapping[str, Key] | None,
    desired: Desired | None,
    channel: Mapping[str, str],
    holders: Mapping[str, str],
) -> dict[str, NodeFacts]:
    """Node → what is known of it, by id."""
    facts = {}
    for node_id, node in sorted(nodes.items()):
        wanted, by = _wanted(node_id, node.role or "", desired, channel)
        facts[node_id] = NodeFacts(
            role=node.role,
            az=node.az,
            address=node.address,
            key="unknown" if keys is None else keys.get(node_id, "none"),
            desired=wanted,
            desired_by=by,
            rollout=holders.get(node_id),
        )
    return facts


def _wanted(
    node_id: str, role: str, desired: Desired | None, channel: Mapping[str, str]
) -> tuple[str | None, str | None]:
    """What the node should run, and who says so. A rollout's word comes before the channel's, so
    that the channel's alone is worth nothing."""
    if desired is None:
        return None, "unknown"
    if by_rollout := desired.release_for(node_id, role):
        return by_rollout, "rollout"
    by_channel = channel.get(role)
    return by_channel, "channel" if by_channel else None


def _show(
    output: Output,
    known: Fleet,
    facts: Mapping[str, NodeFacts],
    troubles: Mapping[str, EvctlError],
    fine: Mapping[str, str],
) -> None:
    config = known.config
    click.echo(f"fleet {config.name} · {len(facts)} nodes · {known.path}")
    places = (config.registry, config.documents, config.salt_master_config)
    for (part, said), place in zip(fine.items(), places, strict=True):
        trouble = troubles.get(part)
        glyph = output.mark(BAD if trouble else GOOD)
        click.echo(f"{glyph} {part:10} {place} · {trouble or said}")
    for node, known_of_it in facts.items():
        click.echo(_line(output, node, known_of_it))
    click.echo("next: evctl status asks the nodes what they serve")


def _line(output: Output, node: str, facts: NodeFacts) -> str:
    glyph = NOTE if facts.rollout else _GLYPHS.get(facts.key, UNKNOWN)
    nothing = "?" if facts.desired_by == "unknown" else "nothing"
    wants = f"{facts.desired} by {facts.desired_by}" if facts.desired else nothing
    held = f" · {facts.rollout} is at work on it" if facts.rollout else ""
    return (
        f"{output.mark(glyph)} {node:20} {facts.role or '-':14} {facts.az or '-':4} "
        f"{facts.address or '-':15} key {facts.key:8} should run {wants}{held}"
    )
