"""`evctl promote`: point a channel at a release that the channel before it has proven."""

from __future__ import annotations

import click

from cli.announce import record, tell_nodes, witness
from cli.asked import ask
from cli.fleet import Fleet
from cli.output import GOOD, Output, echo, json_option, yes_option
from cli.promotion import (
    Promotion,
    followers,
    point,
    promotion,
    require_order,
    require_served,
)
from cli.ranges import counted
from cli.rollout.errors import NodesSilent


@click.command()
@click.argument("release", metavar="RELEASE")
@click.argument("channel", metavar="CHANNEL")
@click.option("--reason", default="", help="Why; kept in the history.")
@click.option("--plan", "plan_only", is_flag=True, help="Say what would be done, and do nothing.")
@yes_option
@json_option
@click.pass_obj
def promote(
    output: Output,
    *,
    release: str,
    channel: str,
    reason: str,
    plan_only: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Point CHANNEL at RELEASE, for all of its roles: new nodes that follow it start with it.

    Nodes that run already go on with what they have: a rollout brings them to it, in waves. The
    channel before (fleet.yaml's `channels`; canary comes before stable) must name RELEASE already,
    and the nodes that follow that one must all serve it.

    \b
    Examples:
      evctl promote 0.2.0-1a2b3c4d5e6f canary
      evctl promote 0.2.0-1a2b3c4d5e6f stable --reason "a day without errors" --yes
      evctl promote 0.2.0-1a2b3c4d5e6f stable --plan
    """
    fleet = output.load_fleet()
    fleet.check_channel(channel)
    roles = fleet.registry().manifest(release).roles
    change = promotion(fleet, release, roles, channel)
    if change.before != change.after:
        require_order(fleet, roles, channel, release)
        require_served(_serving(fleet, followers(fleet, roles, channel)), channel, release)
    if not as_json:
        _show(change)
    if change.before == change.after or plan_only:
        if as_json:
            output.data(_json(change, done=False))
        return
    output.confirm(f"Point {channel} at {release}?", yes)
    record(fleet, "channel", {"channel": channel, "release": release}, why=reason)
    point(fleet, change)
    tell_nodes(output, fleet)
    witness(output, fleet)
    if as_json:
        output.data(_json(change, done=True))
        return
    click.echo(f"{output.mark(GOOD)} {channel} → {release}")
    click.echo(f"next: evctl rollout --range channel:{channel} --to {release}")


def _serving(fleet: Fleet, nodes: list[str]) -> dict[str, str | None]:
    found = ask(fleet, nodes)
    silent = [node for node, said in found.items() if said["state"] == "silent"]
    if silent:
        raise NodesSilent(
            f"these don't say what they serve: {', '.join(silent)}",
            why="they follow the channel before, and prove what is promoted",
            next_step="evctl status; evctl doctor",
        )
    return {node: said["release"] for node, said in found.items()}


def _show(change: Promotion) -> None:
    for role, release in sorted(change.after.items()):
        before = change.before.get(role)
        if before != release:
            echo(f"  {change.channel:10} {role:16} {before or 'nothing'} → {release}", err=True)
    if change.before == change.after:
        echo(f"  {change.channel} names {change.release} already", err=True)
    if change.held:
        echo(f"  until a rollout, as they are: {counted(change.held)}", err=True)


def _json(change: Promotion, *, done: bool) -> dict[str, object]:
    return {
        "channel": change.channel,
        "release": change.release,
        "before": change.before,
        "after": change.after,
        "held": change.held,
        "done": done,
    }
