"""`evctl unlock`: rollouts may begin on nodes again."""

from __future__ import annotations

import click

from cli.announce import record
from cli.asked import Asked
from cli.output import NOTE, Output, json_option
from cli.ranges import counted, fold, nodes_in


@click.command()
@click.option("--range", "expression", metavar="EXPR", required=True, help="Unlock these nodes.")
@json_option
@click.pass_obj
def unlock(output: Output, expression: str, as_json: bool) -> None:
    """Let rollouts begin again on nodes that `evctl lock` has locked.

    \b
    Example:
      evctl unlock --range az:a
    """
    fleet = output.load_fleet()
    documents = fleet.documents()
    nodes = nodes_in(expression, fleet.nodes(), Asked(fleet))
    record(fleet, "lock", {"unlocked": fold(nodes)})
    documents.let_go(nodes)
    output.say(NOTE, f"unlocked {counted(nodes)}")
    if as_json:
        output.data({"locked": documents.holds()})
