"""`evctl range`: which nodes an expression names."""

from __future__ import annotations

import click

from cli.output import Output, json_option
from cli.ranges import counted, fold, nodes_in


@click.command()
@click.argument("expression", metavar="EXPR")
@json_option
@click.pass_obj
def range(output: Output, expression: str, as_json: bool) -> None:
    """Which nodes EXPR names: folded, counted, and one by one. No node is asked.

    \b
    Examples:
      evctl range role:collector
      evctl range 'collector-[01-04]!collector-02'
      evctl range '@processor&az:a' --json

    \b
    Expressions:
      collector-01   collector-[01-04,07]   '*-01'   nodes, and nodes by pattern
      role:x   @x   az:a                             all of a role, of a zone
      all                                            the whole fleet
      A,B   A&B   'A!B'   A^B      either, both, A without B, one but not both
    """
    named = nodes_in(expression, output.load_fleet().nodes())
    if as_json:
        said = {"range": expression, "folded": fold(named), "count": len(named), "nodes": named}
        output.data(said)
        return
    click.echo(counted(named))
    for node in named:
        click.echo(f"  {node}")
