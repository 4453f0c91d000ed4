"""`evctl doctor`: checks the whole installation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

import artifacts
from artifacts.errors import EvctlError
from artifacts.examine import toolkit_digest
from artifacts.objects import open_objects
from artifacts.registry import Registry
from cli.asked import ASK_S, Asked, client_of
from cli.doctor.check import Check, of_error
from cli.doctor.files import check_files, check_tokens
from cli.doctor.master import check_keys, check_master, pillar_settings
from cli.doctor.nodes import Examined, Expected, check_nodes
from cli.doctor.stores import check_documents, check_history, check_orders, check_registry
from cli.fleet import Fleet
from cli.fleet_view import FleetView, look
from cli.output import BAD, GOOD, UNKNOWN, Output, echo, json_option
from cli.ranges import nodes_in
from cli.rollout.ask import answer_of
from cli.salt_master import SaltMaster, version

_GLYPHS = {"fine": GOOD, "doubtful": UNKNOWN, "wrong": BAD}


@click.command()
@click.option("--range", "expression", metavar="EXPR", help="Of the nodes, only these.")
@json_option
@click.pass_context
def doctor(context: click.Context, expression: str | None, as_json: bool) -> None:
    """Check the whole installation: files, keys and who may read them, registry and signatures,
    documents and locks, the master's settings, and each node: release, versions, clock, disk.

    Nothing is changed. ✔ is fine, ? is doubtful, ✗ is wrong; each with what mends it. The exit
    code is that of the first thing that is wrong, and 0 when nothing is.

    \b
    Examples:
      evctl doctor
      evctl doctor --range collector-01
      evctl doctor --json
    """
    output: Output = context.obj
    fleet = output.load_fleet()
    now = time.time()
    view = look(fleet, now)
    every = view.nodes
    chosen = sorted(every) if expression is None else nodes_in(expression, every, Asked(fleet))
    checks = []
    for check in _checks(fleet, view, chosen, now):
        checks.append(check)
        if not as_json:
            _show(output, check)
    wrong = [check for check in checks if check.state == "wrong"]
    doubtful = [check for check in checks if check.state == "doubtful"]
    if as_json:
        output.data(
            {
                "checks": [asdict(check) for check in checks],
                "wrong": len(wrong),
                "doubtful": len(doubtful),
            }
        )
    else:
        echo(f"{len(checks)} checks · {len(wrong)} wrong · {len(doubtful)} doubtful")
    context.exit(wrong[0].exit_code if wrong else 0)


def _show(output: Output, check: Check) -> None:
    echo(f"{output.mark(_GLYPHS[check.state])} {check.name:18} {check.says}")
    if check.mend:
        echo(f"  {'':18} mend: {check.mend}")


def _checks(fleet: Fleet, view: FleetView, chosen: list[str], now: float) -> Iterator[Check]:
    config = fleet.config
    yield from check_files(fleet, dict(view.nodes))
    # Without the cache: what lies in the registry now is what is judged.
    yield from check_registry(Registry(open_objects(config.registry), config.trust), view)
    yield from check_documents(fleet.documents(), view, now)
    yield from check_orders(fleet, view)
    yield check_history(fleet.history(), view)
    master = SaltMaster(config.salt_master_config, config.network_namespace)
    try:
        settings = master.options()
    except EvctlError as error:
        yield of_error("master", error)
        return
    yield from check_master(settings, config.salt_master_config / "master", fleet.path, view)
    yield from check_keys(view)
    joined = {node for node, key in (view.keys or {}).items() if key == "joined"}
    if given := pillar_settings(settings):
        yield from check_tokens(Path(given.get("tokens", "")), joined, now)
    if "master" in view.troubles:
        return  # said above; nobody can be asked
    try:
        examined = _examine(fleet, [node for node in chosen if node in joined])
    except EvctlError as error:
        yield of_error("nodes", error)
        return
    yield from check_nodes(examined, _expected(fleet, view))


def _examine(fleet: Fleet, nodes: list[str]) -> dict[str, Examined]:
    asked_at = time.time()
    found = {}
    for returned in client_of(fleet).call(nodes, "evrelease.examine", {}, ASK_S):
        answer = answer_of(returned)
        error = None if answer.silent else answer.error
        found[returned.node] = Examined(asked_at, time.time(), answer.result, error)
    return found


def _expected(fleet: Fleet, view: FleetView) -> Expected:
    wanted = {node: view.wanted(node)[0] for node in view.nodes}
    sizes = [0]
    for release in {release for release in wanted.values() if release}:
        try:
            sizes.append(fleet.registry().manifest(release).tarball_bytes)
        except EvctlError:
            continue  # said above
    return Expected(
        wanted=wanted,
        at_work=frozenset(view.holders),
        toolkit=toolkit_digest(Path(artifacts.__path__[0])),
        salt=version(),
        tarball_bytes=max(sizes),
    )
