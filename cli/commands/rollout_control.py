"""`evctl rollout status|watch|pause|resume|abort|retry`: what is done with one that is there."""

from __future__ import annotations

import os
import time

import click

from cli import option_types
from cli.commands.carrying import (
    carry_out,
    change,
    detach_option,
    drive_elsewhere,
    drive_here,
    stoppable,
    told,
)
from cli.commands.planning import Wish, draft, past_one_way_option, refuse_closed
from cli.commands.rollouts import show_one
from cli.fleet import Fleet
from cli.history.entry import user_of
from cli.output import Output, json_option, reason_option, yes_option
from cli.ranges import counted
from cli.rollout import control, report
from cli.rollout.document import FINAL
from cli.rollout.errors import NobodyDrives, NodesLocked
from cli.rollout.plan import CANARIES

LOOK_S = 0.5
UNDRIVEN_S = 10.0  # as long as a driver may take to begin

rollout_argument = click.argument("rollout_id", metavar="ROLLOUT", type=option_types.rollout_id)


@click.command()
@rollout_argument
@json_option
@click.pass_obj
def status(output: Output, rollout_id: str, as_json: bool) -> None:
    """Where a rollout is: node by node, with its evidence, and what can be done next.

    \b
    Example:
      evctl rollout status R000042
    """
    show_one(output, rollout_id, as_json=as_json)


@click.command()
@rollout_argument
@json_option
@click.pass_obj
def watch(output: Output, rollout_id: str, as_json: bool) -> None:
    """Watch a rollout that someone drives, from any terminal, until it ends or pauses.

    Ctrl-C ends the watching and nothing else. The exit code is the rollout's.

    \b
    Examples:
      evctl rollout watch R000042
      evctl rollout watch R000042 --json
    """
    watch_to_its_end(output, output.load_fleet(), rollout_id, as_json=as_json)


@click.command()
@rollout_argument
@reason_option
@json_option
@click.pass_obj
def pause(output: Output, rollout_id: str, reason: str, as_json: bool) -> None:
    """Ask nothing further of its nodes. What was asked is still waited for.

    \b
    Examples:
      evctl rollout pause R000042
      evctl rollout pause R000042 --reason "errors in one zone, looking"
    """
    fleet = output.load_fleet()
    by = _by(reason)
    change(fleet, rollout_id, "pause", lambda found: control.pause(found, by), reason)
    if as_json:
        output.data({"id": rollout_id, "state": "paused"})
    else:
        click.echo(f"{rollout_id} is paused · next: evctl rollout resume {rollout_id}")


@click.command()
@rollout_argument
@click.option("--in-closed-window", is_flag=True, help="Although the release's window is closed.")
@reason_option
@detach_option
@json_option
@click.pass_obj
def resume(
    output: Output,
    *,
    rollout_id: str,
    in_closed_window: bool,
    reason: str,
    detach: bool,
    as_json: bool,
) -> None:
    """Go on with a rollout that was paused, or whose driver has died.

    It goes on where it stopped: what nodes have done already isn't done again.

    \b
    Examples:
      evctl rollout resume R000042
      evctl rollout resume R000042 --detach
    """
    fleet = output.load_fleet()
    found = fleet.documents().load(rollout_id).document
    was = found.state
    control.resume(found)  # refused before anything is written down
    if was != "paused":  # NodesLocked, when someone drives it
        fleet.documents().lock(found.nodes, rollout_id, time.time(), lease_s=0)
    with stoppable(fleet, lambda: found):
        change(
            fleet,
            rollout_id,
            "resume",
            lambda document: control.resume(document, in_closed_window=in_closed_window),
            reason,
        )
        if detach:
            drive_elsewhere(output, fleet, found)
            return
        try:
            drive_here(output, fleet, found, as_json=as_json)
        except NodesLocked:
            if was != "paused":
                raise
            # Its driver was still at the last command, and goes on.
            watch_to_its_end(output, fleet, rollout_id, as_json=as_json)


