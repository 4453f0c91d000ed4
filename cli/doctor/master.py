"""Salt's settings that evctl relies on, and whether the master listens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cli.doctor.check import Check, doubtful, fine, of_error, wrong
from cli.fleet_view import FleetView
from cli.numbers import number_of

OUR_PILLAR = "evctl"
DOCUMENTED = "docs/operations.md has what belongs there"


def check_master(
    settings: Mapping[str, Any], file: Path, fleet: Path, view: FleetView
) -> Iterator[Check]:
    """settings: the master's, with Salt's defaults; file: where they are written."""
    if trouble := view.troubles.get("master"):
        yield of_error("master", trouble)
    else:
        yield fine("master", f"listens on {settings['interface']}:{settings['ret_port']}")
    faults = list(_faults(settings, fleet))
    for says in faults:
        yield wrong("master's settings", says, f"mend {file}; {DOCUMENTED}")
    if not faults:
        yield fine("master's settings", str(file))
    if settings.get("auto_accept"):
        yield wrong(
            "master's keys", "it accepts whoever asks", f"take auto_accept out of {file}", 4
        )
    if not settings.get("pillar_cache") and not settings.get("ext_pillar_first"):
        yield doubtful(
            "pillar", "ext_pillar_first isn't set: pillar/top.sls can't know roles", DOCUMENTED
        )


def _faults(settings: Mapping[str, Any], fleet: Path) -> Iterator[str]:
    states = [Path(folder) for folder in settings["file_roots"].get("base", [])]
    ours = next((folder for folder in states if (folder / "role/init.sls").is_file()), None)
    if ours is None:
        yield f"file_roots has no evctl states: {', '.join(map(str, states))}"
    elif not (ours / "toolkit/artifacts/node.py").is_file():
        yield f"{ours}/toolkit/artifacts isn't the folder `artifacts`: nodes get no toolkit"
    pillars = [Path(folder) for folder in settings["pillar_roots"].get("base", [])]
    if not any((folder / "defaults.sls").is_file() for folder in pillars):
        yield f"pillar_roots has no evctl pillar: {', '.join(map(str, pillars))}"
    if not any(_has_modules(Path(folder)) for folder in settings["module_dirs"]):
        yield "module_dirs doesn't name the folder of evctl's own pillar: nodes get no role"
    given = pillar_settings(settings)
    if given is None:
        yield "ext_pillar doesn't have `evctl`: nodes get no role"
        return
    if not given.get("fleet") or Path(given["fleet"]).resolve() != fleet.resolve():
        yield f"ext_pillar's fleet is {given.get('fleet')}, this one is {fleet}"
    if settings.get("autosign_grains_dir") != given.get("tokens"):
        yield "autosign_grains_dir isn't ext_pillar's `tokens`: no node can join"


def _has_modules(folder: Path) -> bool:
    return (folder / "_pillar/evctl.py").is_file() or (folder / "pillar/evctl.py").is_file()


def pillar_settings(settings: Mapping[str, Any]) -> dict[str, str] | None:
    """What the master's file says about evctl's external pillar."""
    every = settings.get("ext_pillar") or []
    return next((one[OUR_PILLAR] for one in every if OUR_PILLAR in one), None)


def check_keys(view: FleetView) -> Iterator[Check]:
    """Who may talk to the master, against the map."""
    if view.keys is None:
        return
    joined = {node for node, key in view.keys.items() if key == "joined"}
    strangers = sorted(view.keys.keys() - view.nodes.keys())
    missing = sorted(view.nodes.keys() - view.keys.keys())
    waiting = sorted(n for n, key in view.keys.items() if key == "waiting" and n in view.nodes)
    refused = sorted(n for n, key in view.keys.items() if key == "refused" and n in view.nodes)
    if strangers:
        yield doubtful(
            "keys",
            f"of nodes that aren't on the map: {', '.join(strangers)}",
            f"salt-key -d {strangers[0]}, and the others; each slows down whoever asks all",
        )
    if refused:
        yield wrong(
            "keys", f"refused: {', '.join(refused)}", f"salt-key -d {refused[0]}; a new token", 4
        )
    if waiting:
        yield wrong(
            "keys",
            f"not accepted: {', '.join(waiting)}",
            f"salt-key -a {waiting[0]}, if it is it",
            7,
        )
    if missing:
        yield doubtful(
            "keys", f"never joined: {', '.join(missing)}", "boot them, with a token each"
        )
    if not (strangers or refused or waiting or missing):
        yield fine("keys", f"joined: {number_of(len(joined), 'node')}")
