"""`evctl status`: what each node serves, as the node itself says."""

from __future__ import annotations

import shlex
from typing import Any

import click

from cli.asked import Asked, ask
from cli.output import BAD, GOOD, UNKNOWN, Output, echo, json_option
from cli.ranges import fold, nodes_in

SILENT_EXIT = 7


@click.command()
@click.option(
    "--range", "expression", metavar="EXPR", help="Only these nodes; all, when it isn't given."
)
@json_option
@click.pass_context
def status(context: click.Context, expression: str | None, as_json: bool) -> None:
    """What each node serves: its own generation was asked, over its own socket.

    Exit code 7 when a node doesn't answer.

    \b
    Examples:
      evctl status
      evctl status --range role:collector --json
    """
    output: Output = context.obj
    fleet = output.load_fleet()
    nodes = fleet.nodes()
    asked = sorted(nodes) if expression is None else nodes_in(expression, nodes, Asked(fleet))
    found = ask(fleet, asked)
    if as_json:
        output.data({"nodes": found})
    else:
        for node, said in found.items():
            click.echo(_line(output, node, nodes[node].role, said))
        if not found:
            click.echo("no nodes yet · next: evctl lab up")
        if odd := [node for node, said in found.items() if said["state"] in ("silent", "failed")]:
            echo(f"next: evctl doctor --range {shlex.quote(fold(odd))}", err=True)
    if any(said["state"] == "silent" for said in found.values()):
        context.exit(SILENT_EXIT)


def _line(output: Output, node: str, role: str | None, said: dict[str, Any]) -> str:
    if said["state"] == "serving":
        running = len(said["generations"])
        more = f" · {running} generations" if running > 1 else ""
        return f"{output.mark(GOOD)} {node:20} {role or '-':16} {said['release']}{more}"
    if said["state"] == "idle":
        return f"{output.mark(UNKNOWN)} {node:20} {role or '-':16} serves nothing"
    glyph = UNKNOWN if said["state"] == "silent" else BAD
    error = said.get("error") or {}
    what = "no answer" if said["state"] == "silent" else error.get("what", "failed")
    return f"{output.mark(glyph)} {node:20} {role or '-':16} {what}"
