"""`evctl rollback`: bring nodes back to what they served before."""

from __future__ import annotations

import click

from cli import option_types
from cli.asked import Asked
from cli.commands.carrying import carry_out, detach_option
from cli.commands.planning import Wish, draft, past_one_way_option
from cli.fleet import Fleet
from cli.output import Output, json_option, reason_option, yes_option
from cli.ranges import counted, is_whole_fleet, nodes_in
from cli.rollout import report
from cli.rollout.decide import wanted
from cli.rollout.document import FINAL, Document, Limits
from cli.rollout.errors import NothingToRollBack, WrongState


@click.command()
@click.argument("rollout_id", required=False, metavar="[ROLLOUT]", type=option_types.rollout_id)
@click.option("--range", "expression", metavar="EXPR", help="Only these of its nodes.")
@reason_option
@past_one_way_option
@detach_option
@click.option("--plan", "plan_only", is_flag=True, help="Say what would be done, and do nothing.")
@yes_option
@json_option
@click.pass_obj
def rollback(
    output: Output,
    *,
    rollout_id: str | None,
    expression: str | None,
    reason: str,
    past_one_way: bool,
    detach: bool,
    plan_only: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring nodes back to what they served before ROLLOUT; before the last one, if none is named.

    The releases are still on the nodes: no registry is needed. There are no canaries, and no wave
    bakes; still never more than half of a role changes at once.

    \b
    Examples:
      evctl rollback --plan
      evctl rollback R000042 --yes
      evctl rollback --range collector-01 --yes
    """
    fleet = output.load_fleet()
    undone = (
        last_change(fleet) if rollout_id is None else fleet.documents().load(rollout_id).document
    )
    if undone.state not in FINAL:
        raise WrongState(
            f"{undone.id} has not ended",
            why=f"it is {undone.state}",
            next_step=f"evctl rollout abort {undone.id}"
            if undone.may_abort()
            else f"evctl rollouts {undone.id}",
        )
    nodes = fleet.nodes()
    chosen = set(undone.nodes if expression is None else nodes_in(expression, nodes, Asked(fleet)))
    able = {id_ for id_, node in nodes.items() if node.role}  # and isn't gone from the map
    # One that was away comes along by itself, without having been asked to swap.
    came_along = wanted(undone)
    before = {
        node: record.before
        for node, record in undone.nodes.items()
        if node in chosen & able and record.before
        if record.swap or came_along.get(node) == record.to
    }
    if not before:
        raise NothingToRollBack(
            f"{undone.id} has changed none of these nodes",
            why=f"it ended as {undone.state}",
            next_step="evctl rollouts lists the others",
        )
    report.show_range(output, before)
    drafted = draft(
        fleet,
        Wish(
            kind="rollback",
            to=before,
            range=expression or undone.range,
            reason=reason or f"back to before {undone.id}",
            limits=Limits(bake_s=0),  # these releases have proved themselves
            canaries=0,
            floors={role: capacity.floor for role, capacity in undone.capacity.items()},
            past_one_way=past_one_way,
        ),
    )
    if not as_json:
        report.show_plan(output, fleet.config.name, drafted, len(before))
    if not drafted.nodes or plan_only:
        if as_json:
            output.data(report.plan_json(before, drafted))
        return
    output.confirm(
        f"Bring {counted(drafted.nodes)} back to before {undone.id}?",
        yes,
        whole_fleet=expression is not None and is_whole_fleet(expression, chosen, nodes),
    )
    carry_out(output, fleet, drafted, as_json=as_json, detach=detach)


def last_change(fleet: Fleet) -> Document:
    """The last rollout after which nodes served something else than before. A rollback is no such
    thing: a second one finds nothing left to do, it doesn't go further back."""
    documents = fleet.documents()
    for rollout_id in reversed(documents.ids()):
        document = documents.load(rollout_id).document
        left = [r for r in document.nodes.values() if r.state in ("swapped", "healthy", "stuck")]
        if document.kind == "rollout" and left:
            return document
    raise NothingToRollBack(
        "no rollout has changed anything yet",
        next_step="evctl rollout --range … --to …",
    )
