"""Tools that the app's roles offer: `evctl NAME …` runs one of them on a node of its role.

Which there are is said by the nearest evctl.yaml; without one, by the release that the fleet's
last channel names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifacts.app import find_app, load_app
from artifacts.errors import EvctlError


@dataclass(frozen=True)
class Offered:
    """A tool by evctl.yaml: the role whose nodes it runs on, and what it is for."""

    name: str
    role: str
    says: str


def offered_here() -> dict[str, Offered]:
    """Name → tool of the nearest evctl.yaml; {} when there is none, or it can't be read: help must
    not fail."""
    try:
        app_file = find_app(Path.cwd())
        roles = load_app(app_file).roles if app_file else {}
    except EvctlError:
        return {}
    return _by_name({name: role.to_json() for name, role in roles.items()})


def find_tool(name: str, fleet_file: Path | None) -> Offered | None:
    """None when nobody offers it, or nobody can say: then there is no such command."""
    if find_app(Path.cwd()) is not None:
        return offered_here().get(name)
    from cli.fleet import Fleet, find_fleet

    try:
        fleet = Fleet.load(find_fleet(fleet_file, Path.cwd()))
        registry = fleet.registry()
        named = registry.channel(fleet.config.channels[-1])
        roles = {role: registry.manifest(release).roles[role] for role, release in named.items()}
    except EvctlError:
        return None
    return _by_name(roles).get(name)


def _by_name(roles: dict[str, dict[str, Any]]) -> dict[str, Offered]:
    return {
        name: Offered(name, role, tool["says"])
        for role, facts in roles.items()
        for name, tool in facts.get("tools", {}).items()
    }
