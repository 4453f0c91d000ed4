"""`evctl aws`: what an environment is made of in AWS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.commands.aws_bill import bill
from cli.commands.aws_nodes import drain, env_option, file_option, join, opened
from cli.commands.aws_roles import roles
from cli.output import GOOD, NOTE, Output, json_option, yes_option

if TYPE_CHECKING:
    from cli.aws.change import Change
    from cli.aws.plan import Plan
    from cli.aws.price import Line, Price


@click.group()
def aws() -> None:
    """Queues, tables, buckets, auto scaling groups and alarms of an environment, from one YAML.

    \b
    Examples:
      evctl aws plan --env prod        what would be made or changed; $ a month
      evctl aws apply --env prod
      evctl aws bill --last 1h         what the nodes have consumed, in dollars
    """


aws.add_command(bill)
aws.add_command(join)
aws.add_command(drain)
aws.add_command(roles)


@aws.command()
@env_option
@file_option
@json_option
@click.pass_obj
def plan(output: Output, *, env: str, file: Path | None, as_json: bool) -> None:
    """What apply would make and change, what is there and no longer in the file, and the price.

    Changes nothing. Credentials by the usual chain (a profile, the environment, a role); all that
    is made is called <app>-<env>-<name> and tagged evctl-app and evctl-env.

    \b
    Examples:
      evctl aws plan --env prod
      evctl aws plan --env prod --file environments/prod.yaml --json
    """
    planned = _planned(env, file)
    if as_json:
        output.data(_json(planned))
        return
    _show(planned)
    if planned.pending():
        click.echo(f"next: evctl aws apply --env {env}")


@aws.command()
@env_option
@file_option
@yes_option
@json_option
@click.pass_obj
def apply(output: Output, *, env: str, file: Path | None, yes: bool, as_json: bool) -> None:
    """Make and change what the plan shows. Deletes nothing; a second one finds nothing to do.

    \b
    Examples:
      evctl aws apply --env prod
      evctl aws apply --env prod --yes --json
    """
    planned = _planned(env, file)
    if not as_json:
        _show(planned)
    if planned.pending():
        output.confirm(f"Make these {len(planned.pending())} changes?", yes)
        planned.apply(lambda change: _told(output, change))
    if as_json:
        output.data(_json(planned))
        return
    click.echo(f"{output.mark(GOOD)} {planned.env.env} is as the file says")
    if planned.pending():
        click.echo(f"undo: evctl aws destroy --env {env}")


@aws.command()
@env_option
@file_option
@click.option(
    "--with-data",
    multiple=True,
    metavar="NAME",
    help="Although it holds something: a queue, table, bucket or group by its whole name.",
)
@yes_option
@json_option
@click.pass_obj
def destroy(
    output: Output,
    *,
    env: str,
    file: Path | None,
    with_data: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Delete all that bears this environment's tags, also what is no longer in the file.

    What holds events, or nodes that run, is refused unless it is named, and then nothing is
    deleted at all.

    \b
    Examples:
      evctl aws destroy --env test
      evctl aws destroy --env test --with-data shop-test-events --yes
    """
    planned = _planned(env, file)
    doomed = planned.doomed(with_data)
    if not as_json:
        for one in doomed:
            click.echo(f"  - {one.kind:8} {one.name}" + (f"  with {one.holds}" * bool(one.holds)))
    if doomed:
        output.confirm(f"Delete these {len(doomed)} of {env}?", yes)
        planned.destroy(doomed, lambda one: output.say(NOTE, f"deleted {one.kind} {one.name}"))
    if as_json:
        output.data({"env": env, "deleted": [one.to_json() for one in doomed]})
        return
    click.echo(f"{output.mark(GOOD)} nothing of {env} is there")


def _planned(env: str, file: Path | None) -> Plan:
    from cli.aws.plan import Plan

    return Plan(*opened(env, file))


def _show(planned: Plan) -> None:
    from cli.aws.change import change_lines

    env = planned.env
    click.echo(f"Plan {env.app} {env.env} · {env.region} · account {planned.account_id}")
    for change in planned.changes:
        for line in change_lines(change):
            click.echo(line)
    for url in env.urls:
        click.echo(f"  url {url}")
    price = _price(planned)
    for one in price.lines:
        click.echo(f"  $ {_dollars(one):21} a month  {one.what}")
    click.echo(f"  $ {_dollars(price):21} a month, by {price.said}")
    for what in price.not_counted:
        click.echo(f"    not counted: {what}")


def _price(planned: Plan) -> Price:
    from cli.aws.price import price_of
    from scaling.prices import load

    return price_of(planned.env, load())


def _dollars(cost: Line | Price) -> str:
    least, most = f"{cost.least:,.2f}", f"{cost.most:,.2f}"
    return least if least == most else f"{least} to {most}"


def _told(output: Output, change: Change) -> None:
    word = "made" if change.action == "create" else "changed"
    output.say(GOOD, f"{word} {change.kind} {change.name}")


def _json(planned: Plan) -> dict[str, Any]:
    return {
        "app": planned.env.app,
        "env": planned.env.env,
        "region": planned.env.region,
        "account": planned.account_id,
        "changes": [one.to_json() for one in planned.changes],
        "urls": planned.env.urls,
        "price": _price(planned).to_json(),
    }
