"""Which fleet evctl talks to. docs/architecture.md has the keys of fleet.yaml."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from artifacts.app import find_app, load_app
from artifacts.errors import EvctlError
from artifacts.objects import open_objects
from artifacts.registry import Registry
from artifacts.trust import is_public_key
from cli.history.log import History, Witness
from cli.ranges import ALL
from cli.rollout.documents import Documents

ENVIRONMENT = "EVCTL_FLEET"
SYSTEM_WIDE = Path("/etc/evctl/fleet.yaml")
CHANNELS = ("canary", "stable")


class FleetError(EvctlError):
    code = "E5201"
    exit_code = 2
    explanation = (
        "fleet.yaml says where the Salt master, the registry and the nodes are. It is found by "
        "--fleet, then EVCTL_FLEET, then the nearest evctl.yaml's `fleet`, then /etc/evctl."
    )


class FleetNotAllowed(EvctlError):
    code = "E5202"
    exit_code = 4
    explanation = (
        "This user may not read fleet.yaml or the map of nodes that it names, or may not write its "
        "cache. A fleet is worked on as root, or as the master's user."
    )


@dataclass(frozen=True)
class FleetConfig:
    """fleet.yaml, with its paths made absolute. channels: in the order in which a release is
    promoted; nodes follow the last one, unless the map says otherwise. webhook: a file with a URL
    in it. orders_key: signs what nodes follow when they don't hear their master."""

    name: str
    salt_master_config: Path
    registry: str
    documents: str
    nodes: Path
    trust: dict[str, str]
    signing_key: Path | None = None
    cache: Path | None = None
    webhook: Path | None = None
    orders_key: Path | None = None
    network_namespace: str | None = None
    channels: tuple[str, ...] = CHANNELS


@dataclass(frozen=True)
class NodeInfo:
    """A node by the master's map; role is None until one is assigned. channel: which one it takes
    its release from, unless a rollout has said something else."""

    id: str
    role: str | None
    az: str | None = None
    address: str | None = None
    channel: str = CHANNELS[-1]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fleet:
    path: Path
    config: FleetConfig
    _nodes: dict[str, NodeInfo] = field(default_factory=dict, compare=False)

    @classmethod
    def load(cls, path: Path) -> Fleet:
        """FleetError names the file, the key and what is wrong. FleetNotAllowed."""
        return cls(path, _config(path))

    def nodes(self) -> dict[str, NodeInfo]:
        """Every node of the master's map, by id."""
        facts = self._map()
        found = {node_id: self._node(node_id, facts[node_id]) for node_id in facts}
        self._refuse_two_meanings(found)
        return found

    def node(self, node_id: str) -> NodeInfo | None:
        """One node of the master's map, whatever the others are."""
        facts = self._map()
        return self._node(node_id, facts[node_id]) if node_id in facts else None

    def _map(self) -> dict[str, Any]:
        return _mapping(self.config.nodes, f"write it, or mend `nodes` in {self.path}")

    def _node(self, node_id: str, facts: Any) -> NodeInfo:
        if not _is_node(node_id, facts):
            raise FleetError(
                f"{self.config.nodes}: node {node_id!r} is not understood",
                why="an id of letters, digits, - . _ may have, as texts: "
                f"{', '.join(_FACTS)}, and a list of `groups`; no node can be called `{ALL}`, "
                "which names the whole fleet",
                next_step="mend the map of nodes",
            )
        groups = tuple(facts.get("groups") or ())
        known = {key: fact for key in _FACTS if (fact := facts.get(key))}
        otherwise = {"role": None, "channel": self.config.channels[-1]}
        node = NodeInfo(node_id, **{**otherwise, **known, "groups": groups})
        self.check_channel(node.channel)
        return node

    def check_channel(self, name: str) -> None:
        """FleetError when this fleet has no such channel."""
        channels = self.config.channels
        if name not in channels:
            near = difflib.get_close_matches(name, channels, n=1, cutoff=0.0)[0]
            raise FleetError(
                f"{name!r} isn't a channel of this fleet",
                why=f"it has {', '.join(channels)}",
                next_step=f"did you mean {near}? or add it to `channels` in {self.path}",
            )

    def _refuse_two_meanings(self, nodes: Mapping[str, NodeInfo]) -> None:
        groups = {group for node in nodes.values() for group in node.groups}
        for group in sorted(groups & {node.role for node in nodes.values()}):
            raise FleetError(
                f"{self.config.nodes}: {group!r} is a role and a group",
                why=f"then nobody could say which of them @{group} names",
                next_step="call the group something else",
            )

    def registry(self) -> Registry:
        return Registry(open_objects(self.config.registry), self.config.trust, self.cache())

    def documents(self) -> Documents:
        return Documents(open_objects(self.config.documents))

    def history(self) -> History:
        return History(open_objects(self.config.documents), self._witnesses)

    def _witnesses(self) -> list[Witness]:
        with suppress(OSError):
            self.cache().mkdir(parents=True, exist_ok=True)
        return [
            Witness("the registry", open_objects(self.config.registry), self.config.name),
            Witness("this machine", open_objects(self.cache().as_uri()), self.config.name),
        ]

    def cache(self) -> Path:
        """Where manifests and wheels are kept: the fleet's, else the user's own."""
        return self.config.cache or Path.home() / ".cache/evctl"

    def signing_key(self) -> Path:
        if self.config.signing_key is None:
            raise FleetError(
                f"{self.path} names no signing_key",
                why="releases are signed",
                next_step="evctl key new PATH, then `signing_key: PATH` in fleet.yaml",
            )
        return self.config.signing_key


