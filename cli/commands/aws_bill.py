"""`evctl aws bill`: what the nodes have consumed of AWS, in dollars."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from cli.option_types import Duration
from cli.output import UNKNOWN, Output, json_option

if TYPE_CHECKING:
    from cli.aws.bill import Bill

DAYS_30_S = 30 * 86_400.0
HOUR_S = 3600.0
SILENT_EXIT = 7
NOT_COUNTED = (
    "nodes and their traffic, what is kept, generations that have ended, and what others than"
    " these nodes have called"
)


@click.command()
@click.option(
    "--last",
    "last_s",
    type=Duration(DAYS_30_S),
    default=HOUR_S,
    metavar="DURATION",
    help="Over how long; 1h, when it isn't given.",
)
@json_option
@click.pass_context
def bill(context: click.Context, *, last_s: float, as_json: bool) -> None:
    """What the nodes' generations have consumed of SQS, DynamoDB and S3, and what that costs.

    Each counts since it started: requests by 64 KB, units as DynamoDB reports them, PUTs and GETs.
    One that is older than DURATION is taken by its average since then. Units are priced as on
    demand. Exit code 7 when a node doesn't answer: what it consumed is missing.

    \b
    Examples:
      evctl aws bill
      evctl aws bill --last 24h --json
    """
    from cli.asked import metrics
    from cli.aws.bill import bill_of
    from scaling.prices import load

    output: Output = context.obj
    fleet = output.load_fleet()
    nodes = sorted(fleet.nodes())
    pages = metrics(fleet, nodes)
    silent = [node for node in nodes if node not in pages]
    made = bill_of(pages, time.time(), last_s, load())
    if as_json:
        output.data({**made.to_json(), "silent": silent, "not_counted": NOT_COUNTED})
    else:
        _show(output, made, silent)
    context.exit(SILENT_EXIT if silent else 0)


def _show(output: Output, made: Bill, silent: list[str]) -> None:
    click.echo(
        f"{_said(made.last_s)} of {len(made.generations)} generations;"
        f" {made.averaged} of them are older, and count by their average"
    )
    for line in made.lines:
        cost = "" if line.usd is None else f"$ {line.usd:,.6f}"
        click.echo(f"  {line.what:40}{line.amount:18,.0f}  {cost}")
    for role, usd in made.by_role.items():
        click.echo(f"  {role:58}  $ {usd:,.6f}")
    click.echo(f"  {'all, by ' + made.said:58}  $ {made.usd:,.6f}")
    each = made.usd_per_billion_events
    per_billion = "no events" if each is None else f"$ {each:,.2f} a billion events"
    click.echo(f"  {made.events:,.0f} events acknowledged: {per_billion}")
    for node in silent:
        click.echo(f"{output.mark(UNKNOWN)} {node} doesn't answer: what it consumed is missing")
    click.echo(f"not counted: {NOT_COUNTED}")


def _said(seconds: float) -> str:
    return f"{seconds / HOUR_S:g} h" if seconds >= HOUR_S else f"{seconds / 60:g} min"
