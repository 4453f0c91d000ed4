"""`evctl aws join`: machines that an environment's groups have launched become nodes."""

from __future__ import annotations

from pathlib import Path

import click

from cli.output import GOOD, Output, json_option, yes_option

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
    from cli.aws.account import Account
    from cli.aws.environment_file import load_environment
    from cli.aws.join import join as join_machines
    from cli.aws.join import newcomers

    described = load_environment(env, file or Path("aws") / f"{env}.yaml")
    fleet = output.load_fleet()
    account = Account(described.region)
    machines = newcomers(account, described)
    if not as_json:
        for one in machines:
            click.echo(f"  + {one.node}  {one.az} {one.address}")
    if machines:
        output.confirm(f"Let these {len(machines)} join?", yes)
        join_machines(account, fleet, machines)
    if as_json:
        output.data({"env": env, "joined": [one.to_json() for one in machines]})
        return
    click.echo(f"{output.mark(GOOD)} {len(machines)} new nodes · next: evctl fleet")