_FACTS = ("role", "az", "address", "channel")
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)  # of a node, a group, a channel


def _is_node(node_id: str, facts: Any) -> bool:
    return (
        _NAME.fullmatch(node_id) is not None
        and node_id != ALL
        and isinstance(facts, dict)
        and not facts.keys() - {*_FACTS, "groups"}
        and all(facts.get(key) is None or isinstance(facts[key], str) for key in _FACTS)
        and _are_names(facts.get("groups") or [])
    )


def _are_names(names: Any) -> bool:
    return isinstance(names, list) and all(
        isinstance(name, str) and _NAME.fullmatch(name) for name in names
    )


def find_fleet(given: Path | None, start: Path) -> Path:
    """Which fleet.yaml: by option, environment, nearest app, system. FleetError: none."""
    if given:
        return given
    if os.environ.get(ENVIRONMENT):
        return Path(os.environ[ENVIRONMENT])
    app_file = find_app(start)
    if app_file and (named := load_app(app_file).fleet):
        return app_file.parent / named
    if SYSTEM_WIDE.exists():
        return SYSTEM_WIDE
    raise FleetError(
        "no fleet is known",
        why=f"no --fleet, no {ENVIRONMENT}, no evctl.yaml with `fleet` here, no {SYSTEM_WIDE}",
        next_step="evctl lab up makes one to try; docs/operations.md has your own",
    )


def _config(path: Path) -> FleetConfig:
    raw = _mapping(path, "evctl lab up makes a fleet to try")
    known = {one.name for one in fields(FleetConfig)}
    for key in raw.keys() - known:
        near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.0)[0]
        raise FleetError(f"{path}: `{key}` isn't a key", next_step=f"did you mean `{near}`?")
    for key in ("name", "salt_master_config", "registry", "documents", "nodes"):
        if not raw.get(key):
            raise FleetError(f"{path}: `{key}` must be a text", next_step="mend the file")
    for key in sorted(raw.keys() - {"trust", "channels"}):
        if raw[key] is not None and not isinstance(raw[key], str):
            raise FleetError(f"{path}: `{key}` must be a text", next_step="mend the file")
    trust = raw.get("trust")
    if (
        not isinstance(trust, dict)
        or not trust
        or not all(map(_is_text, trust))
        or not all(_is_text(public) and is_public_key(public) for public in trust.values())
    ):
        raise FleetError(
            f"{path}: `trust` must map key ids to public keys",
            next_step="evctl key new PATH prints one",
        )
    channels = raw.get("channels") or list(CHANNELS)
    if not _are_names(channels) or len(set(channels)) < len(channels):
        raise FleetError(
            f"{path}: `channels` must be a list of different names",
            why="in the order in which a release is promoted",
            next_step=f"for example: channels: [{', '.join(CHANNELS)}]",
        )
    paths = {
        key: path.parent / raw[key]
        for key in ("salt_master_config", "nodes", "signing_key", "cache", "webhook", "orders_key")
        if raw.get(key)
    }
    return FleetConfig(**{**raw, **paths, "channels": tuple(channels)})


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _mapping(path: Path, when_absent: str) -> dict[str, Any]:
    try:
        raw = _parsed(path.read_text())
    except PermissionError as error:
        raise FleetNotAllowed(
            f"can't read {path}",
            why=error.strerror or str(error),
            next_step="run evctl as root, or as the master's user",
        ) from error
    except OSError as error:
        raise FleetError(
            f"can't read {path}",
            why=error.strerror or str(error),
            next_step=when_absent,
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FleetError(
            f"{path} isn't YAML", why=" ".join(str(error).split()), next_step="mend that line"
        ) from error
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise FleetError(f"{path} must be a mapping", next_step="mend the file")
    return raw


@lru_cache(maxsize=8)
def _parsed(text: str) -> Any:
    """The master reads these files for every node that polls, and they seldom change: parsed once
    a process. Whoever gets it leaves it as it is."""
    return yaml.load(text, yaml.CSafeLoader)
