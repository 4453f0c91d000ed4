"""`evctl lock`: nodes that no rollout may begin on."""

from __future__ import annotations

import os
import time

import click

from cli.announce import record
from cli.asked import Asked
from cli.history.entry import user_of
from cli.output import NOTE, Output, echo, json_option
from cli.ranges import counted, fold, nodes_in


@click.command()
@click.option("--range", "expression", metavar="EXPR", help="Lock these nodes.")
@click.option("--reason", default="", help="Why; whoever is refused reads it.")
@json_option
@click.pass_obj
def lock(output: Output, expression: str | None, reason: str, as_json: bool) -> None:
    """Let no rollout and no rollback begin on nodes, until they are unlocked.

    Without --range: which are locked.

    What is under way goes on. The nodes go on converging to what they should serve.

    \b
    Examples:
      evctl lock --range az:a --reason "disks are being changed"
      evctl lock
    """
    if reason and expression is None:
        raise click.UsageError("Lock which nodes? Add --range.")
    fleet = output.load_fleet()
    documents = fleet.documents()
    if expression is not None:
        if not reason:
            raise click.UsageError("Say why: --reason. Whoever is refused reads it.")
        nodes = nodes_in(expression, fleet.nodes(), Asked(fleet))
        record(fleet, "lock", {"locked": fold(nodes)}, why=reason)
        documents.hold(nodes, user_of(os.environ), reason, time.time())
        output.say(NOTE, f"locked {counted(nodes)} · undo: evctl unlock --range '{expression}'")
    holds = documents.holds()
    if as_json:
        output.data({"locked": holds})
        return
    if not holds:
        echo("no node is locked", err=True)
    for node, hold in holds.items():
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(hold["at"]))
        click.echo(f"{node:20} since {at} by {hold['operator']}: {hold['reason']}")
