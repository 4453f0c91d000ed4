"""`evctl rollback`: bring nodes back to what they served before."""

from __future__ import annotations

import getpass
import time

import click

from cli.asked import Asked
from cli.commands.rollout import carry_out, role_sizes, serving_now
from cli.fleet import Fleet
from cli.output import Output, json_option, yes_option
from cli.ranges import counted, is_whole_fleet, nodes_in
from cli.rollout import report
from cli.rollout.document import Document, NodeRecord
from cli.rollout.errors import NothingToRollBack
from cli.rollout.plan import waves_back


@click.command()
@click.argument("rollout_id", required=False, metavar="[ROLLOUT]")
@click.option("--range", "expression", metavar="EXPR", help="Only these of its nodes.")
@click.option("--reason", default="", help="Why; kept with the rollback.")
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
    plan_only: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring nodes back to what they served before ROLLOUT; before the last one, if none is named.

    The releases are still on the nodes: no registry is needed. There are no canaries, and still
    never more than half of a role changes at once.

    \b
    Examples:
      evctl rollback --plan
      evctl rollback R000042 --yes
      evctl rollback --range collector-01 --yes
    """
    fleet = output.load_fleet()
    undone = fleet.documents().load(rollout_id).document if rollout_id else last_change(fleet)
    nodes = fleet.nodes()
    chosen = set(nodes_in(expression, nodes, Asked(fleet))) if expression else set(undone.nodes)
    before = {
        node: record.before
        for node, record in undone.nodes.items()
        if node in chosen and node in nodes and record.before and record.swap
    }
    if not before:
        raise NothingToRollBack(
            f"{undone.id} has changed none of these nodes",
            why=f"it ended as {undone.state}",
            next_step="evctl rollouts lists the others",
        )
    report.show_range(output, before)
    serving = serving_now(fleet, sorted(before))
    records = {
        node: NodeRecord(role=undone.nodes[node].role, before=serving[node], to=release)
        for node, release in before.items()
        if serving[node] != release
    }
    steps = waves_back({node: record.role for node, record in records.items()}, role_sizes(nodes))
    if not as_json:
        unchanged = len(before) - len(records)
        report.show_plan(output, fleet.config.name, records, steps, unchanged=unchanged)
    if not records or plan_only:
        if as_json:
            output.data(report.plan_json(before, records, steps))
        return
    output.confirm(
        f"Bring {counted(records)} back to before {undone.id}?",
        yes,
        whole_fleet=expression is not None and is_whole_fleet(expression, chosen, nodes),
    )

    def make(new_id: str) -> Document:
        return Document(
            id=new_id,
            kind="rollback",
            operator=getpass.getuser(),
            reason=reason or f"back to before {undone.id}",
            range=expression or undone.range,
            created_at=round(time.time(), 3),
            nodes=records,
            waves=steps,
        )

    carry_out(output, fleet, make, as_json=as_json)


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
