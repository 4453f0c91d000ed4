"""`evctl fleet`: what the fleet is, as the master knows it. No node is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import click

from cli.fleet import Fleet
from cli.fleet_view import FleetView, look
from cli.numbers import number_of
from cli.output import BAD, GOOD, NOTE, UNKNOWN, Output, json_option

_GLYPHS = {"joined": GOOD, "refused": BAD}


@dataclass(frozen=True)
class NodeFacts:
    """What is known of a node without asking it. key: also `none` and, when the master's keys
    can't be read, `unknown`. desired_by: `rollout`, `channel` or, when the documents can't be
    read, `unknown`. rollout: who holds its lock."""

    role: str | None
    az: str | None
    address: str | None
    channel: str
    groups: tuple[str, ...]
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
    view = look(known, time.time())
    facts = facts_of(view)
    if as_json:
        output.data(
            {
                "name": known.config.name,
                "path": str(known.path),
                "registry": {"url": known.config.registry, "releases": len(view.releases)},
                "documents": {"url": known.config.documents, "rollouts": len(view.rollouts)},
                "master": {"config": str(known.config.salt_master_config)},
                "troubles": {part: error.to_json() for part, error in view.troubles.items()},
                "nodes": {node: asdict(known_of_it) for node, known_of_it in facts.items()},
            }
        )
    else:
        _show(output, known, view, facts)
    context.exit(next((error.exit_code for error in view.troubles.values()), 0))


def facts_of(view: FleetView) -> dict[str, NodeFacts]:
    """Node → what is known of it, by id."""
    facts = {}
    for node_id, node in sorted(view.nodes.items()):
        wanted, by = view.wanted(node_id)
        facts[node_id] = NodeFacts(
            role=node.role,
            az=node.az,
            address=node.address,
            channel=node.channel,
            groups=node.groups,
            key="unknown" if view.keys is None else view.keys.get(node_id, "none"),
            desired=wanted,
            desired_by=by,
            rollout=view.holders.get(node_id),
        )
    return facts


def _show(output: Output, known: Fleet, view: FleetView, facts: Mapping[str, NodeFacts]) -> None:
    config = known.config
    click.echo(f"fleet {config.name} · {number_of(len(facts), 'node')} · {known.path}")
    for part, place, said in (
        ("registry", config.registry, number_of(len(view.releases), "release")),
        ("documents", config.documents, number_of(len(view.rollouts), "rollout")),
        ("master", config.salt_master_config, "listens"),
    ):
        trouble = view.troubles.get(part)
        glyph = output.mark(BAD if trouble else GOOD)
        click.echo(f"{glyph} {part:10} {place} · {trouble or said}")
    for node, known_of_it in facts.items():
        click.echo(_line(output, node, known_of_it))
    click.echo("next: evctl status asks the nodes what they serve; evctl doctor checks everything")


def _line(output: Output, node: str, facts: NodeFacts) -> str:
    glyph = NOTE if facts.rollout else _GLYPHS.get(facts.key, UNKNOWN)
    nothing = "?" if facts.desired_by == "unknown" else "nothing"
    wants = f"{facts.desired} by {facts.desired_by}" if facts.desired else nothing
    held = f" · {facts.rollout} is at work on it" if facts.rollout else ""
    return (
        f"{output.mark(glyph)} {node:20} {facts.role or '-':14} {facts.az or '-':4} "
        f"{facts.address or '-':15} key {facts.key:8} should run {wants}{held}"
    )
