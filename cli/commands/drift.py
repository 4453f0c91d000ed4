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
from cli.asked import Asked, client_of
from cli.fleet import Fleet
from cli.fleet_view import look
from cli.output import BAD, GOOD, NOTE, UNKNOWN, Output, echo, json_option, yes_option
from cli.ranges import counted, is_whole_fleet, nodes_in
from cli.rollout.ask import answer_of

DRIFT_S = 60.0  # a dry run of the states, and every file of the release
MEND_S = 600.0
CHANGES_EXIT = 3
SILENT_EXIT = 7
_GLYPHS = {"right": GOOD, "drifted": BAD, "silent": UNKNOWN, "failed": BAD, "changing": NOTE}


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
    nodes = fleet.nodes()
    asked = sorted(nodes) if expression is None else nodes_in(expression, nodes, Asked(fleet))
    found = compare(fleet, asked)
    drifted = [node for node, said in found.items() if said["state"] == "drifted"]
    if mend:
        if drifted:
            whole = expression is not None and is_whole_fleet(expression, drifted, nodes)
            output.confirm(f"Mend {counted(drifted)}?", yes, whole_fleet=whole)
            _mend(output, fleet, drifted, reason)
            found |= compare(fleet, drifted)
        tell_nodes(output, fleet)
    if as_json:
        output.data({"nodes": found})
    else:
        for node, said in found.items():
            _show(output, node, said)
    states = {said["state"] for said in found.values()}
    if states & {"silent", "failed"}:
        context.exit(SILENT_EXIT)
    context.exit(CHANGES_EXIT if "drifted" in states else 0)


def compare(fleet: Fleet, nodes: list[str]) -> dict[str, dict[str, Any]]:
    """Node → {"state", "serves", "should", "rollout", "drift": what was changed, in words}; state:
    right, drifted, silent, failed (then with `error`) or changing."""
    view = look(fleet, time.time())
    found = {}
    for returned in client_of(fleet).call(nodes, "evrelease.drift", {}, DRIFT_S):
        node, answer = returned.node, answer_of(returned)
        should, rollout = view.wanted(node)[0], view.holders.get(node)
        said: dict[str, Any] = {"serves": None, "should": should, "rollout": rollout, "drift": []}
        if not answer.ok or not answer.result:
            state = "silent" if answer.silent else "failed"
            said["error"] = answer.error
        else:
            said["serves"] = answer.result["release"]
            said["drift"] = drift_of(answer.result, should)
            state = "drifted" if said["drift"] else "right"
        found[node] = {"state": "changing" if rollout else state, **said}
    return dict(sorted(found.items()))


def drift_of(said: Mapping[str, Any], wanted: str | None) -> list[str]:
    """In words. wanted: what it should serve, None for nothing."""
    serves = said["release"]
    drifted = []
    if serves != wanted:
        drifted.append(f"serves {serves or 'nothing'}, should {wanted or 'nothing'}")
    if serves and said["current"] != serves:
        drifted.append(f"its link `current` names {said['current'] or 'nothing'}, not what serves")
    drifted += [f"{release} runs beside it" for release in said["more"]]
    drifted += [f"{serves}: {file}" for file in said["files"]]
    return [*drifted, *said["states"]]


def _mend(output: Output, fleet: Fleet, nodes: list[str], reason: str) -> None:
    """One after the other. NotMended ends it."""
    with _locked(fleet, nodes), _witnessed(output, fleet):
        record(fleet, "mend", {"nodes": nodes}, why=reason)
        for node in nodes:
            output.say(NOTE, f"{node}: mending")
            (returned,) = client_of(fleet).call([node], "evrelease.mend", {}, MEND_S)
            answer = answer_of(returned)
            if not answer.ok:
                error = answer.error or {}
                raise NotMended(
                    f"{node} was not mended",
                    why=f"{error.get('code', '')} {error.get('what', '')}".strip(),
                    next_step=str(error.get("next") or f"evctl doctor --range {node}"),
                )
            output.say(GOOD, f"{node}: mended")


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


def _show(output: Output, node: str, said: Mapping[str, Any]) -> None:
    error = said.get("error") or {}
    told = {
        "right": [said["serves"] or "serves nothing, and should not"],
        "drifted": said["drift"],
        "silent": ["no answer"],
        "failed": [error.get("what") or "can't be asked"],
        "changing": [f"{said['rollout']} is at work on it"],
    }[said["state"]]
    mark = output.mark(_GLYPHS[said["state"]])
    echo(f"{mark} {node:20} {said['state']:8} {told[0]}")
    for more in told[1:]:
        echo(f"  {'':20} {'':8} {more}")
