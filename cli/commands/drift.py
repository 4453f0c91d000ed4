"""`evctl drift`: which nodes don't serve what they should."""

from __future__ import annotations

import time
from typing import Any

import click

from cli.commands.planning import Manifests
from cli.commands.status import SILENT_EXIT, ask, client_of
from cli.fleet import Fleet
from cli.output import BAD, GOOD, NOTE, UNKNOWN, Output, json_option, yes_option
from cli.ranges import counted, nodes_in
from cli.rollout.ask import answer_of
from cli.rollout.document import Limits

DRIFTED_EXIT = 3
_GLYPHS = {"right": GOOD, "drifted": BAD, "silent": UNKNOWN, "failed": BAD, "changing": NOTE}


@click.command()
@click.option(
    "--range", "expression", metavar="EXPR", help="Only these nodes; all, when it isn't given."
)
@click.option("--mend", is_flag=True, help="Bring those that drifted to what they should serve.")
@yes_option
@json_option
@click.pass_context
def drift(
    context: click.Context, *, expression: str | None, mend: bool, yes: bool, as_json: bool
) -> None:
    """Which nodes don't serve what they should: changed by hand, or not there yet.

    Each node is asked. What it should serve is what the last rollout left it with, else what the
    channel says. A node that a rollout is at work on is left alone. Exit code 3 when some drifted,
    7 when some don't answer.

    \b
    Examples:
      evctl drift
      evctl drift --range role:collector --mend --yes
    """
    output: Output = context.obj
    fleet = output.load_fleet()
    nodes = fleet.nodes()
    asked = nodes_in(expression, nodes) if expression else sorted(nodes)
    found = compare(fleet, asked)
    drifted = [node for node, said in found.items() if said["state"] == "drifted"]
    if mend and drifted:
        output.confirm(f"Mend {counted(drifted)}?", yes)
        _mend(fleet, drifted)
        found |= compare(fleet, drifted)
    if as_json:
        output.data({"nodes": found})
    else:
        for node, said in found.items():
            click.echo(_line(output, node, said))
    states = {said["state"] for said in found.values()}
    if states & {"silent", "failed"}:
        context.exit(SILENT_EXIT)
    context.exit(DRIFTED_EXIT if "drifted" in states else 0)


def compare(fleet: Fleet, nodes: list[str]) -> dict[str, dict[str, Any]]:
    """Node → {"state", "serves", "should"}; state: right, drifted, silent, failed or changing."""
    known, wanted = fleet.nodes(), Manifests(fleet)
    holders = fleet.documents().holders(time.time())
    found = {}
    for node, said in ask(fleet, nodes).items():
        should = wanted.wanted(node, known[node].role or "")
        running = [generation["release"] for generation in said.get("generations", [])]
        state = said["state"]
        if state in ("serving", "idle"):
            state = "right" if running == ([should] if should else []) else "drifted"
        if node in holders:
            state = "changing"
        found[node] = {
            "state": state,
            "serves": said["release"],
            "should": should,
            "rollout": holders.get(node),
        }
    return found


def _mend(fleet: Fleet, nodes: list[str]) -> None:
    """Each asks the master what it should be, and becomes it: as it does by itself at a boot."""
    client = client_of(fleet)
    for returned in client.call(nodes, "evrelease.converge", {}, Limits.swap_s):
        answer = answer_of(returned)
        if not answer.ok:
            what = (answer.error or {}).get("what")
            click.echo(f"{returned.node}: {what}", err=True)


def _line(output: Output, node: str, said: dict[str, Any]) -> str:
    glyph = output.mark(_GLYPHS[said["state"]])
    told = {
        "right": said["serves"] or "serves nothing, and should not",
        "drifted": f"serves {said['serves'] or 'nothing'}, should {said['should'] or 'nothing'}",
        "silent": "no answer",
        "failed": "can't be asked",
        "changing": f"{said['rollout']} is at work on it",
    }[said["state"]]
    return f"{glyph} {node:20} {said['state']:8} {told}"