@click.command()
@rollout_argument
@reason_option
@yes_option
@json_option
@click.pass_obj
def abort(output: Output, *, rollout_id: str, reason: str, yes: bool, as_json: bool) -> None:
    """Take back what a rollout that has not ended has changed so far.

    \b
    Examples:
      evctl rollout abort R000042 --yes
      evctl rollout abort R000042 --reason "p99 of the partner's calls" --yes
    """
    fleet = output.load_fleet()
    found = fleet.documents().load(rollout_id).document
    by = _by(reason)
    control.abort(found, by)  # refused before anyone is asked
    output.confirm(f"Take back {rollout_id} on {counted(found.nodes)}?", yes)
    with stoppable(fleet, lambda: found):
        change(fleet, rollout_id, "abort", lambda document: control.abort(document, by), reason)
        try:
            drive_here(output, fleet, found, as_json=as_json)
        except NodesLocked:  # its driver is alive, and does it; or has died a moment ago
            try:
                watch_to_its_end(output, fleet, rollout_id, as_json=as_json)
            except NobodyDrives:
                drive_here(output, fleet, found, as_json=as_json)


@click.command()
@rollout_argument
@reason_option
@past_one_way_option
@yes_option
@json_option
@click.pass_obj
def retry(
    output: Output,
    *,
    rollout_id: str,
    reason: str,
    past_one_way: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Roll out again to the nodes that did not come along, with its limits, floors and gates.

    \b
    Example:
      evctl rollout retry R000042 --yes
    """
    fleet = output.load_fleet()
    ended = fleet.documents().load(rollout_id).document
    able = {id_ for id_, node in fleet.nodes().items() if node.role}  # and isn't gone from the map
    left = {node: ended.nodes[node].to for node in control.to_retry(ended) if node in able}
    report.show_range(output, left)
    drafted = draft(
        fleet,
        Wish(
            kind=ended.kind,
            to=left,
            range=",".join(left),
            reason=reason or f"again, after {ended.id}",
            limits=ended.limits,
            canaries=CANARIES if ended.kind == "rollout" else 0,
            floors={role: capacity.floor for role, capacity in ended.capacity.items()},
            past_one_way=past_one_way,
            closed=ended.closed,
            gates=ended.gates,
            gate_command=ended.gate_command,
            probe=ended.probe,
        ),
    )
    if not as_json:
        report.show_plan(output, fleet.config.name, drafted, len(left))
    if not drafted.nodes:
        if as_json:
            output.data(report.plan_json(left, drafted))
        return
    refuse_closed(drafted.closed)
    output.confirm(f"Bring {counted(drafted.nodes)} to where {ended.id} should have?", yes)
    carry_out(output, fleet, drafted, as_json=as_json)


def _by(reason: str) -> str:
    """Who gave the command, and why, for whoever sees the rollout."""
    return user_of(os.environ) + (f": {reason}" if reason else "")


def watch_to_its_end(output: Output, fleet: Fleet, rollout_id: str, *, as_json: bool) -> None:
    """What is written down of it, as it is written down. NobodyDrives, when that won't go on."""
    documents = fleet.documents()
    shown = report.Watch(output, as_json=as_json)
    seen, driven_at = 0, time.monotonic()
    while True:
        document = documents.load(rollout_id).document
        for entry in document.log[seen:]:
            facts = {k: fact for k, fact in entry.items() if k not in ("at", "event", "digest")}
            shown.event(document, entry["event"], facts, entry["at"])
        seen = len(document.log)
        if document.state in (*FINAL, "paused"):
            break
        if rollout_id in documents.holders(time.time()).values():
            driven_at = time.monotonic()
        elif time.monotonic() - driven_at > UNDRIVEN_S:
            raise NobodyDrives(
                f"nobody drives {rollout_id}",
                why=f"it is {document.state}, and its driver's lease has ended",
                next_step=document.ways_on(),
            )
        time.sleep(LOOK_S)
    told(output, document, as_json=as_json)


COMMANDS = (status, watch, pause, resume, abort, retry)
