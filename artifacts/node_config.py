"""node.yaml: who a node is. Salt renders it; docs/architecture.md has its keys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from artifacts.node_errors import NodeSettingsError

Services = Literal["systemd", "supervisor"]

SETTINGS_BYTES_MAX = 256 * 1024
# A unix socket's path may have 107 bytes; `<role>-<release>.sock` gets its part of them.
RUN_BYTES_MAX = 50
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class NodeConfig:
    """One node's settings.

    id, role: who it is by the master's map; role is None until one is assigned.
    root: where its file tree begins. run: where its sockets live, at most 50 bytes.
    registry: URL of the releases. trust: key id → base64 ed25519 public key.
    keep: unpacked releases kept beside those that are needed. python: interpreter for releases;
    None looks for the version that each release names. lock_wait_s: how long a change waits for
    another one to end. orders: {"fleet", "trust": base64 public key of its master's orders}; None:
    there are none. environment: what the role's processes and tools get beside the contract's own.
    """

    id: str
    role: str | None
    root: Path
    run: Path
    registry: str
    trust: dict[str, str]
    services: Services
    keep: int = 3
    python: Path | None = None
    lock_wait_s: float = 30.0
    orders: dict[str, str] | None = None
    environment: dict[str, str] = field(default_factory=dict)


_KEYS = {
    "id", "role", "root", "run", "registry", "trust", "services", "keep", "python", "lock_wait_s",
    "orders", "environment",
}  # fmt: skip
_NEXT = "mend the node's pillar on the master, then: salt <node> state.apply"


def load_node(path: Path) -> NodeConfig:
    """Settings from a node.yaml. NodeSettingsError names the file, the key and what is wrong."""
    return _Reader(path, read_settings(path)).config()


class _Reader:
    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        self._path = path
        self._raw = raw

    def config(self) -> NodeConfig:
        for key in sorted(self._raw.keys() - _KEYS):
            raise self._wrong(key, "isn't a setting of a node")
        root = self._folder("root", "/")
        return NodeConfig(
            id=self._text("id"),
            role=None if self._raw.get("role") is None else self._text("role"),
            root=root,
            run=self._run(root),
            registry=self._text("registry"),
            trust=self._trust(),
            services=self._services(),
            keep=int(self._number("keep", 3, 1000)),
            python=None if self._raw.get("python") is None else self._folder("python", ""),
            lock_wait_s=self._number("lock_wait_s", 30.0, 600.0),
            orders=self._orders(),
            environment=self._environment(),
        )

    def _run(self, root: Path) -> Path:
        run = self._folder("run", str(root / "run/evctl"))
        if len(bytes(run)) > RUN_BYTES_MAX:
            raise self._wrong(
                "run", f"must be at most {RUN_BYTES_MAX} bytes long: {run} (sockets live there)"
            )
        return run

    def _trust(self) -> dict[str, str]:
        trust = self._raw.get("trust")
        if not isinstance(trust, dict) or not trust or not _are_texts((*trust, *trust.values())):
            raise self._wrong("trust", "must map key ids to base64 public keys, at least one")
        return dict(trust)

    def _services(self) -> Services:
        services = self._text("services")
        if services not in ("systemd", "supervisor"):
            raise self._wrong("services", "must be systemd or supervisor")
        return cast(Services, services)

    def _orders(self) -> dict[str, str] | None:
        orders = self._raw.get("orders")
        if orders is None:
            return None
        if (
            not isinstance(orders, dict)
            or set(orders) != {"fleet", "trust"}
            or not _are_texts(orders.values())
        ):
            raise self._wrong("orders", "must have `fleet` and `trust`, as texts")
        return orders

    def _environment(self) -> dict[str, str]:
        environment = self._raw.get("environment") or {}
        if not isinstance(environment, dict) or not all(
            isinstance(name, str)
            and VARIABLE.fullmatch(name)
            and isinstance(value, str)
            and value.isprintable()
            for name, value in environment.items()
        ):
            raise self._wrong("environment", "must map names of variables to texts of one line")
        return dict(environment)

    def _text(self, key: str, default: str | None = None) -> str:
        value = self._raw.get(key, default)
        if not isinstance(value, str) or not value:
            raise self._wrong(key, "must be a text")
        return value

    def _number(self, key: str, default: float, highest: float) -> float:
        value = self._raw.get(key, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 <= value <= highest
        ):
            raise self._wrong(key, f"must be a number from 0 to {highest:g}")
        return float(value)

    def _folder(self, key: str, default: str) -> Path:
        value = Path(self._text(key, default))
        if not value.is_absolute():
            raise self._wrong(key, "must be an absolute path")
        return value

    def _wrong(self, key: str, what: str) -> NodeSettingsError:
        return NodeSettingsError(f"{self._path}: `{key}` {what}", next_step=_NEXT)


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) and value for value in values)


def read_settings(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file. NodeSettingsError when it is none."""
    try:
        with path.open("rb") as file:
            text = file.read(SETTINGS_BYTES_MAX + 1)
    except OSError as error:
        raise NodeSettingsError(
            f"can't read {path}", why=error.strerror or str(error), next_step=_NEXT
        ) from error
    if len(text) > SETTINGS_BYTES_MAX:
        raise NodeSettingsError(
            f"{path} is larger than {SETTINGS_BYTES_MAX} bytes", next_step=_NEXT
        )
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise NodeSettingsError(f"{path} isn't YAML", why=why, next_step=_NEXT) from error
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise NodeSettingsError(f"{path} must be a mapping of settings", next_step=_NEXT)
    return raw
