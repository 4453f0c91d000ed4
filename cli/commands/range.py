"""`evctl range`: which nodes an expression names, what it means, why a node is in it or isn't."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from cli.asked import Asked
from cli.output import BAD, GOOD, UNKNOWN, Output, json_option
from cli.ranges import counted, fold, meaning_of, nodes_in
from cli.ranges.meaning import Meaning

_GLYPHS = {True: GOOD, False: BAD, None: UNKNOWN}
_SAID = {True: "is in it", False: "is not in it", None: "can't be told: it doesn't answer"}


@click.command()
@click.argument("expression", metavar="EXPR")
@click.option("--why", "node", metavar="NODE", help="Why this node is in it, or isn't.")
@json_option
@click.pass_obj
def range(output: Output, expression: str, node: str | None, as_json: bool) -> None:
    """Which nodes EXPR names: folded, counted, and one by one; and what each of its parts means.

    Only ver:, state: and salt{…} ask the nodes; a @group is looked up in the fleet's map, and in
    the pillar (`evctl:groups`) that the Salt master gave each node last.

    \b
    Examples:
      evctl range role:collector
      evctl range 'collector-[01-04]!collector-02'
      evctl range '(@processor,@collector)&az:a' --json
      evctl range 'role:processor/10%' --why processor-02
      evctl range 'salt{G@os:Debian and not web3}'

    \b
    Expressions:
      collector-01   collector-[01-04,07]   '*-01'    nodes, nodes by pattern
      role:x   az:x   channel:x                       by the map
      @x                              a group, by the map or by pillar; or a role
      ver:1.2.0   state:serving|idle|silent|failed    by what the nodes answer
      all                             the whole fleet
      A,B   A&B   'A!B'   A^B         either, both, A without B, one of the two
      (A,B)&C                         what stands in parentheses comes first
      A/10%   A/3                     a sample, always the same: 5% is part of 25%
      salt{G@os:Debian and not web3}  Salt's own compound matcher
    """
    fleet = output.load_fleet()
    nodes, answers = fleet.nodes(), Asked(fleet)
    if node is not None:
        nodes_in(node, nodes)  # a typing error is told as one
        meaning = meaning_of(expression, nodes, answers)
        if as_json:
            output.data({"range": expression, "node": node, **_why_json(meaning, node)})
            return
        tells = meaning.tells(node)
        click.echo(f"{output.mark(_GLYPHS[tells])} {node} {_SAID[tells]}")
        for depth, part in _parts(meaning):
            mark = output.mark(_GLYPHS[part.tells(node)])
            click.echo(f"  {'  ' * depth}{mark} {part.part.text}   {part.says}")
        return
    named = nodes_in(expression, nodes, answers)
    meaning = meaning_of(expression, nodes, answers)
    if as_json:
        said = {"range": expression, "folded": fold(named), "count": len(named), "nodes": named}
        output.data(said | {"meaning": _meaning_json(meaning)})
        return
    click.echo(counted(named))
    for each in named:
        click.echo(f"  {each}")
    for depth, part in _parts(meaning):
        click.echo(f"{'  ' * depth}{part.part.text}   {part.says} · {len(part.named)}")


def _parts(meaning: Meaning, depth: int = 0) -> Iterator[tuple[int, Meaning]]:
    """Each part with its depth, the whole first."""
    yield depth, meaning
    for below in meaning.below:
        yield from _parts(below, depth + 1)


def _meaning_json(meaning: Meaning) -> dict[str, Any]:
    return {
        "text": meaning.part.text,
        "means": meaning.says,
        "count": len(meaning.named),
        "parts": [_meaning_json(below) for below in meaning.below],
    }


def _why_json(meaning: Meaning, node: str) -> dict[str, Any]:
    return {
        "text": meaning.part.text,
        "means": meaning.says,
        "in": meaning.tells(node),
        "parts": [_why_json(below, node) for below in meaning.below],
    }
