"""What the supervisor knows of a role: its settings, by Salt, and its listening socket."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from artifacts.layout import Layout
from artifacts.node_config import read_settings
from artifacts.node_errors import NodeSettingsError

BACKLOG = 4096
ROLE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_KEYS = {"role", "node", "listen", "settings", "env"}
_NEXT = "mend the node's pillar on the master, then: salt <node> state.apply"


@dataclass(frozen=True)
class RoleSettings:
    """One role on this node, from <root>/etc/evctl/supervisor/<role>.yaml.

    role, node: EV_ROLE, EV_NODE. listen: address and port of the socket that is held.
    settings: EV_SETTINGS; by default <root>/etc/evctl/<role>.yaml. env: added to its environment.
    """

    role: str
    node: str
    listen: tuple[str, int]
    settings: Path
    env: dict[str, str]


def known_roles(layout: Layout) -> list[str]:
    """Roles that have a settings file."""
    return sorted(path.stem for path in layout.supervisor_roles.glob("*.yaml"))


def load_role(layout: Layout, role: str) -> RoleSettings:
    """A role's settings. NodeSettingsError names file and key."""
    if not ROLE_NAME.fullmatch(role):
        raise NodeSettingsError(f"{role[:80]!r} can't be a role's name", next_step=_NEXT)
    path = layout.supervisor_roles / f"{role}.yaml"
    raw = read_settings(path)

    def wrong(key: str, what: str) -> NodeSettingsError:
        return NodeSettingsError(f"{path}: `{key}` {what}", next_step=_NEXT)

    for key in sorted(raw.keys() - _KEYS):
        raise wrong(key, "isn't a setting of a role")
    if raw.get("role") != role:
        raise wrong("role", f"must be {role}, like the file's name")
    if not isinstance(raw.get("node"), str) or not raw["node"]:
        raise wrong("node", "must be the node's id")
    env = raw.get("env") or {}
    if not isinstance(env, dict) or not all(
        isinstance(part, str) and "\0" not in part for pair in env.items() for part in pair
    ):
        raise wrong("env", "must map names to texts")
    settings = raw.get("settings", str(layout.root / f"etc/evctl/{role}.yaml"))
    if not isinstance(settings, str) or not Path(settings).is_absolute():
        raise wrong("settings", "must be an absolute path")
    listen = _address(raw.get("listen"))
    if listen is None:
        raise wrong("listen", "must be an address and a port, such as 127.0.0.1:8080")
    return RoleSettings(role, raw["node"], listen, Path(settings), dict(env))


def _address(text: object) -> tuple[str, int] | None:
    host, _, port = str(text).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return (host, int(port)) if port.isdecimal() and 0 < int(port) < 65536 else None


class Listeners:
    """The sockets of all roles: each bound once, and shared by all generations that start."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[tuple[str, int], socket.socket]] = {}

    def get(self, role: RoleSettings) -> socket.socket:
        """The role's listening socket; bound anew only when its address has changed.

        Generations keep the socket that they were started with. OSError when it can't be bound.
        """
        held = self._held.get(role.role)
        if held and held[0] == role.listen:
            return held[1]
        family = socket.AF_INET6 if ":" in role.listen[0] else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind(role.listen)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        if held:
            held[1].close()
        self._held[role.role] = (role.listen, listener)
        return listener

    def close(self) -> None:
        for _, listener in self._held.values():
            listener.close()
        self._held.clear()
