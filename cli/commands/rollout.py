"""`evctl rollout`: bring nodes to a release."""

from __future__ import annotations

import getpass
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from artifacts.errors import EvctlError
from cli.announce import Announcer
from cli.asked import Asked, ask
from cli.fleet import Fleet, NodeInfo
from cli.output import Output, json_option, yes_option
from cli.ranges import counted, is_whole_fleet, nodes_in
from cli.rollout import report
from cli.rollout.document import Document, Limits, NodeRecord
from cli.rollout.drive import drive
from cli.rollout.errors import NodesSilent
from cli.rollout.plan import CANARIES, parse_shares, waves
from cli.salt_client import SaltClient

CHANGES_EXIT = 3


class NotThisRole(EvctlError):
    code = "E4006"
    exit_code = 2
    explanation = "A node's role isn't one that the release knows, so it can't run it."


@click.command()
@click.option(
    "--range", "expression", required=True, metavar="EXPR", help="Which nodes: see `evctl range`."
)
@click.option("--to", "release", required=True, metavar="RELEASE", help="Which release.")
@click.option("--reason", default="", help="Why; kept with the rollout.")
@click.option("--canary", "canaries", type=click.IntRange(0, 1000), default=CANARIES,
              show_default=True, metavar="N", help="Canaries of each role; 0: none.")  # fmt: skip
@click.option("--waves", "shares", metavar="LIST", help="How far each wave goes: 1,25%,50%,100%.")
@click.option("--bake", "bake_s", type=click.FloatRange(0, 3600), default=Limits.bake_s,
              show_default=True, help="Seconds that each wave must stay healthy.")  # fmt: skip
@click.option("--plan", "plan_only", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--exit-code", is_flag=True, help="With --plan: exit 3 when something would change.")
@yes_option
@json_option
@click.pass_context
def rollout(
    context: click.Context,
    *,
    expression: str,
    release: str,
    reason: str,
    canaries: int,
    shares: str | None,
    bake_s: float,
    plan_only: bool,
    exit_code: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring nodes to a release, without anyone noticing.

    \b
    Examples:
      evctl rollout --range role:collector --to 0.2.0-1a2b3c4d5e6f --plan
      evctl rollout --range 'role:collector,role:processor' --to 0.2.0-1a2b3c4d5e6f --yes
      evctl rollout --range all --to 0.2.0-1a2b3c4d5e6f --waves 1,25%,100% --yes

    Every node fetches and installs it first. Then one node of each role swaps, one after the
    other; then the others, never more than half of a role at once. After each wave the nodes must
    say themselves that they serve it. When one can't, all go back.

    \b
    Ranges (evctl range EXPR shows what one names):
      role:collector, @collector    collector-[01-04]    az:a    '*-01'    all
      A,B  either    A&B  both    'A!B'  A without B    A^B  one but not both

    \b
    Waves, counted for each role, cumulative, canaries included; a wave that is more than half
    of a role is split, and what is left after the last one follows:
      --canary 2 --waves 25%,50%    2 of each role, then up to a quarter, half, all of them
    """
    output: Output = context.obj
    fleet = output.load_fleet()
    nodes = fleet.nodes()
    chosen = nodes_in(expression, nodes, Asked(fleet))
    report.show_range(output, chosen)
    further = parse_shares(shares) if shares is not None else ()
    manifest = fleet.registry().manifest(release)
    _refuse_other_roles(release, set(manifest.roles), [nodes[node] for node in chosen])
    serving = serving_now(fleet, chosen)
    records = {
        node: NodeRecord(role=nodes[node].role or "", before=serving[node], to=release)
        for node in chosen
        if serving[node] != release
    }
    roles = {node: record.role for node, record in records.items()}
    steps = waves(roles, role_sizes(nodes), canaries=canaries, shares=further)
    if not as_json:
        report.show_plan(
            output, fleet.config.name, records, steps, unchanged=len(chosen) - len(records)
        )
    if not records or plan_only:
        if as_json:
            output.data(report.plan_json(chosen, records, steps))
        context.exit(CHANGES_EXIT if records and exit_code else 0)
    output.confirm(
        f"Bring {counted(records)} to {release}?",
        yes,
        whole_fleet=is_whole_fleet(expression, chosen, nodes),
    )

    def make(rollout_id: str) -> Document:
        return Document(
            id=rollout_id,
            kind="rollout",
            operator=getpass.getuser(),
            reason=reason,
            range=expression,
            created_at=round(time.time(), 3),
            nodes=records,
            waves=steps,
            limits=Limits(bake_s=bake_s),
        )

    carry_out(output, fleet, make, as_json=as_json)


def carry_out(output: Output, fleet: Fleet, make: Any, *, as_json: bool) -> None:
    """Drive it to its end with progress; raises what its end means."""
    config = fleet.config
    client = SaltClient(config.salt_master_config, config.network_namespace)
    watch = report.Watch(output, as_json=as_json)
    with _outliving_the_terminal(), Announcer(output, fleet, watch.event) as announcer:
        document = drive(fleet.documents(), client, make, announcer.event)
    if as_json:
        output.data(report.summary(document))
    else:
        report.show_end(output, document)
    report.raise_unless_converged(document)


@contextmanager
def _outliving_the_terminal() -> Iterator[None]:
    """A terminal that is closed doesn't stop a rollout; being terminated does, as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, stop),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serving_now(fleet: Fleet, nodes: list[str]) -> dict[str, str | None]:
    """What each of these nodes serves. NodesSilent when one doesn't answer."""
    found = ask(fleet, nodes)
    silent = [node for node, said in found.items() if said["state"] in ("silent", "failed")]
    if silent:
        named = ", ".join(silent)
        raise NodesSilent(
            f"{len(silent)} of {len(nodes)} nodes can't be asked: {named}",
            why="; ".join(str((found[node].get("error") or {}).get("what")) for node in silent[:3]),
            next_step=f"evctl status; or leave them out of the range: '…!{silent[0]}'",
        )
    return {node: said["release"] for node, said in found.items()}


def role_sizes(nodes: dict[str, NodeInfo]) -> dict[str, int]:
    """Role → how many nodes the fleet has of it."""
    sizes: dict[str, int] = {}
    for node in nodes.values():
        if node.role:
            sizes[node.role] = sizes.get(node.role, 0) + 1
    return sizes


def _refuse_other_roles(release: str, known: set[str], nodes: list[NodeInfo]) -> None:
    for node in nodes:
        if node.role not in known:
            raise NotThisRole(
                f"{release} can't run on {node.id}",
                why=f"its role is {node.role}; the release knows {', '.join(sorted(known))}",
                next_step=f"leave it out of the range: '…!{node.id}'",
            )
