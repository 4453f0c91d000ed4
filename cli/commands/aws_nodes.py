"""`evctl aws join|drain`: machines that groups have launched become nodes, and go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.output import BAD, GOOD, Output, json_option, yes_option

if TYPE_CHECKING:
    from cli.aws.account import Account
    from cli.aws.environment import Environment

FAILED_EXIT = 7

env_option = click.option("--env", "env", required=True, metavar="NAME", help="Which environment.")
file_option = click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Its file, if it isn't aws/NAME.yaml.",
)


@click.command()
@env_option
@file_option
@yes_option
@json_option
@click.pass_obj
def join(output: Output, *, env: str, file: Path | None, yes: bool, as_json: bool) -> None:
    """Put new machines of the environment's groups on the map of nodes, and give each its token.

    On the Salt master, every few seconds: each machine waits for it with its first boot. Its id is
    its role and its instance's id; the role is its group's, which nobody but AWS and evctl says.

    \b
    Examples:
      evctl aws join --env prod
      evctl aws join --env prod --yes --json
    """
    from cli.aws.join import join as join_machines
    from cli.aws.join import newcomers

    described, account = opened(env, file)
    account.id(described.account)
    fleet = output.load_fleet()
    machines = newcomers(account, described)
    if not as_json:
        for one in machines:
            click.echo(f"  + {one.node}  {one.az} {one.address}")
    if machines:
        output.confirm(f"Let these {len(machines)} join?", yes)
        join_machines(account, described, fleet, machines)
    if as_json:
        output.data({"env": env, "joined": [one.to_json() for one in machines]})
        return
    click.echo(f"{output.mark(GOOD)} {len(machines)} new nodes · next: evctl fleet")


@click.command()
@env_option
@file_option
@yes_option
@json_option
@click.pass_context
def drain(context: click.Context, *, env: str, file: Path | None, yes: bool, as_json: bool) -> None:
    """Drain the nodes that their groups let go, then let their machines end: off the map, key gone.

    On the Salt master, every few seconds: a group holds a machine for its `drain_s`. Nodes that
    `evctl aws join` has put on the map and whose machines have gone are taken off it too. Exit code
    7 when one can't be drained: it is tried again, until its time is over.

    \b
    Examples:
      evctl aws drain --env prod
      evctl aws drain --env prod --yes --json
    """
    from cli.asked import client_of
    from cli.aws.drain import leavers, let_go

    output: Output = context.obj
    described, account = opened(env, file)
    account.id(described.account)
    fleet = output.load_fleet()
    found = leavers(account, fleet, described)
    if not as_json:
        for one in found:
            click.echo(f"  - {one.node}" + ("" if one.group else "  its machine has gone"))
    if found:
        output.confirm(f"Let these {len(found)} go?", yes)
    left = [let_go(account, fleet, client_of(fleet), one) for one in found]
    stuck = {one.node for one in left} & set(fleet.nodes())
    if as_json:
        said = [{**one.to_json(), "gone": one.node not in stuck} for one in left]
        output.data({"env": env, "left": said})
    else:
        for gone in left:
            took = gone.why if gone.drained_s is None else f"drained in {gone.drained_s:.1f} s"
            click.echo(f"{output.mark(BAD if gone.node in stuck else GOOD)} {gone.node}  {took}")
    context.exit(FAILED_EXIT if stuck else 0)


def opened(env: str, file: Path | None) -> tuple[Environment, Account]:
    """The file, and where it is about."""
    from cli.aws.account import Account
    from cli.aws.environment_file import load_environment

    described = load_environment(env, file or Path("aws") / f"{env}.yaml")
    return described, Account(described.region)
