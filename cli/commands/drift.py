"""`evctl drift`: what was changed on nodes by hand, and mending it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from artifacts.errors import EvctlError
from cli.announce import record, tell_nodes, witness
from cli.asked import Asked
from cli.fleet import Fleet
from cli.fleet_view import FleetView, look
from cli.output import BAD, GOOD, NOTE, UNKNOWN, Output, json_option, yes_option
from cli.ranges import counted, is_whole_fleet, nodes_in
from cli.rollout.drive import answer_of
from cli.salt_client import SaltClient

DRIFT_S = 60.0  # a dry run of the states, and every file of the release
MEND_S = 600.0
CHANGES_EXIT = 3
SILENT_EXIT = 7


class NotMended(EvctlError):
    code = "E4401"
    exit_code = 6
    explanation = (
        "A node that was changed by hand could not be put right; it goes on serving what it serves "
        "unless it says otherwise, and the nodes after it were left as they are."
    )


@click.command()
@click.option("--range", "expression", metavar="EXPR", help="Only these nodes.")
@click.option("--mend", is_flag=True, help="Put right what was changed, one node after the other.")
@click.option("--reason", default="", help="Why; kept in the history.")
@yes_option
@json_option
@click.pass_context
def drift(
    context: click.Context,
    *,
    expression: str | None,
    mend: bool,
    reason: str,
    yes: bool,
    as_json: bool,
) -> None:
    """What was changed on nodes by hand: another release than they should serve, changed files of
    what serves, and what the states have written (units, settings, the toolkit).

    Exit code 3 when there is some, 7 when a node doesn't answer. With --mend it is put right: the
    states are applied; what serves is installed anew while the last good release stands in, so that
    nobody notices. And what nodes should run is published for those that can't hear their master.

    \b
    Examples:
      evctl drift
      evctl drift --range role:collector --json
      evctl drift --mend --reason "a hotfix that is in 0.2.1" --yes
    """
    output: Output = context.obj
    fleet = output.load_fleet()
    view = look(fleet, time.time())
    asked = nodes_in(expression, view.nodes, Asked(fleet)) if expression else sorted(view.nodes)
    found = _found(fleet, view, asked)
    if not as_json:
        for node, said in found.items():
            _show(output, node, said)
    changed = [node for node, said in found.items() if said["drift"]]
    mended: list[str] = []
    if mend:
        if changed:
            whole = expression is not None and is_whole_fleet(expression, changed, view.nodes)
            output.confirm(f"Mend {counted(changed)}?", yes, whole_fleet=whole)
            mended = _mend(output, fleet, changed, reason)
        tell_nodes(output, fleet)
    if as_json:
        output.data({"nodes": found, "mended": mended})
    silent = [node for node, said in found.items() if said["state"] != "told"]
    if silent:
        context.exit(SILENT_EXIT)
    context.exit(CHANGES_EXIT if set(changed) - set(mended) else 0)


def _found(fleet: Fleet, view: FleetView, nodes: list[str]) -> dict[str, dict[str, Any]]:
    """Node → {"state": told, silent or failed, "drift": what, in words}."""
    found: dict[str, dict[str, Any]] = {}
    for returned in _client(fleet).call(nodes, "evrelease.drift", {}, DRIFT_S):
        answer = answer_of(returned)
        if answer.ok and answer.result:
            wanted = None if returned.node in view.holders else view.wanted(returned.node)[0]
            found[returned.node] = {"state": "told", "drift": drift_of(answer.result, wanted)}
        else:
            state = "silent" if answer.silent else "failed"
            found[returned.node] = {"state": state, "drift": [], "error": answer.error}
    return dict(sorted(found.items()))


def drift_of(said: Mapping[str, Any], wanted: str | None) -> list[str]:
    """In words. wanted: None while a rollout is at work there, or when nobody says."""
    serves = said["release"]
    drifted = []
    if wanted and serves != wanted:
        drifted.append(f"serves {serves or 'nothing'}, and should serve {wanted}")
    if serves and said["current"] != serves:
        drifted.append(f"its link `current` names {said['current'] or 'nothing'}, not what serves")
    drifted += [f"{release} runs beside it" for release in said["more"]]
    drifted += [f"{serves}: {file}" for file in said["files"]]
    return [*drifted, *said["states"]]


def _mend(output: Output, fleet: Fleet, nodes: list[str], reason: str) -> list[str]:
    """One after the other. NotMended ends it."""
    mended = []
    with _locked(fleet, nodes), _witnessed(output, fleet):
        record(fleet, "mend", {"nodes": nodes}, why=reason)
        for node in nodes:
            output.say(NOTE, f"{node}: mending")
            (returned,) = _client(fleet).call([node], "evrelease.mend", {}, MEND_S)
            answer = answer_of(returned)
            if not answer.ok:
                error = answer.error or {}
                raise NotMended(
                    f"{node} was not mended",
                    why=f"{error.get('code', '')} {error.get('what', '')}".strip(),
                    next_step=str(error.get("next") or f"evctl doctor --range {node}"),
                )
            output.say(GOOD, f"{node}: mended")
            mended.append(node)
    return mended


@contextmanager
def _witnessed(output: Output, fleet: Fleet) -> Iterator[None]:
    try:
        yield
    finally:
        witness(output, fleet)


@contextmanager
def _locked(fleet: Fleet, nodes: list[str]) -> Iterator[None]:
    """No rollout changes them meanwhile. NodesLocked."""
    holder = f"mend-{uuid.uuid4().hex[:8]}"
    documents = fleet.documents()
    documents.lock(nodes, holder, time.time(), MEND_S * len(nodes))
    try:
        yield
    finally:
        documents.unlock(holder)


def _client(fleet: Fleet) -> SaltClient:
    return SaltClient(fleet.config.salt_master_config, fleet.config.network_namespace)


def _show(output: Output, node: str, said: Mapping[str, Any]) -> None:
    if said["state"] != "told":
        error = said["error"] or {}
        click.echo(f"{output.mark(UNKNOWN)} {node:20} {error.get('what') or 'no answer'}")
    elif said["drift"]:
        click.echo(f"{output.mark(BAD)} {node:20} {said['drift'][0]}")
        for more in said["drift"][1:]:
            click.echo(f"  {'':20} {more}")
    else:
        click.echo(f"{output.mark(GOOD)} {node:20} as it should be")
