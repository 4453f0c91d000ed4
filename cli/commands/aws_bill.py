"""`evctl aws bill`: what the nodes have consumed of AWS, in dollars."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.commands.aws_nodes import file_option, opened
from cli.option_types import Duration
from cli.output import UNKNOWN, Output, json_option

if TYPE_CHECKING:
    from cli.aws.bill import Bill
    from cli.aws.fixed import Disks, Kept, Machines

DAYS_30_S = 30 * 86_400.0
HOUR_S = 3600.0
SILENT_EXIT = 7
NOT_COUNTED_WITHOUT_ENV = "machines, disks and what is kept (--env NAME has them)"
NOT_COUNTED = (
    "load balancers and what they pass between zones, what generations had counted that were"
    " killed, and what others than these nodes have called"
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
@click.option(
    "--env", "env", metavar="NAME", help="Also this environment's machines, and what it keeps."
)
@file_option
@json_option
@click.pass_context
def bill(
    context: click.Context, *, last_s: float, env: str | None, file: Path | None, as_json: bool
) -> None:
    """What the nodes' generations have consumed of SQS, DynamoDB and S3, and what that costs.

    Each counts since it started: requests by 64 KB, units as DynamoDB reports them, PUTs and GETs.
    One that is older than DURATION is taken by its average since then; one that has ended has left
    its counts on its node, one that was killed has not. Units are priced as on demand. With --env,
    apart: the hours of the environment's machines, their disks, and what its tables and buckets
    keep, by the month. Exit code 7 when a node doesn't answer: what it consumed is missing.

    \b
    Examples:
      evctl aws bill
      evctl aws bill --last 24h --json
      evctl aws bill --last 24h --env prod
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
    apart = _fixed(env, file, last_s) if env else None
    not_counted = NOT_COUNTED if apart else f"{NOT_COUNTED_WITHOUT_ENV}, {NOT_COUNTED}"
    if as_json:
        more = _fixed_json(*apart) if apart else {}
        output.data({**made.to_json(), **more, "silent": silent, "not_counted": not_counted})
    else:
        _show(output, made, silent)
        if apart:
            _show_fixed(*apart)
        click.echo(f"not counted: {not_counted}")
    context.exit(SILENT_EXIT if silent else 0)


def _show(output: Output, made: Bill, silent: list[str]) -> None:
    click.echo(
        f"{_said(made.last_s)} of {len(made.generations)} generations;"
        f" {made.averaged} of them are older, and count by their average; {made.ended} have ended"
    )
    for line in made.lines:
        cost = "" if line.usd is None else f"$ {line.usd:,.6f}"
        click.echo(f"  {line.what:40}{line.amount:18,.0f}  {cost}")
    for role, usd in made.by_role.items():
        click.echo(f"  {role:58}  $ {usd:,.6f}")
    click.echo(f"  {'all, by ' + made.said:58}  $ {made.usd:,.6f}")
    nat = "beside that, where a NAT gateway passes these bytes"
    click.echo(f"  {nat:58}  $ {made.nat_usd:,.6f}")
    each = made.usd_per_billion_events
    per_billion = "no events" if each is None else f"$ {each:,.2f} a billion events"
    click.echo(f"  {made.events:,.0f} events acknowledged: {per_billion}")
    for node in silent:
        click.echo(f"{output.mark(UNKNOWN)} {node} doesn't answer: what it consumed is missing")


def _fixed(
    env: str, file: Path | None, last_s: float
) -> tuple[list[Machines], list[Disks], list[Kept]]:
    from cli.aws.fixed import kept, machines
    from scaling.prices import load

    described, account = opened(env, file)
    account.id(described.account)
    prices = load()
    nodes, disks = machines(account, described, prices, time.time(), last_s)
    return nodes, disks, list(kept(account, described, prices))


def _fixed_json(nodes: list[Machines], disks: list[Disks], keeps: list[Kept]) -> dict[str, Any]:
    return {
        "machines": [asdict(one) for one in nodes],
        "machines_usd": sum(one.usd or 0 for one in nodes),
        "disks": [asdict(one) for one in disks],
        "disks_usd": sum(one.usd or 0 for one in disks),
        "kept": [asdict(one) for one in keeps],
        "kept_usd_per_month": sum(one.usd_per_month for one in keeps),
    }


def _show_fixed(nodes: list[Machines], disks: list[Disks], keeps: list[Kept]) -> None:
    click.echo("beside that, its machines:")
    for one in nodes:
        what = f"{one.machines} {one.role} ({one.instance})"
        click.echo(f"  {what:40}{one.hours:16,.1f} h  {_cost(one)}")
    for disk in disks:
        what = f"their {disk.disks} disks ({disk.kind}) that are there"
        click.echo(f"  {what:40}{disk.gb:15,} GB  {_cost(disk)}")
    click.echo("what it keeps, by the month:")
    for held in keeps:
        least = "at least " if held.at_least else ""
        size = f"{least}{held.bytes / 1e9:,.3f} GB"
        click.echo(f"  {held.what:40}{size:>18}  $ {held.usd_per_month:,.6f}")


def _cost(one: Machines | Disks) -> str:
    return "not in scaling/prices.yaml" if one.usd is None else f"$ {one.usd:,.6f}"


def _said(seconds: float) -> str:
    return f"{seconds / HOUR_S:g} h" if seconds >= HOUR_S else f"{seconds / 60:g} min"
