"""`evctl rollout`: bring nodes to a release."""

from __future__ import annotations

import click

from artifacts.errors import EvctlError
from artifacts.gates import NONE
from artifacts.manifest import Manifest
from cli.asked import Asked
from cli.commands import rollout_control
from cli.commands.carrying import carry_out, detach_option
from cli.commands.planning import Wish, draft, past_one_way_option, refuse_closed, refuse_stale
from cli.fleet import NodeInfo
from cli.option_types import Duration, Floor, Words, refuse_before_further
from cli.output import Output, json_option, reason_option, yes_option
from cli.ranges import counted, is_whole_fleet, nodes_in
from cli.rollout import report
from cli.rollout.chosen_gates import gates_of, probe_of
from cli.rollout.document import Limits
from cli.rollout.plan import CANARIES, parse_shares

CHANGES_EXIT = 3
BAKE_S_MAX = 24 * 3600.0


class NotThisRole(EvctlError):
    code = "E4006"
    exit_code = 2
    explanation = "A node's role isn't one that the release knows, so it can't run it."


@click.group(invoke_without_command=True)
@click.option("--range", "expression", metavar="EXPR", help="Which nodes: see `evctl range`.")
@click.option("--to", "release", metavar="RELEASE", help="Which release.")
@reason_option
@click.option("--canary", "canaries", type=click.IntRange(0, 1000), default=CANARIES,
              show_default=True, metavar="N", help="Canaries of each role; 0: none.")  # fmt: skip
@click.option("--waves", "shares", metavar="LIST", help="How far each wave goes: 1,25%,50%,100%.")
@click.option("--bake", "bake_s", type=Duration(BAKE_S_MAX), default=Limits.bake_s,
              show_default="1s", help="How long each wave must stay healthy: 90s, 5m.")  # fmt: skip
@click.option("--max-fail", type=click.IntRange(0, 10_000), default=Limits.max_fail,
              show_default=True, metavar="N", help="So many may fail.")  # fmt: skip
@click.option("--max-unreachable", type=click.IntRange(0, 10_000), default=Limits.max_unreachable,
              show_default=True, metavar="N", help="So many may fall silent.")  # fmt: skip
@click.option("--floor", "floors", type=Floor(), multiple=True, metavar="ROLE=N",
              help="Never fewer than N of a role serving.")  # fmt: skip
@click.option("--gate", "gates", multiple=True, metavar="NAME",
              help="Only these gates of evctl.yaml; `probe`, `none`. Else all.")  # fmt: skip
@click.option("--gate-command", type=Words(), metavar="COMMAND",
              help="Must succeed after each wave; exit code 75 holds it.")  # fmt: skip
@click.option("--in-closed-window", is_flag=True, help="Although the release's window is closed.")
@past_one_way_option
@click.option("--as-planned", metavar="DIGEST", help="Only if the plan is still this one.")
@detach_option
@click.option("--plan", "plan_only", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--exit-code", is_flag=True, help="With --plan: exit 3 when something would change.")
@yes_option
@json_option
@click.pass_context
def rollout(
    context: click.Context,
    *,
    expression: str | None,
    release: str | None,
    reason: str,
    canaries: int,
    shares: str | None,
    bake_s: float,
    max_fail: int,
    max_unreachable: int,
    floors: tuple[tuple[str, int], ...],
    gates: tuple[str, ...],
    gate_command: tuple[str, ...] | None,
    in_closed_window: bool,
    past_one_way: bool,
    as_planned: str | None,
    detach: bool,
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
      evctl rollout --range all --to 0.2.0-1a2b3c4d5e6f --waves 1,25%,100% --bake 5m --yes
      evctl rollout --range role:collector --to 0.2.0-1a2b3c4d5e6f --gate errors --bake 2m --yes
      evctl rollout watch R000042

    Every node fetches and installs it first. Then one node of each role swaps, one after the
    other; then the others, never more than half of a role at once. After each wave the nodes must
    say themselves that they serve it, and pass the gates that evctl.yaml names. When one can't, all
    go back. Where too little traffic comes to judge by, the rollout pauses: --gate none, or --gate
    probe, is for a fleet that has none.

    \b
    Ranges (evctl range EXPR shows what one names):
      role:collector, @collector    collector-[01-04]    az:a    '*-01'    all
      A,B  either    A&B  both    'A!B'  A without B    A^B  one but not both

    \b
    Waves, counted for each role, cumulative, canaries included; one that is more
    than half of a role is split, and what is left after the last one follows:
      --canary 2 --waves 25%,50%    2 of each role, then a quarter, half, all
    """
    refuse_before_further(context)
    if context.invoked_subcommand:
        return
    if expression is None or release is None:  # required only where there is no further command
        raise click.UsageError(f"Missing option '{'--to' if expression else '--range'}'.")
    output: Output = context.obj
    fleet = output.load_fleet()
    nodes = fleet.nodes()
    chosen = nodes_in(expression, nodes, Asked(fleet))
    report.show_range(output, chosen)
    further = parse_shares(shares) if shares is not None else ()
    if NONE in gates and len(gates) > 1:
        raise click.UsageError(f"--gate {NONE} goes with no other --gate.")
    manifest = fleet.registry().manifest(release)
    _refuse_other_roles(release, set(manifest.roles), [nodes[node] for node in chosen])
    _refuse_other_floors(release, set(manifest.roles), floors)
    drafted = draft(
        fleet,
        Wish(
            kind="rollout",
            to=dict.fromkeys(chosen, release),
            range=expression,
            reason=reason,
            limits=Limits(bake_s=bake_s, max_fail=max_fail, max_unreachable=max_unreachable),
            canaries=canaries,
            shares=further,
            floors=floors_of(manifest) | dict(floors),
            past_one_way=past_one_way,
            gates=gates_of(manifest, gates),
            gate_command=gate_command or (),
            probe=probe_of(manifest, gates, nodes, chosen),
            closed=manifest.closed,
            in_closed_window=in_closed_window,
        ),
    )
    if not as_json:
        report.show_plan(output, fleet.config.name, drafted, len(chosen))
    if not drafted.nodes or plan_only:
        if as_json:
            output.data(report.plan_json(chosen, drafted))
        context.exit(CHANGES_EXIT if drafted.nodes and exit_code else 0)
    refuse_stale(drafted, as_planned)
    if not in_closed_window:
        refuse_closed(drafted.closed)
    output.confirm(
        f"Bring {counted(drafted.nodes)} to {release}?",
        yes,
        whole_fleet=is_whole_fleet(expression, chosen, nodes),
    )
    carry_out(output, fleet, drafted, as_json=as_json, detach=detach)


for command in rollout_control.COMMANDS:
    rollout.add_command(command)


def floors_of(manifest: Manifest) -> dict[str, int]:
    """Role → how many must always serve, as the release's evctl.yaml says."""
    return {
        name: role["serving_min"] for name, role in manifest.roles.items() if "serving_min" in role
    }


def _refuse_other_floors(
    release: str, known: set[str], floors: tuple[tuple[str, int], ...]
) -> None:
    for role, _ in floors:
        if role not in known:
            has = ", ".join(sorted(known))
            raise click.UsageError(f"--floor: {release} has no role {role}; it has {has}.")


def _refuse_other_roles(release: str, known: set[str], nodes: list[NodeInfo]) -> None:
    for node in nodes:
        if node.role not in known:
            raise NotThisRole(
                f"{release} can't run on {node.id}",
                why=f"its role is {node.role}; the release knows {', '.join(sorted(known))}",
                next_step=f"leave it out of the range: '…!{node.id}'",
            )
