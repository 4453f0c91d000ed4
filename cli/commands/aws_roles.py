"""`evctl aws roles`: who the machines of an environment are, in IAM."""

from __future__ import annotations

from pathlib import Path

import click

from cli.commands.aws_nodes import env_option, file_option, opened
from cli.output import GOOD, Output, json_option, yes_option


@click.command()
@env_option
@file_option
@yes_option
@json_option
@click.pass_obj
def roles(output: Output, *, env: str, file: Path | None, yes: bool, as_json: bool) -> None:
    """Make and change the IAM roles that the file names, with their policies; nothing else does.

    For whoever decides over rights. Each role may be a machine's, and has an instance profile of
    its name, <app>-<env>-<name>; in its policy's file REGION, ACCOUNT and APP-ENV- are replaced.
    Deletes nothing; a second one finds nothing to do.

    \b
    Examples:
      evctl aws roles --env prod
      evctl aws roles --env prod --yes --json
    """
    from cli.aws.change import change_lines
    from cli.aws.roles import Roles, planned

    described, account = opened(env, file)
    found = planned(described, account)
    pending = [one for one in found if one[1].action != "keep"]
    if not as_json:
        for _, change in found:
            for line in change_lines(change):
                click.echo(line)
    if pending:
        output.confirm(f"Make these {len(pending)} changes of who may do what?", yes)
        kind = Roles(account, described.tags)
        for wanted, change in pending:
            if change.action == "create":
                kind.create(wanted)
            else:
                kind.change(wanted, change.after)
    if as_json:
        output.data({"env": env, "changes": [change.to_json() for _, change in found]})
        return
    click.echo(f"{output.mark(GOOD)} {len(found)} roles are as the file says")
    click.echo(f"next: evctl aws plan --env {env}")
